"""Run a training clock without training: Schedule -> replay -> Curves.

A curve holds no list of values. It gives the value at any steps, so a run of a billion steps costs as much as one of
a hundred; `points` are the steps a plot needs: both sides of every break and stair, and even samples between.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, overload

import numpy as np

from classlens.schedule.lint import Finding, lint
from classlens.schedule.schedule import (
    CONSTANT,
    Clock,
    Group,
    Schedule,
    Steps,
    Trajectory,
    Values,
    distinct,
    scaled_by_batch,
)

EVEN_SAMPLES = 2048
"""Even samples per curve; a smooth schedule is then drawn to 1e-6 of its peak."""

MOST_STAIRS = 4096
"""Stairs drawn exactly; beyond them neighbours fall on the same pixel, and evenly chosen ones are drawn."""


@dataclass(frozen=True, eq=False)
class Curve:
    """One hyper-parameter of one parameter group over a whole run. The value at step i is in force during step i."""

    group: Group
    name: str
    clock: Clock
    trajectory: Trajectory

    def at(self, steps: Steps | Sequence[int]) -> Values:
        """The values at the given steps, in any order.

        Raises:
            IndexError: a step is outside the run.
        """
        asked = np.asarray(steps, np.int64)
        if asked.size and not 0 <= asked.min() <= asked.max() < self.clock.steps:
            raise IndexError(f"the run has steps 0 to {self.clock.steps - 1:,}, not {asked.min():,} to {asked.max():,}")
        return self.trajectory.values(asked, self.group.initial[self.name])

    @property
    def values(self) -> Values:
        """Every value of the run: 8 bytes a step."""
        return self.at(np.arange(self.clock.steps))

    @cached_property
    def points(self) -> tuple[Steps, Values]:
        """The steps to draw, in order, and their values. Straight lines between them lie on the curve.

        They are both sides of every break and stair, and even samples; stairs are thinned where they are far too many.
        """
        trajectory, stairs = self.trajectory, []
        for stair in trajectory.stairs:
            count = max(0, -((stair.origin - stair.stop) // stair.width))
            every = count <= 4 * MOST_STAIRS
            chosen = np.arange(count) if every else np.linspace(0, count - 1, MOST_STAIRS).round()
            stairs.append(stair.origin + chosen.astype(np.int64) * stair.width)
        share = max(1, sum(edges.size for edges in stairs) // MOST_STAIRS)
        marks = [mark.step for mark in trajectory.marks]
        edges = np.concatenate([trajectory.breaks, *(each[::share] for each in stairs), marks])
        even = np.linspace(0, self.clock.steps - 1, min(EVEN_SAMPLES, self.clock.steps)).round()
        steps = distinct(np.concatenate([edges, edges - 1, even]).astype(np.int64))
        steps = steps[(steps >= 0) & (steps < self.clock.steps)]
        return steps, self.at(steps)

    @property
    def lowest(self) -> Values:
        """The values at the drawn steps if a metric decides and never improves; else those of `points`."""
        steps, values = self.points
        undecided = self.trajectory.undecided
        return values if undecided is None else undecided.lowest(steps, self.group.initial[self.name])

    @property
    def peak(self) -> tuple[int, float]:
        """The first step of the highest value (up to rounding), and that value (NaN is not a value)."""
        steps, values = self.points
        known = np.nan_to_num(values, nan=-np.inf)
        index = int(np.argmax(known >= known.max() - 1e-12 * abs(known.max())))
        return int(steps[index]), float(values[index])

    @property
    def final(self) -> float:
        """The value of the last step."""
        return float(self.at([self.clock.steps - 1])[0])

    def __repr__(self) -> str:
        step, value = self.peak
        return f"<Curve {self.name} of {self.group.name!r}: peak {value:.6g} at step {step:,}, final {self.final:.6g}>"


@dataclass(frozen=True, eq=False)
class Curves(Sequence[Curve]):
    """What `replay` gives: one curve per group and hyper-parameter, on one clock.

    `title` names the run where several are drawn together.
    """

    curves: tuple[Curve, ...]
    clock: Clock
    title: str = ""
    notes: tuple[str, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Curve: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Curve, ...]: ...
    def __getitem__(self, index: int | slice) -> Curve | tuple[Curve, ...]:
        return self.curves[index]

    def __len__(self) -> int:
        return len(self.curves)

    def __iter__(self) -> Iterator[Curve]:
        return iter(self.curves)

    @property
    def names(self) -> tuple[str, ...]:
        """The hyper-parameters, in the order in which the groups name them."""
        return tuple(dict.fromkeys(curve.name for curve in self.curves))

    def named(self, name: str) -> tuple[Curve, ...]:
        """The curves of one hyper-parameter, one per group."""
        return tuple(curve for curve in self.curves if curve.name == name)

    def only(self, *names: str) -> Curves:
        """The curves of some hyper-parameters."""
        return replace(self, curves=tuple(curve for curve in self.curves if curve.name in names))

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """Probable mistakes in the schedule."""
        return lint(self)

    def __repr__(self) -> str:
        lines = [f"Curves {self.title}".rstrip() + f": {self.clock}", *(f"  {curve!r}" for curve in self.curves)]
        return "\n".join(lines)


def replay(schedule: Schedule, clock: Clock, *, names: Sequence[str] | None = None, title: str = "") -> Curves:
    """Lay out every value that `schedule` sets during `clock`; training is neither run nor simulated.

    Where the source scales its learning rate by batch size, the GPUs of the clock decide by how much.

    Args:
        names: the hyper-parameters wanted, e.g. ["lr"]; all that the groups have, if None.

    Returns:
        One curve per group and hyper-parameter, in the order of the groups.

    Raises:
        ConfigError: a rule does not fit the clock, e.g. a span that ends before it begins.
        KeyError: no group has a hyper-parameter of that name.
    """
    if schedule.batches is not None and schedule.batches.applied:
        schedule = scaled_by_batch(schedule, clock.gpus)
    known = tuple(dict.fromkeys(name for group in schedule.groups for name in group.initial))
    wanted = known if names is None else tuple(names)
    for name in wanted:
        if name not in known:
            raise KeyError(f"no group has {name!r}; there is: {', '.join(known)}")
    shared = {name: schedule.rules[name](clock) if name in schedule.rules else CONSTANT for name in wanted}
    curves = tuple(
        Curve(group, name, clock, group.rules[name](clock) if name in group.rules else shared[name])
        for name in wanted
        for group in schedule.groups
        if name in group.initial
    )
    return Curves(curves, clock, title, schedule.notes)


CHUNK = 1 << 16
"""Rows that are computed at a time, so that a long run of many groups needs little memory."""

COLUMNS = ("lr", "momentum", "weight_decay")
"""Hyper-parameters that a table always has, in this order; others follow."""


def summarize(run: Curves) -> dict[str, Any]:
    """What a run is and how its values move, as plain data: the drawn points are exact values of training."""
    clock = run.clock
    return {
        "title": run.title,
        "steps": clock.steps,
        "epochs": clock.epochs,
        "steps_per_epoch": clock.steps_per_epoch,
        "counted": clock.note,
        "notes": list(run.notes),
        "findings": [
            {"kind": finding.kind, "what": finding.what, "step": finding.step, "hint": finding.hint}
            for finding in run.findings
        ],
        "curves": [summarize_curve(curve) for curve in run],
    }


def summarize_curve(curve: Curve) -> dict[str, Any]:
    """One curve as plain data; values that are no numbers are None, as JSON has none.

    Where a metric decides: from which step on, and the lowest that the values at the points can be.
    """
    steps, values = curve.points
    (step, peak), undecided = curve.peak, curve.trajectory.undecided
    data = {
        "name": curve.name,
        "group": curve.group.name,
        "tensors": curve.group.tensors,
        "parameters": curve.group.parameters,
        "initial": curve.group.initial[curve.name],
        "peak": finite(peak),
        "peak_step": step,
        "final": finite(curve.final),
        "marks": [{"step": mark.step, "what": mark.what} for mark in curve.trajectory.marks],
        "points": {"step": steps.tolist(), "value": [finite(value) for value in values.tolist()]},
    }
    if undecided is not None:
        lowest = [finite(value) for value in curve.lowest.tolist()]
        data["depends_on_metric"] = {"metric": undecided.metric, "from_step": undecided.first, "lowest": lowest}
    return data


def finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def table(runs: Sequence[Curves]) -> Iterator[str]:
    """Lines of a CSV table: one for every step and group, with every digit, and the run's name if there are several.

    Columns: step, epoch, group, lr, momentum, weight_decay, then other hyper-parameters; empty where a group or a
    clock has none.
    """
    several = len(runs) > 1
    names = list(dict.fromkeys([*COLUMNS, *(name for run in runs for name in run.names)]))
    yield ",".join((["run"] if several else []) + ["step", "epoch", "group", *names]) + "\n"
    for run in runs:
        head = quoted(run.title) + "," if several else ""
        stride = max(1, CHUNK // max(1, len({id(curve.group) for curve in run})))
        for first in range(0, run.clock.steps, stride):
            yield from rows(run, names, head, np.arange(first, min(first + stride, run.clock.steps)))


def rows(run: Curves, names: Sequence[str], head: str, steps: np.ndarray) -> Iterator[str]:
    """The table's lines for some steps, every group in turn."""
    groups = list({id(curve.group): curve.group for curve in run}.values())
    epoch = run.clock.steps_per_epoch
    epochs = [""] * len(steps) if epoch is None else [repr(value) for value in (steps / epoch).tolist()]
    columns = []
    for group in groups:
        curves = {curve.name: curve for curve in run if curve.group is group}
        texts = (
            [repr(value) for value in curves[name].at(steps).tolist()] if name in curves else [""] * len(steps)
            for name in names
        )
        columns.append([",".join(row) for row in zip(*texts, strict=True)])
    labels = [quoted(group.name) for group in groups]
    for index, step in enumerate(steps.tolist()):
        for label, column in zip(labels, columns, strict=True):
            yield f"{head}{step},{epochs[index]},{label},{column[index]}\n"


def quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(letter in text for letter in ',"\n') else text
