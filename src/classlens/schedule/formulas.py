"""Closed forms of the usual schedules: pure functions of arrays, no state, no framework.

`progress` runs from 0 at the start of a stretch to 1 at its end; it is never clipped here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Level: TypeAlias = "float | Numbers"
Annealing: TypeAlias = Callable[[Numbers, Level, Level], Numbers]
"""(progress, start, end) -> values."""


def line(progress: Numbers, start: Level, end: Level) -> Numbers:
    """A straight line from `start` to `end`."""
    return start + (end - start) * progress


def half_cosine(progress: Numbers) -> Numbers:
    """Half a cosine from 1 to 0. Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5 (without restarts)."""
    return (1 + np.cos(np.pi * progress)) / 2


def cosine(progress: Numbers, start: Level, end: Level) -> Numbers:
    """Half a cosine from `start` to `end`."""
    return end + (start - end) * half_cosine(progress)


ANNEALINGS: dict[str, Annealing] = {"cos": cosine, "linear": line}


@dataclass(frozen=True)
class Phase:
    """One leg of a cycle: from `start` to `stop`, ending at step `end` (which may be a fraction)."""

    end: float
    start: float
    stop: float


def one_cycle_phases(total: float, peak_at: float, values: tuple[float, float, float], legs: int) -> tuple[Phase, ...]:
    """The phases of a one-cycle of `total` steps whose peak is after the fraction `peak_at`.

    `values` are (first, peak, last); with 3 `legs` the way down passes the first value again, symmetrically.
    Source: Smith & Topin, Super-Convergence: Very Fast Training of Neural Networks, 2017; the legs end as torch's do.
    """
    first, peak, last = values
    rise = Phase(peak_at * total - 1, first, peak)
    if legs == 3:
        return rise, Phase(2 * peak_at * total - 2, peak, first), Phase(total - 1, first, last)
    return rise, Phase(total - 1, peak, last)


def cycle(steps: Numbers, phases: tuple[Phase, ...], annealing: Annealing) -> Numbers:
    """The value at each step; a step belongs to the first phase that has not ended, or to the last."""
    values = np.empty(np.shape(steps))
    begin = 0.0
    todo = np.ones(np.shape(steps), bool)
    for phase in phases:
        here = todo if phase is phases[-1] else todo & (steps <= phase.end)
        with np.errstate(divide="ignore", invalid="ignore"):
            values[here] = annealing((steps[here] - begin) / (phase.end - begin), phase.start, phase.stop)
        todo = todo & ~here
        begin = phase.end
    return values
