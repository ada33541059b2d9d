"""Where everything of a plot goes, so that no word lies on another: laid out once, for SVG and for pixels alike.

From the top: title, how the steps were counted, the axis of epochs, one panel per hyper-parameter with rows for the
words of its marks above the curves, the axis of steps, the findings; beside the panels, what each line is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isfinite

from classlens.figures.chart import Chart, Line, Panel, number, rows, short
from classlens.figures.frame import Frame, limits, log_ticks, ticks
from classlens.figures.legend import final_value, legend, legend_width
from classlens.figures.metrics import broken, shortened, width_of
from classlens.figures.primitives import Area, Box, Dot, Primitive, Segment, Stroke, Words
from classlens.figures.style import FAINT, INK, STYLES, WARNING, Style, tinted

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
        foot[-1] = shortened(f"{foot[-1]} …", SMALL, width - 16)
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
    return 28 + max((width_of(label, SMALL) for label in labels), default=0.0)


def framed(chart: Chart, panel: Panel, place: tuple[float, float, float, float]) -> tuple[Frame, list[int | None]]:
    """The frame of a panel at (left, top, width, height), and the row of each of its marks."""
    left, top, width, height = place
    boxes = []
    for pin in panel.pins:
        x, extent = pin.x / chart.x_end * width, width_of(pin.text, SMALL) + 8
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
        name = shortened(panel.title, PLAIN, frame.height)
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
        x, extent, y = frame.x(pin.x), width_of(pin.text, SMALL), frame.top + row * ROW
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
    """Steps (or epochs) to write below a panel."""
    return ticks(0, frame.x_end, max(1, int(frame.width // TICK_WIDTH)))


def epoch_axis(per_epoch: float, frame: Frame) -> Iterator[Primitive]:
    """Epochs above the first panel."""
    for value in ticks(0, frame.x_end / per_epoch, max(1, int(frame.width // TICK_WIDTH))):
        x = frame.x(value * per_epoch)
        yield Segment((x, frame.top - 4), (x, frame.top), FAINT)
        yield Words((x, frame.top - 7), short(value), SMALL, INK, "middle")
    yield Words((frame.left + frame.width / 2, frame.top - 21), "epoch", PLAIN, INK, "middle")
