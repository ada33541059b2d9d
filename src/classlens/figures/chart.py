"""What a plot of curves shows, before anything is drawn: panels, lines, marks, words.

Pictures, pages and the terminal all show the same `Chart`. Groups whose values are equal share one line; the
horizontal axis counts steps, or epochs where runs of different batch sizes meet.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from classlens.figures.style import line_colours
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

    def last(self, digits: int = 4) -> str:
        """The value at the end, or its bounds where a metric decides."""
        ends = [self.y[-1]] if self.low is None else [self.low[-1], self.y[-1]]
        return " to ".join(f"{value:.{digits}g}" for value in ends)


@dataclass(frozen=True)
class Pin:
    """A place on the horizontal axis with a word to it; `y` pins it to a point."""

    x: float
    text: str
    y: float | None = None
    warns: bool = False


@dataclass(frozen=True)
class Panel:
    """One hyper-parameter. The axis has to show values from `low` to `high`; `log` says that it is logarithmic."""

    title: str
    lines: tuple[Line, ...]
    pins: tuple[Pin, ...]
    low: float
    high: float
    log: bool = False


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
    """The chart of one run, or of several in one plot.

    Args:
        log: whether values are on a logarithmic axis; if None, where lines are too far apart for another one.

    Raises:
        ValueError: there is no run, or nothing in it.
    """
    if not any(run.curves for run in runs):
        raise ValueError("there is no curve to draw")
    lengths = {run.clock.steps_per_epoch for run in runs}
    in_epochs = len(lengths) > 1 and None not in lengths
    units = [(run.clock.steps_per_epoch or 1) if in_epochs else 1 for run in runs]
    names = dict.fromkeys(name for run in runs for name in run.names)
    subtitle = ""
    if len(runs) == 1:
        clock = runs[0].clock
        subtitle = f"{clock}" + (f"   ({clock.note})" if clock.note else "")
    findings = [
        f"{run.title}: {finding.what}" if len(runs) > 1 and run.title else finding.what
        for run in runs
        for finding in run.findings
    ]
    if len(findings) > MOST_FINDINGS:
        findings[MOST_FINDINGS:] = [f"and {len(findings) - MOST_FINDINGS} more"]
    return Chart(
        title=title or (runs[0].title if len(runs) == 1 else f"{len(runs)} schedules compared"),
        subtitle=subtitle,
        x_label="epoch" if in_epochs else "step",
        x_end=max(run.clock.steps / unit for run, unit in zip(runs, units, strict=True)),
        per_epoch=lengths.pop() if len(lengths) == 1 else None,
        panels=tuple(panel_of(name, runs, units, log=log) for name in names),
        findings=tuple(findings),
    )


def panel_of(name: str, runs: Sequence[Curves], units: Sequence[int], *, log: bool | None) -> Panel:
    """The lines of one hyper-parameter, each run in its unit of so many steps; the marks of a single run are pinned."""
    merged = [merge_equal(run.named(name)) for run in runs]
    every = [(*of_run, curves) for of_run in zip(runs, units, merged, strict=True) for curves in of_run[2]]
    lines = []
    for (run, unit, siblings, curves), colour in zip(every, line_colours(len(every)), strict=True):
        label = label_of(run, curves, alone=len(siblings) == 1, several=len(runs) > 1)
        (steps, values), undecided = curves[0].points, curves[0].trajectory.undecided
        bounds = () if undecided is None else (undecided.first / unit, curves[0].lowest)
        lines.append(Line(label, steps / unit, values, colour, *bounds))
    pins = pins_of(runs[0], name) if len(runs) == 1 else ()
    peaks = [float(line.y[line.y > 0].max()) for line in lines if np.any(line.y > 0)]
    if log is None:
        log = bool(peaks) and max(peaks) > FAR_APART * min(peaks)
    return Panel(TITLES.get(name, name.replace("_", " ")), tuple(lines), pins, *span_of(lines, log=log and bool(peaks)))


def span_of(lines: Sequence[Line], *, log: bool) -> tuple[float, float, bool]:
    """The lowest and the highest value that an axis has to show; it begins at 0 unless values are far from that."""
    values = np.concatenate([part for line in lines for part in (line.y, line.low) if part is not None])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if log:
        return float(values[values > 0].min()), high, log
    low = 0.0 if 0 <= low < 0.5 * high else low
    reach = 0.0 if high > low else abs(high) or 1.0
    return low - reach / 2, high + reach / 2, log


def merge_equal(curves: Sequence[Curve]) -> list[list[Curve]]:
    """Curves with the same values together, the highest first: groups that differ in something else."""
    together: dict[tuple[float, int], list[Curve]] = {}
    for curve in curves:
        together.setdefault((curve.group.initial[curve.name], id(curve.trajectory)), []).append(curve)
    return sorted(together.values(), key=lambda each: -each[0].group.initial[each[0].name])


def label_of(run: Curves, curves: Sequence[Curve], *, alone: bool, several: bool) -> str:
    """What a line is called: the run where there are several, the group where there are several."""
    names = list(dict.fromkeys(curve.group.name for curve in curves))
    beginnings = {name.partition(",")[0] for name in names}
    group = names[0]
    if len(names) > 1:
        group = beginnings.pop() if len(beginnings) == 1 else f"{names[0]} and {len(names) - 1} more"
    if len(group) > LONGEST_LABEL:
        group = group[: LONGEST_LABEL - 1] + "…"
    counts = [curve.group.tensors for curve in curves if curve.group.tensors is not None]
    parts = [run.title] if several else []
    if not alone or (len(names) > 1 and not several):
        parts.append(group + (f" · {sum(counts)} tensors" if counts else ""))
    return "  ".join(parts) if parts else group


def pins_of(run: Curves, name: str) -> tuple[Pin, ...]:
    """Peak, findings and marks of one run, the more important first."""
    curve = max(run.named(name), key=lambda each: each.group.initial[each.name])
    values = curve.points[1][np.isfinite(curve.points[1])]
    pins = []
    if values.size and values.max() > values.min():
        step, value = curve.peak
        pins.append(Pin(step, f"peak {value:.4g}", value))
    if (undecided := curve.trajectory.undecided) is not None:
        pins.append(Pin(undecided.first, f"{undecided} from here on; dashed: always, never improving"))
    pins += [
        Pin(finding.step, finding.kind, warns=True)
        for finding in run.findings
        if finding.name == name and finding.step is not None
    ]
    epoch = run.clock.steps_per_epoch
    for mark in curve.trajectory.marks:
        ends_epoch = run.clock.by_epoch and epoch and mark.step % epoch == 0
        pins.append(Pin(mark.step, mark.what + (f" (epoch {mark.step // epoch})" if ends_epoch and epoch else "")))
    return tuple(pins)


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


def short(value: float) -> str:
    """Steps for an axis: 0, 500, 20k, 1.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"
