"""What a plot of curves shows, before anything is drawn: panels, lines, marks, words.

matplotlib, SVG, HTML and the terminal all draw the same `Chart`, so they show the same thing. Groups whose values
are equal share one line; the horizontal axis counts steps, or epochs where runs of different batch sizes meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from classlens.figures.style import colours
from classlens.schedule.replay import Curve, Curves

TITLES = {"lr": "learning rate", "momentum": "momentum", "weight_decay": "weight decay"}
LONGEST_LABEL = 46
MOST_FINDINGS = 4

FAR_APART = 50.0
"""Ratio of the peaks of two lines from which on the lower one would seem to be 0."""


@dataclass(frozen=True)
class Line:
    """One line: its points in the chart's units, and what to call it.

    From `undecided` on a metric decides, and the values lie between `low` and `y`.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    undecided: float | None = None
    low: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Pin:
    """A place on the horizontal axis with a word to it; `y` pins it to a point."""

    x: float
    text: str
    y: float | None = None
    warns: bool = False


@dataclass(frozen=True)
class Panel:
    """One hyper-parameter; `log` says that its values are on a logarithmic axis."""

    name: str
    lines: tuple[Line, ...]
    pins: tuple[Pin, ...]
    log: bool = False

    @property
    def title(self) -> str:
        return TITLES.get(self.name, self.name.replace("_", " "))

    @property
    def span(self) -> tuple[float, float]:
        """The lowest and the highest value that is drawn."""
        values = self.values
        return (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)

    @property
    def lowest_positive(self) -> float:
        """The lowest value that a logarithmic axis can show."""
        values = self.values[self.values > 0]
        return float(values.min()) if values.size else 1e-6

    @property
    def values(self) -> NDArray[np.float64]:
        """All that is drawn."""
        values = np.concatenate([part for line in self.lines for part in (line.y, line.low) if part is not None])
        return np.asarray(values[np.isfinite(values)])


@dataclass(frozen=True)
class Chart:
    """All that is drawn. `per_epoch` is how many x units make an epoch, None if there is no second axis."""

    title: str
    subtitle: str
    x_label: str
    x_end: float
    per_epoch: float | None
    panels: tuple[Panel, ...]
    findings: tuple[str, ...] = ()


def chart_of(runs: Sequence[Curves], *, title: str = "", log: bool | None = None) -> Chart:
    """Lay out one run, or several in one plot.

    Args:
        log: whether values are on a logarithmic axis; if None, where lines are too far apart for another one.

    Raises:
        ValueError: there is no run, or nothing in it.
    """
    if not runs or not any(len(run) for run in runs):
        raise ValueError("there is no curve to draw")
    lengths = {run.clock.steps_per_epoch for run in runs}
    in_epochs = len(lengths) > 1 and None not in lengths
    names = tuple(dict.fromkeys(name for run in runs for name in run.names))
    (per_epoch,) = lengths if len(lengths) == 1 else (None,)
    return Chart(
        title=title or (runs[0].title if len(runs) == 1 else f"{len(runs)} schedules compared"),
        subtitle=subtitle(runs),
        x_label="epoch" if in_epochs else "step",
        x_end=max(position(run, run.clock.steps, in_epochs=in_epochs) for run in runs),
        per_epoch=per_epoch,
        panels=tuple(scaled(panel(name, runs, in_epochs=in_epochs), log=log) for name in names),
        findings=told(runs),
    )


def scaled(panel: Panel, *, log: bool | None) -> Panel:
    """The panel on the axis that is asked for, or on the one on which every line can be seen."""
    peaks = [float(line.y[line.y > 0].max()) for line in panel.lines if np.any(line.y > 0)]
    apart = bool(peaks) and max(peaks) > FAR_APART * min(peaks)
    return replace(panel, log=(apart if log is None else log) and bool(peaks))


def subtitle(runs: Sequence[Curves]) -> str:
    """The length of the run, and how its steps were counted."""
    if len(runs) > 1:
        return ""
    (run,) = runs
    return f"{run.clock}" + (f"   ({run.clock.note})" if run.clock.note else "")


def told(runs: Sequence[Curves]) -> tuple[str, ...]:
    """The first few findings, each with the run that it is about where there are several, and how many more."""
    lines = [
        f"{run.title}: {finding.what}" if len(runs) > 1 and run.title else finding.what
        for run in runs
        for finding in run.findings
    ]
    more = len(lines) - MOST_FINDINGS
    return (*lines[:MOST_FINDINGS], f"and {more} more") if more > 0 else tuple(lines)


def position(run: Curves, step: float, *, in_epochs: bool) -> float:
    return step / (run.clock.steps_per_epoch or 1) if in_epochs else float(step)


