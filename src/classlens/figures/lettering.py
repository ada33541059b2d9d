"""Text as pixels: every letter is drawn once and then copied, which is a hundred times faster than drawing text.

One font, DejaVu Sans as matplotlib ships it (matplotlib itself is not imported), or Pillow's own where that is absent.
"""

import unicodedata
from collections.abc import Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Coverage: TypeAlias = np.ndarray[Any, np.dtype[np.float32]]
"""How much of every pixel the ink covers, 0..1."""

Colour = tuple[int, int, int]
Canvas: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
ELLIPSIS = "…"


@cache
def font(size: int, *, bold: bool = False) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font at a size in pixels."""
    found = find_spec("matplotlib")
    if found is not None and found.submodule_search_locations:
        name = "DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf"
        path = Path(found.submodule_search_locations[0]) / "mpl-data" / "fonts" / "ttf" / name
        if path.is_file():
            return ImageFont.truetype(str(path), size)
    return ImageFont.load_default(size)


def line_height(size: int) -> int:
    """The distance between two lines."""
    return round(size * 1.35)


@cache
def glyph(letter: str, size: int, *, bold: bool = False) -> Coverage:
    """One letter on its own strip of the line, as wide as it advances."""
    face = font(size, bold=bold)
    width = max(1, round(face.getlength(letter)))
    strip = Pillow.new("L", (width, line_height(size)), 0)
    ImageDraw.Draw(strip).text((0, size * 0.08), letter, fill=255, font=face)
    return np.asarray(strip, np.float32) / np.float32(255)


@lru_cache(maxsize=4096)
def written(text: str, size: int, *, bold: bool = False) -> Coverage:
    """A line of text; control characters are shown as boxes, unpaired surrogates as question marks."""
    clean = [letter if letter.isprintable() else "\N{WHITE SQUARE}" for letter in unicodedata.normalize("NFC", text)]
    if not clean:
        return np.zeros((line_height(size), 1), np.float32)
    return np.hstack([glyph(letter, size, bold=bold) for letter in clean])


def width_of(text: str, size: int, *, bold: bool = False) -> int:
    """The width of a line in pixels."""
    return written(text, size, bold=bold).shape[1] if text else 0


@lru_cache(maxsize=4096)
def shortened(text: str, size: int, width: int, *, bold: bool = False) -> str:
    """The text, cut at the end until it fits."""
    if width_of(text, size, bold=bold) <= width:
        return text
    while text and width_of(text + ELLIPSIS, size, bold=bold) > width:
        text = text[:-1]
    return text + ELLIPSIS


@lru_cache(maxsize=4096)
def wrapped(text: str, size: int, width: int) -> tuple[str, ...]:
    """The text in lines of at most `width` pixels; a word that is too long is cut."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size) <= width:
            lines[-1] = longer
        else:
            lines.append(shortened(word, size, width))
    return tuple(lines)


def write(canvas: Canvas, text: str, at: tuple[int, int], *, size: int, colour: Colour, bold: bool = False) -> None:
    """Put a line on the canvas with its top left corner `at` (x, y); what does not fit is cut off."""
    x, y = at
    ink = written(text, size, bold=bold)[: max(canvas.shape[0] - y, 0), : max(canvas.shape[1] - x, 0)]
    if not ink.size:
        return
    place = canvas[y : y + ink.shape[0], x : x + ink.shape[1]]
    cover = ink[..., None]
    place[:] = (place * (1 - cover) + np.array(colour, np.float32) * cover + 0.5).astype(np.uint8)


def write_lines(canvas: Canvas, lines: Sequence[str], at: tuple[int, int], *, size: int, colour: Colour) -> None:
    """Several lines below each other."""
    for number, line in enumerate(lines):
        write(canvas, line, (at[0], at[1] + number * line_height(size)), size=size, colour=colour)
