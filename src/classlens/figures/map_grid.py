r"""Maps of several pictures, methods or checkpoints in a grid: rows with the names of their files, on pages.

A row is one picture and one class: the picture alone, then a map for every column. Rows stand below each other and in
as many blocks side by side as make the sheet about square, so that a hundred pictures are no endless strip. Whatever
is longer than its place is cut in its middle, and letters that no font has are spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.figures.text import clean, families_for, shorten_middle
from classlens.image import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CELL, GAP, MARGIN, BLOCK_GAP = 2.2, 0.08, 0.15, 0.3
LINE, HEADING, BAR = 0.19, 0.4, 0.75
"""Sizes in inches: the height of a picture, what lies between and around, a line of text, the headings of columns, and
the place of the colour bar."""

WIDEST, WIDEST_ROWS = 6, 8
"""Cells in a line: a single row of more pictures than this is broken into several, and so is every row of a grid."""

LARGEST = 20.0
"""Inches of the longer side of a page: what does not fit goes onto the next one."""

ASPECTS = (0.6, 2.0)
"""Width of a column, as a share of its height, at least and at most: wider pictures are drawn smaller."""

DPI = 110
INK, DIM, RED = "#1b1f24", "#63686e", "#b3261e"
POINTS = 72


@dataclass(frozen=True, eq=False)
class Cell:
    """A picture in a column; its note stands below it, and is red if it is marked."""

    column: tuple[str, str]
    image: Image
    note: str = ""
    is_marked: bool = False


@dataclass(frozen=True, eq=False)
class GridRow:
    """A picture's name, what is seen in it, and its cells; the label is red if it is marked."""

    name: str
    label: str
    cells: tuple[Cell, ...]
    is_marked: bool = False


