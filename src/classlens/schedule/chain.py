"""Several shapes acting on one value, each in its own span of steps or epochs, in random access.

The order of events is that of training. When training starts, every link whose span holds 0 makes its move 0, in the
order of the list. Before step t the links on the step clock make their moves, in that order; if t is the start of an
epoch the links on the epoch clock follow. Outside its span a link leaves the value as it is.

The run is cut into sections wherever the set of moving links or a closed form changes. Inside a section there is
nothing moving, one link in closed form, several that only scale (they commute), or - the rare rest - moves that must
be walked one by one.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from typing import Literal

import numpy as np

from classlens.errors import ConfigError
from classlens.schedule.clock import Clock
from classlens.schedule.schedule import Course, Mark, Setting, Stairs, Steps, Values
from classlens.schedule.shapes import INITIAL, ZERO, Affine, Cosine, Piece, Quadratic, Shape, Step

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

    def width(self, epoch: int) -> int:
        """Steps of the run per local step."""
        return epoch if self.unit == "epoch" else 1

    def moves(self, step: int, epoch: int) -> bool:
        """Whether it moves the value before `step`; `epoch` is the length of one, in steps."""
        return step % self.width(epoch) == 0 and self.begin <= step // self.width(epoch) < self.end

    def local(self, step: int, epoch: int) -> int:
        """Its local step at a step of the run."""
        return step // self.width(epoch) - self.begin


@dataclass(frozen=True, eq=False)
class Section:
    """Steps from `first` up to `stop` (excluded), with one way to compute the value at any of them."""

    first: int
    stop: int
    values: Callable[[Steps], Affine]
    stairs: tuple[Stairs, ...] = ()


def chain(
    links: Sequence[Link], clock: Clock, settings: tuple[Setting, ...] = (), *, zero_stays: bool = False
) -> Course:
    """The course of a value that all `links` act on; with `zero_stays` a group that starts at 0 is left alone.

    Raises:
        ConfigError: the links change direction, or act on each other, too often to be drawn.
    """
    sections = tuple(sections_of(links, clock))
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
    return Course(values, firsts, stairs, marks_of(links, clock), settings)


def sections_of(links: Sequence[Link], clock: Clock) -> Iterator[Section]:
    """Cut a run into sections, first to last."""
    epoch = clock.steps_per_epoch if clock.by_epoch and clock.steps_per_epoch else clock.steps
    first, value = 0, INITIAL
    for _ in range(MOST_SECTIONS):
        section = section_at(first, links, value, epoch, clock.steps)
        yield section
        if section.stop >= clock.steps:
            return
        value = single(section.values(np.array([section.stop - 1])))
        first = section.stop
    raise ConfigError(
        f"the schedule changes direction more than {MOST_SECTIONS:,} times in {clock.steps:,} steps",
        hint="is a period, a T_max or a milestone given in epochs where steps are counted?",
    )


def section_at(first: int, links: Sequence[Link], value: Affine, epoch: int, steps: int) -> Section:
    """The section that starts at `first`, where `value` was in force before."""
    moving = [link for link in links if link.moves(first, epoch)]
    if first > 0:
        moving.sort(key=lambda link: link.unit == "epoch")
    pieces = [piece_of(link, link.local(first, epoch), alone=len(moving) == 1) for link in moving]
    stop = min([steps, *changes(first, links, epoch), *piece_ends(first, moving, pieces, epoch)])
    if len(moving) <= 1 or all(piece.only_scales for piece in pieces):
        return closed(first, stop, moving, pieces, value, epoch)
    if all(link.unit == "step" for link in moving):
        return walked(first, stop, moving, pieces, value)
    held = first + 1 if any(link.unit == "step" for link in moving) else min(stop, first + epoch)
    for link, piece in zip(moving, pieces, strict=True):
        local = link.local(first, epoch)
        value = single(piece.after(value, np.array([local - 1.0]), np.array([float(local)])))
    return closed(first, held, [], [], value, epoch)


def piece_of(link: Link, local: int, *, alone: bool) -> Piece:
    """The closed form of a link from one of its local steps on."""
    if alone and isinstance(link.shape, Cosine | Quadratic):
        return link.shape.piece_alone(local, link.base)
    return link.shape.piece(local, link.base)


def single(values: Affine) -> Affine:
    """A value out of arrays of one."""
    return Affine(*(float(np.ravel(part)[0]) for part in values))


def changes(first: int, links: Sequence[Link], epoch: int) -> Iterator[int]:
    """The later steps at which a link starts or stops moving, and the next epoch if one waits for it."""
    for link in links:
        width = link.width(epoch)
        yield from (edge * width for edge in (link.begin, link.end) if edge * width > first)
        if first % width and link.begin <= first // width + 1 < link.end:
            yield (first // width + 1) * width


def piece_ends(first: int, moving: Sequence[Link], pieces: Sequence[Piece], epoch: int) -> Iterator[int]:
    """The steps at which the closed forms of the moving links end."""
    for link, piece in zip(moving, pieces, strict=True):
        if piece.stop < link.end - link.begin:
            yield (ceil(piece.stop) + link.begin) * link.width(epoch)


def closed(
    first: int, stop: int, moving: Sequence[Link], pieces: Sequence[Piece], value: Affine, epoch: int
) -> Section:
    """A section in closed form: each piece is applied to what the ones before it gave."""

    def values(steps: Steps) -> Affine:
        result = Affine(np.full(steps.shape, value.scale), np.full(steps.shape, value.shift))
        for link, piece in zip(moving, pieces, strict=True):
            local = (steps // link.width(epoch) - link.begin).astype(np.float64)
            result = piece.after(result, np.array([link.local(first, epoch) - 1.0]), local)
        return result

    stairs = tuple(stair for link in moving for stair in stairs_of(link, first, stop, epoch))
    return Section(first, stop, values, stairs)


def stairs_of(link: Link, first: int, stop: int, epoch: int) -> Iterator[Stairs]:
    """Where a link moves in visible stairs: epochs, or a step shape; or turns, as a cosine that swings."""
    size = 1
    if isinstance(link.shape, Step):
        size = link.shape.size
    elif isinstance(link.shape, Cosine) and link.unit == "step" and link.shape.period == int(link.shape.period):
        size = int(link.shape.period)
    width = size * link.width(epoch)
    if width > 1:
        origin = link.begin * link.width(epoch)
        yield Stairs(origin + max(0, -((origin - first) // width)) * width, width, stop)


def walked(first: int, stop: int, moving: Sequence[Link], pieces: Sequence[Piece], value: Affine) -> Section:
    """A section in which links on the step clock disturb each other: every move, one after the other.

    Raises:
        ConfigError: there are too many moves.
    """
    if stop - first > MOST_WALKED:
        raise ConfigError(
            f"{len(moving)} schedules with an absolute minimum act on each other for {stop - first:,} steps",
            hint="give them spans that do not overlap, or eta_min_ratio instead of eta_min",
        )
    steps = np.arange(first, stop, dtype=np.float64)
    gain, scale, shift = np.ones(steps.shape), np.zeros(steps.shape), np.zeros(steps.shape)
    for link, piece in zip(moving, pieces, strict=True):
        local = steps - link.begin
        alone = piece.after(ZERO, local - 1, local)
        factor = piece.gain(local - 1, local)
        gain, scale, shift = factor * gain, factor * scale + alone.scale, factor * shift + alone.shift
    scales, shifts = np.empty(steps.shape), np.empty(steps.shape)
    m, r = value
    for index, (a, d, c) in enumerate(zip(gain.tolist(), scale.tolist(), shift.tolist(), strict=True)):
        m, r = a * m + d, a * r + c
        scales[index], shifts[index] = m, r
    return Section(first, stop, lambda at: Affine(scales[at - first], shifts[at - first]))


def marks_of(links: Sequence[Link], clock: Clock) -> tuple[Mark, ...]:
    """The links' marks in steps of the run, in order, those inside the run only."""
    width = {"step": 1, "epoch": clock.steps_per_epoch if clock.by_epoch else None}
    found = {
        Mark((link.begin + mark.step) * unit, mark.what)
        for link in links
        if (unit := width[link.unit]) is not None
        for mark in link.marks
        if mark.step < link.end - link.begin or mark.what == "warm-up ends"
    }
    return tuple(sorted((mark for mark in found if 0 < mark.step < clock.steps), key=lambda mark: mark.step))
