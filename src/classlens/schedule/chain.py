"""Courses of functions that nobody has a formula for: a user's callable, a scheduler of some framework.

The function is called at the steps that are asked for, in any order. Where it bends or jumps is found by looking at
even samples, and then at every step of the few stretches in which something happens.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from math import ceil
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from classlens.errors import ConfigError
from classlens.schedule.schedule import (
    Clock,
    Mark,
    MetricDependent,
    Setting,
    Stairs,
    Steps,
    Trajectory,
    Values,
    distinct,
)
from classlens.schedule.shapes import INITIAL, ZERO, Affine, Cosine, Piece, Quadratic, Shape, Step

EVEN = 1024
MOST_STRETCHES = 48
LONGEST = 4096
"""Stretches that are looked at step by step, and how long they may be: what a search may cost."""

VISIBLE = 2e-4
"""A bend of less than this share of the range cannot be seen on a plot."""


def sampled(function: Callable[[Steps], Values], clock: Clock, *, width: int = 1) -> Trajectory:
    """The course of a function of local steps, each `width` steps of the run long; it ignores initial values."""
    count = -(-clock.steps // width)

    def values(steps: Steps, initial: float) -> Values:
        return np.asarray(function(steps // width), np.float64)

    breaks = np.concatenate([[0], bends(function, count) * width]).astype(np.int64)
    stairs = (Stairs(width, width, clock.steps),) if width > 1 else ()
    return Trajectory(values, np.unique(breaks), stairs)


def elementwise(function: Callable[[int], float]) -> Callable[[Steps], Values]:
    """A function of one step as a function of many."""
    return lambda steps: np.array([float(function(step)) for step in steps.tolist()], np.float64)


def bends(function: Callable[[Steps], Values], count: int) -> NDArray[np.int64]:
    """The steps at which straight lines between even samples would visibly miss the function."""
    if count <= 2 * EVEN:
        return np.zeros(0, np.int64)
    steps = np.unique(np.linspace(0, count - 1, EVEN).round().astype(np.int64))
    values = function(steps)
    bend = np.abs(np.diff(np.diff(values) / np.diff(steps))) * np.diff(steps)[:-1]
    limit = VISIBLE * (np.nanmax(values) - np.nanmin(values) or 1.0)
    suspects = np.argsort(np.nan_to_num(-bend))[:MOST_STRETCHES]
    places = [
        sharpest_bend(function, int(steps[index]), int(steps[index + 2]), limit)
        for index in suspects
        if bend[index] > limit
    ]
    return np.unique(np.concatenate(places)) if places else np.zeros(0, np.int64)


def sharpest_bend(function: Callable[[Steps], Values], first: int, last: int, limit: float) -> NDArray[np.int64]:
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


@dataclass(frozen=True)
class Plateau:
    """Times `factor` once the metric has been bad more than `patience` times in a row, but not below `minimum`.

    After a cut the next `cooldown` metrics count for nothing. The first metric of all is never bad.
    """

    factor: float
    patience: int
    cooldown: int = 0
    minimum: float = 0.0
    metric: str = ""

    def cuts(self, looks: Sequence[int]) -> Sequence[int]:
        return looks[self.patience + 1 :: self.patience + 1 + self.cooldown]


def open_to(plateau: Plateau, known: Trajectory, worst: Trajectory, first: int) -> Trajectory:
    """The course of a value that a metric may cut from step `first` on.

    Args:
        known: its course if the metric always improves.
        worst: its course with all the cuts of a metric that never does, without regard to the minimum.
    """

    def lowest(steps: Steps, initial: float) -> Values:
        held = np.minimum(plateau.minimum, known.values(steps, initial))
        return np.asarray(np.maximum(worst.values(steps, initial), held))

    breaks = distinct(np.concatenate([known.breaks, worst.breaks, [first]]))
    return replace(known, breaks=breaks, undecided=MetricDependent(first, lowest, plateau.metric))


MOST_SECTIONS = 200_000
MOST_WALKED = 20_000_000
"""Beyond these a plot would take minutes and show nothing; real schedules need tens of sections and walk nothing."""


@dataclass(frozen=True)
class Link:
    """A shape and its span: local step 0 is at `begin`, counted in steps or epochs; `end` is excluded.

    `base` is what the shape takes for the undecayed value. `marks` are local steps worth pointing at.
    """

    shape: Shape
    begin: int
    end: int
    unit: Literal["step", "epoch"]
    base: Affine = INITIAL
    marks: tuple[Mark, ...] = ()


class Mover(NamedTuple):
    """A link that moves at the start of a section: its local step there, each `width` steps of the run long."""

    link: Link
    width: int
    local: int
    piece: Piece


@dataclass(frozen=True, eq=False)
class ChainSection:
    """Steps from `first` up to `stop` (excluded), with one way to compute the value at any of them."""

    first: int
    stop: int
    values: Callable[[Steps], Affine]
    stairs: tuple[Stairs, ...] = ()


def chain(
    links: Sequence[Link], clock: Clock, settings: tuple[Setting, ...] = (), *, zero_stays: bool = False
) -> Trajectory:
    """The course of a value that all `links` act on; with `zero_stays` a group that starts at 0 is left alone.

    Raises:
        ConfigError: the links change direction, or act on each other, too often to be drawn.
    """
    epoch = clock.steps_per_epoch if clock.by_epoch and clock.steps_per_epoch else clock.steps
    widths = [(link, epoch if link.unit == "epoch" else 1) for link in links]
    sections = [section_at(0, widths, INITIAL, clock.steps)]
    while (last := sections[-1]).stop < clock.steps:
        if len(sections) == MOST_SECTIONS:
            raise ConfigError(
                f"the schedule changes direction more than {MOST_SECTIONS:,} times in {clock.steps:,} steps",
                hint="is a period, a T_max or a milestone given in epochs where steps are counted?",
            )
        value = last.values(np.array([last.stop - 1])).single()
        sections.append(section_at(last.stop, widths, value, clock.steps))
    firsts = np.array([section.first for section in sections], np.int64)

    def values(steps: Steps, initial: float) -> Values:
        if zero_stays and initial == 0:
            return np.zeros(steps.shape)
        result = np.empty(steps.shape)
        index = np.searchsorted(firsts, steps, "right") - 1
        order = np.argsort(index, kind="stable")
        edges = np.flatnonzero(np.diff(index[order], prepend=-1, append=len(sections)))
        for low, high in pairwise(edges):
            here = order[low:high]
            scale, shift = sections[index[here[0]]].values(steps[here])
            result[here] = scale * initial + shift
        return result

    stairs = tuple(stair for section in sections for stair in section.stairs)
    return Trajectory(values, firsts, stairs, marks_of(links, clock), settings)


def section_at(first: int, links: Sequence[tuple[Link, int]], value: Affine, steps: int) -> ChainSection:
    """The section that starts at `first`, where `value` was in force before; a link comes with the width of its unit."""
    moving = [each for each in links if first % each[1] == 0 and each[0].begin <= first // each[1] < each[0].end]
    if first > 0:
        moving.sort(key=lambda each: each[0].unit == "epoch")
    movers = []
    for link, width in moving:
        local, shape = first // width - link.begin, link.shape
        if len(moving) == 1 and isinstance(shape, Cosine | Quadratic):
            piece = shape.piece_alone(local, link.base)
        else:
            piece = shape.piece(local, link.base)
        movers.append(Mover(link, width, local, piece))
    stop = min([steps, *next_changes(first, links, movers)])
    if len(movers) <= 1 or all(mover.piece.only_scales for mover in movers):
        return closed_section(first, stop, movers, value)
    by_step = [mover.link.unit == "step" for mover in movers]
    if all(by_step):
        return walked_section(first, stop, movers, value)
    for mover in movers:
        now = np.array([float(mover.local)])
        value = mover.piece.after(value, now - 1, now).single()
    return closed_section(first, first + 1 if any(by_step) else min(stop, first + movers[0].width), [], value)


def next_changes(first: int, links: Sequence[tuple[Link, int]], movers: Sequence[Mover]) -> Iterator[int]:
    """The later steps at which a link starts or stops moving, or its closed form ends; the next epoch if one waits."""
    for link, width in links:
        yield from (edge * width for edge in (link.begin, link.end) if edge * width > first)
        if first % width and link.begin <= first // width + 1 < link.end:
            yield (first // width + 1) * width
    for link, width, _, piece in movers:
        if piece.stop < link.end - link.begin:
            yield (ceil(piece.stop) + link.begin) * width


def closed_section(first: int, stop: int, movers: Sequence[Mover], value: Affine) -> ChainSection:
    """A section in closed form: each piece is applied to what the ones before it gave."""

    def values(steps: Steps) -> Affine:
        result = Affine(np.full(steps.shape, value.scale), np.full(steps.shape, value.shift))
        for link, width, local, piece in movers:
            later = (steps // width - link.begin).astype(np.float64)
            result = piece.after(result, np.array([local - 1.0]), later)
        return result

    stairs = []
    for link, unit, _, _ in movers:
        width = unit
        if isinstance(link.shape, Step):
            width *= link.shape.size
        elif isinstance(link.shape, Cosine) and link.unit == "step" and link.shape.period == int(link.shape.period):
            width *= int(link.shape.period)  # the turns of a cosine that swings
        if width > 1:
            origin = link.begin * unit
            stairs.append(Stairs(origin + max(0, -((origin - first) // width)) * width, width, stop))
    return ChainSection(first, stop, values, tuple(stairs))


def walked_section(first: int, stop: int, movers: Sequence[Mover], value: Affine) -> ChainSection:
    """A section in which links on the step clock disturb each other: every move, one after the other."""
    if stop - first > MOST_WALKED:
        raise ConfigError(
            f"{len(movers)} schedules with an absolute minimum act on each other for {stop - first:,} steps",
            hint="give them spans that do not overlap, or eta_min_ratio instead of eta_min",
        )
    steps = np.arange(first, stop, dtype=np.float64)
    gain, scale, shift = np.ones(steps.shape), np.zeros(steps.shape), np.zeros(steps.shape)
    for link, _, _, piece in movers:
        local = steps - link.begin
        alone = piece.after(ZERO, local - 1, local)
        factor = piece.gain(local - 1, local)
        gain, scale, shift = factor * gain, factor * scale + alone.scale, factor * shift + alone.shift
    scales, shifts = np.empty(steps.shape), np.empty(steps.shape)
    m, r = value
    for index, (a, d, c) in enumerate(zip(gain.tolist(), scale.tolist(), shift.tolist(), strict=True)):
        m, r = a * m + d, a * r + c
        scales[index], shifts[index] = m, r
    return ChainSection(first, stop, lambda at: Affine(scales[at - first], shifts[at - first]))


def marks_of(links: Sequence[Link], clock: Clock) -> tuple[Mark, ...]:
    """The links' marks in steps of the run, in order, those inside the run only."""
    width = {"step": 1, "epoch": clock.steps_per_epoch if clock.by_epoch else None}
    marks = {
        Mark((link.begin + mark.step) * unit, mark.what)
        for link in links
        if (unit := width[link.unit]) is not None
        for mark in link.marks
        if mark.step < link.end - link.begin or mark.what == "warm-up ends"
    }
    return tuple(sorted((mark for mark in marks if 0 < mark.step < clock.steps), key=lambda mark: mark.step))
