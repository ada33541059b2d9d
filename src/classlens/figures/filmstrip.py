"""A traced sample as one picture: alone, beside its original, or after every stage with its random parameters.

Everything is composed with numpy and OpenCV; no figure library is involved. Tiles keep the picture's own pixels:
large ones are shrunk and tiny ones are enlarged without smoothing, and the caption says the true size. On paper
pictures are finer, words are text, and rows that do not fit go onto the next page.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from classlens.dataset.batch import Batch
from classlens.dataset.trace import Snapshot, Trace
from classlens.errors import WrongValue, count_of
from classlens.figures.drawing import Drawing
from classlens.figures.painting import Encoders, Sheet, vectors
from classlens.figures.plot_layout import Box, Part, Raster, Words
from classlens.figures.text import PAPER, Colour, Pixels, line_height, shorten_end, width_of, wrap_lines, write
from classlens.image import Image

Mode = Literal["original", "transformed", "concat", "pipeline"]

LARGEST = 288  # longest side of a tile in a strip, unless a rescale factor says otherwise
SMALLEST = 132  # narrowest tile: a caption needs room
NAMED = 260  # a tile is widened by the name of its stage so far
NARROWEST = 216  # narrowest sheet: a heading needs room
WIDEST = 1600  # a strip wider than this continues in the next row

TIMES, DOT = "\N{MULTIPLICATION SIGN}", "  ·  "
INK: Colour = (32, 33, 36)
FAINT: Colour = (110, 113, 118)
WARNING: Colour = (176, 48, 32)
MARGIN, EDGE, FOOT, GAP = 8, 2, 12, 10
TITLE, CAPTION = 14, 11
TITLE_HEIGHT, CAPTION_HEIGHT = line_height(TITLE), line_height(CAPTION)
LINES = 7  # at most so many lines of random parameters under a tile

PAPER_SIZE, SCALE = (900, 1200), 0.6
"""Pixels of a printed page, which fits on A4 and on letter, and the points of each."""

DOTS_PER_INCH = 300  # of pictures on paper, at most


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with the lines under it, of which the first is bold, and the width of both; `fine` is it on paper."""

    pixels: Pixels
    width: int
    lines: tuple[tuple[str, Colour], ...] = ()
    fine: Image | None = None


def draw_trace(result: Trace, *, mode: Mode = "pipeline", rescale: float | None = None) -> Drawing:
    """Draw one trace.

    `original` and `transformed` show one picture at its own size times `rescale`; `concat` both, `pipeline` every
    snapshot, as tiles, which are made to fit unless `rescale` is given.

    Raises:
        ValueError: there is no such mode, or `rescale` is not above 0.
    """
    if rescale is not None and rescale <= 0:
        raise WrongValue(f"rescale must be above 0, not {rescale}")
    height, width = result.snapshots[0].size
    title = f"{name_of(result.class_names, result.path)}{DOT}#{result.index}{DOT}{width} {TIMES} {height}"
    on_paper = (*([Path(result.path).name] if result.path else []), *result.remarks)
    if mode in ("original", "transformed"):
        snapshot = result.original if mode == "original" else result.transformed
        pixels = resize(snapshot.image, rescale or 1.0, snapshot.size)
        alone = (Tile(pixels, int(pixels.shape[1]), fine=snapshot.image),)
        draw = partial(draw_under_title, pixels, title, result.remarks)
        return Drawing(lambda: Image(draw()), print_tiles(alone, title, on_paper))
    if mode == "concat":
        ends = (("original", result.original), ("transformed", result.transformed))
        shown = [replace(snapshot, stage=name, params={}, note="") for name, snapshot in ends]
    elif mode == "pipeline":
        shown = list(result.snapshots)
    else:
        raise WrongValue(f"the mode is original, transformed, concat or pipeline, not {mode!r}")
    tiles = [make_tile(snapshot, rescale) for snapshot in shown]
    return Drawing(lambda: Image(draw_tiles(tiles, title, result.remarks)), print_tiles(tiles, title, on_paper))


def name_of(class_names: Sequence[str], path: str | None) -> str:
    """What a sample is called: its classes, or without any its file."""
    return ", ".join(class_names) or (Path(path).name if path else "no label")


