"""What a plot is drawn with: words, straight lines, boxes, dots, curves and areas, each at its place.

Lengths are in points (1/72 inch) from the top left corner of the picture. `curves_svg.py` and `curves_raster.py` each
know how to put every one of them down, in the order in which they are listed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite, log10
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from classlens.figures.chart import Chart, Line, Panel, entry, last_value, number, rows, short
from classlens.figures.style import FAINT, INK, STYLES, WARNING, Style, tinted
from classlens.figures.text import broken, estimated_width, shortened_in_the_middle

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Point: TypeAlias = tuple[float, float]


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


Primitive: TypeAlias = Words | Segment | Box | Dot | Stroke | Area


@dataclass(frozen=True)
class Frame:
    """Where one panel is, and what its edges mean: x from 0 to `x_end`, y from `low` to `high`; lengths in points."""

    left: float
    top: float
    width: float
    height: float
    x_end: float
    low: float
    high: float
    log: bool

    @property
    def right(self) -> float:
        return self.left + self.width

    @property
    def bottom(self) -> float:
        return self.top + self.height

    def x(self, value: float) -> float:
        return self.left + value / self.x_end * self.width

    def xs(self, values: Numbers) -> Numbers:
        return self.left + values / self.x_end * self.width

    def y(self, value: float) -> float:
        return float(self.ys(np.array([value]))[0])

    def ys(self, values: Numbers) -> Numbers:
        """The same for many values; those that the axis cannot show are NaN."""
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (np.log10(values) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (values - self.low) / (self.high - self.low)
        return np.where(np.isfinite(share), self.top + self.height * (1 - share), np.nan)


def limits(panel: Panel, room: float) -> tuple[float, float]:
    """The values at the lower and the upper edge, with `room` (a share of the height) left above the curves."""
    low, high = panel.span
    if panel.log:
        low = max(low, panel.lowest_positive)
        decades = max(high / low, 10.0)
        return low / decades**0.04, high * decades ** (room / (1 - room) + 0.02)
    low = 0.0 if 0 <= low < 0.5 * high else low
    if high == low:
        reach = abs(high) or 1.0
        low, high = low - reach / 2, high + reach / 2
    reach = high - low
    return low - 0.03 * reach, high + reach * (room / (1 - room) + 0.02)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten) between two ends."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    stride = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = ceil(low / stride - 1e-9)
    return [float(f"{index * stride:.12g}") for index in range(first, floor(high / stride + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` powers of ten between two ends; with few of them, twice and five times each as well."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    factors = (1, 2, 5) if 3 * len(powers) <= most else (1,)
    stride = max(1, ceil(len(powers) / most))
    found = [float(f"{factor}e{power}") for power in powers if power % stride == 0 for factor in factors]
    return [value for value in found if low <= value <= high]


SIZE = 9.0
SPACING, TIGHTEST = 14.0, 7.0
"""Distances between the lines of a legend: the usual one, and the least that can be read."""

KEY = 29.0
"""What a piece of the line itself takes, with its gaps."""


def legend_width(panel: Panel) -> float:
    """How much the words beside a panel would like to have."""
    if len(panel.lines) == 1:
        return max(estimated_width(last_value(panel.lines[0]), SIZE), estimated_width("final", SIZE)) + 10
    return max(estimated_width(entry(line), SIZE) for line in panel.lines) + KEY + 6


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
    brief = any(estimated_width(entry(line), size) > room for line in panel.lines)
    for index, line in enumerate(panel.lines[:shown]):
        y = frame.top + spacing * (index + 0.7)
        yield Segment((x, y - 3), (x + 16, y - 3), line.colour, 2.0)
        yield Words((x + 21, y), shortened_in_the_middle(entry(line, brief=brief), size, room), size, INK)
    if shown < count:
        words = shortened_in_the_middle(f"and {count - shown} more", size, room)
        yield Words((x + 21, frame.top + spacing * (shown + 0.7)), words, size, FAINT)


TITLE, PLAIN, SMALL = 13.0, 10.0, 9.0
"""Sizes of letters."""

ROW, HEAD_LINE, FOOT_LINE = 14.0, 17.0, 13.0
"""Heights of a row of marks, of a line of the head, and of a line of the foot."""

STEPS, NAME, EPOCHS = 20.0, 15.0, 34.0
"""Heights of the values below the panels, of what they count, and of the axis of epochs."""

TICK_WIDTH, TICK_HEIGHT = 66, 32
"""About how far values on the axes are from each other."""

Size = tuple[float, float]


def laid_out(chart: Chart, size: Size, style: str) -> list[Primitive]:
    """The plot in a picture of `size` (width, height) in points, in one of `STYLES`; later parts lie on earlier ones."""
    look, (width, height) = STYLES[style], size
    around = surroundings(chart, size)
    top, bottom = 12 + around.above, height - 8 - around.below
    share = (bottom - top) / len(chart.panels)
    left, beside = value_width(chart, share), min(max(map(legend_width, chart.panels)), 0.45 * width)
    parts: list[Primitive] = [Box((0, 0), size, fill="#ffffff"), *around.words]
    for index, panel in enumerate(chart.panels):
        last = index == len(chart.panels) - 1
        place = (
            left,
            top + index * share,
            max(width - left - 8 - beside, 10.0),
            max(share - (0 if last else 16), 10.0),
        )
        frame, marks = framed(chart, panel, place)
        parts += draw_panel(panel, frame, marks, look)
        parts += legend(panel, frame, beside) if len(panel.lines) > 1 else final_value(panel, frame, beside)
        parts += step_axis(frame, look, chart.x_label if around.named else "") if last else step_marks(frame, look)
        if index == 0 and chart.per_epoch and around.epochs:
            parts += epoch_axis(chart.per_epoch, frame)
    return parts


@dataclass(frozen=True)
class Surroundings:
    """What stands above and below the panels, and how high it is; small pictures go without some of it."""

    words: tuple[Words, ...]
    above: float
    below: float
    epochs: bool
    named: bool


def surroundings(chart: Chart, size: Size) -> Surroundings:
    """As much as fits into 60 % of the height, the more important first: title, findings, axes, how steps were counted."""
    width, height = size
    titles = [(line, TITLE, INK, True) for line in broken(chart.title, TITLE, width - 16, bold=True)]
    counted = [(line, SMALL, FAINT, False) for line in broken(chart.subtitle, SMALL, width - 16)]
    found = [line for finding in chart.findings for line in broken(f"! {finding}", SMALL, width - 16)]
    left = 0.6 * height - 12 - STEPS

    def taken(cost: float) -> bool:
        nonlocal left
        fits = cost <= left
        left -= cost if fits else 0
        return fits

    title = [line for line in titles[:1] if taken(HEAD_LINE)]
    named = taken(NAME)
    foot = [line for line in found if taken(FOOT_LINE)]
    if foot and len(foot) < len(found):
        foot[-1] = shortened_in_the_middle(f"{foot[-1]} …", SMALL, width - 16)
    epochs = bool(chart.per_epoch) and taken(EPOCHS)
    head = title + [line for line in titles[1:] if taken(HEAD_LINE)]
    head += [line for line in counted if taken(HEAD_LINE)]
    words = [
        Words((width / 2, 20 + HEAD_LINE * index), line, letters, colour, "middle", bold)
        for index, (line, letters, colour, bold) in enumerate(head)
    ]
    words += [
        Words((8, height - 6 - FOOT_LINE * (len(foot) - 1 - index)), line, SMALL, WARNING)
        for index, line in enumerate(foot)
    ]
    above = HEAD_LINE * len(head) + (EPOCHS if epochs else 8.0)
    return Surroundings(tuple(words), above, STEPS + (NAME if named else 0) + FOOT_LINE * len(foot), epochs, named)


def value_width(chart: Chart, height: float) -> float:
    """What the values and the titles take to the left of the panels."""
    labels = [
        number(value)
        for panel in chart.panels
        for room in (0.0, 0.4)  # what the words of marks take is not known yet
        for value in (log_ticks if panel.log else ticks)(*limits(panel, room), max(2, int(height // TICK_HEIGHT)))
    ]
    return 28 + max((estimated_width(label, SMALL) for label in labels), default=0.0)


def framed(chart: Chart, panel: Panel, place: tuple[float, float, float, float]) -> tuple[Frame, list[int | None]]:
    """The frame of a panel at (left, top, width, height), and the row of each of its marks."""
    left, top, width, height = place
    boxes = []
    for pin in panel.pins:
        x, extent = pin.x / chart.x_end * width, estimated_width(pin.text, SMALL) + 8
        boxes.append((x - extent, x) if x + extent > width else (x, x + extent))
    placed = rows(boxes, most=max(1, min(3, int(0.4 * height / ROW))))
    marks = [None if box[0] < 0 or width < 60 else row for box, row in zip(boxes, placed, strict=True)]
    used = max((row + 1 for row in marks if row is not None), default=0)
    low, high = limits(panel, min((used * ROW + 8) / height, 0.7))
    return Frame(left, top, width, height, chart.x_end, low, high, panel.log), marks


def draw_panel(panel: Panel, frame: Frame, marks: Sequence[int | None], look: Style) -> Iterator[Primitive]:
    """Paper, grid, values, marks, curves and frame of one panel."""
    yield Box((frame.left, frame.top), (frame.width, frame.height), fill=look.paper)
    for line in panel.lines:
        if line.low is not None:
            yield Area(frame.xs(line.x), frame.ys(line.y), frame.ys(line.low), tinted(line.colour, look.paper))
    yield from value_axis(panel, frame, look)
    yield from draw_pins(panel, frame, marks, look)
    for line in panel.lines:
        yield from draw_line(line, frame)
    yield from edges(frame, look)
    for pin in panel.pins:
        if pin.y is not None and isfinite(frame.y(pin.y)):
            yield Dot((frame.x(pin.x), frame.y(pin.y)), 3.2, INK)


def value_axis(panel: Panel, frame: Frame, look: Style) -> Iterator[Primitive]:
    """The name and the values of a panel to its left, and its grid."""
    most = max(2, int(frame.height // TICK_HEIGHT))
    values = (log_ticks if panel.log else ticks)(frame.low, frame.high, most)
    if look.grid is not None:
        for x in map(frame.x, step_ticks(frame)):
            yield Segment((x, frame.top), (x, frame.bottom), look.grid)
        for y in map(frame.y, values):
            yield Segment((frame.left, y), (frame.right, y), look.grid)
    for value in values:
        yield Words((frame.left - 6, frame.y(value) + 3.2), number(value), SMALL, INK, "end")
    if frame.height > 30:
        name = shortened_in_the_middle(panel.title, PLAIN, frame.height)
        yield Words((16, frame.top + frame.height / 2), name, PLAIN, INK, "middle", turned=True)


def draw_line(line: Line, frame: Frame) -> Iterator[Primitive]:
    """A curve; from where on a metric decides, both bounds of it, dashed."""
    xs, ys = frame.xs(line.x), frame.ys(line.y)
    if xs.size == 1 and isfinite(ys[0]):
        yield Dot((float(xs[0]), float(ys[0])), 3.2, line.colour)
    elif line.undecided is None or line.low is None:
        yield Stroke(xs, ys, line.colour)
    else:
        open_part = line.x > line.undecided
        yield Stroke(xs[~open_part], ys[~open_part], line.colour)
        yield Stroke(xs[open_part], ys[open_part], line.colour, dashed=True)
        yield Stroke(xs[open_part], frame.ys(line.low[open_part]), line.colour, 0.8, dashed=True)


def edges(frame: Frame, look: Style) -> Iterator[Primitive]:
    """The frame of a panel, whole or open."""
    if look.frame is not None and look.open:
        yield Segment((frame.left, frame.top), (frame.left, frame.bottom), look.frame)
        yield Segment((frame.left, frame.bottom), (frame.right, frame.bottom), look.frame)
    elif look.frame is not None:
        yield Box((frame.left, frame.top), (frame.width, frame.height), outline=look.frame)


def draw_pins(panel: Panel, frame: Frame, marks: Sequence[int | None], look: Style) -> Iterator[Primitive]:
    """Dotted lines, and on paper of their own the words for which a row has room."""
    for pin in panel.pins:
        if pin.y is None:
            colour = WARNING if pin.warns else FAINT
            yield Segment((frame.x(pin.x), frame.top), (frame.x(pin.x), frame.bottom), colour, dotted=True)
    for pin, row in zip(panel.pins, marks, strict=True):
        if row is None:
            continue
        x, extent, y = frame.x(pin.x), estimated_width(pin.text, SMALL), frame.top + row * ROW
        flips = x + extent + 8 > frame.right
        yield Box((x - 4 - extent if flips else x + 4, y + 2), (extent, ROW - 3), fill=look.paper)
        at = (x - 4 if flips else x + 4, y + 0.8 * ROW)
        yield Words(at, pin.text, SMALL, WARNING if pin.warns else FAINT, "end" if flips else "start")


def step_axis(frame: Frame, look: Style, name: str) -> Iterator[Primitive]:
    """Steps (or epochs) below the last panel."""
    yield from step_marks(frame, look)
    for value in step_ticks(frame):
        yield Words((frame.x(value), frame.bottom + 16), short(value), SMALL, INK, "middle")
    yield Words((frame.left + frame.width / 2, frame.bottom + 30), name, PLAIN, INK, "middle")


def step_marks(frame: Frame, look: Style) -> Iterator[Primitive]:
    """Where the steps of the axis are."""
    for x in map(frame.x, step_ticks(frame)):
        yield Segment((x, frame.bottom), (x, frame.bottom + 4), look.frame or FAINT)


def step_ticks(frame: Frame) -> list[float]:
    return ticks(0, frame.x_end, max(1, int(frame.width // TICK_WIDTH)))


def epoch_axis(per_epoch: float, frame: Frame) -> Iterator[Primitive]:
    """Epochs above the first panel."""
    for value in ticks(0, frame.x_end / per_epoch, max(1, int(frame.width // TICK_WIDTH))):
        x = frame.x(value * per_epoch)
        yield Segment((x, frame.top - 4), (x, frame.top), FAINT)
        yield Words((x, frame.top - 7), short(value), SMALL, INK, "middle")
    yield Words((frame.left + frame.width / 2, frame.top - 21), "epoch", PLAIN, INK, "middle")
