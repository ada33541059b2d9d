"""Training time, and what sets the hyper-parameters during it: the records that `replay` turns into curves.

A step is one training batch, counted from 0; an epoch is a pass over the data. Whatever mixes the two goes through a
`Clock`, so that a number of epochs is never taken for a number of steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from classlens.arrays import Float64, Int64
from classlens.errors import ConfigError, NotOffered, count_of

Unit: TypeAlias = Literal["step", "epoch"]

MOST_STEPS = 10**15  # whole numbers up to here stay exact in everything that is computed with them


@dataclass(frozen=True)
class Accumulation:
    """Of how many batches the gradients are summed for one update of the optimizer.

    `flushes` says that what is left at the end of an epoch is an update of its own.
    """

    batches: int = 1
    flushes: bool = False

    def updates_before(self, steps: Steps, steps_per_epoch: int | None) -> Steps:
        """How many updates there were before each step."""
        if not self.flushes or steps_per_epoch is None:
            return np.asarray(steps // self.batches)
        per_epoch = -(-steps_per_epoch // self.batches)
        return np.asarray(steps // steps_per_epoch * per_epoch + steps % steps_per_epoch // self.batches)


@dataclass(frozen=True)
class Clock:
    """How long a training run is.

    `Clock(epochs=100, steps_per_epoch=5005)` is a run over epochs. `Clock.of_steps(160_000)` is one that counts steps
    only, where nothing happens at the end of an epoch; it may still know how many steps a pass over the data takes.
    `note` says in words how the steps were counted, `gpus` how many share each of them: where the source scales its
    learning rate by batch size, they decide it. A step is a batch on each GPU; the optimizer updates the weights after
    every step, or after as many as `accumulation` says.

    Raises:
        ValueError: the run has no step, or an epoch has none.
    """

    epochs: int | None
    steps_per_epoch: int | None
    total: int | None = None
    note: str = ""
    gpus: int = 1
    accumulation: Accumulation = Accumulation()

    def __post_init__(self) -> None:
        if self.total is None and (self.epochs is None or self.steps_per_epoch is None):
            raise ValueError("a clock needs epochs and steps_per_epoch; for a run counted in steps use Clock.of_steps")
        counts = {"epochs": self.epochs, "steps_per_epoch": self.steps_per_epoch, "steps": self.total}
        for name, count in {**counts, "gpus": self.gpus, "accumulation": self.accumulation.batches}.items():
            if count is not None and count < 1:
                raise ValueError(f"a clock needs {name} of 1 or more, not {count}")
        per_epoch = self.steps_per_epoch or 0
        if max(self.total or 0, self.epochs or 0, (self.epochs or 1) * per_epoch) > MOST_STEPS:
            raise ConfigError(
                f"a run of more than {MOST_STEPS:.0e} steps cannot be drawn", hint="no training is so long"
            )

    @classmethod
    def of_steps(cls, steps: int, steps_per_epoch: int | None = None, *, note: str = "", gpus: int = 1) -> Clock:
        """The clock of a run that is counted in steps, whatever the size of the dataset."""
        return cls(None, steps_per_epoch, steps, note, gpus)

    @property
    def by_epoch(self) -> bool:
        """Whether the run has epochs, at whose ends schedules may move."""
        return self.epochs is not None

    @property
    def steps(self) -> int:
        """Steps in the whole run."""
        return self.total or (self.epochs or 0) * (self.steps_per_epoch or 0)

    @property
    def updates(self) -> int:
        """Updates of the optimizer in the whole run; batches that are left at its end are one, too."""
        last = np.array([self.steps - 1])
        return int(self.accumulation.updates_before(last, self.steps_per_epoch)[0]) + 1

    @property
    def step_words(self) -> str:
        """What a step is, for the axis that counts them."""
        each = f" on each of {self.gpus} GPUs" if self.gpus > 1 else ""
        update = f", {self.accumulation.batches} to an update of the optimizer" if self.accumulation.batches > 1 else ""
        return f"step: a batch{each}{update}" if each or update else "step"

    def __str__(self) -> str:
        steps, per_epoch = count_of(self.steps, "step"), self.steps_per_epoch
        if self.accumulation.batches > 1:
            steps += f" ({count_of(self.updates, 'update')})"
        if self.epochs is not None:
            return f"{steps} = {count_of(self.epochs, 'epoch')} x {count_of(per_epoch or 0, 'step')}"
        return steps if per_epoch is None else f"{steps}, {self.steps / per_epoch:,.4g} passes over the data"


@dataclass(frozen=True)
class Length:
    """How long a schedule is made to run, as its `source` says: OneCycleLR(total_steps=500).

    `holds` says that it keeps its last value in a longer run, and is meant to.
    """

    count: int
    unit: Unit
    source: str
    holds: bool = False

    def clock(self, epochs: int | None = None, steps_per_epoch: int | None = None) -> Clock:
        """The run that it is made for, in as many epochs or of such a length as the user says."""
        note = f"as {self.source} says"
        if self.unit == "step":
            if epochs is None:
                return Clock.of_steps(self.count, steps_per_epoch, note=note)
            return Clock(epochs, steps_per_epoch or -(-self.count // epochs), note=note)
        if steps_per_epoch is None:
            note += "; nobody says how many steps an epoch has: it is drawn as one (--epoch-length N)"
        return Clock(self.count if epochs is None else epochs, steps_per_epoch or 1, note=note)

    def mismatch(self, clock: Clock) -> str:
        """What is wrong with a run of another length, in words; empty if nothing is."""
        actual = clock.steps if self.unit == "step" else clock.epochs
        if actual is None or abs(actual - self.count) <= 1 or (self.holds and actual > self.count):
            return ""
        end = "it is cut off before its end" if actual < self.count else "it goes on after its end"
        return f"{self.source} is made for {self.count:,} {self.unit}s, and the run has {actual:,}: {end}"


Steps: TypeAlias = Int64[np.ndarray, " steps"]
Values: TypeAlias = Float64[np.ndarray, " steps"]


def distinct(steps: Steps) -> Int64[np.ndarray, " fewer"]:
    """The steps in order, each once. numpy's `unique` loads numpy.ma, which takes longer than all else in a plot."""
    ordered = np.sort(steps)
    return np.asarray(ordered[np.append(True, ordered[1:] > ordered[:-1])[: ordered.size]])


