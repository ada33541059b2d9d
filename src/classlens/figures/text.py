r"""Text as pixels: every letter is drawn once and then copied, which is a hundred times faster than drawing text.

One font, DejaVu Sans as matplotlib ships it (matplotlib itself is not imported), or Pillow's own where that is absent.
Letters that it lacks come from the fonts of the system; those that no font has are spelled out in pixels (`\u732b`), and
are text nevertheless in PDF and SVG.
"""

import unicodedata
from collections.abc import Callable, Collection, Sequence
from functools import cache, lru_cache
from importlib.util import find_spec
from itertools import accumulate, chain, takewhile
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

Colour = tuple[int, int, int]
Pixels: TypeAlias = np.ndarray[Any, np.dtype[np.uint8]]
PAPER: Colour = (255, 255, 255)
ELLIPSIS = "…"
LETTERS, LONGEST = 8, 2000
"""So many letters for every pixel of room are looked at, a few of which may make one, and so many of a text in lines."""
BOX = "\N{WHITE SQUARE}"
FAMILY = "DejaVu Sans"


@cache
def font(size: float, *, bold: bool = False, path: str = "") -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """The font of a file, or the usual one."""
    if path:
        return ImageFont.truetype(path, size)
    package = find_spec("matplotlib")
    folder = Path((package and package.origin) or "").parent / "mpl-data" / "fonts" / "ttf"
    usual = folder / ("DejaVuSans-Bold.ttf" if bold else "DejaVuSans.ttf")
    return ImageFont.truetype(str(usual), size) if usual.is_file() else ImageFont.load_default(size)


def is_usual(letter: str) -> bool:
    """Whether DejaVu Sans has a letter for sure: Latin, Greek, Cyrillic, punctuation, arrows and mathematics."""
    return letter < "\u0530" or "\u2010" <= letter < "\u2300"


@cache
def letters_in(path: str) -> Collection[int]:
    from matplotlib.font_manager import get_font

    try:
        return get_font(path).get_charmap().keys()
    except (RuntimeError, OSError):  # a damaged font, or one of a kind that matplotlib cannot read
        return ()


@cache
def other_font(letter: str) -> tuple[str, str]:
    """The file and the family of a font that has an unusual letter, both empty where no font has it."""
    from matplotlib.font_manager import findfont, fontManager  # it knows the fonts of the system; few names need it

    if is_usual(letter) or ord(letter) in letters_in(findfont(FAMILY)):
        return "", FAMILY
    upright = (one for one in fontManager.ttflist if one.style == "normal" and "Last Resort" not in one.name)
    fonts = sorted(upright, key=lambda one: (abs(int(one.weight) - 400) if str(one.weight).isdigit() else 0, one.name))
    return next(((one.fname, one.name) for one in fonts if ord(letter) in letters_in(one.fname)), ("", ""))


def families_for(text: str) -> list[str]:
    """The families of fonts by which a text is set, the usual one first."""
    others = (other_font(letter)[1] for letter in dict.fromkeys(text) if not is_usual(letter))
    return [*dict.fromkeys([FAMILY, *filter(None, others)])]


def line_height(size: int) -> int:
    return round(size * 1.35)


@cache
def glyph(letter: str, size: int, colour: Colour, *, bold: bool = False) -> Pixels:
    """One letter in a colour on its own strip of white paper, as wide as it advances."""
    face = font(size, bold=bold, path="" if is_usual(letter) else other_font(letter)[0])
    paper = Pillow.new("RGB", (advance(letter, size, bold=bold), line_height(size)), PAPER)
    ImageDraw.Draw(paper).text((0, size * 0.08), letter, fill=colour, font=face)
    return np.asarray(paper)


@lru_cache(maxsize=1024)
def strip(text: str, size: int, colour: Colour, *, bold: bool = False) -> Pixels:
    return np.concatenate([glyph(letter, size, colour, bold=bold) for letter in clean(text)], axis=1)


@cache
def advance(letter: str, size: int, *, bold: bool = False) -> int:
    face = font(size, bold=bold, path="" if is_usual(letter) else other_font(letter)[0])
    return max(1, round(face.getlength(letter)))


