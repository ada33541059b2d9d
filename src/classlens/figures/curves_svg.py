"""Curves as SVG text, in a few milliseconds and without a plotting package.

The drawing is that of `curves.py`: the same chart, rows for words, two horizontal axes. Lengths are in points.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from math import ceil, floor, isfinite, log10
from textwrap import wrap

import numpy as np

from classlens.figures.chart import Chart, Line, Panel, chart_of, entry, number, rows, short
from classlens.figures.style import DEFAULT, FAINT, STYLES, WARNING, Style
from classlens.schedule.replay import Curves

LETTER = 0.56
"""Mean width of a letter, as a share of its height."""

ROW = 14.0
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


@dataclass(frozen=True)
class Type:
    """How words look."""

    size: float = 10.0
    fill: str = "#1d2939"
    bold: bool = False


PLAIN, TITLE = Type(), Type(13.0, bold=True)
SMALL, SMALL_DARK, ALARM = Type(9.0, FAINT), Type(9.0), Type(9.0, WARNING)


@dataclass(frozen=True)
class Frame:
    """Where one panel is, and what its edges mean: x from 0 to `x_end`, y from `low` to `high`; `room` is what is left beside it."""

    left: float
    top: float
    width: float
    height: float
    x_end: float
    low: float
    high: float
    log: bool
    room: float

    def x(self, value: float) -> float:
        """Points from the left edge of the picture."""
        return self.left + value / self.x_end * self.width

    def y(self, value: float) -> float:
        """Points from the top edge of the picture."""
        return float(self.ys(np.array([value]))[0])

    def ys(self, values: np.ndarray) -> np.ndarray:
        """The same for many values; those that the axis cannot show are NaN."""
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (np.log10(values) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (values - self.low) / (self.high - self.low)
        return np.where(np.isfinite(share), self.top + self.height * (1 - share), np.nan)


def svg_of(
    runs: Sequence[Curves],
    *,
    title: str = "",
    style: str = DEFAULT,
    size: tuple[float, float] = (12.0, 7.0),
    log: bool = False,
) -> str:
    """The plot of one or several runs as SVG; `size` is (width, height) in inches, `style` one of `STYLES`."""
    chart, look = chart_of(runs, title=title, log=log), STYLES[style]
    width, height = size[0] * 72, size[1] * 72
    head = broken([(chart.title, TITLE), (chart.subtitle, SMALL)], width)
    foot = broken([("! " + finding, ALARM) for finding in chart.findings], width)
    axis = 34 if chart.per_epoch else 10
    top, bottom = 12 + 17 * len(head) + axis, height - 44 - 13 * len(foot)
    share = (bottom - top) / len(chart.panels)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0] * 96:.0f}" height="{size[1] * 96:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        *(text((width / 2, 20 + 17 * index), line, kind, "middle") for index, (line, kind) in enumerate(head)),
        *(text((8, height - 6 - 13 * (len(foot) - 1 - k)), line, kind) for k, (line, kind) in enumerate(foot)),
    ]
    for index, panel in enumerate(chart.panels):
        gap = 16 if index < len(chart.panels) - 1 else 0
        frame = frame_of(chart, panel, width, (top + index * share, max(share - gap, 20.0)))
        parts += draw_panel(chart, panel, frame, look)
        parts += x_axis(chart, frame, look, named=gap == 0)
        if index == 0 and chart.per_epoch:
            parts += epoch_axis(chart.per_epoch, frame)
    return "\n".join([*parts, "</svg>\n"])


def broken(lines: Sequence[tuple[str, Type]], width: float) -> list[tuple[str, Type]]:
    """Lines of text, broken to the width of the picture."""
    return [
        (part, kind)
        for line, kind in lines
        if line
        for part in wrap(line, max(20, int((width - 16) / (kind.size * LETTER))))
    ]


def text(
    at: tuple[float, float], words: str, kind: Type = PLAIN, anchor: str = "start", *, turned: bool = False
) -> str:
    """One line of text at (x, y)."""
    x, y = at
    turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
    bold = ' font-weight="bold"' if kind.bold else ""
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" font-size="{kind.size:g}" text-anchor="{anchor}" fill="{kind.fill}"{bold}{turn}>'
        f"{escape(words)}</text>"
    )


def segment(start: tuple[float, float], end: tuple[float, float], colour: str, extra: str = "") -> str:
    """One straight line."""
    (x1, y1), (x2, y2) = start, end
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{extra}/>'


def frame_of(chart: Chart, panel: Panel, width: float, rows_at: tuple[float, float]) -> Frame:
    """The frame of a panel between its legend and its axis; `rows_at` is (top, height)."""
    top, height = rows_at
    beside = min(max(legend_width(each) for each in chart.panels), width * 0.45)
    inner = max(width - 70 - beside, 60.0)
    used = max((row + 1 for row in places(panel, chart.x_end, inner) if row is not None), default=0)
    room = min((used * ROW + 8) / height, 0.7)
    low, high = panel.span
    if chart.log and high > 0:
        low = max(low, panel.lowest_positive)
        decades = max(high / low, 10.0)
        low, high = low / decades**0.04, high * decades ** (room / (1 - room) + 0.02)
    else:
        low = 0.0 if 0 <= low < 0.5 * high else low
        reach = (high - low) or abs(high) or 1.0
        if high == low:
            low, high = low - reach / 2, high + reach / 2
        low, high = low - 0.03 * reach, high + reach * (room / (1 - room) + 0.02)
    return Frame(62, top, inner, height, chart.x_end, low, high, chart.log and low > 0, beside)


def legend_width(panel: Panel) -> float:
    """How much the words to the right of the curves take."""
    if len(panel.lines) == 1:
        return 62.0
    return max(len(entry(line)) for line in panel.lines) * 9 * LETTER + 34


def places(panel: Panel, end: float, width: float) -> list[int | None]:
    """A row above the curves for the word of each pin."""
    boxes = []
    for pin in panel.pins:
        extent = (len(pin.text) * 9 * LETTER + 8) / width * end
        left = pin.x - extent if pin.x + extent > end else pin.x
        boxes.append((left, left + extent))
    return rows(boxes)


def draw_panel(chart: Chart, panel: Panel, frame: Frame, look: Style) -> Iterator[str]:
    """Paper, grid, values, marks, lines and legend of one panel."""
    left, top, width, height = frame.left, frame.top, frame.width, frame.height
    yield f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{look.paper}"/>'
    for value, label in value_ticks(frame):
        y = frame.y(value)
        if look.grid is not None:
            yield segment((left, y), (left + width, y), look.grid)
        yield text((left - 6, y + 3.2), label, SMALL_DARK, "end")
    yield text((14, top + height / 2), panel.title, PLAIN, "middle", turned=True)
    yield from draw_pins(chart, panel, frame)
    for line in panel.lines:
        yield path(line, frame)
    if look.frame is not None:
        yield (
            f'<rect x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" fill="none" '
            f'stroke="{look.frame}"/>'
        )
    yield from legend(panel, frame)


def draw_pins(chart: Chart, panel: Panel, frame: Frame) -> Iterator[str]:
    """Dotted lines, dots, and their words where a row has room."""
    for pin, row in zip(panel.pins, places(panel, chart.x_end, frame.width), strict=True):
        x, kind = frame.x(pin.x), ALARM if pin.warns else SMALL
        if pin.y is None:
            yield segment((x, frame.top), (x, frame.top + frame.height), kind.fill, ' stroke-dasharray="2 3"')
        elif isfinite(frame.y(pin.y)):
            yield f'<circle cx="{x:.1f}" cy="{frame.y(pin.y):.1f}" r="3.2" fill="#1d2939"/>'
        if row is not None:
            near_end = x + len(pin.text) * 9 * LETTER + 8 > frame.left + frame.width
            at = (x - 4 if near_end else x + 4, frame.top + (row + 0.8) * ROW)
            yield text(at, pin.text, kind, "end" if near_end else "start")


def path(line: Line, frame: Frame) -> str:
    """The curve itself, broken where it has no value."""
    xs, ys = frame.left + line.x / frame.x_end * frame.width, frame.ys(line.y)
    words, pen = [], "M"
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if isfinite(y):
            words.append(f"{pen}{x:.2f} {y:.2f}")
            pen = "L"
        else:
            pen = "M"
    return f'<path d="{"".join(words)}" fill="none" stroke="{line.colour}" stroke-width="1.6" stroke-linejoin="round"/>'


def legend(panel: Panel, frame: Frame) -> Iterator[str]:
    """What each line is, or, for a single one, its final value."""
    x = frame.left + frame.width + 8
    if len(panel.lines) == 1:
        last = float(panel.lines[0].y[-1])
        y = min(frame.y(last), frame.top + frame.height - 14) if isfinite(frame.y(last)) else frame.top + 10
        yield text((x, y), "final", SMALL)
        yield text((x, y + 12), number(last), SMALL)
        return
    spacing = min(14.0, frame.height / len(panel.lines))
    room = frame.room - 34
    fitting = room / LETTER / max(len(entry(line)) for line in panel.lines)
    brief = fitting < 6
    if brief:
        fitting = room / LETTER / max(len(line.label) for line in panel.lines)
    kind = Type(min(9.0, spacing * 0.8, fitting))
    for index, line in enumerate(panel.lines):
        y = frame.top + spacing * (index + 0.7)
        yield segment((x, y - 3), (x + 16, y - 3), line.colour, ' stroke-width="2"')
        yield text((x + 21, y), entry(line, brief=brief), kind)


def x_axis(chart: Chart, frame: Frame, look: Style, *, named: bool) -> Iterator[str]:
    """Steps (or epochs) below a panel."""
    bottom = frame.top + frame.height
    for value in ticks(0, chart.x_end, max(3, int(frame.width // 80))):
        x = frame.x(value)
        yield segment((x, bottom), (x, bottom + 4), look.frame or FAINT)
        if named:
            yield text((x, bottom + 16), short(value), SMALL_DARK, "middle")
    if named:
        yield text((frame.left + frame.width / 2, bottom + 32), chart.x_label, PLAIN, "middle")


def epoch_axis(per_epoch: float, frame: Frame) -> Iterator[str]:
    """Epochs above the first panel."""
    for value in ticks(0, frame.x_end / per_epoch, max(3, int(frame.width // 70))):
        x = frame.x(value * per_epoch)
        yield segment((x, frame.top - 4), (x, frame.top), FAINT)
        yield text((x, frame.top - 7), short(value), SMALL_DARK, "middle")
    yield text((frame.left + frame.width / 2, frame.top - 21), "epoch", PLAIN, "middle")


def value_ticks(frame: Frame) -> list[tuple[float, str]]:
    """Values to label on the vertical axis."""
    if not frame.log:
        return [(value, number(value)) for value in ticks(frame.low, frame.high, max(2, int(frame.height // 26)))]
    low, high = ceil(log10(frame.low)), floor(log10(frame.high))
    stride = max(1, ceil((high - low + 1) / max(2, frame.height // 24)))
    return [(10.0**power, f"1e{power}") for power in range(low, high + 1, stride)]


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten) between two ends."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    stride = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = ceil(low / stride - 1e-9)
    return [round(index * stride, 12) for index in range(first, floor(high / stride + 1e-9) + 1)]