@dataclass(frozen=True)
class Sizes:
    """The cells of a line, and in inches how wide a cell is, a block, and how high a row and all headings are."""

    length: int
    cell: float
    block: float
    row: float
    heading: float

    def blocks_of(self, rows: int) -> int:
        """How many blocks of rows side by side make the longer side of a sheet shortest."""
        return min(range(1, rows + 1), key=lambda blocks: max(blocks * self.block, -(-rows // blocks) * self.row))

    @property
    def capacity(self) -> int:
        """Rows of a page, one at least."""
        return max(1, int(LARGEST // self.block)) * max(1, int((LARGEST - self.heading) // self.row))


def measure_rows(rows: Sequence[GridRow]) -> Sizes:
    """The sizes for rows like these."""
    cells = [cell for row in rows for cell in row.cells]
    widest, longest = (
        max(cell.image.size[1] / cell.image.size[0] for cell in cells),
        max(len(row.cells) for row in rows),
    )
    lines = -(-longest // (WIDEST if len(rows) == 1 else WIDEST_ROWS))
    length = -(-longest // lines)
    width = CELL * min(max(widest, ASPECTS[0]), ASPECTS[1])
    notes = LINE if any(cell.note for cell in cells) else 0.0
    words = LINE * (any(row.name for row in rows) + any(row.label for row in rows))
    high = words + lines * (CELL + notes + 0.12) + (lines * HEADING if lines > 1 else 0)
    return Sizes(length, width, length * (width + GAP) + BLOCK_GAP, high, 0.0 if lines > 1 else HEADING)


def draw_sheet(rows: Sequence[GridRow], colours: np.ndarray) -> Figure:
    """All rows on one sheet, with the colour bar at its top right."""
    from matplotlib.figure import Figure

    sizes = measure_rows(rows)
    blocks = sizes.blocks_of(len(rows))
    high = -(-len(rows) // blocks)
    blocks = -(-len(rows) // high)
    width = MARGIN + blocks * sizes.block - BLOCK_GAP + BAR + MARGIN
    height = MARGIN + sizes.heading + high * sizes.row + MARGIN
    figure = Figure(figsize=(width, height), dpi=DPI)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_axis_off()
    words = (word for row in rows for word in (row.name, row.label, *(cell.note for cell in row.cells)))
    fonts = families_for("".join(words))
    for number, row in enumerate(rows):
        left = MARGIN + number // high * sizes.block
        top = MARGIN + sizes.heading + number % high * sizes.row
        draw_row(axes, row, (left, top), sizes, fonts)
        if number % high == 0 and sizes.heading:
            draw_headings(axes, row.cells, (left, MARGIN), sizes.cell)
    draw_bar(axes, colours, (width - MARGIN - BAR + GAP, MARGIN + sizes.heading + sizes.row - CELL - 0.12))
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def draw_row(axes: Axes, row: GridRow, at: tuple[float, float], sizes: Sizes, fonts: Sequence[str]) -> None:
    """The words of a row, and below them its cells, in lines if they are many."""
    left, top = at
    room = (sizes.length * (sizes.cell + GAP) - GAP) * POINTS
    for words, colour, size in ((row.name, DIM, 8), (row.label, RED if row.is_marked else INK, 9)):
        if words:
            put(axes, words, (left, top + LINE / 2), room, color=colour, fontsize=size, va="center", family=fonts)
            top += LINE
    for start in range(0, len(row.cells), sizes.length):
        line = row.cells[start : start + sizes.length]
        if not sizes.heading:
            draw_headings(axes, line, (left, top), sizes.cell)
            top += HEADING
        for place, cell in enumerate(line):
            middle = left + place * (sizes.cell + GAP) + sizes.cell / 2
            high, wide = cell.image.size
            scale = min(CELL / high, sizes.cell / wide)
            x, y = wide * scale / 2, top + (CELL - high * scale) / 2
            extent = (middle - x, middle + x, y + high * scale, y)
            axes.imshow(cell.image.pixels, extent=extent, aspect="auto", interpolation="antialiased")
            if cell.note:
                looks: dict[str, Any] = {"color": RED if cell.is_marked else INK, "fontsize": 8, "ha": "center"}
                below = (middle, top + CELL + LINE / 2)
                put(axes, cell.note, below, sizes.cell * POINTS, va="center", family=fonts, **looks)
        top += CELL + 0.12 + (LINE if any(cell.note for cell in row.cells) else 0)


def draw_headings(axes: Axes, cells: Sequence[Cell], at: tuple[float, float], width: float) -> None:
    """Two lines above every column: method and layer."""
    for place, cell in enumerate(cells):
        middle = at[0] + place * (width + GAP) + width / 2
        for words, size, below in zip(cell.column, (9, 7), (0.1, 0.27), strict=True):
            put(axes, words, (middle, at[1] + below), width * POINTS, fontsize=size, ha="center", va="center")


def put(axes: Axes, words: str, at: tuple[float, float], room: float, **looks: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Write words into `room` points; names are text, never formulas."""
    fitting = shorten_middle(clean(words), looks["fontsize"], room)
    axes.text(*at, fitting, parse_math=False, **looks)


def draw_bar(axes: Axes, colours: np.ndarray, at: tuple[float, float]) -> None:
    left, top = at
    axes.imshow(colours[::-1, None], extent=(left, left + 0.14, top + CELL, top), aspect="auto")
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = (left + 0.18, top + CELL * (1 - share))
        axes.text(*place, f"{share:g}", fontsize=7, va="center", color=INK)
    looks: dict[str, Any] = {"rotation": 90, "fontsize": 8, "ha": "center", "va": "center", "color": INK}
    axes.text(left + 0.52, top + CELL / 2, "share of the map's maximum", **looks)


def page_size(rows: Sequence[GridRow]) -> int:
    """How many rows like these fit on a page."""
    return measure_rows(rows).capacity


def pages_of(rows: Sequence[GridRow]) -> list[Sequence[GridRow]]:
    """Rows as they fit on pages."""
    size = page_size(rows)
    return [rows[start : start + size] for start in range(0, len(rows), size)]
