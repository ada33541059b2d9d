"""The intended course of a learning rate as a function of the step, and what it would be in a run of another length."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from classlens.errors import ClasslensError
from classlens.logs.training_logs import TrainingLog
from classlens.schedule.replay import Curve, Curves, replay
from classlens.schedule.schedule import Clock, Schedule

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Array], Array]  # steps -> values; NaN where nothing is predicted

MOST_KEPT = 100_000  # steps of a run whose values are all kept
MOST_MOVES = 10**6  # how often a schedule may move that is followed behind its end


@dataclass(frozen=True, eq=False)
class Course:
    """The intended values of the group, or of the mean of groups, that a log may mean, anywhere inside the run."""

    curves: tuple[Curve, ...]

    def at(self, steps: Array) -> Array:
        """The values at steps, between two of them too; NaN outside the run and where a metric decides."""
        whole = np.floor(steps)
        low, high = self.whole(whole), self.whole(whole + 1)
        share = steps - whole
        return np.where(share > 0, low * (1 - share) + high * share, low)

    def whole(self, steps: Array) -> Array:
        """The values at whole steps."""
        inside = (steps >= 0) & (steps < self.end)
        values, asked = np.full(steps.shape, np.nan), steps[inside].astype(np.int64)
        if self.end <= MOST_KEPT:
            values[inside] = self.table[asked]
        elif asked.size:
            known, places = np.unique(asked, return_inverse=True)
            values[inside] = np.mean([one.at(known) for one in self.curves], axis=0)[places]
        return values

    def warped(self, warp: Callable[..., Array], *numbers: float) -> Predict:
        """What is logged where the schedule is at the step `warp(step, *numbers)`."""
        return lambda at: self.at(warp(at, *numbers))

    @cached_property
    def end(self) -> int:
        """The first step of which nothing is known."""
        ends = [one.trajectory.undecided.first for one in self.curves if one.trajectory.undecided is not None]
        return min([self.curves[0].clock.steps, *ends])

    @cached_property
    def table(self) -> Array:
        """All values of a short run: a script's function of the step is slow, and asked for the same steps often."""
        return np.asarray(np.mean([one.at(np.arange(self.end)) for one in self.curves], axis=0))

    @cached_property
    def peak(self) -> tuple[int, float]:
        """The first step of the highest value, and that value."""
        return max((one.peak for one in self.curves), key=lambda peak: peak[1])

    @cached_property
    def last_at_peak(self) -> int:
        """Where the values leave the peak."""
        steps = np.arange(self.peak[0], min(self.end, self.peak[0] + MOST_KEPT))
        return int(steps[np.argmax(np.append(self.at(steps.astype(np.float64)) < self.peak[1] * (1 - 1e-9), True)) - 1])


@dataclass(frozen=True, eq=False)
class Case:
    """A log and the run that was intended, and how many processes the user said there are."""

    log: TrainingLog
    curves: Curves
    schedule: Schedule
    gpus: int

    def remake(self, course: Course, clock: Clock) -> Course | None:
        """The course in a run of another length; None if the schedule does not fit it."""
        with suppress(ClasslensError, ArithmeticError, ValueError):
            curves, lines = replay(self.schedule, clock, names=["lr"]), self.curves.named("lr")
            return Course(tuple(curves[lines.index(one)] for one in course.curves))
        return None

    def extend(self, course: Course, factor: int) -> Course:
        """The same over a run that is longer by a factor, if it goes on behind the end as it is before it."""
        clock = self.curves.clock
        if (clock.epochs or clock.steps) * factor > MOST_MOVES:
            return course
        longer = Clock.of_steps(clock.steps * factor, clock.steps_per_epoch)
        further = self.remake(course, longer if clock.epochs is None else replace(clock, epochs=clock.epochs * factor))
        return further if further and is_alike(further, course) else course

    def follows(self, course: Course) -> bool:
        """Whether the schedule depends on the length of the run; that of a script is made for one length."""
        clock = self.curves.clock
        others = [Clock.of_steps(2 * clock.steps, clock.steps_per_epoch)]
        if clock.epochs and clock.steps_per_epoch:
            others = [
                replace(clock, epochs=2 * clock.epochs),
                replace(clock, steps_per_epoch=2 * clock.steps_per_epoch),
            ]
        remade = [self.remake(course, other) for other in others]
        return not all(one and is_alike(one, course) for one in remade)


def is_alike(one: Course, other: Course) -> bool:
    """Whether two courses are the same as far as the shorter of them goes."""
    probes = np.linspace(0, min(one.end, other.end) - 1, 64).round()
    return bool(np.allclose(one.at(probes), other.at(probes), rtol=1e-6, atol=0, equal_nan=True))
