"""Where everything of a plot goes: words, straight lines, boxes, dots, curves and areas, each at its place.

Lengths are in points (1/72 inch) from the top left corner of the picture. Each back end (pixels, SVG, PDF) knows how to
paint every one of these parts, in the order in which they are listed, and decides nothing else: all show one picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from classlens.figures.chart import Chart, Line, Panel, rows, short
from classlens.figures.style import WARNING, Style, blend
from classlens.figures.text import break_lines, estimated_width, shorten_middle

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Point: TypeAlias = tuple[float, float]
Number = TypeVar("Number", float, Numbers)


class Words(NamedTuple):
    """One line of text; `at` is on its base line, where `anchor` says; `turned` text runs upwards."""

    at: Point
    text: str
    size: float
    colour: str
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    turned: bool = False


class Segment(NamedTuple):
    """One straight line; dotted, with points as long as gaps, if `dotted`."""

    start: Point
    end: Point
    colour: str
    width: float = 1.0
    dotted: bool = False


class Box(NamedTuple):
    """A rectangle: (left, top) and (width, height), filled or outlined."""

    at: Point
    size: Point
    fill: str | None = None
    outline: str | None = None


class Dot(NamedTuple):
    """A filled circle."""

    at: Point
    radius: float
    colour: str


class Stroke(NamedTuple):
    """A curve through points from left to right, broken where one is NaN."""

    xs: Numbers
    ys: Numbers
    colour: str
    width: float = 1.6
    dashed: bool = False


class Area(NamedTuple):
    """What lies between two curves over the same `xs`."""

    xs: Numbers
    upper: Numbers
    lower: Numbers
    colour: str


Part: TypeAlias = Words | Segment | Box | Dot | Stroke | Area


TITLE, PLAIN, SMALL = 13.0, 10.0, 9.0
"""Sizes of letters."""

ROW, HEAD_LINE, FOOT_LINE = 14.0, 17.0, 13.0
"""Heights of a row of marks, of a line of the head, and of a line of the foot."""

STEPS, NAME, EPOCHS = 20.0, 15.0, 34.0
"""Heights of the values below the panels, of what they count, and of the axis of epochs."""

TICK_WIDTH, TICK_HEIGHT = 66, 32
"""About how far values on the axes are from each other."""

SPACING, TIGHTEST = 14.0, 7.0
"""Distances between the lines of a legend: the usual one, and the least that can be read."""

KEY = 29.0
"""What a piece of the line itself takes in a legend, with its gaps."""


@dataclass(frozen=True)
class Frame:
    """Where one panel is, and what its edges mean: x from 0 to `x_end`, y from `low` to `high`; lengths in points."""

    left: float
    top: float
    right: float
    bottom: float
    x_end: float
    low: float
    high: float
    log: bool = False

    def x(self, value: Number) -> Number:
        return self.left + value / self.x_end * (self.right - self.left)

    def ys(self, values: Numbers | Sequence[float]) -> Numbers:
        """The heights of values; NaN where the axis cannot show one."""
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.log:
                share = (np.log10(values) - log10(self.low)) / (log10(self.high) - log10(self.low))
            else:
                share = (np.asarray(values) - self.low) / (self.high - self.low)
        return np.where(np.isfinite(share), self.top + (self.bottom - self.top) * (1 - share), np.nan)


def lay_out(chart: Chart, size: Point, style: Style) -> list[Part]:
    """The plot in a picture of `size` (width, height) in points; later parts lie on earlier ones."""
    width, height = size
    around = lay_out_margins(chart, size, style)
    top, bottom = 12 + around.above, height - 8 - around.below
    share = (bottom - top) / len(chart.panels)
    most = max(2, int(share // TICK_HEIGHT))
    labels = [
        f"{value:.4g}"
        for panel in chart.panels
        for room in (0.0, 0.4)  # what the words of marks take is not known yet
        for value in ticks(*limits(panel, room), most, log=panel.log)
    ]
    left = 28 + max((estimated_width(label, SMALL) for label in labels), default=0.0)
    beside = min(max(map(legend_width, chart.panels)), 0.45 * width)
    right = left + max(width - left - 8 - beside, 10.0)
    steps = ticks(0, chart.x_end, max(1, int((right - left) // TICK_WIDTH)))
    parts: list[Part] = [Box((0, 0), size, fill=style.page), *around.words]
    for index, panel in enumerate(chart.panels):
        is_last, start = index == len(chart.panels) - 1, top + index * share
        edges = (left, start, right, start + max(share - (0 if is_last else 16), 10.0))
        frame, marks = frame_panel(chart, panel, edges)
        parts += panel_parts(panel, frame, marks, steps, style)
        parts += legend(panel, frame, beside, style)
        parts += [
            Segment((x, frame.bottom), (x, frame.bottom + 4), style.frame or style.faint) for x in map(frame.x, steps)
        ]
        if index == 0 and chart.per_epoch and around.epochs:
            parts += epoch_axis(chart.per_epoch, frame, style)
    bottom = frame.bottom
    parts += [Words((frame.x(step), bottom + 16), short(step), SMALL, style.ink, "middle") for step in steps]
    if around.named:
        parts.append(Words(((left + right) / 2, bottom + 30), chart.x_label, PLAIN, style.ink, "middle"))
    return parts


@dataclass(frozen=True)
class Margins:
    """What stands above and below the panels, and how high it is; small pictures go without some of it."""

    words: tuple[Words, ...]
    above: float
    below: float
    epochs: bool
    named: bool


def lay_out_margins(chart: Chart, size: Point, style: Style) -> Margins:
    """As much as fits into 60 % of the height, the more important first: title, findings, axes, how steps were counted."""
    width, height = size
    titles = [(HEAD_LINE, "title", line) for line in break_lines(chart.title, TITLE, width - 16, bold=True)]
    counted = [(HEAD_LINE, "counted", line) for line in break_lines(chart.subtitle, SMALL, width - 16)]
    findings = [
        (FOOT_LINE, "finding", line)
        for finding in chart.findings
        for line in break_lines(f"! {finding}", SMALL, width - 16)
    ]
    epochs = [(EPOCHS, "epochs", "")] if chart.per_epoch else []
    room, kept = 0.6 * height - 12 - STEPS, list[tuple[str, str]]()
    for cost, kind, line in [*titles[:1], (NAME, "name", ""), *findings, *epochs, *titles[1:], *counted]:
        if cost <= room:
            room -= cost
            kept.append((kind, line))
    head = [(kind, line) for kind, line in kept if kind in {"title", "counted"}]
    foot = [line for kind, line in kept if kind == "finding"]
    if foot and len(foot) < len(findings):
        foot[-1] = shorten_middle(f"{foot[-1]} …", SMALL, width - 16)
    words = [
        Words((width / 2, 20 + HEAD_LINE * index), line, TITLE, style.ink, "middle", bold=True)
        if kind == "title"
        else Words((width / 2, 20 + HEAD_LINE * index), line, SMALL, style.faint, "middle")
        for index, (kind, line) in enumerate(head)
    ]
    words += [
        Words((8, height - 6 - FOOT_LINE * (len(foot) - 1 - index)), line, SMALL, WARNING)
        for index, line in enumerate(foot)
    ]
    has_epochs, has_name = ("epochs", "") in kept, ("name", "") in kept
    above = HEAD_LINE * len(head) + (EPOCHS if has_epochs else 8.0)
    below = STEPS + (NAME if has_name else 0) + FOOT_LINE * len(foot)
    return Margins(tuple(words), above, below, has_epochs, has_name)


def frame_panel(chart: Chart, panel: Panel, edges: tuple[float, float, float, float]) -> tuple[Frame, list[int | None]]:
    """The frame of a panel between its edges (left, top, right, bottom), and the row of each of its marks."""
    left, top, right, bottom = edges
    width, height = right - left, bottom - top
    boxes = []
    for pin in panel.pins:
        x, extent = pin.x / chart.x_end * width, estimated_width(pin.text, SMALL) + 8
        boxes.append((x - extent, x) if x + extent > width else (x, x + extent))
    placed = rows(boxes, most=max(1, min(3, int(0.4 * height / ROW))))
    marks = [None if box[0] < 0 or width < 60 else row for box, row in zip(boxes, placed, strict=True)]
    used = max((row + 1 for row in marks if row is not None), default=0)
    low, high = limits(panel, min((used * ROW + 8) / height, 0.7))
    return Frame(left, top, right, bottom, chart.x_end, low, high, panel.log), marks


def limits(panel: Panel, room: float) -> tuple[float, float]:
    """The values at the lower and the upper edge, with `room` (a share of the height) left above the curves."""
    low, high = panel.low, panel.high
    if panel.log:
        decades = max(high / low, 10.0)
        return low / decades**0.04, high * decades ** (room / (1 - room) + 0.02)
    reach = high - low
    return low - 0.03 * reach, high + reach * (room / (1 - room) + 0.02)


def ticks(low: float, high: float, most: int, *, log: bool = False) -> list[float]:
    """At most about `most` round numbers between two ends: 1, 2 or 5 times a power of ten.

    On a logarithmic axis they are powers of ten, and with few of them twice and five times each as well.
    """
    if log:
        powers = range(floor(log10(low)), floor(log10(high)) + 1)
        factors = (1, 2, 5) if 3 * len(powers) <= most else (1,)
        stride = max(1, ceil(len(powers) / most))
        values = [float(f"{factor}e{power}") for power in powers if power % stride == 0 for factor in factors]
        return [value for value in values if low <= value <= high]
    rough = (high - low) / most
    unit = 10.0 ** floor(log10(rough))
    step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
    first = ceil(low / step - 1e-9)
    return [float(f"{index * step:.12g}") for index in range(first, floor(high / step + 1e-9) + 1)]


def panel_parts(
    panel: Panel, frame: Frame, marks: Sequence[int | None], steps: Sequence[float], style: Style
) -> Iterator[Part]:
    """Paper, grid, values, marks, curves and frame of one panel."""
    corner, extent = (frame.left, frame.top), (frame.right - frame.left, frame.bottom - frame.top)
    yield Box(corner, extent, fill=style.paper)
    for line in panel.lines:
        if line.low is not None:
            tint = blend(style.paper, line.colour, 0.14)
            yield Area(frame.x(line.x), frame.ys(line.y), frame.ys(line.low), tint)
    yield from value_axis(panel, frame, steps, style)
    yield from pin_parts(panel, frame, marks, style)
    for line in panel.lines:
        yield from line_parts(line, frame)
    if style.frame is not None and style.open:
        yield Segment((frame.left, frame.top), (frame.left, frame.bottom), style.frame)
        yield Segment((frame.left, frame.bottom), (frame.right, frame.bottom), style.frame)
    elif style.frame is not None:
        yield Box(corner, extent, outline=style.frame)
    pinned = [(pin.x, pin.y) for pin in panel.pins if pin.y is not None]
    for (x, _), y in zip(pinned, frame.ys([y for _, y in pinned]).tolist(), strict=True):
        if isfinite(y):
            yield Dot((frame.x(x), y), 3.2, style.ink)


def value_axis(panel: Panel, frame: Frame, steps: Sequence[float], style: Style) -> Iterator[Part]:
    """The name and the values of a panel to its left, and its grid."""
    height = frame.bottom - frame.top
    values = ticks(frame.low, frame.high, max(2, int(height // TICK_HEIGHT)), log=panel.log)
    heights = frame.ys(values).tolist()
    if style.grid is not None:
        for x in map(frame.x, steps):
            yield Segment((x, frame.top), (x, frame.bottom), style.grid)
        for y in heights:
            yield Segment((frame.left, y), (frame.right, y), style.grid)
    for value, y in zip(values, heights, strict=True):
        yield Words((frame.left - 6, y + 3.2), f"{value:.4g}", SMALL, style.ink, "end")
    if height > 30:
        name = shorten_middle(panel.title, PLAIN, height)
        yield Words((16, frame.top + height / 2), name, PLAIN, style.ink, "middle", turned=True)


def pin_parts(panel: Panel, frame: Frame, marks: Sequence[int | None], style: Style) -> Iterator[Part]:
    """Dotted lines, and on paper of their own the words for which a row has room."""
    for pin in panel.pins:
        if pin.y is None:
            x, colour = frame.x(float(pin.x)), WARNING if pin.warns else style.faint
            yield Segment((x, frame.top), (x, frame.bottom), colour, dotted=True)
    for pin, row in zip(panel.pins, marks, strict=True):
        if row is None:
            continue
        x, extent, y = frame.x(float(pin.x)), estimated_width(pin.text, SMALL), frame.top + row * ROW
        flips = x + extent + 8 > frame.right
        yield Box((x - 4 - extent if flips else x + 4, y + 2), (extent, ROW - 3), fill=style.paper)
        at = (x - 4 if flips else x + 4, y + 0.8 * ROW)
        yield Words(at, pin.text, SMALL, WARNING if pin.warns else style.faint, "end" if flips else "start")


def line_parts(line: Line, frame: Frame) -> Iterator[Part]:
    """A curve; from where on a metric decides, both bounds of it, dashed."""
    xs, ys = frame.x(line.x), frame.ys(line.y)
    if xs.size == 1 and isfinite(ys[0]):
        yield Dot((float(xs[0]), float(ys[0])), 3.2, line.colour)
    elif line.undecided is None or line.low is None:
        yield Stroke(xs, ys, line.colour)
    else:
        later = line.x > line.undecided
        yield Stroke(xs[~later], ys[~later], line.colour)
        yield Stroke(xs[later], ys[later], line.colour, dashed=True)
        yield Stroke(xs[later], frame.ys(line.low[later]), line.colour, 0.8, dashed=True)


def legend_width(panel: Panel) -> float:
    """How much the words beside a panel would like to have."""
    if len(panel.lines) == 1:
        return max(estimated_width(text, SMALL) for text in ("final", panel.lines[0].last())) + 10
    return max(estimated_width(legend_entry(line), SMALL) for line in panel.lines) + KEY + 6


def legend_entry(line: Line, *, brief: bool = False) -> str:
    """What a line is, and, unless it has to be brief, its highest and its last value."""
    finite = line.y[np.isfinite(line.y)]
    return line.label if brief or not finite.size else f"{line.label}   {finite.max():.3g} → {line.last(3)}"


def legend(panel: Panel, frame: Frame, beside: float, style: Style) -> Iterator[Part]:
    """The final value of a single line, if it fits beside the panel, or one entry for each of several lines.

    Entries go without their values where these do not fit; how many more there are stands where the height ends.
    """
    count, x, room = len(panel.lines), frame.right + 8, beside - KEY
    if count == 1:
        (y,) = frame.ys(panel.lines[0].y[-1:]).tolist()
        y = min(y, frame.bottom - 14) if isfinite(y) else frame.top + 10
        if legend_width(panel) <= beside:
            yield Words((x, y), "final", SMALL, style.faint)
            yield Words((x, y + 12), panel.lines[0].last(), SMALL, style.faint)
        return
    height = frame.bottom - frame.top
    spacing = max(min(SPACING, height / count), TIGHTEST)
    size = min(SMALL, 0.8 * spacing)
    fitting = max(1, int(height / spacing))
    listed = count if count <= fitting else fitting - 1
    brief = any(estimated_width(legend_entry(line), size) > room for line in panel.lines)
    for index, line in enumerate(panel.lines[:listed]):
        y = frame.top + spacing * (index + 0.7)
        yield Segment((x, y - 3), (x + 16, y - 3), line.colour, 2.0)
        yield Words((x + 21, y), shorten_middle(legend_entry(line, brief=brief), size, room), size, style.ink)
    if listed < count:
        words = shorten_middle(f"and {count - listed} more", size, room)
        yield Words((x + 21, frame.top + spacing * (listed + 0.7)), words, size, style.faint)


def epoch_axis(per_epoch: float, frame: Frame, style: Style) -> Iterator[Part]:
    """Epochs above the first panel."""
    most = max(1, int((frame.right - frame.left) // TICK_WIDTH))
    for epoch in ticks(0, frame.x_end / per_epoch, most):
        x = frame.x(epoch * per_epoch)
        yield Segment((x, frame.top - 4), (x, frame.top), style.faint)
        yield Words((x, frame.top - 7), short(epoch), SMALL, style.ink, "middle")
    yield Words(((frame.left + frame.right) / 2, frame.top - 21), "epoch", PLAIN, style.ink, "middle")
