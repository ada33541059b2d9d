"""Pictures on a terminal: two pixels per character, in 24-bit colour."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np

from classlens.figures.chart import Chart, Panel, chart_of, short
from classlens.figures.plot_layout import Frame, ticks
from classlens.schedule.replay import Curves

UPPER_HALF = "\N{UPPER HALF BLOCK}"
RESET = "\x1b[0m"


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


DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""The bit of each dot of a braille character, by row and column. Source: The Unicode Standard, block 2800."""

COLOURS = ("34", "31", "32", "35", "33", "36")
MARGIN = 11


def terminal_plot(
    runs: Sequence[Curves], *, columns: int = 100, lines: int = 20, log: bool | None = None, coloured: bool = False
) -> str:
    """The plot of one or several runs as text, `columns` wide and about `lines` high per panel."""
    chart = chart_of(runs, log=log)
    width, height = max(columns - MARGIN - 1, 20), max(lines, 4)
    parts = [block for panel in chart.panels for block in panel_text(chart, panel, (width, height), coloured=coloured)]
    return "\n".join(parts)


def panel_text(chart: Chart, panel: Panel, size: tuple[int, int], *, coloured: bool) -> list[str]:
    """One panel: its name, the plot with its values, the steps below, and what the lines are."""
    width, height = size
    low, high = panel.low, panel.high
    if low == high:  # on a logarithmic axis
        low, high = low / 2, high * 2
    frame = Frame(0, 0, 2 * width - 1, 4 * height - 1, chart.x_end, low, high, panel.log)  # in dots
    paper = np.zeros((height, width), int)
    owner = np.full((height, width), -1)
    for index, line in enumerate(panel.lines):
        for values in (line.y, line.low):
            if values is None:
                continue
            xs, ys = dots_of(frame.x(line.x), frame.ys(values), size)
            if line.undecided is not None:
                drawn = (xs < frame.x(line.undecided)) | (xs % 4 < 2)
                xs, ys = xs[drawn], ys[drawn]
            np.bitwise_or.at(paper, (ys // 4, xs // 2), DOTS[ys % 4, xs % 2])
            owner[ys // 4, xs // 2] = index
    marks = ticks(low, high, max(2, height // 3), log=panel.log)
    labels = {int(y) // 4: f"{value:.4g}" for value, y in zip(marks, frame.ys(marks), strict=True)}
    body = [
        f"{labels.get(row, ''):>{MARGIN - 2}} │" + row_text(paper[row], owner[row], coloured=coloured)
        for row in range(height)
    ]
    end = f"{short(chart.x_end)} {chart.x_label}s"
    axis = " " * (MARGIN - 1) + "└" + "─" * width
    steps = " " * MARGIN + "0" + f"{end:>{width - 1}}"
    names = [f"{' ' * MARGIN}{line.label}: {line.y[0]:.4g} → {line.last()}" for line in panel.lines]
    return [panel.title, *body, axis, steps, *marks_text(panel, width), *(names if len(names) > 1 else [])]


def marks_text(panel: Panel, width: int) -> list[str]:
    """What happens where, in lines that are no wider than the plot."""
    lines: list[str] = []
    for word in [f"{short(pin.x)}: {pin.text}" for pin in panel.pins]:
        if lines and len(lines[-1]) + 3 + len(word) <= MARGIN + width:
            lines[-1] += " · " + word
        else:
            lines.append(" " * MARGIN + word[:width])
    return lines


def dots_of(x: np.ndarray, y: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """The dots of a line: one or more in every column it crosses, so that jumps are joined."""
    width, height = size[0] * 2, size[1] * 4
    known = np.isfinite(y)
    if not known.any():
        return np.zeros(0, int), np.zeros(0, int)
    edges = np.interp(np.linspace(0, width - 1, width + 1), x[known], y[known])
    inside = np.arange(width) <= x[known].max()
    places = [
        (column, row)
        for column, start, stop in zip(
            np.flatnonzero(inside).tolist(), edges[:-1][inside].tolist(), edges[1:][inside].tolist(), strict=True
        )
        for row in range(round(min(start, stop)), round(max(start, stop)) + 1)
    ]
    xs, ys = np.array(places, int).reshape(-1, 2).T
    return xs, ys.clip(0, height - 1)


def row_text(bits: np.ndarray, owner: np.ndarray, *, coloured: bool) -> str:
    """One row of characters, in the colours of the lines that own them if wanted."""
    letters = [chr(0x2800 + bit) if bit else " " for bit in bits.tolist()]
    if not coloured:
        return "".join(letters).rstrip()
    return "".join(
        f"\x1b[{COLOURS[line % len(COLOURS)]}m{letter}\x1b[0m" if line >= 0 else letter
        for letter, line in zip(letters, owner.tolist(), strict=True)
    ).rstrip()
