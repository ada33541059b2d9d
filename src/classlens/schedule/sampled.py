"""Courses of functions that nobody has a formula for: a user's callable, a scheduler of some framework.

The function is called at the steps that are asked for, in any order. Where it bends or jumps is found by looking at
even samples, and then at every step of the few stretches in which something happens.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Course, Group, Schedule, Stairs, Steps, Values

EVEN = 1024
MOST_STRETCHES = 48
LONGEST = 4096
"""Stretches that are looked at step by step, and how long they may be: what a search may cost."""

VISIBLE = 2e-4
"""A bend of less than this share of the range cannot be seen on a plot."""


def of_function(function: Callable[[int], float], *, name: str = "lr", group: str = "all parameters") -> Schedule:
    """The schedule of any function of the step, which is called at the drawn steps only, in no special order."""
    initial = float(function(0))

    def rule(clock: Clock) -> Course:
        return sampled(each(function), clock)

    return Schedule((Group(group, {name: initial}),), {name: rule})


def sampled(function: Callable[[Steps], Values], clock: Clock, *, width: int = 1) -> Course:
    """The course of a function of local steps, each `width` steps of the run long; it ignores initial values."""
    count = -(-clock.steps // width)

    def values(steps: Steps, initial: float) -> Values:
        return np.asarray(function(steps // width), np.float64)

    breaks = np.concatenate([[0], bends(function, count) * width]).astype(np.int64)
    stairs = (Stairs(width, width, clock.steps),) if width > 1 else ()
    return Course(values, np.unique(breaks), stairs)


def each(function: Callable[[int], float]) -> Callable[[Steps], Values]:
    """A function of one step as a function of many."""

    def values(steps: Steps) -> Values:
        return np.array([float(function(step)) for step in steps.tolist()], np.float64)

    return values


def bends(function: Callable[[Steps], Values], count: int) -> NDArray[np.int64]:
    """The steps at which straight lines between even samples would visibly miss the function."""
    if count <= 2 * EVEN:
        return np.zeros(0, np.int64)
    steps = np.unique(np.linspace(0, count - 1, EVEN).round().astype(np.int64))
    values = function(steps)
    bend = np.abs(np.diff(np.diff(values) / np.diff(steps))) * np.diff(steps)[:-1]
    limit = VISIBLE * (np.nanmax(values) - np.nanmin(values) or 1.0)
    suspects = np.argsort(np.nan_to_num(-bend))[:MOST_STRETCHES]
    found = [
        inside(function, int(steps[index]), int(steps[index + 2]), limit) for index in suspects if bend[index] > limit
    ]
    return np.unique(np.concatenate(found)) if found else np.zeros(0, np.int64)


def inside(function: Callable[[Steps], Values], first: int, last: int, limit: float) -> NDArray[np.int64]:
    """The strongest bend between two steps, halving the stretch until every step of it can be looked at."""
    while last - first > LONGEST:
        quarter = (last - first) // 4
        steps = first + quarter * np.arange(5)
        bend = np.abs(np.diff(function(steps), 2))
        middle = int(np.argmax(bend))
        first, last = int(steps[middle]), int(steps[middle + 2])
    steps = np.arange(first, last + 1)
    values = function(steps)
    bend = np.abs(np.diff(values, 2))
    strongest = int(np.argmax(bend)) + 1
    jumps = np.flatnonzero(np.abs(np.diff(values)) > limit) + 1
    return np.asarray(steps[np.unique(np.concatenate([[strongest], jumps[:64]]))], np.int64)
