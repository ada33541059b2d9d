r"""Maps of several pictures, methods or checkpoints in a grid: rows with the names of their files, on pages.

A row is one picture and one class: the picture alone, then a map for every column. Rows stand below each other and in
as many blocks side by side as make the sheet about square, so that a hundred pictures are no endless strip. Whatever
is longer than its place is cut in its middle, and letters that no font has are spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.figures.text import clean, families_for, printable, shorten_middle
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

PAPER, ACROSS = (8.2, 10.9), 5
"""Inches of a printed page, which fits on A4 and on letter, and the cells in a line of it, which are as small as need be."""

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
    """The cells of a line; in inches how wide and high a cell is, how wide a block, how high a row and all headings.

    So many blocks of rows stand side by side `at_most`, and a page holds `capacity` rows.
    """

    length: int
    cell: float
    tall: float
    block: float
    row: float
    heading: float
    at_most: int
    capacity: int

    def blocks_of(self, rows: int) -> int:
        """How many blocks of rows side by side make the longer side of a sheet shortest."""
        several = range(1, min(rows, self.at_most) + 1)
        return min(several, key=lambda blocks: max(blocks * self.block, -(-rows // blocks) * self.row))


def measure_rows(rows: Sequence[GridRow], *, on_paper: bool = False) -> Sizes:
    """The sizes for rows like these, on the screen or on paper."""
    cells = [cell for row in rows for cell in row.cells]
    widest, longest = (
        max(cell.image.size[1] / cell.image.size[0] for cell in cells),
        max(len(row.cells) for row in rows),
    )
    lines = -(-longest // (ACROSS if on_paper else WIDEST if len(rows) == 1 else WIDEST_ROWS))
    length = -(-longest // lines)
    aspect = min(max(widest, ASPECTS[0]), ASPECTS[1])
    across, down = (PAPER[0] - BAR - 2 * MARGIN, PAPER[1] - 2 * MARGIN) if on_paper else (LARGEST, LARGEST)
    tall = min(CELL, (across / length - GAP) / aspect) if on_paper else CELL
    notes = LINE if any(cell.note for cell in cells) else 0.0
    words = LINE * (any(row.name for row in rows) + any(row.label for row in rows))
    high = words + lines * (tall + notes + 0.12) + (lines * HEADING if lines > 1 else 0)
    block = length * (tall * aspect + GAP) + BLOCK_GAP
    heading = 0.0 if lines > 1 else HEADING
    beside = max(1, int((across + BLOCK_GAP * on_paper) // block))
    capacity = beside * max(1, int((down - heading) // high))
    return Sizes(length, tall * aspect, tall, block, high, heading, beside if on_paper else len(rows), capacity)


def draw_sheet(rows: Sequence[GridRow], colours: np.ndarray, *, on_paper: bool = False) -> Figure:
    """All rows on one sheet, with the colour bar at its top right."""
    from matplotlib.figure import Figure

    rows = rows if on_paper else [spell_out(row) for row in rows]
    sizes = measure_rows(rows, on_paper=on_paper)
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
    draw_bar(
        axes, colours, (width - MARGIN - BAR + GAP, MARGIN + sizes.heading + sizes.row - sizes.tall - 0.12), sizes.tall
    )
    axes.set(xlim=(0, width), ylim=(height, 0))
    return figure


def spell_out(row: GridRow) -> GridRow:
    """A row whose letters can all be drawn as pixels; on paper they are text, whether or not a font has them."""
    cells = [
        replace(one, column=(clean(one.column[0]), clean(one.column[1])), note=clean(one.note)) for one in row.cells
    ]
    return replace(row, name=clean(row.name), label=clean(row.label), cells=tuple(cells))


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
            scale = min(sizes.tall / high, sizes.cell / wide)
            x, y = wide * scale / 2, top + (sizes.tall - high * scale) / 2
            extent = (middle - x, middle + x, y + high * scale, y)
            axes.imshow(cell.image.pixels, extent=extent, aspect="auto", interpolation="antialiased")
            if cell.note:
                looks: dict[str, Any] = {"color": RED if cell.is_marked else INK, "fontsize": 8, "ha": "center"}
                below = (middle, top + sizes.tall + LINE / 2)
                put(axes, cell.note, below, sizes.cell * POINTS, va="center", family=fonts, **looks)
        top += sizes.tall + 0.12 + (LINE if any(cell.note for cell in row.cells) else 0)


def draw_headings(axes: Axes, cells: Sequence[Cell], at: tuple[float, float], width: float) -> None:
    """Two lines above every column: method and layer."""
    for place, cell in enumerate(cells):
        middle = at[0] + place * (width + GAP) + width / 2
        for words, size, below in zip(cell.column, (9, 7), (0.1, 0.27), strict=True):
            put(axes, words, (middle, at[1] + below), width * POINTS, fontsize=size, ha="center", va="center")


def put(axes: Axes, words: str, at: tuple[float, float], room: float, **looks: Any) -> None:  # noqa: ANN401 - matplotlib's
    """Write words into `room` points; names are text, never formulas."""
    fitting = shorten_middle(printable(words), looks["fontsize"], room)
    axes.text(*at, fitting, parse_math=False, **looks)


def draw_bar(axes: Axes, colours: np.ndarray, at: tuple[float, float], tall: float) -> None:
    left, top = at
    axes.imshow(colours[::-1, None], extent=(left, left + 0.14, top + tall, top), aspect="auto")
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = (left + 0.18, top + tall * (1 - share))
        axes.text(*place, f"{share:g}", fontsize=7, va="center", color=INK)
    looks: dict[str, Any] = {"rotation": 90, "fontsize": 8, "ha": "center", "va": "center", "color": INK}
    axes.text(left + 0.52, top + tall / 2, "share of the map's maximum" if tall > 1.7 else "share of maximum", **looks)


def page_size(rows: Sequence[GridRow]) -> int:
    """How many rows like these fit on a page."""
    return measure_rows(rows).capacity


def pages_of(rows: Sequence[GridRow]) -> list[Sequence[GridRow]]:
    """Rows as they fit on pages of paper."""
    size = measure_rows(rows, on_paper=True).capacity
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def short_names(paths: Sequence[str], *, with_endings: bool = True) -> list[str]:
    """As much of the end of every path as tells it from the others, with or without the ending of files."""
    places = [PurePath(path) if with_endings else PurePath(path).with_suffix("") for path in paths]
    parts = [place.parts or ("",) for place in places]
    for length in range(1, max(map(len, parts)) + 1):
        names = ["/".join(one[-length:]) for one in parts]
        if len(set(names)) == len(paths):
            return names
    return list(paths)
