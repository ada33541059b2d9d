"""Pictures on a terminal: two pixels per character in 24-bit colour, and curves of braille characters."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from classlens.figures.chart import Line, chart_of, short
from classlens.figures.plot_layout import Frame, ticks
from classlens.figures.text import ELLIPSIS
from classlens.image import Image
from classlens.printed import join_lines
from classlens.schedule.replay import Curves

UPPER_HALF = "\N{UPPER HALF BLOCK}"
RESET = "\x1b[0m"

DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character, by row and column. Source: The Unicode Standard, block 2800."""

MARGIN = 11
BETWEEN = 3  # columns between pictures in a row, where there is room
CAPTIONS = 4  # at most so many lines under a picture
NARROWEST = 8  # columns in which something can be made out


def preview(pixels: np.ndarray[Any, np.dtype[np.uint8]], columns: int) -> str:
    """The picture, at most `columns` characters wide, as text with ANSI colours."""
    height, width = pixels.shape[:2]
    across = max(1, min(columns, width))
    down = max(2, round(height * across / width / 2) * 2)
    small = cv2.resize(pixels, (across, down), interpolation=cv2.INTER_AREA)
    lines = []
    for upper, lower in zip(small[0::2].tolist(), small[1::2].tolist(), strict=True):
        cells = (
            f"\x1b[38;2;{a[0]};{a[1]};{a[2]}m\x1b[48;2;{b[0]};{b[1]};{b[2]}m{UPPER_HALF}"
            for a, b in zip(upper, lower, strict=True)
        )
        lines.append("".join(cells) + RESET)
    return "\n".join(lines)


def preview_tiles(tiles: Sequence[tuple[Image, Sequence[str]]], columns: int, lines: int) -> str:
    """Pictures side by side over their captions, in as many rows as make them largest on a terminal of that size."""
    captions = min(max(len(words) for _, words in tiles), CAPTIONS)
    shapes = [one.size for one, _ in tiles]

    def width_of(across: int) -> int:
        """Characters that every picture is wide, with so many in a row."""
        most = 2 * (lines // -(-len(tiles) // across) - captions)  # a character is twice as high as wide
        return int(min([columns // across - 1, *(most * width / height for height, width in shapes)]))

    across = max(range(1, len(tiles) + 1), key=width_of)
    width, text = max(width_of(across), NARROWEST), list[str]()
    cell = min(columns // across, max([width, *(len(word) for _, words in tiles for word in words)]) + BETWEEN)
    for start in range(0, len(tiles), across):
        row = tiles[start : start + across]
        pictures = [preview(one.pixels, width).split("\n") for one, _ in row]
        shown = [min(width, one.size[1]) for one, _ in row]
        for line in range(max(map(len, pictures))):
            cells = [
                (rows[line] if line < len(rows) else " " * drawn) + " " * (cell - drawn)
                for rows, drawn in zip(pictures, shown, strict=True)
            ]
            text.append("".join(cells))
        for line in range(captions):
            words = [shorten(said[line] if line < len(said) else "", cell - 1) for _, said in row]
            text.append("".join(f"{one:<{cell}}" for one in words).rstrip())
    return "\n".join(text)


def shorten(text: str, columns: int) -> str:
    """The text, cut in its middle where it is too long."""
    head = (columns - 1) // 2
    return text if len(text) <= columns else f"{text[:head]}{ELLIPSIS}{text[len(text) - (columns - 1 - head) :]}"


def terminal_plot(runs: Sequence[Curves], *, columns: int = 100, lines: int = 20, log: bool | None = None) -> str:
    """The plot of one or several runs as text, `columns` wide and about `lines` high per panel.

    A panel is its name, the plot with its values, the steps below, what happens where, and what the lines are.
    """
    chart, text, margin = chart_of(runs, log=log), list[str](), " " * MARGIN
    width, height = max(columns - MARGIN - 1, 20), max(lines, 4)
    for panel in chart.panels:
        low, high = panel.low, panel.high
        if low == high:  # on a logarithmic axis
            low, high = low / 2, high * 2
        frame = Frame(0, 0, 2 * width - 1, 4 * height - 1, chart.x_end, low, high, panel.log)  # in dots
        paper = np.zeros((4 * height, 2 * width), int)
        for line in panel.lines:
            paper |= dots_of(line, line.y, frame)
            if line.low is not None:
                paper |= dots_of(line, line.low, frame)
        bits = (paper.reshape(height, 4, width, 2) * DOTS[:, None]).sum((1, 3)).tolist()
        places = ticks(low, high, max(2, height // 3), log=panel.log)
        labels = {int(y) // 4: f"{value:.4g}" for value, y in zip(places, frame.ys(places), strict=True)}
        text.append(panel.title)
        for row, letters in enumerate(bits):
            plot = "".join(chr(0x2800 + bit) if bit else " " for bit in letters)
            text.append(f"{labels.get(row, ''):>{MARGIN - 2}} │{plot.rstrip()}")
        end = f"{short(chart.x_end)} {chart.x_label}s"
        text += [f"{margin[1:]}└{'─' * width}", f"{margin}0{end:>{width - 1}}"]
        first = len(text)
        for word in [f"{short(pin.x)}: {pin.text}" for pin in panel.pins]:
            if len(text) > first and len(text[-1]) + 3 + len(word) <= MARGIN + width:
                text[-1] += " · " + word
            else:
                text.append(margin + word[:width])
        if len(panel.lines) > 1:
            text += [f"{margin}{shorten(entry, width)}" for entry in panel.legend]
    return join_lines(text)


def dots_of(line: Line, values: np.ndarray, frame: Frame) -> np.ndarray:
    """A line as dots: one or more in every column that it crosses, so that jumps are joined."""
    paper = np.zeros((int(frame.bottom) + 1, int(frame.right) + 1), int)
    xs, ys = frame.x(line.x), frame.ys(values)
    known = np.isfinite(ys)
    if not known.any():
        return paper
    edges = np.interp(np.linspace(0, frame.right, paper.shape[1] + 1), xs[known], ys[known]).tolist()
    dashed_from = np.inf if line.undecided is None else frame.x(line.undecided)
    for column in range(int(xs[known].min()), int(xs[known].max()) + 1):
        if column < dashed_from or column % 4 < 2:
            low, high = sorted(edges[column : column + 2])
            paper[round(low) : round(high) + 1, column] = 1
    return paper