def make_tile(snapshot: Snapshot, rescale: float | None) -> Tile:
    """A snapshot over its stage, its size, and its random parameters, or why its stage left it alone."""
    height, width = snapshot.size
    pixels = resize(snapshot.image, rescale or tile_factor(max(snapshot.size)), snapshot.size)
    named = min(width_of(snapshot.stage, CAPTION, bold=True), NAMED)
    room = max(int(pixels.shape[1]), SMALLEST, named)
    size = f"{width} {TIMES} {height}"
    if not snapshot.changed:
        size = shorten_end(f"{size}  no change", CAPTION, room)
    notes = describe_params(snapshot.params) or list(filter(None, [snapshot.note]))
    params = [line for note in notes for line in wrap_lines(note, CAPTION, room)]
    if len(params) > LINES:
        params = [*params[: LINES - 1], "…"]
    name = shorten_end(snapshot.stage, CAPTION, room, bold=True)
    return Tile(pixels, room, ((name, INK), (size, FAINT), *((line, INK) for line in params)), snapshot.image)


def describe_params(params: Mapping[str, object]) -> list[str]:
    """Random parameters, one line of text for each."""
    lines = []
    for name, value in params.items():
        if name == "at":
            continue
        label = name.split(" ", 1)[1] if name[:1].isdigit() and " " in name else name
        if isinstance(value, Mapping):
            lines.append(f"{label}: {'; '.join(describe_params(value)) or 'applied'}")
        elif isinstance(value, np.ndarray):
            lines.append(f"{label}: noise" if value.size and np.ptp(value) else f"{label}: one colour")
        elif value is True or value == "":
            lines.append(label)
        else:
            lines.append(f"{label} {format_value(value)}")
    return lines


def format_value(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple) and len(value) == 4 and all(isinstance(part, int) for part in value):
        x, y, width, height = value
        return f"{width}{TIMES}{height} at {x},{y}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(format_value, value))
    return str(value)


