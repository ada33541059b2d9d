"""The usual rules in closed form, alone and several that act on one value.

A value under rules is always scale * initial value + shift, so one evaluation serves all groups. A `Shape` says how a
rule moves it at each of its own steps; `chain` lets shapes with spans act one after the other, in random access: the run
is cut into sections in each of which the value has a closed form.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice, pairwise
from math import ceil, cos, floor, inf, pi
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classlens.arrays import Float64
from classlens.errors import ConfigError
from classlens.schedule.schedule import Clock, Mark, Setting, Stairs, Steps, Trajectory, Unit, Values

Numbers: TypeAlias = NDArray[np.float64]
Affine: TypeAlias = Float64[np.ndarray, "2 _"]
"""(scale, shift) of a value that is scale * initial value + shift: for one step, or for each of several."""

ZERO = np.array([[0.0], [0.0]])
INITIAL = np.array([[1.0], [0.0]])


def absolute(values: float | Numbers) -> Affine:
    shift = np.atleast_1d(np.asarray(values, np.float64))
    return np.stack([np.zeros(shift.shape), shift])


@dataclass(frozen=True, eq=False)
class Piece:
    """The moves of a shape from some local step up to `stop` (excluded), in closed form.

    `gain(before, steps)` is by how much the distance to `floor` shrinks from the value after step `before` (-1: on
    entry) to that after each of `steps`; `lift(before, steps)` is added on top.
    """

    gain: Callable[[Numbers, Numbers], Numbers | float]
    stop: float = inf
    floor: Affine = field(default_factory=lambda: ZERO)
    lift: Callable[[Numbers, Numbers], Affine] | None = None

    def after(self, value: Affine, before: Numbers, steps: Numbers) -> Affine:
        """The value after each of `steps`, from the one after step `before`."""
        moved = self.floor + (value - self.floor) * self.gain(before, steps)
        return np.asarray(moved if self.lift is None else moved + self.lift(before, steps))


STAY = Piece(lambda before, steps: 1.0)


def set_to(values: Callable[[Numbers], Affine], stop: float = inf) -> Piece:
    return Piece(lambda before, steps: 0.0, stop, lift=lambda before, steps: values(steps))


def follow(level: Callable[[Numbers], Numbers | float], stop: float = inf, floor: Affine = ZERO) -> Piece:
    """Follows a factor on the distance to `floor`: after step s it is `level(s)`, and on entry 1."""

    def gain(before: Numbers, steps: Numbers) -> Numbers:
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(level(steps) / np.where(before < 0, 1.0, level(before)))

    return Piece(gain, stop, floor)


def decay(gamma: float, count: Callable[[Numbers], np.ndarray], stop: float = inf) -> Piece:
    """Multiplies by `gamma` whenever `count`, which is 0 on entry, grows by 1."""
    return Piece(
        lambda before, steps: np.float_power(gamma, count(steps) - np.where(before < 0, 0, count(before))), stop
    )


@dataclass(frozen=True, eq=False)
class Shape:
    """A rule in closed form, in steps of its own; it moves at every `rise` of them.

    `piece(first, base)` gives the moves from local step `first` on; `base` is what the rule takes for the undecayed
    value. `alone` does so where nothing else moves the value, if more is known there. `marks(length)` are the steps
    worth pointing at, and what happens there, if it acts for `length` steps.
    """

    piece: Callable[[int, Affine], Piece]
    marks: Callable[[int], Iterable[tuple[float, str]]] = lambda length: ()
    rise: int = 1
    alone: Callable[[int, Affine], Piece] | None = None


def constant(factor: float, last: float) -> Shape:
    """X * `factor`, until local step `last` gives the factor back, if there is such a step."""
    end = last if last >= 1 and last == int(last) else inf

    def piece(first: int, base: Affine) -> Piece:
        return follow(lambda s: np.where(s < end, factor, 1.0), end if first < end else inf)

    return Shape(piece, lambda length: [(last, WARM_UP)] if factor < 1 else ())


def linear(start: float, end: float, last: float) -> Shape:
    """X * `start` at local step 0, x * `end` at local step `last`, a straight line between; then it stays."""

    def piece(first: int, base: Affine) -> Piece:
        if last < 1:
            return follow(lambda s: start)
        return follow(lambda s: line(s / last, start, end), floor(last) + 1) if first <= last else STAY

    return Shape(piece, lambda length: [(last, WARM_UP)] if start < end else ())


def exponential(gamma: float) -> Shape:
    """X * `gamma` at every local step but the first."""
    return Shape(lambda first, base: decay(gamma, lambda s: s))


def step_decay(size: int, gamma: float) -> Shape:
    """X * `gamma` at every `size` local steps."""
    piece = decay(gamma, lambda s: s // size)
    return Shape(lambda first, base: piece, lambda length: ((at, "step") for at in range(size, length, size)), size)


def multi_step(milestones: Sequence[float], gamma: float) -> Shape:
    """X * `gamma` at each of the `milestones`; a milestone that is no whole number is never met."""
    met = np.sort([float(each) for each in milestones if each >= 0 and each == int(each)])
    return Shape(
        lambda first, base: decay(
            gamma, lambda s: np.searchsorted(met, s, "right"), min(met[met > first].tolist(), default=inf)
        ),
        lambda length: ((at, "milestone") for at in met.tolist()),
    )


def polynomial(power: float, minimum: float, last: float) -> Shape:
    """From x down to `minimum` at local step `last`, as (1 - progress) ** `power`; then it stays."""

    def piece(first: int, base: Affine) -> Piece:
        if last < 1 or first > last:
            return STAY
        return follow(lambda s: (1 - s / last) ** power, floor(last) + 1, absolute(minimum))

    return Shape(piece)


def quadratic(last: float) -> Shape:
    """Up to base as the square of the progress, over `last` + 1 local steps: each adds its share to what it finds.

    Source: the warm-up of YOLOX, as MMDetection's QuadraticWarmupParamScheduler computes it.
    """

    def piece(first: int, base: Affine) -> Piece:
        def lift(before: Numbers, steps: Numbers) -> Affine:
            return np.asarray(base * (((steps + 1) ** 2 - (before + 1) ** 2) / (last + 1) ** 2))

        return Piece(lambda before, s: np.where(before < 0, 0.0, 1.0), last + 1, lift=lift)

    return Shape(piece, lambda length: [(last, WARM_UP)])


def cosine_annealing(period: float, minimum: float = 0.0, minimum_ratio: float = 0.0) -> Shape:
    """Half a cosine from x down to a floor over `period` local steps; past it, up again to the base, and so on.

    The floor is `minimum` + `minimum_ratio` * base. Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.
    """

    def piece(first: int, base: Affine) -> Piece:
        lowest, since = base * minimum_ratio + absolute(minimum), (first - period) % (2 * period)
        if since == 1 and first > 0:  # the step after a trough lifts the value off the floor
            rise = (base - lowest) * (1 - cos(pi / period)) / 2
            return Piece(lambda before, s: 1.0, first + 1, lift=lambda before, s: rise)
        trough = period if first <= period else first + -since % (2 * period)
        return follow(lambda s: half_cosine(s / period), ceil(trough) + 1, lowest)

    def alone(first: int, base: Affine) -> Piece:
        after, since = piece(first, base), (first - period) % (2 * period)
        if since == 1:
            return after
        if since:
            return replace(after, stop=after.stop - 1)  # up to the trough, from where the value is known for good
        return set_to(lambda s: after.floor + (base - after.floor) * half_cosine(s / period))

    def troughs(length: int) -> Iterable[tuple[float, str]]:
        count = int(length // period)
        return ((period * turn, "cosine ends") for turn in range(1, count + 1, 2)) if count > 1 else ()

    # Where the period is no whole number no step is a trough.
    return Shape(piece, troughs, int(period), alone) if period == int(period) else Shape(piece, troughs)


def cosine_restart(
    periods: Sequence[float], weights: Sequence[float], minimum: float = 0.0, minimum_ratio: float = 0.0
) -> Shape:
    """One half cosine after the other, each from base * weight down to the floor; the value stays after the last.

    Source: Loshchilov & Hutter, SGDR, ICLR 2017, eq. 5.
    """
    starts = np.concatenate([[0.0], np.cumsum(periods)]).tolist()

    def piece(first: int, base: Affine) -> Piece:
        index = int(np.searchsorted(starts, first, "right")) - 1
        if index == len(periods):
            return STAY
        start, period = starts[index], periods[index]
        if first == start:
            return set_to(lambda s: base * weights[index], first + 1)
        lowest = base * minimum_ratio + absolute(minimum)
        return follow(lambda s: half_cosine((s - start) / period), ceil(starts[index + 1]), lowest)

    return Shape(piece, lambda length: ((start, "restart") for start in starts[1:-1]))


def one_cycle(phases: tuple[Phase, ...], annealing: Annealing) -> Shape:
    """Up to the peak and down again in `phases`, whatever the value was before.

    Source: Smith & Topin, Super-Convergence, 2017; phases as in torch.
    """

    def piece(first: int, base: Affine) -> Piece:
        ends = [phase.end for phase in phases[:-1] if phase.end >= first]
        return set_to(lambda s: absolute(cycle(s, phases, annealing)), floor(ends[0]) + 1 if ends else inf)

    return Shape(piece)


Level: TypeAlias = "float | Numbers"
Annealing: TypeAlias = Callable[[Numbers, Level, Level], Numbers]
"""(progress, start, end) -> values; progress runs from 0 at the start of a stretch to 1 at its end, and is not clipped."""


def line(progress: Numbers, start: Level, end: Level) -> Numbers:
    return start + (end - start) * progress


def half_cosine(progress: Numbers) -> Numbers:
    return np.asarray((1 + np.cos(np.pi * progress)) / 2)


def cosine(progress: Numbers, start: Level, end: Level) -> Numbers:
    return end + (start - end) * half_cosine(progress)


ANNEALINGS: dict[str, Annealing] = {"cos": cosine, "linear": line}


class Phase(NamedTuple):
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
    ends, starts, stops = np.array(phases, np.float64).T
    begins, index = np.append(0.0, ends[:-1]), np.searchsorted(ends[:-1], steps)
    with np.errstate(divide="ignore", invalid="ignore"):
        return annealing((steps - begins[index]) / (ends - begins)[index], starts[index], stops[index])


MOST_MARKS = 24  # a rule that moves more often is drawn without marks
WARM_UP = "warm-up ends"

MOST_SECTIONS = 200_000
MOST_WALKED = 20_000_000
"""Beyond these a plot would take minutes and show nothing; real schedules need tens of sections and walk nothing."""


@dataclass(frozen=True, eq=False)
class Link:
    """A shape and its span: local step 0 is at `begin`, counted in steps or epochs; `end` is excluded.

    `base` is what the shape takes for the undecayed value.
    """

    shape: Shape
    begin: int
    end: int
    unit: Unit
    base: Affine = field(default_factory=lambda: INITIAL)


class Mover(NamedTuple):
    """What moves in a section: the piece of a link whose unit is `width` steps; `before` is the local step before it."""

    link: Link
    width: int
    before: Numbers
    piece: Piece


def chain(
    links: Sequence[Link], clock: Clock, settings: tuple[Setting, ...] = (), *, zero_stays: bool = False
) -> Trajectory:
    """The course of a value that all `links` act on; with `zero_stays` a group that starts at 0 is left alone."""
    epoch = clock.steps_per_epoch if clock.by_epoch and clock.steps_per_epoch else clock.steps
    placed = [(link, epoch if link.unit == "epoch" else 1) for link in links]
    sections: dict[int, Callable[[Steps], Affine]] = {}
    first, value = 0, INITIAL
    while first < clock.steps:
        if len(sections) == MOST_SECTIONS:
            raise ConfigError(
                f"the schedule changes direction more than {MOST_SECTIONS:,} times in {clock.steps:,} steps",
                hint="is a period, a T_max or a milestone given in epochs where steps are counted?",
            )
        stop, sections[first] = section_at(first, placed, value, clock.steps)
        value, first = sections[first](np.array([stop - 1])), stop
    stairs, marks = [], set[Mark]()
    for link, width in placed:
        # The turns of a cosine that swings are drawn as stairs, too; one that counts epochs moves at each of them.
        size = width * (link.shape.rise if width == 1 or link.shape.alone is None else 1)
        if size > 1:
            stairs.append(Stairs(link.begin * width, size, min(link.end * width, clock.steps)))
        length = min(link.end, -(-clock.steps // width)) - link.begin
        events = [event for event in islice(link.shape.marks(length), MOST_MARKS + 1) if event[0] < length]
        if len(events) <= MOST_MARKS:
            marks |= {
                Mark((link.begin + ceil(step)) * width, what)
                for step, what in events
                if what != WARM_UP or link.begin == 0
            }
    inside = tuple(sorted(mark for mark in marks if 0 < mark.step < clock.steps))
    breaks, values = np.array([*sections], np.int64), partial(values_in, sections, zero_stays=zero_stays)
    return Trajectory(values, breaks, tuple(stairs), inside, settings)


def values_in(
    sections: Mapping[int, Callable[[Steps], Affine]], steps: Steps, initial: float, *, zero_stays: bool
) -> Values:
    """The values at any steps, by sections that are given with their first steps."""
    if zero_stays and initial == 0:
        return np.zeros(steps.shape)
    values, order = np.empty(steps.shape), np.argsort(steps, kind="stable")
    edges = [*np.searchsorted(steps[order], [*sections]).tolist(), steps.size]
    for section, (low, high) in zip(sections.values(), pairwise(edges), strict=True):
        if low < high:
            scale, shift = section(steps[order[low:high]])
            values[order[low:high]] = scale * initial + shift
    return values


def section_at(
    first: int, links: Sequence[tuple[Link, int]], value: Affine, steps: int
) -> tuple[int, Callable[[Steps], Affine]]:
    """Where the section that starts at `first` stops, and its values; `value` was in force before.

    A section stops where a link starts or stops moving, or its closed form ends. A link comes with the width of its
    unit; one that counts epochs moves only where an epoch begins, after all those that count steps.
    """
    stops, moving = [steps], []
    for link, width in links:
        stops += [link.begin * width, link.end * width]
        coming = -(-first // width)
        if link.begin <= coming < link.end:
            stops.append(coming * width)
            moving += [(link, width)] if coming * width == first else []
    if first > 0:  # schedulers move once when they are made, in the order of the list
        moving.sort(key=lambda each: each[0].unit == "epoch")
    movers = []
    for link, width in moving:
        local, shape = first // width - link.begin, link.shape
        piece = (shape.alone if shape.alone and len(moving) == 1 else shape.piece)(local, link.base)
        movers.append(Mover(link, width, np.array([local - 1.0]), piece))
        if piece.stop < link.end - link.begin:
            stops.append((ceil(piece.stop) + link.begin) * width)
    stop = min(stop for stop in stops if stop > first)
    only_scale = all(mover.piece.lift is None and not mover.piece.floor.any() for mover in movers)
    if len(movers) <= 1 or only_scale:
        return stop, partial(move_together, movers, value)
    units = {mover.link.unit for mover in movers}
    if units == {"step"}:
        return stop, walk(first, stop, movers, value)
    for _, _, before, piece in movers:
        value = piece.after(value, before, before + 1)
    return first + 1 if "step" in units else min(stop, first + movers[0].width), partial(move_together, [], value)


def move_together(movers: Sequence[Mover], value: Affine, steps: Steps) -> Affine:
    """Closed form: each piece is applied to what the ones before it gave."""
    for link, width, before, piece in movers:
        value = piece.after(value, before, (steps // width - link.begin).astype(np.float64))
    return value


def walk(first: int, stop: int, movers: Sequence[Mover], value: Affine) -> Callable[[Steps], Affine]:
    """Links that count steps and disturb each other: every move, one after the other."""
    if stop - first > MOST_WALKED:
        raise ConfigError(
            f"{len(movers)} schedules with an absolute minimum act on each other for {stop - first:,} steps",
            hint="give them spans that do not overlap, or eta_min_ratio instead of eta_min",
        )
    steps = np.arange(first, stop, dtype=np.float64)
    gain, shift = np.ones(steps.shape), np.zeros((2, steps.size))
    for link, _, _, piece in movers:
        local = steps - link.begin
        gain, shift = gain * piece.gain(local - 1, local), piece.after(shift, local - 1, local)
    walked = np.empty((2, steps.size))
    for row, (start, shifts) in enumerate(zip(value.ravel().tolist(), shift.tolist(), strict=True)):
        for index, (factor, move) in enumerate(zip(gain.tolist(), shifts, strict=True)):
            start = factor * start + move
            walked[row, index] = start
    return lambda at: walked[:, at - first]