@dataclass(frozen=True)
class Stairs:
    """Values that only move at `origin`, `origin + width`, `origin + 2 * width`, ... before `stop` (all in steps)."""

    origin: int
    width: int
    stop: int


@dataclass(frozen=True, order=True)
class Mark:
    """A step worth pointing at, and what happens there: "warm-up ends", "restart", "milestone"."""

    step: int
    what: str


@dataclass(frozen=True)
class Setting:
    """One rule as the user wrote it, for the checks; `begin` and `end` count `unit`s, `where` says what it is called."""

    kind: str
    where: str
    unit: str
    begin: float = 0
    end: float = float("inf")
    arguments: Mapping[str, Any] = field(default_factory=dict)
    converted: bool = False


@dataclass(frozen=True, eq=False)
class MetricDependent:
    """From step `first` on a metric of the run decides, which nobody knows before.

    The values of the course are those of a metric that always improves; `lowest(steps, initial)` are those of one that
    never does. `metric` is its name, if the source says it.
    """

    first: int
    lowest: Callable[[Steps, float], Values]
    metric: str = ""

    def __str__(self) -> str:
        return f"depends on {self.metric!r}" if self.metric else "depends on the metric"


@dataclass(frozen=True, eq=False)
class Trajectory:
    """One hyper-parameter over a whole run.

    `values(steps, initial)` gives it at any steps. Between two neighbours of `breaks` it is smooth, or moves in
    `stairs`; that is all a plot needs to be exact. `settings` says where it comes from, `undecided` what only training
    can tell.
    """

    values: Callable[[Steps, float], Values]
    breaks: Steps
    stairs: tuple[Stairs, ...] = ()
    marks: tuple[Mark, ...] = ()
    settings: tuple[Setting, ...] = ()
    undecided: MetricDependent | None = None