def tile_factor(longest: int, largest: int = LARGEST) -> float:
    """How much a tile with a `longest` side is enlarged or shrunk: whole factors up, any factor down."""
    return largest / longest if longest > largest else max(1, SMALLEST // longest)


def resize(image: Image, factor: float, size: tuple[int, int] | None = None) -> Pixels:
    """A picture at `factor` times its true `size`, of which it may be a smaller copy; only shrinking smooths it."""
    factor, pixels = factor * max(size or image.size) / max(image.size), image.pixels
    if factor == 1:
        return pixels
    height, width = image.size
    wanted = max(1, round(width * factor)), max(1, round(height * factor))
    way = cv2.INTER_NEAREST if factor > 1 else cv2.INTER_LINEAR if factor >= 0.5 else cv2.INTER_AREA
    if factor < 0.25:  # averaging every pixel of a large picture would take longer than all the rest
        pixels = np.asarray(
            cv2.resize(pixels, (wanted[0] * 2, wanted[1] * 2), interpolation=cv2.INTER_LINEAR), np.uint8
        )
    return np.asarray(cv2.resize(pixels, wanted, interpolation=way), np.uint8)


def draw_tiles(tiles: Sequence[Tile], title: str, remarks: Sequence[str]) -> Pixels:
    """Tiles in rows on white, under a title and what is unusual about the file; pictures of a row stand on one line."""
    rows = rows_of(tiles, WIDEST)
    floors = [max(int(tile.pixels.shape[0]) for tile in row) for row in rows]
    captions = [max(len(tile.lines) for tile in row) * CAPTION_HEIGHT for row in rows]
    width = max(sum(tile.width + MARGIN for tile in row) + MARGIN for row in rows)
    canvas, top = start_canvas(sum(floors) + FOOT * len(rows) + sum(captions), width, title, remarks)
    for row, floor, caption in zip(rows, floors, captions, strict=True):
        left = MARGIN
        for tile in row:
            height, width = tile.pixels.shape[:2]
            canvas[top + floor - height : top + floor, left : left + width] = tile.pixels
            for number, (line, colour) in enumerate(tile.lines):
                place = (left, top + floor + 4 + number * CAPTION_HEIGHT)
                write(canvas, line, place, size=CAPTION, colour=colour, bold=number == 0)
            left += tile.width + MARGIN
        top += floor + FOOT + caption
    return canvas


def rows_of(tiles: Sequence[Tile], widest: int) -> list[list[Tile]]:
    rows: list[list[Tile]] = [[]]
    for tile in tiles:
        if rows[-1] and sum(one.width + MARGIN for one in [*rows[-1], tile]) + MARGIN > widest:
            rows.append([])
        rows[-1].append(tile)
    return rows


def print_tiles(tiles: Sequence[Tile], title: str, notes: Sequence[str]) -> Encoders:
    """What prints tiles in rows, under the title and notes: on one sheet, or in a PDF on pages."""
    rows = rows_of(tiles, PAPER_SIZE[0])

    def pages() -> list[Sheet]:
        pages: list[list[list[Tile]]] = [[]]
        for row in rows:
            if pages[-1] and lay_out_page([*pages[-1], row], title, notes)[1][1] > PAPER_SIZE[1] * SCALE:
                pages.append([])
            pages[-1].append(row)
        return [lay_out_page(page, title, notes) for page in pages]

    return vectors(lambda: lay_out_page(rows, title, notes), pages)


def lay_out_page(rows: Sequence[Sequence[Tile]], title: str, notes: Sequence[str]) -> Sheet:
    """The words and pictures of a page, and its size in points."""
    width = max(NARROWEST, *(min(sum(one.width + MARGIN for one in row) + MARGIN, PAPER_SIZE[0]) for row in rows))
    parts: list[Part] = []

    def say(text: str, left: float, top: float, size: float, colour: Colour, *, bold: bool = False) -> None:
        at, hexed = (left * SCALE, (top + size) * SCALE), "#{:02x}{:02x}{:02x}".format(*colour)
        parts.append(Words(at, text, size * SCALE, hexed, bold=bold))

    say(shorten_end(title, TITLE, width - 2 * MARGIN), MARGIN, MARGIN / 2, TITLE, INK)
    top = MARGIN / 2 + TITLE_HEIGHT
    for line in [line for note in notes for line in wrap_lines(note, CAPTION, width - 2 * MARGIN)]:
        say(line, MARGIN, top, CAPTION, FAINT)
        top += CAPTION_HEIGHT
    top += MARGIN
    for row in rows:
        sizes = [one.pixels.shape[:2] for one in row]
        fits = [min(1.0, (PAPER_SIZE[0] - 2 * MARGIN) / w, 0.8 * PAPER_SIZE[1] / h) for h, w in sizes]
        left, floor = MARGIN, max(h * fit for (h, _), fit in zip(sizes, fits, strict=True))
        for tile, (h, w), fit in zip(row, sizes, fits, strict=True):
            at, size = (left * SCALE, (top + floor - h * fit) * SCALE), (w * fit * SCALE, h * fit * SCALE)
            is_finer = tile.fine is not None and max(tile.fine.size) > max(h, w)
            source = tile.fine if tile.fine and is_finer else Image(tile.pixels)
            dots = max(size) / 72 * DOTS_PER_INCH
            parts.append(Raster(at, size, Image(resize(source, min(1.0, dots / max(source.size))))))
            for number, (line, colour) in enumerate(tile.lines):
                say(line, left, top + floor + 4 + number * CAPTION_HEIGHT, CAPTION, colour, bold=number == 0)
            left += tile.width + MARGIN
        top += floor + FOOT + max(len(tile.lines) for tile in row) * CAPTION_HEIGHT
    size = width * SCALE, top * SCALE
    return [Box((0, 0), size, fill="#ffffff"), *parts], size


def draw_under_title(pixels: Pixels, title: str, remarks: Sequence[str]) -> Pixels:
    """One picture under its title, to the edges: whole datasets are drawn in this way, and every pixel costs time."""
    height, width = pixels.shape[:2]
    canvas, top = start_canvas(height, width, title, remarks, left=EDGE)
    canvas[top:, :width] = pixels
    return canvas


def start_canvas(
    height: int, width: int, title: str, remarks: Sequence[str], *, left: int = MARGIN
) -> tuple[Pixels, int]:
    """White paper with a title and remarks above room for `height` x `width` pixels, and where that room begins."""
    width = max(NARROWEST, width)
    room = width - 2 * left
    name, dot, facts = title.partition(DOT)
    left_for_name = room - width_of(dot + facts, TITLE)
    is_roomy = left_for_name > room // 4  # then number and size stay whole, and the class before them is cut
    title = shorten_end(name, TITLE, left_for_name) + dot + facts if is_roomy else shorten_end(title, TITLE, room)
    notes = [line for remark in remarks for line in wrap_lines(remark, CAPTION, width - 2 * MARGIN)]
    y = MARGIN // 2 + TITLE_HEIGHT
    top = y + len(notes) * CAPTION_HEIGHT + MARGIN
    canvas = np.full((top + height, width, 3), PAPER[0], np.uint8)
    write(canvas, title, (left, MARGIN // 2), size=TITLE, colour=INK)
    for number, note in enumerate(notes):
        write(canvas, note, (left, y + number * CAPTION_HEIGHT), size=CAPTION, colour=WARNING)
    return canvas, top


def bad_tile(reason: str, title: str, *, rescue: Image | None = None) -> Image:
    return Image(draw_under_title(bad_picture(rescue, LARGEST).pixels, title, [reason]))


def bad_picture(rescue: Image | None, longest: int) -> Image:
    """A crossed-out picture, or a framed one of what is left, `longest` pixels long."""
    if rescue is None:
        pixels = np.full((longest // 2, longest, 3), 238, np.uint8)
        cv2.line(pixels, (0, 0), (longest, longest // 2), WARNING, 2, cv2.LINE_AA)
        cv2.line(pixels, (0, longest // 2), (longest, 0), WARNING, 2, cv2.LINE_AA)
    else:
        pixels = resize(rescue, longest / max(rescue.size)).copy()
        pixels[:4] = pixels[-4:] = WARNING
        pixels[:, :4] = pixels[:, -4:] = WARNING
    return Image(pixels)


def draw_batch(result: Batch, *, rescale: float | None = None, left_out: Sequence[Image] = ()) -> Drawing:
    """Draw a batch in rows of tiles, under the mixing and its random parameters; marked tiles come last."""
    tiles = []
    pairs = zip(result.indices, result.partners, strict=True)
    for image, shares, pair in zip(result.images, result.shares, pairs, strict=True):
        pixels = resize(image, rescale or tile_factor(max(image.size)))
        label = " + ".join(name if share == 1 else f"{share:.2f} {name}" for name, share in shares.items())
        room = max(int(pixels.shape[1]), SMALLEST)
        numbers = " + ".join(f"#{index}" for index in dict.fromkeys(pair))
        lines = [(line, INK) for line in wrap_lines(label or "no label", CAPTION, room)]
        tiles.append(Tile(pixels, room, (*lines, (numbers, FAINT)), image))
    tiles += [Tile(image.pixels, max(image.size[1], SMALLEST)) for image in left_out]
    params = describe_params({key: value for key, value in result.params.items() if key != "partners"})
    title = DOT.join([result.mixing, *params, f"{count_of(len(result.images), 'sample')} of {result.dataset}"])
    return Drawing(lambda: Image(draw_tiles(tiles, title, ())), print_tiles(tiles, title, ()))


def draw_contact_sheet(pictures: Sequence[Image], columns: int) -> Image:
    """Pictures in rows of `columns`, each column as wide as its widest."""
    rows = [pictures[start : start + columns] for start in range(0, len(pictures), columns)]
    widths = [max(one.size[1] for one in pictures[place::columns]) for place in range(len(rows[0]))]
    heights = [max(one.size[0] for one in row) for row in rows]
    canvas = np.full((sum(heights) + GAP * (len(heights) + 1), sum(widths) + GAP * (len(widths) + 1), 3), 255, np.uint8)
    top = GAP
    for row, height in zip(rows, heights, strict=True):
        left = GAP
        for one, width in zip(row, widths, strict=False):
            canvas[top : top + one.size[0], left : left + one.size[1]] = one.pixels
            left += width + GAP
        top += height + GAP
    return Image(canvas)