def panel(name: str, runs: Sequence[Curves], *, in_epochs: bool) -> Panel:
    """The lines of one hyper-parameter; a single run's marks are pinned to it."""
    found = [(run, group) for run in runs for group in merged(run.named(name))]
    lines = []
    for (run, curves), colour in zip(found, colours(len(found)), strict=True):
        steps, values = curves[0].points
        x = np.array([position(run, step, in_epochs=in_epochs) for step in steps]) if in_epochs else steps.astype(float)
        label = label_of(run, curves, alone=len(merged(run.named(name))) == 1, several=len(runs) > 1)
        lines.append(Line(label, x, values, colour, *open_part(run, curves[0], in_epochs=in_epochs)))
    single = runs[0] if len(runs) == 1 and runs[0].named(name) else None
    return Panel(name, tuple(lines), () if single is None else pins(single, name))


def open_part(run: Curves, curve: Curve, *, in_epochs: bool) -> tuple[float | None, NDArray[np.float64] | None]:
    """From where on a metric decides, and the lowest that the values can be; None where nothing is open."""
    if curve.course.undecided is None:
        return None, None
    return position(run, curve.course.undecided.first, in_epochs=in_epochs), curve.lowest


def merged(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Curves with the same values together: groups that differ in something else."""
    together: dict[tuple[float, int], list[Curve]] = {}
    for curve in curves:
        together.setdefault((curve.group.initial[curve.name], id(curve.course)), []).append(curve)
    return sorted(together.values(), key=lambda each: -each[0].group.initial[each[0].name])


def label_of(run: Curves, curves: Sequence[Curve], *, alone: bool, several: bool) -> str:
    """What a line is called: the run where there are several, the group where there are several."""
    tensors = [curve.group.tensors for curve in curves]
    names = list(dict.fromkeys(curve.group.name for curve in curves))
    group = names[0] if len(names) == 1 else together(names)
    known = [count for count in tensors if count is not None]
    count = f" · {sum(known)} tensors" if known else ""
    parts = [run.title] if several else []
    parts += [] if alone and (several or len(names) == 1) else [shortened(group) + count]
    return "  ".join(parts) if parts else shortened(group)


def together(names: Sequence[str]) -> str:
    """What several groups of one line are called: what their names begin with, or the first and how many more."""
    heads = {name.partition(",")[0] for name in names}
    return heads.pop() if len(heads) == 1 else f"{names[0]} and {len(names) - 1} more"


def shortened(text: str) -> str:
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def pins(run: Curves, name: str) -> tuple[Pin, ...]:
    """Peak, findings and marks of one run, the more important first."""
    curve = max(run.named(name), key=lambda each: each.group.initial[each.name])
    step, value = curve.peak
    moves = curve.points[1][np.isfinite(curve.points[1])]
    found = [Pin(step, f"peak {value:.4g}", value)] if moves.size and moves.max() > moves.min() else []
    if (undecided := curve.course.undecided) is not None:
        found.append(Pin(undecided.first, f"{undecided} from here on; dashed: always, never improving"))
    mistakes = [finding for finding in run.findings if finding.name == name]
    found += [Pin(finding.step, finding.kind, warns=True) for finding in mistakes if finding.step is not None]
    epoch = run.clock.steps_per_epoch
    for mark in curve.course.marks:
        exact = run.clock.by_epoch and epoch and mark.step % epoch == 0
        found.append(Pin(mark.step, mark.what + (f" (epoch {mark.step // epoch})" if exact and epoch else "")))
    return tuple(found)


def rows(boxes: Sequence[tuple[float, float]], *, most: int = 3) -> list[int | None]:
    """A row for each label (left edge, right edge) so that none overlap; None where no row has room.

    The first labels are placed first, each in the lowest row that is free.
    """
    taken: list[list[tuple[float, float]]] = [[] for _ in range(most)]
    placed: list[int | None] = []
    for left, right in boxes:
        free = (row for row, others in enumerate(taken) if all(right <= a or left >= b for a, b in others))
        placed.append(next(free, None))
        if placed[-1] is not None:
            taken[placed[-1]].append((left, right))
    return placed


def entry(line: Line, *, brief: bool = False) -> str:
    """A line of the legend: what it is, and, unless it has to be brief, its highest and its last value."""
    finite = line.y[np.isfinite(line.y)]
    if brief or not finite.size:
        return line.label
    return f"{line.label}   {finite.max():.3g} → {last_value(line, 3)}"


def last_value(line: Line, digits: int = 4) -> str:
    """The value at the end, or its bounds where a metric decides."""
    ends = [line.y[-1]] if line.low is None else [line.low[-1], line.y[-1]]
    return " to ".join(f"{value:.{digits}g}" for value in ends)


def number(value: float) -> str:
    return f"{value:.4g}"


def short(value: float) -> str:
    """Steps for an axis: 0, 500, 20k, 1.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"
