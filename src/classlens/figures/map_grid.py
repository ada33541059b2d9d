r"""Maps of several pictures, methods or checkpoints in a grid: rows with the names of their files, on pages.

A row is one picture and one class: the picture alone, then a map for every column. Rows stand below each other and in
as many blocks side by side as make the sheet about square, so that a hundred pictures are no endless strip. Whatever
is longer than its place is cut in its middle, and letters that no font has are spelled out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.figures.text import clean, families_for, printable, shorten_middle
from classlens.image import Image

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

GAP, MARGIN, BLOCK_GAP = 0.08, 0.15, 0.3
LINE, HEADING, BAR, BELOW = 0.19, 0.4, 0.75, 0.12
"""Sizes in inches: what lies between cells, around the sheet and between blocks; a line of text, the headings of columns,
the place of the colour bar, and what lies below a row."""

WIDEST, WIDEST_ROWS = 6, 8
"""Cells in a line: a single row of more pictures than this is broken into several, and so is every row of a grid."""


@dataclass(frozen=True)
class Paper:
    """How high a picture is, and how large a page may be, in inches: what does not fit goes onto the next one.

    A line of at most so many pictures `across` is made to fit by smaller ones; else by fewer.
    """

    cell: float
    width: float
    height: float
    across: int = 0


SCREEN, PRINTED = Paper(2.2, 20, 20), Paper(1.45, 8.2, 10.9, across=5)
"""A printed page fits on A4 and on letter."""

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
    """The cells of a line, and in inches how wide and high a cell is, a block and a row, and all headings.

    `most` are the blocks and the rows of each that fit on a page.
    """

    length: int
    cell: tuple[float, float]
    block: float
    row: float
    heading: float
    most: tuple[int, int]

    def blocks_of(self, rows: int) -> int:
        """How many blocks of rows side by side make the longer side of a sheet shortest."""
        most = self.most[0] if rows <= self.most[0] * self.most[1] else rows
        sides = {blocks: max(blocks * self.block, -(-rows // blocks) * self.row) for blocks in range(1, most + 1)}
        return min(sides, key=lambda blocks: sides[blocks])


def measure_rows(rows: Sequence[GridRow], paper: Paper) -> Sizes:
    """The sizes for rows like these."""
    cells = [cell for row in rows for cell in row.cells]
    widest = max(cell.image.size[1] / cell.image.size[0] for cell in cells)
    longest = max(len(row.cells) for row in rows)
    aspect, room = min(max(widest, ASPECTS[0]), ASPECTS[1]), paper.width - 2 * MARGIN - BAR - GAP
    across = min(WIDEST if len(rows) == 1 else WIDEST_ROWS, int((room + GAP) / (paper.cell * aspect + GAP)))
    if paper.across:
        across = max(paper.across, isqrt(longest) + 1)
    lines = -(-longest // across)
    length = -(-longest // lines)
    tall = min(paper.cell, ((room + GAP) / length - GAP) / aspect)
    notes = LINE if any(cell.note for cell in cells) else 0.0
    words = LINE * (any(row.name for row in rows) + any(row.label for row in rows))
    heading = HEADING if lines == 1 else 0.0
    row = words + lines * (HEADING - heading + tall + notes + BELOW)
    block = length * (tall * aspect + GAP) + BLOCK_GAP
    down = int((paper.height - 2 * MARGIN - heading) / row)
    most = max(1, int((room + BLOCK_GAP) / block)), max(1, down)
    return Sizes(length, (tall * aspect, tall), block, row, heading, most)


def draw_sheet(rows: Sequence[GridRow], colours: np.ndarray, paper: Paper = SCREEN) -> Figure:
    """All rows on one sheet, with the colour bar at its top right."""
    from matplotlib.figure import Figure

    rows = [spell_out(row) for row in rows] if paper is SCREEN else rows
    sizes = measure_rows(rows, paper)
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
            draw_headings(axes, row.cells, (left, MARGIN), sizes.cell[0])
    draw_bar(axes, colours, (width - MARGIN - BAR + GAP, MARGIN + HEADING + 2 * LINE), sizes.cell[1])
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
    wide, high = sizes.cell
    room = (sizes.length * (wide + GAP) - GAP) * POINTS
    for words, colour, size in ((row.name, DIM, 8), (row.label, RED if row.is_marked else INK, 9)):
        if words:
            put(axes, words, (left, top + LINE / 2), room, color=colour, fontsize=size, va="center", family=fonts)
            top += LINE
    for start in range(0, len(row.cells), sizes.length):
        line = row.cells[start : start + sizes.length]
        if not sizes.heading:
            draw_headings(axes, line, (left, top), wide)
            top += HEADING
        for place, cell in enumerate(line):
            middle = left + place * (wide + GAP) + wide / 2
            rows, columns = cell.image.size
            scale = min(high / rows, wide / columns)
            x, y = columns * scale / 2, top + (high - rows * scale) / 2
            extent = (middle - x, middle + x, y + rows * scale, y)
            axes.imshow(cell.image.pixels, extent=extent, aspect="auto", interpolation="antialiased")
            if cell.note:
                looks: dict[str, Any] = {"color": RED if cell.is_marked else INK, "fontsize": 8, "ha": "center"}
                below = (middle, top + high + LINE / 2)
                put(axes, cell.note, below, wide * POINTS, va="center", family=fonts, **looks)
        top += high + BELOW + (LINE if any(cell.note for cell in row.cells) else 0)


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


def draw_bar(axes: Axes, colours: np.ndarray, at: tuple[float, float], high: float) -> None:
    left, top = at
    axes.imshow(colours[::-1, None], extent=(left, left + 0.14, top + high, top), aspect="auto")
    for share in (0, 0.25, 0.5, 0.75, 1):
        place = (left + 0.18, top + high * (1 - share))
        axes.text(*place, f"{share:g}", fontsize=7, va="center", color=INK)
    looks: dict[str, Any] = {"rotation": 90, "fontsize": 8, "ha": "center", "va": "center", "color": INK}
    axes.text(left + 0.52, top + high / 2, "share of the map's maximum", **looks)


def page_size(rows: Sequence[GridRow], paper: Paper) -> int:
    """How many rows like these fit on a page."""
    across, down = measure_rows(rows, paper).most
    return across * down


def pages_of(rows: Sequence[GridRow], paper: Paper) -> list[Sequence[GridRow]]:
    """Rows as they fit on pages."""
    size = page_size(rows, paper)
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
