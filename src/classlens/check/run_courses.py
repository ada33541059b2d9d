"""The intended course of a learning rate, and what becomes of it: as a function of the step, for `run_causes` to compare."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from classlens.schedule.replay import Curve

Array = np.ndarray[Any, np.dtype[Any]]
Predict = Callable[[Array], Array]  # steps -> values; NaN where nothing is predicted

MOST_KEPT = 100_000  # steps of a run whose values are all kept


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
        values = np.full(steps.shape, np.nan)
        asked = steps[inside].astype(np.int64)
        if self.end <= MOST_KEPT:
            values[inside] = self.table[asked]
        elif asked.size:
            known, places = np.unique(asked, return_inverse=True)
            values[inside] = np.mean([one.at(known) for one in self.curves], axis=0)[places]
        return values

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


def moved(predict: Predict, by: int, at: Array) -> Array:
    return predict(at + by)


def compounded(course: Course, first: float, back: float, factor: float, at: Array) -> Array:
    return np.where(at < first, course.at(at), course.at(at - back) * factor)


def held(course: Course, by: int, at: Array) -> Array:
    """Moved by some steps; before the schedule begins, its first value is in force."""
    return course.at(np.maximum(at + by, 0))


def multiplied(course: Course, factor: float, at: Array) -> Array:
    return course.at(at) * factor


def sped(course: Course, factor: int, at: Array, *, hold: bool = False) -> Array:
    return course.at(np.minimum(at * factor, course.end - 1) if hold else at * factor)


def slowed(course: Course, factor: int, in_stairs: bool, at: Array) -> Array:  # noqa: FBT001 - given by position alone
    return course.at(np.floor(at / factor) if in_stairs else at / factor)


def lengthened(course: Course, peak: int, share: float, at: Array, *, hold: bool = False) -> Array:
    """What follows the peak is passed through at a share of the speed; `hold` puts the peak in place of the warm-up."""
    return course.at(np.where(at < peak, peak if hold else at, peak + (at - peak) * share))


def rewarmed(course: Course, peak: int, other: int, at: Array) -> Array:
    """A warm-up of another length, and the rest of the run for the rest of the schedule."""
    total = course.curves[0].clock.steps
    later = peak + (at - other) * (total - peak) / (total - other)
    return course.at(np.where(at < other, at * peak / other, later))


def begun(course: Course, peak: int, share: float, at: Array) -> Array:
    return course.at(peak + at * share)


def after_restarts(starts: Sequence[tuple[float, float]], course: Course, steps: Array) -> Array:
    back = np.zeros(steps.shape)
    for first, by in starts:
        back[steps >= first] = by
    return course.at(steps - back)
