"""A traced sample as one picture: alone, beside its original, or after every stage with what was drawn.

Everything is composed with numpy and OpenCV; no figure library is involved. Tiles keep the picture's own pixels:
large ones are shrunk and tiny ones are enlarged without smoothing, and the caption tells the true size.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np

from classlens.dataset.batch import Batch
from classlens.dataset.trace import Snapshot, Trace
from classlens.figures.text import PAPER, Canvas, Colour, line_height, shortened, width_of, wrapped, write
from classlens.image import Image

Mode = Literal["original", "transformed", "concat", "pipeline"]
Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]

LARGEST = 288
"""Longest side of a tile in a strip, unless a rescale factor says otherwise."""

SMALLEST = 132
"""Narrowest tile: a caption needs room."""

NARROWEST = 216
"""Narrowest sheet: a heading needs room."""

WIDEST = 1600
"""A strip wider than this continues in the next row."""

TIMES, DOT = "\N{MULTIPLICATION SIGN}", "  ·  "
INK: Colour = (32, 33, 36)
FAINT: Colour = (110, 113, 118)
WARNING: Colour = (176, 48, 32)
MARGIN, EDGE, FOOT = 8, 2, 12
TITLE, CAPTION = 14, 11
LINES = 7
"""At most so many lines of drawn values under a tile."""


@dataclass(frozen=True, eq=False)
class Tile:
    """A picture with the lines under it; the first is bold."""

    pixels: Pixels
    lines: tuple[tuple[str, Colour], ...]

    @property
    def width(self) -> int:
        return max(int(self.pixels.shape[1]), SMALLEST)


def draw_trace(result: Trace, *, mode: Mode = "pipeline", rescale: float | None = None) -> Image:
    """Draw one trace.

    `original` and `transformed` show one picture at its own size times `rescale`; `concat` both, `pipeline` every
    snapshot, as tiles, which are made to fit unless `rescale` is given.

    Raises:
        ValueError: there is no such mode, or `rescale` is not above 0.
    """
    if rescale is not None and rescale <= 0:
        raise ValueError(f"rescale must be above 0, not {rescale}")
    if mode in ("original", "transformed"):
        snapshot = result.original if mode == "original" else result.transformed
        return Image(titled(rescaled(snapshot, rescale or 1.0), heading(result), result.remarks))
    if mode == "concat":
        ends = (("original", result.original), ("transformed", result.transformed))
        tiles = [tile(replace(end, params={}, note=""), rescale, name) for name, end in ends]
    elif mode == "pipeline":
        tiles = [tile(snapshot, rescale, snapshot.stage) for snapshot in result.snapshots]
    else:
        raise ValueError(f"the mode is original, transformed, concat or pipeline, not {mode!r}")
    return Image(sheet(tiles, heading(result), result.remarks))


def heading(result: Trace) -> str:
    """What the sample is."""
    names = ", ".join(result.class_names) or "no label"
    height, width = result.snapshots[0].size
    return f"{names}{DOT}#{result.index}{DOT}{width} {TIMES} {height}"


def tile(snapshot: Snapshot, rescale: float | None, name: str) -> Tile:
    """A snapshot with its caption."""
    height, width = snapshot.size
    pixels = rescaled(snapshot, rescale or tile_factor(width, height))
    room = max(pixels.shape[1], SMALLEST)
    lines = [(shortened(name, CAPTION, room, bold=True), INK)]
    size = f"{width} {TIMES} {height}"
    lines.append((size if snapshot.changed else shortened(f"{size}  no change", CAPTION, room), FAINT))
    told = [line for part in described(snapshot.params) for line in wrapped(part, CAPTION, room)]
    if snapshot.note and not told:
        told = list(wrapped(snapshot.note, CAPTION, room))
    if len(told) > LINES:
        told = [*told[: LINES - 1], "…"]
    return Tile(pixels, (*lines, *((line, INK) for line in told)))


def described(params: Mapping[str, object]) -> list[str]:
    """What was drawn, one line of text for each value."""
    lines = []
    for name, value in params.items():
        if name == "at":
            continue
        label = name.split(" ", 1)[1] if name[:1].isdigit() and " " in name else name
        if isinstance(value, Mapping):
            lines.append(f"{label}: {'; '.join(described(value)) or 'applied'}")
        elif isinstance(value, np.ndarray):
            lines.append(f"{label}: noise" if value.size and np.ptp(value) else f"{label}: one colour")
        elif value is True or value == "":
            lines.append(label)
        else:
            lines.append(f"{label} {shown(value)}")
    return lines


def shown(value: object) -> str:
    """A drawn value in few letters."""
    if isinstance(value, float):
        return f"{value:.3g}"
    if isinstance(value, tuple) and len(value) == 4 and all(isinstance(part, int) for part in value):
        x, y, width, height = value
        return f"{width}{TIMES}{height} at {x},{y}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(shown(part) for part in value)
    return str(value)


def tile_factor(width: int, height: int, largest: int = LARGEST) -> float:
    """How much a tile is enlarged or shrunk: whole factors up, any factor down."""
    longest = max(width, height)
    if longest > largest:
        return largest / longest
    return max(1, math.floor(SMALLEST / longest))


def rescaled(snapshot: Snapshot, factor: float) -> Pixels:
    return resized(snapshot.image.pixels, factor * max(snapshot.size) / max(snapshot.image.size))


def resized(pixels: Pixels, factor: float) -> Pixels:
    """The picture at another size: sharp pixels when enlarged, averaged ones when shrunk."""
    if factor == 1:
        return pixels
    height, width = pixels.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    if factor > 1:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_NEAREST), np.uint8)
    if factor >= 0.5:
        return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LINEAR), np.uint8)
    if factor < 0.25:
        halfway = max(size[0] * 2, 1), max(size[1] * 2, 1)
        pixels = np.asarray(cv2.resize(pixels, halfway, interpolation=cv2.INTER_LINEAR), np.uint8)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_AREA), np.uint8)


def sheet(tiles: Sequence[Tile], title: str, remarks: Sequence[str]) -> Canvas:
    """Tiles in rows on white, under a title and what is unusual about the file."""
    rows = in_rows(tiles)
    width = max(NARROWEST, *(sum(one.width + MARGIN for one in row) + MARGIN for row in rows))
    notes = notes_of(remarks, width)
    top = height_of_head(notes)
    canvas = np.full((top + sum(height_of(row) for row in rows), width, 3), PAPER[0], np.uint8)
    write_head(canvas, title, notes)
    for row in rows:
        paste_row(canvas, row, top)
        top += height_of(row)
    return canvas


def titled(pixels: Pixels, title: str, remarks: Sequence[str]) -> Canvas:
    """One picture under its title, to the edges: whole datasets are drawn in this way, and every pixel costs time."""
    height, width = pixels.shape[:2]
    notes = notes_of(remarks, max(NARROWEST, width))
    top = height_of_head(notes)
    canvas = np.full((top + height, max(NARROWEST, width), 3), PAPER[0], np.uint8)
    canvas[top:, :width] = pixels
    write_head(canvas, title, notes, left=EDGE)
    return canvas


def notes_of(remarks: Sequence[str], width: int) -> list[str]:
    return [line for remark in remarks for line in wrapped(remark, CAPTION, width - 2 * MARGIN)]


def height_of_head(notes: Sequence[str]) -> int:
    return MARGIN + line_height(TITLE) + len(notes) * line_height(CAPTION) + MARGIN // 2


def write_head(canvas: Canvas, title: str, notes: Sequence[str], *, left: int = MARGIN) -> None:
    """The title, and the notes below it."""
    room = canvas.shape[1] - 2 * left
    write(canvas, fitted(title, room), (left, MARGIN // 2), size=TITLE, colour=INK)
    for number, note in enumerate(notes):
        place = (left, MARGIN // 2 + line_height(TITLE) + number * line_height(CAPTION))
        write(canvas, note, place, size=CAPTION, colour=WARNING)


def fitted(title: str, room: int) -> str:
    """The title, with its first part, which is the class, cut where it is too long; number and size stay."""
    name, dot, facts = title.partition(DOT)
    left = room - width_of(dot + facts, TITLE)
    return shortened(name, TITLE, left) + dot + facts if left > room // 4 else shortened(title, TITLE, room)


def height_of(row: Sequence[Tile]) -> int:
    """The tallest picture, the longest caption, and a margin."""
    lines = max(len(one.lines) for one in row)
    return max(int(one.pixels.shape[0]) for one in row) + FOOT + lines * line_height(CAPTION)


def in_rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    """As many tiles in a row as the widest sheet takes."""
    rows: list[list[Tile]] = [[]]
    used = MARGIN
    for one in tiles:
        if rows[-1] and used + one.width + MARGIN > WIDEST:
            rows.append([])
            used = MARGIN
        rows[-1].append(one)
        used += one.width + MARGIN
    return rows


def paste_row(canvas: Canvas, row: Sequence[Tile], top: int) -> None:
    """One row of tiles with their captions; pictures stand on one line."""
    left = MARGIN
    floor = max(one.pixels.shape[0] for one in row)
    for one in row:
        height, width = one.pixels.shape[:2]
        y = top + floor - height
        canvas[y : y + height, left : left + width] = one.pixels
        for number, (line, colour) in enumerate(one.lines):
            place = (left, top + floor + 4 + number * line_height(CAPTION))
            write(canvas, line, place, size=CAPTION, colour=colour, bold=number == 0)
        left += one.width + MARGIN


def bad_tile(reason: str, title: str, *, rescue: Image | None = None) -> Image:
    return Image(titled(bad_picture(rescue, LARGEST).pixels, title, [reason]))


def bad_picture(rescue: Image | None, longest: int) -> Image:
    """A crossed-out picture, or a framed one of what is left, `longest` pixels long."""
    if rescue is None:
        pixels = np.full((longest // 2, longest, 3), 238, np.uint8)
        cv2.line(pixels, (0, 0), (longest, longest // 2), WARNING, 2, cv2.LINE_AA)
        cv2.line(pixels, (0, longest // 2), (longest, 0), WARNING, 2, cv2.LINE_AA)
    else:
        pixels = resized(rescue.pixels, longest / max(rescue.size)).copy()
        pixels[:4] = pixels[-4:] = WARNING
        pixels[:, :4] = pixels[:, -4:] = WARNING
    return Image(pixels)


def draw_batch(result: Batch, *, rescale: float | None = None, left_out: Sequence[Image] = ()) -> Image:
    """Draw a batch in rows of tiles, under the name of the mixing and what it drew; marked tiles come last."""
    tiles = []
    pairs = zip(result.indices, result.partners, strict=True)
    for image, shares, pair in zip(result.images, result.shares, pairs, strict=True):
        height, width = image.size
        pixels = resized(image.pixels, rescale or tile_factor(width, height))
        told = " + ".join(name if share == 1 else f"{share:.2f} {name}" for name, share in shares.items())
        room = max(int(pixels.shape[1]), SMALLEST)
        numbers = " + ".join(f"#{index}" for index in dict.fromkeys(pair))
        lines = [(line, INK) for line in wrapped(told or "no label", CAPTION, room)]
        tiles.append(Tile(pixels, (*lines, (numbers, FAINT))))
    tiles += [Tile(image.pixels, ()) for image in left_out]
    params = {key: value for key, value in result.params.items() if key != "partners"}
    title = DOT.join([result.mixing, *described(params), f"{len(result.images)} samples of {result.dataset}"])
    return Image(sheet(tiles, title, ()))