CONSTANT = Trajectory(lambda steps, initial: np.full(steps.shape, float(initial)), np.zeros(1, np.int64))
"""A value that stays as it starts."""


@dataclass(frozen=True)
class Batches:
    """The batch size of one GPU, and the total one for which the learning rate was chosen.

    `applied` says that training scales the rate by itself, and `replay` with it.
    """

    per_gpu: int
    chosen_for: int
    applied: bool = False


Rule: TypeAlias = Callable[[Clock], Trajectory]  # what sets one hyper-parameter: its course in a run of some length


@dataclass(frozen=True)
class Group:
    """Parameters that share their hyper-parameters.

    `initial` holds what the optimizer starts with, by name: {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}.
    `tensors` and `parameters` count what is in the group; None where no model was looked at. `rules` of its own come
    before those of the schedule.
    """

    name: str
    initial: Mapping[str, float]
    tensors: int | None = None
    parameters: int | None = None
    rules: Mapping[str, Rule] = field(default_factory=dict)


@dataclass(frozen=True)
class Schedule:
    """What sets the hyper-parameters of every parameter group.

    `rules` is by hyper-parameter; one without a rule keeps its initial value. `notes` are sentences for the reader of
    the plot: what the source says that no curve shows. `batches` is there if the rate can still be scaled by batch size,
    `length` if the schedule itself is made for a run of some length. `accumulation` is what `replay` gives the clock.
    """

    groups: tuple[Group, ...]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    batches: Batches | None = None
    length: Length | None = None
    accumulation: Accumulation = Accumulation()

    def __repr__(self) -> str:
        moved = dict.fromkeys(name for group in self.groups for name in (*self.rules, *group.rules))
        groups = ", ".join(group.name for group in self.groups)
        return f"<Schedule of {groups}: {', '.join(moved) or 'nothing'} moves>"


def scale_by_batch(schedule: Schedule, gpus: int) -> Schedule:
    """The schedule with its learning rates scaled linearly to the batch size of `gpus` GPUs.

    Absolute minima and peaks of the rules (eta_min, eta_max) are not scaled, as in training. Source: Goyal et al.,
    Accurate, Large Minibatch SGD, 2017, section 2.1 (linear scaling rule).

    Raises:
        NotOffered: the source does not say for which batch size its rates were chosen.
    """
    batches = schedule.batches
    if batches is None:
        raise NotOffered(
            "the learning rate cannot be scaled: the batch size it was chosen for is unknown",
            hint="auto_scale_lr.base_batch_size says it",
        )
    factor = batches.per_gpu * gpus / batches.chosen_for
    rates = [{"lr": group.initial["lr"] * factor} if "lr" in group.initial else {} for group in schedule.groups]
    pairs = zip(schedule.groups, rates, strict=True)
    groups = tuple(replace(group, initial={**group.initial, **rate}) for group, rate in pairs)
    total = f"{gpus} x {batches.per_gpu} = {gpus * batches.per_gpu}"
    note = f"learning rates are scaled by {factor:g}: batches of {total}, chosen for {batches.chosen_for}"
    return replace(schedule, groups=groups, notes=(*schedule.notes, note), batches=None)


