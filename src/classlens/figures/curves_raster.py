"""Curves as pixels, drawn by Pillow in less time than it takes to import matplotlib.

Straight lines and boxes lie on whole pixels and are sharp. Curves, dots and areas are drawn several times as large and
reduced, which makes their edges smooth; that is done in bands, so that the largest picture needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from classlens.figures.chart import chart_of
from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Point, Primitive, Segment, Stroke, Words, laid_out
from classlens.figures.style import DEFAULT
from classlens.figures.text import font
from classlens.schedule.replay import Curves

DOTS_PER_INCH = 100
FINE = 4
"""How many times as large curves are drawn before they are reduced."""

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


def picture_of(
    runs: Sequence[Curves],
    *,
    title: str = "",
    style: str = DEFAULT,
    size: tuple[float, float] = (12.0, 7.0),
    log: bool | None = None,
) -> Pillow.Image:
    """The plot of one or several runs as a picture; `size` is (width, height) in inches, `style` one of `STYLES`."""
    parts = laid_out(chart_of(runs, title=title, log=log), (size[0] * 72, size[1] * 72), style)
    paper = Pillow.new("RGB", (round(size[0] * DOTS_PER_INCH), round(size[1] * DOTS_PER_INCH)), "#ffffff")
    canvas = Canvas(paper, ImageDraw.Draw(paper), DOTS_PER_INCH / 72)
    for part in parts:
        canvas.put(part)
    return paper


def encoded_picture(picture: Pillow.Image, suffix: str) -> bytes:
    """The picture in the format of an ending such as ".png"."""
    kind, content = {".jpg": "jpeg", ".tif": "tiff"}.get(suffix, suffix[1:]), BytesIO()
    picture.save(content, kind, dpi=(DOTS_PER_INCH, DOTS_PER_INCH), **BEST.get(kind, {}))
    return content.getvalue()


@dataclass(frozen=True, eq=False)
class Canvas:
    """A picture that primitives are put on, one over the other; `scale` is pixels per point."""

    picture: Pillow.Image
    draw: ImageDraw.ImageDraw
    scale: float

    def put(self, part: Primitive) -> None:
        """Draw one primitive over what is there."""
        match part:
            case Words():
                self.write(part)
            case Segment():
                self.rule(part)
            case Box((x, y), (width, height), fill, outline):
                (left, top), (right, bottom) = self.pixel((x, y)), self.pixel((x + width, y + height))
                if right > left and bottom > top:
                    self.draw.rectangle((left, top, right, bottom), fill, outline)
            case Dot((x, y), radius, colour):
                corners = np.array([[x - radius, y - radius], [x + radius, y + radius]])
                self.ink(corners, colour, 0, lambda draw, path: draw.ellipse(path.ravel().tolist(), fill=255))
            case Stroke(xs, ys, colour, width, dashed):
                for path in unbroken(xs, ys):
                    self.ink(
                        path, colour, width, lambda draw, fine: stroke(draw, fine, self.fine(width), dashed=dashed)
                    )
            case Area(xs, upper, lower, colour):
                known = np.isfinite(upper) & np.isfinite(lower)
                there, back = np.stack([xs, upper], 1)[known], np.stack([xs, lower], 1)[known][::-1]
                around = np.concatenate([there, back])
                self.ink(around, colour, 0, lambda draw, path: draw.polygon(path.ravel().tolist(), fill=255))

    def pixel(self, at: Point) -> tuple[int, int]:
        return int(at[0] * self.scale), int(at[1] * self.scale)

    def write(self, words: Words) -> None:
        """One line of text; turned text is drawn apart and put down on its side."""
        face = font(round(words.size * self.scale, 1), bold=words.bold)
        (x, y), place = self.pixel(words.at), {"start": "l", "middle": "m", "end": "r"}[words.anchor] + "s"
        if not words.turned:
            self.draw.text((x, y), words.text, fill=words.colour, font=face, anchor=place)
            return
        left, top, right, bottom = (round(edge) for edge in face.getbbox(words.text, anchor=place))
        mask = Pillow.new("L", (right - left, bottom - top))
        ImageDraw.Draw(mask).text((-left, -top), words.text, fill=255, font=face, anchor=place)
        self.picture.paste(words.colour, (x + top, y - right), mask.transpose(Pillow.Transpose.ROTATE_90))

    def rule(self, line: Segment) -> None:
        """One straight line, sharp; a dotted one runs down the picture."""
        (x1, y1), (x2, y2) = self.pixel(line.start), self.pixel(line.end)
        width = max(1, round(0.75 * line.width * self.scale))
        if not line.dotted:
            self.draw.line((x1, y1, x2, y2), fill=line.colour, width=width)
            return
        for y in range(y1, y2, 6):
            self.draw.line((x1, y, x2, min(y + 1, y2)), fill=line.colour, width=width)

    def ink(self, path: Path, colour: str, width: float, pen: Pen) -> None:
        """Put down, with smooth edges, what `pen` makes of a path (in points) that is `width` wide."""
        if len(path) < 2:
            return
        left, top = np.floor((path.min(0) - width) * self.scale).astype(int).clip(0).tolist()
        right, bottom = np.ceil((path.max(0) + width) * self.scale + 1).astype(int).tolist()
        right, bottom = min(right, self.picture.width), min(bottom, self.picture.height)
        band = max(1, MOST_FINE // (FINE**2 * max(right - left, 1)))
        for first in range(top, bottom, band):
            height = min(band, bottom - first)
            mask = Pillow.new("L", ((right - left) * FINE, height * FINE))
            pen(ImageDraw.Draw(mask), ((path * self.scale - (left, first)) * FINE).round())
            self.picture.paste(colour, (left, first), mask.reduce(FINE))

    def fine(self, length: float) -> int:
        return max(1, round(length * self.scale * FINE))


def unbroken(xs: Numbers, ys: Numbers) -> Iterator[Path]:
    """The stretches of a curve that have values."""
    known = np.isfinite(ys)
    edges = np.flatnonzero(np.diff(known, prepend=False, append=False))
    for first, last in edges.reshape(-1, 2).tolist():
        yield np.stack([xs[first:last], ys[first:last]], 1)


def stroke(draw: ImageDraw.ImageDraw, path: Path, width: int, *, dashed: bool) -> None:
    """A curve with round corners, whole or dashed."""
    for part in dashes(path) if dashed else [path]:
        draw.line(part.ravel().tolist(), fill=255, width=width)
        if not dashed:
            for x, y in corners(part).tolist():
                reach = width / 2 - 0.5
                draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)


def corners(path: Path) -> Path:
    """The points at which a path turns sharply."""
    path = path[np.append(True, np.any(np.diff(path, axis=0) != 0, axis=1))]
    steps = np.diff(path, axis=0)
    steps /= np.hypot(*steps.T)[:, None]
    return np.asarray(path[1:-1][(steps[1:] * steps[:-1]).sum(1) < SHARP])


def dashes(path: Path) -> Iterator[Path]:
    """The dashes of a path in the pixels of its band."""
    along = np.append(0.0, np.hypot(*np.diff(path, axis=0).T).cumsum())
    unit = FINE * DOTS_PER_INCH / 72
    for start in np.arange(0.0, along[-1], (DASH + GAP) * unit):
        stop = min(start + DASH * unit, along[-1])
        inside = along[(along > start) & (along < stop)]
        places = np.concatenate([[start], inside, [stop]])
        yield np.stack([np.interp(places, along, path[:, 0]), np.interp(places, along, path[:, 1])], 1)
