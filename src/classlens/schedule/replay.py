"""Run a training clock without training: Schedule -> replay -> Curves, and what is probably wrong with them.

A curve holds no list of values. It gives the value at any steps, so a run of a billion steps costs as much as one of
a hundred; `points` are the steps a plot needs: both sides of every break and stair, and even samples between.

A `Mistake` is what a plot can show but its reader may miss: it says what happens in training, at which step,
and what was probably meant. None of them stops a plot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import chain, repeat
from typing import Any, ClassVar, overload

import numpy as np

from classlens.errors import WrongIndex
from classlens.printed import cell_text, csv_text, join_lines
from classlens.results import Array, Drawable
from classlens.schedule.schedule import (
    CONSTANT,
    Clock,
    Group,
    Length,
    Schedule,
    Setting,
    Steps,
    Trajectory,
    Values,
    distinct,
    scale_by_batch,
)

EVEN_SAMPLES = 2048  # even samples per curve; a smooth schedule is then drawn to 1e-6 of its peak
MOST_STAIRS = 4096
"""Stairs drawn exactly; beyond them neighbours fall on the same pixel, and evenly chosen ones are drawn."""


@dataclass(frozen=True, eq=False)
class Curve(Drawable, Array):
    """One hyper-parameter of one parameter group over a whole run. The value at step i is in force during step i."""

    group: Group
    name: str
    clock: Clock
    trajectory: Trajectory
    numbers: ClassVar[str] = "values"

    def at(self, steps: Steps | Sequence[int]) -> Values:
        """The values at the given steps, in any order.

        Raises:
            IndexError: a step is outside the run.
        """
        asked = np.asarray(steps, np.int64)
        if asked.size and not 0 <= asked.min() <= asked.max() < self.clock.steps:
            raise WrongIndex(f"the run has steps 0 to {self.clock.steps - 1:,}, not {asked.min():,} to {asked.max():,}")
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
class Curves(Drawable, Sequence[Curve]):
    """What `replay` gives: one curve per group and hyper-parameter, on one clock.

    `title` names the run where several are drawn together; `length` is the one that the schedule is made for. `measured`
    says that the values are those of a run that took place, NaN where it logged none: nothing is found about them.
    `mistakes` are known beforehand.
    """

    curves: tuple[Curve, ...]
    clock: Clock
    title: str = ""
    notes: tuple[str, ...] = ()
    length: Length | None = None
    measured: bool = False
    mistakes: tuple[Mistake, ...] = ()

    @overload
    def __getitem__(self, index: int) -> Curve: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[Curve, ...]: ...
    def __getitem__(self, index: int | slice) -> Curve | tuple[Curve, ...]:
        return self.curves[index]

    def __len__(self) -> int:
        return len(self.curves)

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
    def findings(self) -> tuple[Mistake, ...]:
        """Probable mistakes in the schedule, each once."""
        if self.measured:
            return ()
        clock, findings = self.clock, dict[str, Mistake]()
        for name in self.names:
            curves = self.named(name)
            for setting in curves[0].trajectory.settings:
                by_step = setting.unit == "step"
                length, width = (clock.steps, 1) if by_step else (clock.epochs or 1, clock.steps_per_epoch or 1)
                if not by_step and not clock.by_epoch:
                    what = f"{setting.where}: counts epochs, but the run counts steps and no epoch ever ends: it stays at its start"
                    findings.setdefault(what, Mistake("frozen", what, hint="set by_epoch=False", name=name))
                check = CHECKS.get(setting.kind)
                for finding in check(setting, clock, length) if check else ():
                    what, step = f"{setting.where}: {finding.what}", finding.step
                    step = None if step is None else min(int((setting.begin + step) * width), clock.steps - 1)
                    findings.setdefault(what, replace(finding, what=what, step=step, name=name))
            for curve in curves:
                for finding in check_curve(curve):
                    findings.setdefault(finding.kind + name, replace(finding, name=name))
        what = "" if self.length is None else self.length.mismatch(clock)
        if what and {finding.kind for finding in findings.values()}.isdisjoint(("short cosine", "long cosine")):
            findings[what] = Mistake("other length", what, name="lr")
        return (*self.mistakes, *findings.values())

    def __repr__(self) -> str:
        lines = [f"Curves {self.title}".rstrip() + f": {self.clock}", *(f"  {curve!r}" for curve in self.curves)]
        return join_lines(lines)


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
        ValueError: the schedule has no group.
    """
    if not schedule.groups:
        raise ValueError("a schedule needs at least one parameter group")
    if schedule.batches is not None and schedule.batches.applied:
        schedule = scale_by_batch(schedule, clock.gpus)
    clock = replace(clock, accumulation=schedule.accumulation) if schedule.accumulation.batches > 1 else clock
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
    return Curves(curves, clock, title, schedule.notes, schedule.length)


@dataclass(frozen=True)
class Mistake:
    """One probable mistake: its kind, what happens, at which step (None: everywhere), and what to do.

    `name` is the hyper-parameter that is concerned.
    """

    kind: str
    what: str
    step: int | None = None
    hint: str = ""
    name: str = ""

    def __str__(self) -> str:
        return self.what + (f" ({self.hint})" if self.hint else "")