def called_at_updates(rule: Rule, calls: Callable[[Clock], int], most: int | None = None) -> Rule:
    """The rule of a scheduler that is stepped at updates of the optimizer, `calls` times at each, and `most` in all."""

    def trajectory_of(clock: Clock) -> Trajectory:
        times, per_epoch = calls(clock), clock.steps_per_epoch
        if times == 1 and clock.accumulation.batches == 1 and most is None:
            return rule(clock)

        def called(steps: Steps) -> Steps:
            count = clock.accumulation.updates_before(steps, per_epoch) * times
            return np.asarray(count if most is None else np.minimum(count, most))

        def steps_at(count: Steps) -> Steps:  # the first at which so many calls are behind
            low, high = np.zeros(count.shape, np.int64), np.full(count.shape, clock.steps)
            while (low < high).any():
                middle = (low + high) // 2
                enough = called(middle) >= count
                low, high = np.where(enough, low, np.minimum(middle + 1, high)), np.where(enough, middle, high)
            return low

        last = int(called(np.array([clock.steps - 1]))[0]) + 1
        epoch = None if per_epoch is None else max(1, int(called(np.array([per_epoch]))[0]))
        inner = rule(Clock.of_steps(last, epoch))
        jumps = [np.arange(one.origin, one.stop, one.width)[:LONGEST] for one in inner.stairs]
        breaks = steps_at(np.concatenate([inner.breaks, *jumps]).astype(np.int64))
        width, wait = clock.accumulation.batches, inner.undecided
        return replace(
            inner,
            values=lambda steps, initial: inner.values(called(steps), initial),
            breaks=distinct(breaks),
            stairs=(Stairs(width, width, clock.steps),) if width > 1 else (),
            marks=tuple(Mark(int(steps_at(np.array([mark.step]))[0]), mark.what) for mark in inner.marks),
            undecided=wait
            and replace(
                wait,
                first=int(steps_at(np.array([wait.first]))[0]),
                lowest=lambda steps, initial: wait.lowest(called(steps), initial),
            ),
        )

    return trajectory_of


EVEN = 1024
MOST_STRETCHES = 48
LONGEST = 4096  # stretches that are looked at step by step, and how long they may be: what a search may cost
VISIBLE = 2e-4  # a bend of less than this share of the range cannot be seen on a plot


def follow_function(function: Callable[[Steps], Values], clock: Clock, *, width: int = 1) -> Trajectory:
    """The course of a function of local steps, each `width` steps of the run long; it ignores initial values."""
    breaks = np.append(0, bends(function, -(-clock.steps // width)) * width)
    stairs = (Stairs(width, width, clock.steps),) if width > 1 else ()
    return Trajectory(lambda steps, initial: np.asarray(function(steps // width), np.float64), distinct(breaks), stairs)


def elementwise(function: Callable[[int], float]) -> Callable[[Steps], Values]:
    """A function of one step as a function of many."""
    return lambda steps: np.array([float(function(step)) for step in steps.tolist()], np.float64)


def bends(function: Callable[[Steps], Values], count: int) -> Steps:
    """The steps at which straight lines between even samples would visibly miss the function."""
    if count <= 2 * EVEN:
        return np.zeros(0, np.int64)
    steps = np.linspace(0, count - 1, EVEN).round().astype(np.int64)
    values = function(steps)
    bend = np.abs(np.diff(np.diff(values) / np.diff(steps))) * np.diff(steps)[:-1]
    limit = VISIBLE * (np.nanmax(values) - np.nanmin(values) or 1.0)
    suspects = np.argsort(np.nan_to_num(-bend))[:MOST_STRETCHES].tolist()
    places = [
        sharpest_bend(function, int(steps[index]), int(steps[index + 2]), limit)
        for index in suspects
        if bend[index] > limit
    ]
    return np.concatenate([np.zeros(0, np.int64), *places])


def sharpest_bend(function: Callable[[Steps], Values], first: int, last: int, limit: float) -> Steps:
    """The strongest bend and the jumps between two steps, halving the stretch until every step can be looked at."""
    while last - first > LONGEST:
        steps = first + (last - first) // 4 * np.arange(5)
        middle = int(np.argmax(np.abs(np.diff(function(steps), 2))))
        first, last = int(steps[middle]), int(steps[middle + 2])
    values = function(np.arange(first, last + 1))
    strongest = np.argmax(np.abs(np.diff(values, 2)))
    jumps = np.flatnonzero(np.abs(np.diff(values)) > limit)[:64]
    return np.asarray(first + 1 + np.append(strongest, jumps), np.int64)
