"""A plot as pixels, painted by Pillow in less time than it takes to import matplotlib.

Straight lines and boxes lie on whole pixels and are sharp. Curves, dots and areas are painted several times as large
and reduced, which makes their edges smooth; that is done in bands, so that the largest picture needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Part, Point, Segment, Stroke, Words
from classlens.figures.text import font

DOTS_PER_INCH = 100
SCALE = DOTS_PER_INCH / 72
"""Pixels per point."""

FINE = 4
"""How many times as large curves are painted before they are reduced."""

MOST_FINE = 1 << 24
"""Pixels of a band at that size."""

BEST: Mapping[str, Mapping[str, Any]] = {
    "jpeg": {"quality": 92, "subsampling": 0},
    "png": {"compress_level": 3},
    "tiff": {"compression": "tiff_lzw"},
    "webp": {"lossless": True},
}
"""Settings of the formats by which thin lines stay clean; PNG is as small at half the time."""

DASH, GAP = 6.0, 4.0
"""Lengths along a dashed curve, in points."""

SHARP = 0.94
"""Corners whose directions have a smaller cosine than this (some 20 degrees) are rounded off."""

Path: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
"""Points as rows of (x, y)."""

Pen: TypeAlias = Callable[[ImageDraw.ImageDraw, Path], None]
"""Draws a path that is already in the pixels of its band."""


def paint(parts: Sequence[Part], size: Point) -> Pillow.Image:
    """A plot of `size` (width, height) in points as a picture of 100 pixels per inch."""
    picture = Pillow.new("RGB", (round(size[0] * SCALE), round(size[1] * SCALE)), "#ffffff")
    draw = ImageDraw.Draw(picture)
    for part in parts:
        match part:
            case Words():
                write_words(picture, draw, part)
            case Segment((x, y), (x2, y2), colour, thickness, dotted):
                left, top, right, bottom = (int(edge * SCALE) for edge in (x, y, x2, y2))
                pieces = [(at, min(at + 1, bottom)) for at in range(top, bottom, 6)] if dotted else [(top, bottom)]
                for first, last in pieces:
                    draw.line((left, first, right, last), colour, max(1, round(0.75 * thickness * SCALE)))
            case Box((x, y), (width, height), fill, outline):
                left, top, right, bottom = (int(edge * SCALE) for edge in (x, y, x + width, y + height))
                draw.rectangle((left, top, max(left, right), max(top, bottom)), fill, outline)
            case Dot((x, y), radius, colour):
                around = np.array([[x - radius, y - radius], [x + radius, y + radius]])
                paint_smooth(picture, around, colour, 0, lambda draw, path: draw.ellipse(path.ravel().tolist(), 255))
            case Stroke(xs, ys, colour, width, dashed):
                pen = partial(draw_dashed if dashed else draw_solid, width=width)
                for path in unbroken(xs, ys):
                    paint_smooth(picture, path, colour, width, pen)
            case Area(xs, upper, lower, colour):
                known = np.isfinite(upper) & np.isfinite(lower)
                there, back = np.stack([xs, upper], 1)[known], np.stack([xs, lower], 1)[known][::-1]
                around = np.concatenate([there, back])
                paint_smooth(picture, around, colour, 0, lambda draw, path: draw.polygon(path.ravel().tolist(), 255))
    return picture


def encode_picture(picture: Pillow.Image, ending: str) -> bytes:
    """The picture in the format of an ending such as ".png"."""
    kind, content = {".jpg": "jpeg", ".tif": "tiff"}.get(ending, ending[1:]), BytesIO()
    picture.save(content, kind, dpi=(DOTS_PER_INCH, DOTS_PER_INCH), **BEST.get(kind, {}))
    return content.getvalue()


def write_words(picture: Pillow.Image, draw: ImageDraw.ImageDraw, words: Words) -> None:
    """One line of text; turned text is drawn apart and put down on its side."""
    face = font(round(words.size * SCALE, 1), bold=words.bold)
    x, y = int(words.at[0] * SCALE), int(words.at[1] * SCALE)
    place = {"start": "ls", "middle": "ms", "end": "rs"}[words.anchor]
    if not words.turned:
        draw.text((x, y), words.text, fill=words.colour, font=face, anchor=place)
        return
    left, top, right, bottom = (round(edge) for edge in face.getbbox(words.text, anchor=place))
    mask = Pillow.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), words.text, fill=255, font=face, anchor=place)
    picture.paste(words.colour, (x + top, y - right), mask.transpose(Pillow.Transpose.ROTATE_90))


def paint_smooth(picture: Pillow.Image, path: Path, colour: str, width: float, pen: Pen) -> None:
    """Put down, with smooth edges, what `pen` makes of a path (in points) that is `width` wide."""
    if len(path) < 2:
        return
    left, top = np.floor((path.min(0) - width) * SCALE).astype(int).clip(0).tolist()
    right, bottom = np.ceil((path.max(0) + width) * SCALE + 1).astype(int).tolist()
    right, bottom = min(right, picture.width), min(bottom, picture.height)
    band = max(1, MOST_FINE // (FINE**2 * max(right - left, 1)))
    for first in range(top, bottom, band):
        height = min(band, bottom - first)
        mask = Pillow.new("L", ((right - left) * FINE, height * FINE))
        pen(ImageDraw.Draw(mask), ((path * SCALE - (left, first)) * FINE).round())
        picture.paste(colour, (left, first), mask.reduce(FINE))


def unbroken(xs: Numbers, ys: Numbers) -> Iterator[Path]:
    """The stretches of a curve that have values."""
    edges = np.flatnonzero(np.diff(np.isfinite(ys), prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        yield np.stack([xs[first:last], ys[first:last]], 1)


def draw_solid(draw: ImageDraw.ImageDraw, path: Path, width: float) -> None:
    """A whole curve, rounded off at the points at which it turns sharply; `width` is in points."""
    thickness = max(1, round(width * SCALE * FINE))
    draw.line(path.ravel().tolist(), fill=255, width=thickness)
    path = path[np.append(True, np.any(np.diff(path, axis=0) != 0, axis=1))]
    steps = np.diff(path, axis=0)
    steps /= np.hypot(*steps.T)[:, None]
    reach = thickness / 2 - 0.5
    for x, y in path[1:-1][(steps[1:] * steps[:-1]).sum(1) < SHARP].tolist():
        draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)


def draw_dashed(draw: ImageDraw.ImageDraw, path: Path, width: float) -> None:
    """A dashed curve; `width` is in points."""
    thickness, unit = max(1, round(width * SCALE * FINE)), FINE * SCALE
    along = np.append(0.0, np.hypot(*np.diff(path, axis=0).T).cumsum())
    for start in np.arange(0.0, along[-1], (DASH + GAP) * unit):
        stop = min(start + DASH * unit, along[-1])
        places = np.concatenate([[start], along[(along > start) & (along < stop)], [stop]])
        dash = np.stack([np.interp(places, along, path[:, 0]), np.interp(places, along, path[:, 1])], 1)
        draw.line(dash.ravel().tolist(), fill=255, width=thickness)
