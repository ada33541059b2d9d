"""Where everything of a plot goes: words, straight lines, boxes, dots, curves and areas, each at its place.

Lengths are in points (1/72 inch) from the top left corner of the picture. Each back end (pixels, SVG, PDF) knows how to
paint every one of these parts, in the order in which they are listed, and decides nothing else: all show one picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite, log10
from typing import Any, Literal, NamedTuple, TypeAlias, TypeVar

import numpy as np

from classlens.figures.chart import WARNING, Chart, Panel, Style, blend, short
from classlens.figures.text import break_lines, estimated_width, shorten_middle
from classlens.image import Image

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
    """An unbroken curve through points from left to right."""

    xs: Numbers
    ys: Numbers
    colour: str
    width: float = 1.6
    dashed: bool = False


class Area(NamedTuple):
    """A filled polygon."""

    xs: Numbers
    ys: Numbers
    colour: str


class Raster(NamedTuple):
    """A picture: (left, top), and the (width, height) that it is given."""

    at: Point
    size: Point
    image: Image


Part: TypeAlias = Words | Segment | Box | Dot | Stroke | Area | Raster


TITLE, PLAIN, SMALL = 13.0, 10.0, 9.0  # sizes of letters

ROW, HEAD_LINE, FOOT_LINE = 14.0, 17.0, 13.0  # heights of a row of marks, of a line of the head, and of the foot
STEPS, NAME, EPOCHS = 20.0, 15.0, 34.0  # heights of the values below the panels, their name, and the axis of epochs
TICK_WIDTH, TICK_HEIGHT = 66, 32  # about how far values on the axes are from each other
SPACING, TIGHTEST = 14.0, 7.0  # between the lines of a legend: the usual distance, and the least that can be read
ARROW = "→"
ROOMY, SMALLEST = (360.0, 252.0), 0.72  # below which size all is reduced, and by how much at most
READABLE = 7.0  # the least size of the name of an axis, before that is reduced
KEY = 29.0  # what a piece of the line itself takes in a legend, with its gaps


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
    """The plot in a picture of `size` (width, height) in points; later parts lie on earlier ones.

    What is to stand in a column of a paper is laid out as if it had more room, and reduced, letters and lines alike.
    """
    reduced = min(1.0, max(SMALLEST, min(size[0] / ROOMY[0], size[1] / ROOMY[1])))
    width, height = size = size[0] / reduced, size[1] / reduced
    around, above, below, has_epochs, has_name = lay_out_margins(chart, size, style)
    top = 12 + above
    share = (height - 8 - below - top) / len(chart.panels)
    most = max(2, int(share // TICK_HEIGHT))
    wanted, labels = [], []
    for panel in chart.panels:
        for room in (0.0, 0.4):  # what the words of marks take is not known yet
            values = ticks(*limits(panel, room), most, log=panel.log)
            labels += [estimated_width(f"{value:.4g}", SMALL) for value in values]
        gaps = 10 if len(panel.lines) == 1 else KEY + 6
        wanted.append(max(estimated_width(text, SMALL) for text in panel.legend) + gaps)
    left = 28 + max(labels, default=0.0)
    beside = min(max(wanted), 0.45 * width, width - left - 18)
    right = left + max(width - left - 8 - beside, 10.0)
    most = max(2 if right - left >= TICK_WIDTH else 1, int((right - left) // TICK_WIDTH))
    steps = ticks(0, chart.x_end, most)
    parts: list[Part] = [Box((0, 0), size, fill=style.page), *around]
    for index, panel in enumerate(chart.panels):
        start, gap = top + index * share, 0 if index == len(chart.panels) - 1 else 16
        bottom = start + max(share - gap, 10.0)
        frame = Frame(left, start, right, bottom, chart.x_end, panel.low, panel.high, panel.log)
        pins, rows = pin_parts(panel, frame, style)
        low, high = limits(panel, min((rows * ROW + 8) / (bottom - start), 0.7))
        frame = replace(frame, low=low, high=high)
        parts += [*axis_parts(panel, frame, steps, style), *pins, *curve_parts(panel, frame, style)]
        parts += legend(panel, frame, beside, style)
        edge = style.frame or style.faint
        parts += [Segment((x, bottom), (x, bottom + 4), edge) for x in map(frame.x, steps)]
        if index == 0 and has_epochs and chart.per_epoch:
            for epoch in ticks(0, chart.x_end / chart.per_epoch, most):
                x = frame.x(epoch * chart.per_epoch)
                parts.append(Segment((x, start - 4), (x, start), style.faint))
                parts.append(Words((x, start - 7), short(epoch), SMALL, style.ink, "middle"))
            parts.append(Words(((left + right) / 2, start - 21), "epoch", PLAIN, style.ink, "middle"))
    parts += [Words((frame.x(step), bottom + 16), short(step), SMALL, style.ink, "middle") for step in steps]
    if has_name:
        parts.append(Words(((left + right) / 2, bottom + 30), chart.axis, PLAIN, style.ink, "middle"))
    return parts if reduced == 1 else [scale_part(part, reduced) for part in parts]


def scale_part(part: Part, by: float) -> Part:
    """A part with all its lengths times `by`: they are floats, pairs, and arrays; words, colours and pictures are neither."""
    kind: Any = part
    lengths = (tuple(by * one for one in field) if isinstance(field, tuple) else field for field in part)
    scaled: Part = kind._make(one * by if isinstance(one, float | np.ndarray) else one for one in lengths)
    return scaled


def lay_out_margins(chart: Chart, size: Point, style: Style) -> tuple[list[Words], float, float, bool, bool]:
    """Words above and below the panels, the heights of both, and whether epochs and the name of the axis have room."""
    width, height = size
    titles = break_lines(chart.title, TITLE, width - 16, bold=True)
    findings = [line for one in chart.findings for line in break_lines(f"! {one}", SMALL, width - 16)]
    wanted = (
        ("title", HEAD_LINE, titles[:1]),
        ("name", NAME, (chart.axis,)),
        ("findings", FOOT_LINE, findings),
        ("epochs", EPOCHS, ("epoch",) if chart.per_epoch else ()),
        ("more", HEAD_LINE, titles[1:]),
        ("counted", HEAD_LINE, break_lines(chart.subtitle, SMALL, width - 16)),
    )
    room = min(0.6 * height, height - 40 * min(len(chart.panels), 3)) - 12 - STEPS
    kept = dict[str, list[str]]()  # the more important first
    for kind, cost, lines in wanted:
        fitting = max(0, int(room // cost))
        if kind == "counted" and len(lines) > fitting:  # whole, or the length of the run alone
            lines = break_lines(chart.subtitle.partition("   (")[0], SMALL, width - 16)
            lines = lines if len(lines) <= fitting else ()
        kept[kind] = list(lines[:fitting])
        room -= cost * len(kept[kind])
    head, counted, foot = kept["title"] + kept["more"], kept["counted"], kept["findings"]
    if foot and len(foot) < len(findings):
        foot[-1] = shorten_middle(f"{foot[-1]} …", SMALL, width - 16)
    words = []
    for row, line in enumerate([*head, *counted]):
        looks = (TITLE, style.ink) if row < len(head) else (SMALL, style.faint)
        words.append(Words((width / 2, 20 + HEAD_LINE * row), line, *looks, "middle", bold=row < len(head)))
    for row, line in enumerate(reversed(foot)):
        words.append(Words((8, height - 6 - FOOT_LINE * row), line, SMALL, WARNING))
    above = HEAD_LINE * len(head + counted) + (EPOCHS if kept["epochs"] else 8.0)
    below = STEPS + NAME * len(kept["name"]) + FOOT_LINE * len(foot)
    return words, above, below, bool(kept["epochs"]), bool(kept["name"])


def limits(panel: Panel, room: float) -> Point:
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
    for share in (most, most + 1):  # one value alone says nothing about an axis
        rough = (high - low) / share
        unit = 10.0 ** floor(log10(rough))
        step = next(factor * unit for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
        first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
        if most < 2 or last > first:
            break
    return [float(f"{index * step:.12g}") for index in range(first, last + 1)]


def pin_parts(panel: Panel, frame: Frame, style: Style) -> tuple[list[Part], int]:
    """Dotted lines, the words for which a row has room, the first pins first, and how many rows that takes."""
    lines: list[Part] = []
    words: list[Part] = []
    used = 0
    taken: list[list[Point]] = [[] for _ in range(max(1, min(3, int(0.4 * (frame.bottom - frame.top) / ROW))))]
    for pin in panel.pins:
        x, extent = frame.x(float(pin.x)), estimated_width(pin.text, SMALL) + 8
        colour, flips = WARNING if pin.warns else style.faint, x + extent > frame.right
        if pin.y is None:
            lines.append(Segment((x, frame.top), (x, frame.bottom), colour, dotted=True))
        start, stop = (x - extent, x) if flips else (x, x + extent)
        free = (row for row, others in enumerate(taken) if all(stop <= a or start >= b for a, b in others))
        if (row := next(free, None)) is None:
            continue
        taken[row].append((start, stop))
        if start >= frame.left and frame.right - frame.left >= 60:
            used, y = max(used, row + 1), frame.top + row * ROW
            words.append(Box((start + 4, y + 2), (extent - 8, ROW - 3), fill=style.paper))
            at = (stop - 4 if flips else start + 4, y + 0.8 * ROW)
            words.append(Words(at, pin.text, SMALL, colour, "end" if flips else "start"))
    return [*lines, *words], used


def axis_parts(panel: Panel, frame: Frame, steps: Sequence[float], style: Style) -> Iterator[Part]:
    """The paper of a panel, what is shaded, the grid, and to the left the name and the values."""
    left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
    yield Box((left, top), (right - left, bottom - top), fill=style.paper)
    for line in panel.lines:
        if line.low is not None:
            upper, lower = frame.ys(line.y), frame.ys(line.low)
            known = np.isfinite(upper) & np.isfinite(lower)
            xs, ys = frame.x(line.x)[known], np.append(upper[known], lower[known][::-1])
            yield Area(np.append(xs, xs[::-1]), ys, blend(style.paper, line.colour, 0.14))
    values = ticks(frame.low, frame.high, max(2, int((bottom - top) // TICK_HEIGHT)), log=panel.log)
    heights = frame.ys(values).tolist()
    if style.grid is not None:
        yield from (Segment((x, top), (x, bottom), style.grid) for x in map(frame.x, steps))
        yield from (Segment((left, y), (right, y), style.grid) for y in heights)
    for value, y in zip(values, heights, strict=True):
        yield Words((left - 6, y + 3.2), f"{value:.4g}", SMALL, style.ink, "end")
    if bottom - top > 30:
        size = max(READABLE, min(PLAIN, PLAIN * (bottom - top) / estimated_width(panel.title, PLAIN)))
        name = next(iter(break_lines(panel.title, size, bottom - top)), "")
        yield Words((16, (top + bottom) / 2), name, size, style.ink, "middle", turned=True)


def curve_parts(panel: Panel, frame: Frame, style: Style) -> Iterator[Part]:
    """The curves, dashed where a metric decides; the frame over them; dots where points are pinned."""
    strokes = []
    for line in panel.lines:
        xs, ys = frame.x(line.x), frame.ys(line.y)
        later = line.x > (np.inf if line.undecided is None else line.undecided)
        strokes.append(Stroke(xs[~later], ys[~later], line.colour))
        if line.low is not None:
            strokes.append(Stroke(xs[later], ys[later], line.colour, dashed=True))
            strokes.append(Stroke(xs[later], frame.ys(line.low[later]), line.colour, 0.8, dashed=True))
        if xs.size == 1 and isfinite(ys[0]):
            yield Dot((float(xs[0]), float(ys[0])), 3.2, line.colour)
    for stroke in strokes:
        edges = np.flatnonzero(np.diff(np.isfinite(stroke.ys), prepend=False, append=False))
        for first, last in edges.reshape(-1, 2).tolist():
            if last - first > 1:
                yield stroke._replace(xs=stroke.xs[first:last], ys=stroke.ys[first:last])
    left, top, right, bottom = frame.left, frame.top, frame.right, frame.bottom
    if style.frame is not None:
        sides = Segment((left, top), (left, bottom), style.frame), Segment((left, bottom), (right, bottom), style.frame)
        yield from sides if style.open else [Box((left, top), (right - left, bottom - top), outline=style.frame)]
    pinned = [(pin.x, pin.y) for pin in panel.pins if pin.y is not None]
    for (x, _), y in zip(pinned, frame.ys([y for _, y in pinned]).tolist(), strict=True):
        if isfinite(y):
            yield Dot((frame.x(x), y), 3.2, style.ink)


def legend(panel: Panel, frame: Frame, beside: float, style: Style) -> Iterator[Part]:
    """The final value of a single line, if it fits beside the panel, or one entry for each of several lines.

    Entries go without their values where these do not fit; how many more there are stands where the height ends.
    """
    count, x, room = len(panel.lines), frame.right + 8, beside - KEY
    if count == 1:
        (y,) = frame.ys(panel.lines[0].y[-1:]).tolist()
        y = min(y, frame.bottom - 14) if isfinite(y) else frame.top + 10
        if max(estimated_width(text, SMALL) for text in panel.legend) + 10 <= beside:
            yield from (Words((x, y + 12 * row), text, SMALL, style.faint) for row, text in enumerate(panel.legend))
        return
    height = frame.bottom - frame.top
    spacing = max(min(SPACING, height / count), TIGHTEST)
    size = min(SMALL, 0.8 * spacing)
    fitting = max(1, int(height / spacing))
    listed = count if count <= fitting else fitting - 1
    is_brief = any(estimated_width(entry, size) > room for entry in panel.legend)
    if not is_brief and any(ARROW in entry for entry in panel.legend):
        yield Words((x + 21, frame.top - 3), f"start {ARROW} peak {ARROW} end", size, style.faint)
    for index, (line, entry) in enumerate(zip(panel.lines[:listed], panel.legend, strict=False)):
        y = frame.top + spacing * (index + 0.7)
        yield Segment((x, y - 3), (x + 16, y - 3), line.colour, 2.0)
        yield Words((x + 21, y), shorten_middle(line.label if is_brief else entry, size, room), size, style.ink)
    if listed < count:
        words = shorten_middle(f"and {count - listed} more", size, room)
        yield Words((x + 21, frame.top + spacing * (listed + 0.7)), words, size, style.faint)
