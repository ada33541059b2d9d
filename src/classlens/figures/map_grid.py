r"""Maps of several pictures, methods or checkpoints in a grid: rows with the names of their files, on pages.

A row is one picture and one class: the picture alone, then a map for every column. Rows stand below each other and in
as many blocks side by side as make the sheet about square, so that a hundred pictures are no endless strip. Whatever
is longer than its place is cut in its middle, and letters that no font has are spelled out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isqrt
from pathlib import PurePath

import numpy as np

from classlens.figures.painting import Sheet
from classlens.figures.plot_layout import Box, Part, Point, Raster, Words, scale_part
from classlens.figures.text import clean, printable, shorten_middle
from classlens.image import Image

GAP, MARGIN, BLOCK_GAP = 6.0, 11.0, 22.0
LINE, HEADING, BAR, BELOW = 14.0, 29.0, 54.0, 9.0
"""Sizes in points: what lies between cells, around the sheet and between blocks; a line of text, the headings of columns,
the place of the colour bar, and what lies below a row."""

WIDEST, WIDEST_ROWS = 6, 8
"""Cells in a line: a single row of more pictures than this is broken into several, and so is every row of a grid."""


@dataclass(frozen=True)
class Paper:
    """How high a picture is, and how large a page may be, in points: what does not fit goes onto the next one.

    A line of at most so many pictures `across` is made to fit by smaller ones; else by fewer. `scale` enlarges it all.
    """

    cell: float
    width: float
    height: float
    across: int = 0
    scale: float = 1.0


SCREEN, PRINTED = Paper(158, 1440, 1440, scale=1.1), Paper(104, 590, 785, across=5)
"""A printed page fits on A4 and on letter."""

ASPECTS = (0.6, 2.0)
"""Width of a column, as a share of its height, at least and at most: wider pictures are drawn smaller."""

INK, DIM, RED = "#1b1f24", "#63686e", "#b3261e"


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
    """The cells of a line, and in points how wide and high a cell is, a block and a row, and all headings.

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


def lay_out_rows(rows: Sequence[GridRow], colours: np.ndarray, paper: Paper = SCREEN) -> Sheet:
    """All rows on one sheet, with the colour bar at its top right."""
    sizes = measure_rows(rows, paper)
    blocks = sizes.blocks_of(len(rows))
    high = -(-len(rows) // blocks)
    blocks = -(-len(rows) // high)
    width = MARGIN + blocks * sizes.block - BLOCK_GAP + BAR + MARGIN
    height = MARGIN + sizes.heading + high * sizes.row + MARGIN
    parts: list[Part] = [Box((0, 0), (width, height), fill="#ffffff")]
    for number, row in enumerate(rows):
        left = MARGIN + number // high * sizes.block
        top = MARGIN + sizes.heading + number % high * sizes.row
        parts += row_parts(row, (left, top), sizes, paper)
        if number % high == 0 and sizes.heading:
            parts += heading_parts(row.cells, (left, MARGIN), sizes.cell[0], paper)
    parts += bar_parts(colours, (width - MARGIN - BAR + GAP, MARGIN + HEADING + 2 * LINE), sizes.cell[1])
    return [scale_part(part, paper.scale) for part in parts], (width * paper.scale, height * paper.scale)


def row_parts(row: GridRow, at: Point, sizes: Sizes, paper: Paper) -> Iterator[Part]:
    """The words of a row, and below them its cells, in lines if they are many."""
    left, top = at
    wide, high = sizes.cell
    room = sizes.length * (wide + GAP) - GAP
    for words, colour, size in ((row.name, DIM, 8.0), (row.label, RED if row.is_marked else INK, 9.0)):
        if words:
            yield fit(Words((left, top + LINE / 2), words, size, colour), room, paper)
            top += LINE
    for start in range(0, len(row.cells), sizes.length):
        line = row.cells[start : start + sizes.length]
        if not sizes.heading:
            yield from heading_parts(line, (left, top), wide, paper)
            top += HEADING
        for place, cell in enumerate(line):
            middle = left + place * (wide + GAP) + wide / 2
            rows, columns = cell.image.size
            scale = min(high / rows, wide / columns)
            across, down = columns * scale, rows * scale
            yield Raster((middle - across / 2, top + (high - down) / 2), (across, down), cell.image)
            if cell.note:
                colour = RED if cell.is_marked else INK
                yield fit(Words((middle, top + high + LINE / 2), cell.note, 8.0, colour, "middle"), wide, paper)
        top += high + BELOW + (LINE if any(cell.note for cell in row.cells) else 0)


def heading_parts(cells: Sequence[Cell], at: Point, width: float, paper: Paper) -> Iterator[Words]:
    """Two lines above every column: method and layer."""
    for place, cell in enumerate(cells):
        middle = at[0] + place * (width + GAP) + width / 2
        for words, size, below in zip(cell.column, (9.0, 7.0), (7.2, 19.4), strict=True):
            yield fit(Words((middle, at[1] + below), words, size, "#000000", "middle"), width, paper)


def fit(words: Words, room: float, paper: Paper) -> Words:
    """Words whose place is the middle of their line, at their base line, and cut where they are longer than `room`.

    Letters that no font has are spelled out on a screen, before that is measured; on paper they are text.
    """
    x, y = words.at
    text = clean(words.text) if paper is SCREEN else printable(words.text)
    return words._replace(at=(x, y + 0.36 * words.size), text=shorten_middle(text, words.size, room))


def bar_parts(colours: np.ndarray, at: Point, high: float) -> Iterator[Part]:
    """The colour bar, with shares beside it."""
    left, top = at
    yield Raster(at, (10.0, high), Image(np.ascontiguousarray(colours[::-1, None])))
    for share in (0, 0.25, 0.5, 0.75, 1):
        yield Words((left + 13, top + high * (1 - share) + 2.5), f"{share:g}", 7.0, INK)
    yield Words((left + 40, top + high / 2), "share of the map's maximum", 8.0, INK, "middle", turned=True)


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
