"""The intended course of a learning rate as a function of the step, and a logged one beside it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from classlens.errors import ClasslensError
from classlens.logs.training_logs import LoggedRates
from classlens.schedule.replay import Curve, Curves, replay
from classlens.schedule.schedule import Clock, Schedule

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Array], Array]  # steps -> values; NaN where nothing is predicted

MOST_KEPT = 100_000  # steps of a run whose values are all kept: a script's function of the step is slow
MOST_MOVES = 10**6  # how often a schedule may move that is followed behind its end
MOST_PLACES = 400  # logged places that causes are tried on, evenly chosen


@dataclass(frozen=True, eq=False)
class Course:
    """The intended values of the group, or of the mean of groups, that a log may mean, anywhere inside the run."""

    curves: tuple[Curve, ...]
    is_asked_often: bool = True

    def at(self, steps: Array) -> Array:
        """The values at steps, between two of them too; NaN outside the run and where a metric decides."""
        if self.is_asked_often and self.end <= MOST_KEPT:
            return np.interp(steps, *self.table, left=np.nan, right=np.nan)
        known = np.unique(np.clip([np.floor(steps), np.ceil(steps)], 0, self.end - 1).astype(np.int64))
        return np.interp(steps, known, self.mean(known), left=np.nan, right=np.nan)

    def mean(self, steps: Array) -> Array:
        return np.asarray(np.mean([one.at(steps) for one in self.curves], axis=0))

    def warped(self, warp: Callable[..., Array], *numbers: float) -> Predict:
        """What is logged where the schedule is at the step `warp(step, *numbers)`."""
        return lambda at: self.at(warp(at, *numbers))

    @cached_property
    def end(self) -> int:
        """The first step of which nothing is known."""
        ends = [one.trajectory.undecided.first for one in self.curves if one.trajectory.undecided is not None]
        return min([self.curves[0].clock.steps, *ends])

    @cached_property
    def table(self) -> tuple[Array, Array]:
        """All steps and their values."""
        return (steps := np.arange(self.end)), self.mean(steps)

    @cached_property
    def peak(self) -> tuple[int, float]:
        """The first step of the highest value, and that value."""
        return max((one.peak for one in self.curves), key=lambda peak: peak[1])

    @cached_property
    def last_at_peak(self) -> int:
        """Where the values leave the peak."""
        steps = np.arange(self.peak[0], min(self.end, self.peak[0] + MOST_KEPT))
        return int(steps[np.argmax(np.append(self.at(steps) < self.peak[1] * (1 - 1e-9), True)) - 1])

    def is_like(self, other: Course) -> bool:
        """Whether two courses are the same as far as the shorter of them goes."""
        probes = np.linspace(0, min(self.end, other.end) - 1, 64).round()
        one, two = (course.mean(probes.astype(np.int64)) for course in (self, other))
        return bool(np.allclose(one, two, rtol=1e-6, atol=0, equal_nan=True))


@dataclass(frozen=True, eq=False)
class Suspect:
    """A logged rate beside the course that it may follow in the intended run on `gpus`, moved by `shift` steps."""

    curves: Curves
    schedule: Schedule
    gpus: int
    rates: LoggedRates
    course: Course
    shift: int = 0

    @property
    def clock(self) -> Clock:
        return self.curves.clock

    @cached_property
    def logged(self) -> tuple[Array, Array]:
        """The steps that are looked at, and the values logged there."""
        steps = self.rates.steps(self.clock)
        chosen = np.unique(np.linspace(0, len(steps) - 1, min(len(steps), MOST_PLACES)).round().astype(int))
        return steps[chosen].astype(np.float64), self.rates.values[chosen]

    @cached_property
    def intended(self) -> Array:
        """What the course has there."""
        return self.course.at(self.logged[0] + self.shift)

    @cached_property
    def difference(self) -> tuple[float, int]:
        """The largest difference, as a share of the peak, and the first place of one; else the first beyond the run."""
        (steps, logged), intended = self.logged, self.intended
        away = np.abs(logged - intended)
        wrong = away > self.tolerance(intended)  # where nothing is intended nothing is
        if not wrong.any():
            return 0.0, int(np.argmax(steps >= self.clock.steps))
        return float(away[wrong].max() / self.scale), int(np.argmax(wrong))

    @property
    def scale(self) -> float:
        return self.course.peak[1] or 1.0

    def tolerance(self, values: Array) -> Array:
        """How far from values a log may be that means them."""
        return 1e-4 * np.abs(values) + 1e-6 * self.scale + self.rates.rounding

    def unexplained(self, predict: Predict, shift: int) -> float:
        """The largest difference that a prediction leaves; 0 if it is not beyond what the log can hold."""
        steps, logged = self.logged
        values = predict(steps + shift)
        known, away, count = np.isfinite(values), np.abs(logged - values), len(steps)
        several = len(np.unique(values[known])) > 2 or np.ptp(logged) == 0
        if known.sum() < (max(min(3, count), 0.05 * count) if several else 0.5 * count):
            return 1e9
        is_exact = (away <= self.tolerance(values))[known].all()
        return 0.0 if is_exact else float(away[known].max() / self.scale)

    def remake(self, clock: Clock) -> Course | None:
        """The course in a run of another length; None if the schedule does not fit it."""
        with suppress(ClasslensError, ArithmeticError, ValueError):
            curves, lines = replay(self.schedule, clock, names=["lr"]), self.curves.named("lr")
            return Course(tuple(curves[lines.index(one)] for one in self.course.curves), is_asked_often=False)
        return None

    def extend(self, factor: int) -> Course:
        """The course over a run that is longer by a factor, if it goes on behind the end as it is before it."""
        epochs, steps = self.clock.epochs, self.clock.steps * factor
        if (epochs or self.clock.steps) * factor > MOST_MOVES:
            return self.course
        by_step = Clock.of_steps(steps, self.clock.steps_per_epoch) if epochs is None else None
        further = self.remake(by_step or replace(self.clock, epochs=(epochs or 1) * factor))
        return further if further and further.is_like(self.course) else self.course

    @property
    def depends_on_length(self) -> bool:
        """Whether the schedule depends on the length of the run; that of a script is made for one length."""
        epochs, width = self.clock.epochs, self.clock.steps_per_epoch
        others = [Clock.of_steps(2 * self.clock.steps, width)]
        if epochs and width:
            others = [replace(self.clock, epochs=2 * epochs), replace(self.clock, steps_per_epoch=2 * width)]
        remade = map(self.remake, others)
        return not all(one and one.is_like(self.course) for one in remade)
