"""Closed forms of the usual schedules: pure functions of arrays, no state, no framework.

`progress` runs from 0 at the start of a stretch to 1 at its end; it is never clipped here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import cos, floor, inf, pi
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

Numbers: TypeAlias = NDArray[np.float64]
Level: TypeAlias = "float | Numbers"
Annealing: TypeAlias = Callable[[Numbers, Level, Level], Numbers]
"""(progress, start, end) -> values."""


def line(progress: Numbers, start: Level, end: Level) -> Numbers:
    return start + (end - start) * progress


def half_cosine(progress: Numbers) -> Numbers:
    return (1 + np.cos(np.pi * progress)) / 2


def cosine(progress: Numbers, start: Level, end: Level) -> Numbers:
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


class Affine(NamedTuple):
    """`scale` * initial value + `shift`; both may be arrays over steps."""

    scale: Any
    shift: Any

    def times(self, factor: float) -> Affine:
        return Affine(self.scale * factor, self.shift * factor)

    def plus(self, other: Affine) -> Affine:
        return Affine(self.scale + other.scale, self.shift + other.shift)

    def single(self) -> Affine:
        """The first of several steps, in plain numbers."""
        return Affine(*(float(np.ravel(part)[0]) for part in self))


ZERO = Affine(0.0, 0.0)
INITIAL = Affine(1.0, 0.0)


@dataclass(frozen=True, eq=False)
class Piece:
    """Local steps from where it was asked for up to `stop` (excluded), in closed form.

    `gain(before, steps)` is by how much the distance to `floor` shrinks from the value after step `before` to that
    after each of `steps`; `lift(steps)` is added on top.
    """

    gain: Callable[[Numbers, Numbers], Numbers]
    stop: float = inf
    floor: Affine = ZERO
    lift: Callable[[Numbers], Affine] | None = None

    @property
    def only_scales(self) -> bool:
        return self.lift is None and self.floor == ZERO

    def after(self, value: Affine, before: Numbers, steps: Numbers) -> Affine:
        """The value after each of `steps`, given the one after step `before` (-1: on entry)."""
        gain, floor = self.gain(before, steps), self.floor
        if floor == ZERO:
            moved = Affine(value.scale * gain, value.shift * gain)
        else:
            scale, shift = value.scale - floor.scale, value.shift - floor.shift
            moved = Affine(scale * gain + floor.scale, shift * gain + floor.shift)
        return moved if self.lift is None else moved.plus(self.lift(steps))


@runtime_checkable
class Shape(Protocol):
    """What all shapes below can do."""

    def piece(self, first: int, base: Affine) -> Piece:
        """The moves from local step `first` on; `base` is what the shape takes for the undecayed value."""


def following(level: Callable[[Numbers], Numbers]) -> Callable[[Numbers, Numbers], Numbers]:
    """The gain of a shape whose factor after step s is `level(s)`; on entry (step -1) that factor is 1."""

    def gain(before: Numbers, steps: Numbers) -> Numbers:
        with np.errstate(divide="ignore", invalid="ignore"):
            return level(steps) / np.where(before < 0, 1.0, level(before))

    return gain


def nothing(before: Numbers, steps: Numbers) -> Numbers:
    return np.zeros(np.shape(steps))


def everything(before: Numbers, steps: Numbers) -> Numbers:
    return np.ones(np.shape(steps))


@dataclass(frozen=True, eq=False)
class Constant:
    """x * `factor`, until local step `last` gives the factor back, if there is such a step."""

    factor: float
    last: float

    def piece(self, first: int, base: Affine) -> Piece:
        """Held at `factor` up to `last`."""
        last = self.last if self.last >= 1 and self.last == int(self.last) else inf
        return Piece(following(lambda s: np.where(s < last, self.factor, 1.0)), last if first < last else inf)


@dataclass(frozen=True, eq=False)
class Linear:
    """x * `start` at local step 0, x * `end` at local step `last`, a straight line between; then it stays."""

    start: float
    end: float
    last: float

    def piece(self, first: int, base: Affine) -> Piece:
        """One straight line; a single step stays at `start`."""
        if self.last < 1:
            return Piece(following(lambda s: np.full(np.shape(s), self.start)))
        if first > self.last:
            return Piece(everything)
        return Piece(following(lambda s: line(s / self.last, self.start, self.end)), floor(self.last) + 1)


@dataclass(frozen=True, eq=False)
class Exponential:
    """x * `gamma` at every local step but the first."""

    gamma: float

    def piece(self, first: int, base: Affine) -> Piece:
        return Piece(lambda before, s: np.power(self.gamma, s - np.maximum(before, 0)))


@dataclass(frozen=True, eq=False)
class Step:
    """x * `gamma` at every `size` local steps."""

    size: int
    gamma: float

    def piece(self, first: int, base: Affine) -> Piece:
        return Piece(lambda before, s: np.power(self.gamma, s // self.size - np.maximum(before, 0) // self.size))


@dataclass(frozen=True, eq=False)
class MultiStep:
    """x * `gamma` at each of the `milestones`; a milestone that is no whole number is never met."""

    milestones: tuple[float, ...]
    gamma: float

    @property
    def met(self) -> Numbers:
        return np.sort(np.array([m for m in self.milestones if m >= 0 and m == int(m)], np.float64))

    def piece(self, first: int, base: Affine) -> Piece:
        """Flat up to the next milestone."""
        met = self.met
        later = met[met > first]
        return Piece(
            lambda before, s: np.float_power(
                self.gamma, np.searchsorted(met, s, "right") - np.searchsorted(met, before, "right")
            ),
            float(later[0]) if later.size else inf,
        )


@dataclass(frozen=True, eq=False)
class Polynomial:
    """From x down to `minimum` at local step `last`, as (1 - progress) ** `power`; then it stays."""

    power: float
    minimum: float
    last: float

    def piece(self, first: int, base: Affine) -> Piece:
        """One power of the remaining part of the way."""
        if self.last < 1 or first > self.last:
            return Piece(everything)
        level = following(lambda s: (1 - s / self.last) ** self.power)
        return Piece(level, floor(self.last) + 1, Affine(0.0, self.minimum))


@dataclass(frozen=True, eq=False)
class Quadratic:
    """Up to base as the square of the progress, over `last` + 1 local steps: each adds its share to what it finds.

    Source: the warm-up of YOLOX, as MMDetection's QuadraticWarmupParamScheduler computes it.
    """

    last: float

    def piece(self, first: int, base: Affine) -> Piece:
        """One move; the first one sets the value."""
        share = (2 * first + 1) / (self.last + 1) ** 2
        return Piece(everything if first else nothing, first + 1, lift=lambda s: base.times(share))

    def piece_alone(self, first: int, base: Affine) -> Piece:
        """All moves together, where nothing else moves the value."""

        def lift(steps: Numbers) -> Affine:
            share = ((steps + 1) ** 2 - first**2) / (self.last + 1) ** 2
            return Affine(base.scale * share, base.shift * share)

        return Piece(everything if first else nothing, self.last + 1, lift=lift)


@dataclass(frozen=True, eq=False)
class Cosine:
    """Half a cosine from x down to a floor over `period` local steps; past it, up again to the base, and so on.

    The floor is `minimum` + `minimum_ratio` * base. Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.
    """

    period: float
    minimum: float = 0.0
    minimum_ratio: float = 0.0

    def piece(self, first: int, base: Affine) -> Piece:
        """Down or up to the next trough; the step after a trough lifts the value off the floor."""
        period, floor = self.period, base.times(self.minimum_ratio).plus(Affine(0.0, self.minimum))
        since = (first - 1 - period) % (2 * period)
        if first > 0 and since == 0:
            rise = base.plus(floor.times(-1)).times((1 - cos(pi / period)) / 2)
            return Piece(everything, first + 1, lift=lambda s: rise)
        lifted = period + 1 if first <= period else first + 2 * period - since
        return Piece(following(lambda s: half_cosine(s / period)), float(np.ceil(lifted)), floor)

    def piece_alone(self, first: int, base: Affine) -> Piece:
        """The same where nothing else moves the value: from a trough on it swings between floor and base for ever."""
        piece, since = self.piece(first, base), (first - self.period) % (2 * self.period)
        if self.period != int(self.period) or since == 1:
            return piece
        if since:
            return replace(piece, stop=piece.stop - 1)  # up to the trough, from where the value is known for good
        floor, height = piece.floor, base.plus(piece.floor.times(-1))

        def swing(steps: Numbers) -> Affine:
            level = half_cosine(steps / self.period)
            return Affine(height.scale * level, height.shift * level).plus(floor)

        return Piece(nothing, lift=swing)


@dataclass(frozen=True, eq=False)
class CosineRestart:
    """One half cosine after the other, each from base * weight down to the floor; the value stays after the last.

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.
    """

    periods: tuple[float, ...]
    weights: tuple[float, ...]
    minimum: float = 0.0
    minimum_ratio: float = 0.0

    def piece(self, first: int, base: Affine) -> Piece:
        """The start of a period sets the value, the rest of it follows the cosine."""
        starts = np.concatenate([[0], np.cumsum(self.periods)])
        index = int(np.searchsorted(starts, first, "right")) - 1
        if index >= len(self.periods):
            return Piece(everything)
        start, period = float(starts[index]), self.periods[index]
        if first == start:
            top = base.times(self.weights[index])
            return Piece(nothing, first + 1, lift=lambda s: top)
        floor = base.times(self.minimum_ratio).plus(Affine(0.0, self.minimum))
        stop = float(np.ceil(starts[index + 1]))
        return Piece(following(lambda s: half_cosine((s - start) / period)), stop, floor)


@dataclass(frozen=True, eq=False)
class OneCycle:
    """Up to `peak` and down again, whatever the value was before.

    Source: Smith & Topin, Super-Convergence, 2017; phases as in torch.
    """

    phases: tuple[Phase, ...]
    annealing: Annealing

    def piece(self, first: int, base: Affine) -> Piece:
        """One phase of the cycle."""
        ends = [phase.end for phase in self.phases[:-1] if phase.end >= first]
        stop = float(np.floor(ends[0])) + 1 if ends else inf
        return Piece(nothing, stop, lift=lambda s: Affine(np.zeros(np.shape(s)), cycle(s, self.phases, self.annealing)))