def printable(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    return composed if composed.isprintable() else "".join(one if one.isprintable() else BOX for one in composed)


@lru_cache(maxsize=4096)
def clean(text: str) -> str:
    """Text that can be drawn: letters that no font has are spelled out, and such as no one could see are a box."""
    shown = printable(text)
    if shown.isascii() or all(map(is_usual, shown)):
        return shown
    return "".join(one if is_usual(one) or other_font(one)[1] else ascii(one)[1:-1] for one in shown)


@lru_cache(maxsize=4096)
def width_of(text: str, size: int, *, bold: bool = False) -> int:
    return sum(advance(letter, size, bold=bold) for letter in clean(text))


@lru_cache(maxsize=4096)
def shorten_end(text: str, size: int, width: int, *, bold: bool = False) -> str:
    text = text[: LETTERS * max(width, 1)]  # the rest of a text without end is neither measured nor drawn
    if width_of(text, size, bold=bold) <= width:
        return text
    room = width - advance(ELLIPSIS, size, bold=bold)
    ends = accumulate(advance(letter, size, bold=bold) for letter in clean(text))
    return clean(text)[: sum(1 for _ in takewhile(lambda end: end <= room, ends))] + ELLIPSIS


@lru_cache(maxsize=4096)
def wrap_lines(text: str, size: int, width: int, *, bold: bool = False) -> tuple[str, ...]:
    text = text if len(text) <= LONGEST else text[:LONGEST] + ELLIPSIS
    return fill(
        text.split(" "),
        lambda line: width_of(line, size, bold=bold) <= width,
        lambda word: shorten_end(word, size, width, bold=bold),
    )


def fill(words: Sequence[str], fits: Callable[[str], bool], cut: Callable[[str], str]) -> tuple[str, ...]:
    """As many words in every line as fit; `cut` shortens the first of each."""
    lines: list[str] = []
    for word in words:
        if lines and fits(f"{lines[-1]} {word}"):
            lines[-1] += f" {word}"
        else:
            lines.append(cut(word))
    return tuple(lines)


def write(canvas: Pixels, text: str, at: tuple[int, int], *, size: int, colour: Colour, bold: bool = False) -> None:
    """Put a line on white paper with its top left corner `at` (x, y); what does not fit is cut off."""
    if text:
        x, y = at
        line = strip(text, size, colour, bold=bold)[: max(canvas.shape[0] - y, 0), : max(canvas.shape[1] - x, 0)]
        canvas[y : y + line.shape[0], x : x + line.shape[1]] = line


# fmt: off
WIDTHS = (
    318, 401, 460, 838, 636, 950, 780, 275, 390, 390, 500, 838, 318, 361, 318, 337, 636, 636, 636, 636, 636, 636, 636,
    636, 636, 636, 337, 337, 838, 838, 838, 531, 1000, 684, 686, 698, 770, 632, 575, 775, 752, 295, 295, 656, 557, 863,
    748, 787, 603, 787, 695, 635, 611, 732, 684, 989, 685, 611, 685, 390, 337, 390, 838, 500, 500, 613, 635, 550, 635,
    615, 352, 635, 634, 278, 278, 579, 278, 974, 634, 612, 635, 635, 411, 521, 392, 634, 592, 818, 592, 592, 525, 636,
    337, 636, 838,
)
# fmt: on
"""Thousandths of the letter height, for the letters from space to tilde."""

OTHER = 1000
BOLD = 1.13


def bare(letter: str) -> str:
    """A letter without its accents, which make it no wider; nothing for an accent alone."""
    base = unicodedata.normalize("NFD", letter)[0]
    return "" if unicodedata.combining(base) else base


@lru_cache(maxsize=4096)
def estimated_width(text: str, size: float, *, bold: bool = False) -> float:
    letters = text if text.isascii() else "".join(map(bare, text))
    units = sum(WIDTHS[code - 32] if 32 <= (code := ord(letter)) < 127 else OTHER for letter in letters)
    return units / 1000 * size * (BOLD if bold else 1.0)


@lru_cache(maxsize=4096)
def shorten_middle(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, cut in its middle until it fits: the ends of long names are what tells them apart."""
    if len(text) > LONGEST:
        text = text[: LONGEST // 2] + text[-LONGEST // 2 :]
    cuts = (text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :] for kept in range(len(text) - 1, 0, -1))
    return next((one for one in chain([text], cuts) if estimated_width(one, size, bold=bold) <= room), "")


@lru_cache(maxsize=4096)
def break_lines(text: str, size: float, room: float, *, bold: bool = False) -> tuple[str, ...]:
    text = text if len(text) <= LONGEST else text[:LONGEST] + ELLIPSIS
    return fill(
        text.split(),
        lambda line: estimated_width(line, size, bold=bold) <= room,
        lambda word: shorten_middle(word, size, room, bold=bold),
    )
