"""What stands beside a panel: which line is what, or the final value of a single line."""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

from classlens.figures.chart import Panel, entry, last_value
from classlens.figures.frame import Frame
from classlens.figures.metrics import shortened, width_of
from classlens.figures.primitives import Primitive, Segment, Words
from classlens.figures.style import FAINT, INK

SIZE = 9.0
SPACING, TIGHTEST = 14.0, 7.0
"""Distances between the lines of a legend: the usual one, and the least that can be read."""

KEY = 29.0
"""What a piece of the line itself takes, with its gaps."""


def legend_width(panel: Panel) -> float:
    """How much the words beside a panel would like to have."""
    if len(panel.lines) == 1:
        return max(width_of(last_value(panel.lines[0]), SIZE), width_of("final", SIZE)) + 10
    return max(width_of(entry(line), SIZE) for line in panel.lines) + KEY + 6


def final_value(panel: Panel, frame: Frame, beside: float) -> Iterator[Primitive]:
    """The final value of a single line, where it ends, if it fits beside the panel."""
    if legend_width(panel) > beside:
        return
    last = float(panel.lines[0].y[-1])
    y = min(frame.y(last), frame.bottom - 14) if isfinite(frame.y(last)) else frame.top + 10
    yield Words((frame.right + 8, y), "final", SIZE, FAINT)
    yield Words((frame.right + 8, y + 12), last_value(panel.lines[0]), SIZE, FAINT)


def legend(panel: Panel, frame: Frame, beside: float) -> Iterator[Primitive]:
    """One entry per line, without its values where they do not fit, and how many more where the height ends."""
    count, x, room = len(panel.lines), frame.right + 8, beside - KEY
    spacing = max(min(SPACING, frame.height / count), TIGHTEST)
    size = min(SIZE, 0.8 * spacing)
    fitting = max(1, int(frame.height / spacing))
    shown = count if count <= fitting else fitting - 1
    brief = any(width_of(entry(line), size) > room for line in panel.lines)
    for index, line in enumerate(panel.lines[:shown]):
        y = frame.top + spacing * (index + 0.7)
        yield Segment((x, y - 3), (x + 16, y - 3), line.colour, 2.0)
        yield Words((x + 21, y), shortened(entry(line, brief=brief), size, room), size, INK)
    if shown < count:
        words = shortened(f"and {count - shown} more", size, room)
        yield Words((x + 21, frame.top + spacing * (shown + 0.7)), words, size, FAINT)
