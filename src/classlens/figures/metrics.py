"""How wide words are, without opening a font: the widths of DejaVu Sans, which is what plots are lettered in.

Lengths are in the unit of `size`. Other letters are taken to be as wide as the widest ordinary one, so that a text is
never wider than it is said to be.
"""

from functools import lru_cache

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
ELLIPSIS = "…"


@lru_cache(maxsize=4096)
def width_of(text: str, size: float, *, bold: bool = False) -> float:
    """The width of a line of text whose letters are `size` high."""
    units = sum(WIDTHS[code - 32] if 32 <= (code := ord(letter)) < 127 else OTHER for letter in text)
    return units / 1000 * size * (BOLD if bold else 1.0)


def shortened(text: str, size: float, room: float, *, bold: bool = False) -> str:
    """The text, cut in its middle until it fits: the ends of long names are what tells them apart."""
    if width_of(text, size, bold=bold) <= room:
        return text
    for kept in range(len(text) - 1, 0, -1):
        cut = text[: (kept + 1) // 2] + ELLIPSIS + text[len(text) - kept // 2 :]
        if width_of(cut, size, bold=bold) <= room:
            return cut
    return ""


def broken(text: str, size: float, room: float, *, bold: bool = False) -> list[str]:
    """The text in lines that fit; a word that is too long is cut."""
    lines: list[str] = []
    for word in text.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width_of(longer, size, bold=bold) <= room:
            lines[-1] = longer
        else:
            lines.append(shortened(word, size, room, bold=bold))
    return lines