def milestones(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """Milestones that never fire: fractions, and those at or after the end."""
    steps = setting.arguments.get("milestones", setting.arguments.get("step"))
    if not isinstance(steps, list | tuple):
        return
    last = min(setting.end, length) - setting.begin
    if setting.unit == "step" and clock.epochs and steps and max(steps) <= clock.epochs < last:
        what = f"all milestones are within the first {clock.epochs} steps: they look like epochs"
        yield Mistake("wrong unit", what, hint="count steps")
    for milestone in steps:
        if milestone != int(milestone):
            why = f"is no whole number of {setting.unit}s, so it never fires"
            yield Mistake("dead milestone", f"milestone {milestone:g} {why}")
        elif milestone >= last:
            why = f"never fires, the last {setting.unit} is {last - 1:g}"
            yield Mistake("dead milestone", f"milestone {milestone:g} {why}")


def factors(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """A warm-up over a single unit, which never gets to give its start back, and a start of 0.

    A constant factor is given back one unit early: if that is the last of the run, it trains at the undecayed value.
    """
    name, span = "start_factor" if setting.kind == "Linear" else "factor", setting.end - setting.begin
    start, unit = setting.arguments[name], setting.unit
    if span == 1 and start != 1 and setting.end <= length:
        hint = "set convert_to_iter_based=True" if unit == "epoch" else "give it more steps"
        what = f"lasts one {unit}, so the value stays at {start:g} of what it was for good"
        yield Mistake("stuck warm-up", what, hint=hint)
    if span > 1 and start == 0:
        # The next step divides by it.
        yield Mistake("zero start", f"{name}=0 makes training stop with a division by zero", hint="use 1e-6")
    elif setting.kind == "Constant" and span > 1 and setting.begin and setting.end == length:
        what = f"gives its factor back one {unit} early, so the last {unit} trains at {1 / start:g} x the value before"
        yield Mistake("restored", what, int(span) - 1, hint=f"end={setting.end + 1:g}")
    if not (setting.kind == "Constant" and (setting.begin or start == 1)):  # a later factor is a decay, meant to stay
        yield from unfinished_ramp(setting, clock, length)


def unfinished_ramp(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """A warm-up, or a linear decay, that the run cuts off; torch calls its length `total_iters`."""
    numbers, unit = setting.arguments, setting.unit
    span, acts = numbers.get("total_iters", setting.end - setting.begin), length - setting.begin
    if not 0 < acts < span or (unit == "epoch" and not clock.by_epoch):
        return
    falls, is_constant = numbers.get("start_factor", 0) > numbers.get("end_factor", 1), setting.kind == "Constant"
    if numbers.get("start_factor", 0) != numbers.get("end_factor", 1):
        what = "decay takes" if falls else "warm-up holds the value down for" if is_constant else "warm-up takes"
        what = f"the {what} {span:,.10g} {unit}s, but acts for {acts:,.10g}: it never ends"
        hint = "are steps meant?" if unit == "epoch" and span <= clock.steps else ""
        yield Mistake("long warm-up", what, int(acts) - 1, hint=hint)


def converted_gamma(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """An exponential decay converted to steps keeps its gamma, which then acts at every step."""
    if setting.converted:
        gamma = setting.arguments.get("gamma")
        what = f"converted to steps, gamma={gamma} acts at every step, not every epoch"
        yield Mistake("converted gamma", what, hint=f"use gamma={gamma} ** (1 / {clock.steps_per_epoch})")


def cosine_length(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """A cosine whose trough is not where it, or the run, ends; or whose period is in the wrong unit."""
    span = min(setting.end, length) - setting.begin
    period = setting.arguments.get("T_max") or setting.end - setting.begin
    if abs(period - span) <= max(1, 0.001 * span):
        return
    what = f"falls for {period:,.10g} {setting.unit}s, but acts for {span:,.10g}"
    if setting.unit == "step" and clock.epochs is not None and period <= clock.epochs < span:
        yield Mistake("wrong unit", f"{what} and swings up and down: T_max looks like epochs", hint="count steps")
    elif period < span:
        yield Mistake("short cosine", f"{what}: it rises again after its end", int(period))
    else:
        yield Mistake("long cosine", f"{what}: it never reaches its minimum", int(span) - 1)


def short_cycle(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    """A one-cycle that is over before the run is."""
    total, span = setting.arguments.get("total_steps"), min(setting.end, length) - setting.begin
    if total is not None and total < span - 1:
        what = f"total_steps={total:g}, but it acts for {span:,g} {setting.unit}s: training stops with an error"
        yield Mistake("short cycle", what, total + 1)


def long_warmup(setting: Setting, clock: Clock, length: int) -> Iterator[Mistake]:
    if setting.end >= clock.steps:
        what = f"the warm-up takes {setting.end:,g} steps, the run has {clock.steps:,}"
        yield Mistake("long warm-up", what)


CHECKS: Mapping[str, Callable[[Setting, Clock, int], Iterable[Mistake]]] = {
    "Constant": factors,
    "CosineAnnealing": cosine_length,
    "Exponential": converted_gamma,
    "Linear": factors,
    "MultiStep": milestones,
    "OneCycle": short_cycle,
    "Policy": milestones,
    "QuadraticWarmup": unfinished_ramp,
    "Warmup": long_warmup,
}
"""The check of each kind of rule, given the length of the run in its unit; so are the steps that it names."""

VANISHED = 1e-9  # a share of the peak below which a rate trains nothing


def check_curve(curve: Curve) -> Iterator[Mistake]:
    """Values that are no numbers, or below 0, or next to nothing for the last tenth of the run and more.

    An absolute minimum above the rate that a group starts with, and a plateau whose patience outlasts the run.
    """
    steps, values = curve.points
    of, initial = f"{curve.name} of {curve.group.name} is", curve.group.initial[curve.name]
    for kind, places in (("not a number", ~np.isfinite(values)), ("negative", values < 0)):
        if places.any():
            step, value = int(steps[np.argmax(places)]), values[np.argmax(places)]
            what = f"{value:.4g} at step {step:,}: below 0" if kind == "negative" else f"{value} from step {step:,} on"
            yield Mistake(kind, f"{of} {what}", step)
    alive = np.flatnonzero(values > VANISHED * np.nanmax(values, initial=0.0))
    if curve.name == "lr" and alive.size and steps[alive[-1]] < 0.9 * (curve.clock.steps - 1):
        step = int(steps[alive[-1]]) + 1
        what = f"{of} less than a billionth of its peak from step {step:,} on"
        yield Mistake("vanished", what, step, hint="does the decay count steps where epochs are meant?")
    for setting in curve.trajectory.settings:
        lowest = setting.arguments.get("eta_min", setting.arguments.get("min"))
        # Weight decay and momentum are often meant to rise.
        if curve.name == "lr" and isinstance(lowest, int | float) and 0 < initial < lowest:
            what = f"the minimum {lowest:g} is above the {initial:g} of {curve.group.name}, which rises"
            hint = "use a minimum relative to each group (eta_min_ratio)"
            yield Mistake("minimum above start", f"{setting.where}: {what}", hint=hint)
        if "Plateau" in setting.kind and curve.trajectory.undecided is None:
            what = f"patience={setting.arguments['patience']} outlasts the run: it never acts"
            yield Mistake("idle plateau", f"{setting.where}: {what}")


CHUNK = 1 << 16  # rows that are computed at a time, so that a long run of many groups needs little memory
COLUMNS = ("lr", "momentum", "weight_decay")  # hyper-parameters that a table always has, in this order; others follow


def summarize(run: Curves) -> dict[str, Any]:
    """What a run is and how its values move, as plain data: the drawn points are exact values of training."""
    clock = run.clock
    return {
        "title": run.title,
        "steps": clock.steps,
        "epochs": clock.epochs,
        "steps_per_epoch": clock.steps_per_epoch,
        "updates": clock.updates,
        "counted": clock.note,
        "notes": list(run.notes),
        "findings": [asdict(finding) for finding in run.findings],
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
        "marks": [asdict(mark) for mark in curve.trajectory.marks],
        "points": {"step": steps.tolist(), "value": [finite(value) for value in values.tolist()]},
    }
    if undecided is not None:
        lowest = [finite(value) for value in curve.lowest.tolist()]
        data["depends_on_metric"] = {"metric": undecided.metric, "from_step": undecided.first, "lowest": lowest}
    return data


def finite(value: float) -> float | None:
    return value if np.isfinite(value) else None


def table(runs: Sequence[Curves]) -> Iterator[str]:
    """Parts of a CSV table: a line for every step and group, with every digit, and the run's name if there are several.

    Columns: step, epoch, group, lr, momentum, weight_decay, then other hyper-parameters; empty where a group or a
    clock has none.
    """
    names = list(dict.fromkeys([*COLUMNS, *(name for run in runs for name in run.names)]))
    first_column = ["run"] if len(runs) > 1 else []
    yield csv_text([map(cell_text, [*first_column, "step", "epoch", "group", *names])])
    for run in runs:
        groups, epoch = {id(curve.group): curve.group for curve in run}.values(), run.clock.steps_per_epoch
        stride = max(1, CHUNK // len(groups))
        for start in range(0, run.clock.steps, stride):
            steps = np.arange(start, min(start + stride, run.clock.steps))
            epochs = (steps / epoch).tolist() if epoch else repeat("")
            blocks = []
            for group in groups:
                values = {curve.name: curve.at(steps).tolist() for curve in run if curve.group is group}
                titles = [repeat(cell_text(run.title)) for _ in first_column]
                columns = [*titles, steps.tolist(), epochs, repeat(cell_text(group.name))]
                blocks.append(zip(*columns, *(values.get(name, repeat("")) for name in names), strict=False))
            yield csv_text(chain.from_iterable(zip(*blocks, strict=True)))
