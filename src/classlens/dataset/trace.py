"""Follow one sample through its pipeline and keep the picture after every stage.

The same dataset, index and seed give the same pixels: in any order, in any process, alone or among others.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import numpy as np

from classlens.dataset.dataset import Dataset, MaxSide, Outcome, Params
from classlens.dataset.rng import generator, mixed, seeded_globals
from classlens.image import Image
from classlens.sharing import ALONE

Extent = Literal["all", "ends", "first", "last"]
"""Which snapshots are kept: after every stage, the first and the last, or only one of these two."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The sample as it left `stage`, the parameters sampled there, and whether its pixels or size changed.

    `note` says why a stage left the sample alone, where the stage knows. `full` is the true (height, width) where
    the image is a smaller copy.
    """

    stage: str
    image: Image
    params: Params = field(default_factory=dict)
    changed: bool = True
    note: str = ""
    full: tuple[int, int] | None = None

    @property
    def size(self) -> tuple[int, int]:
        return self.full or self.image.size


@dataclass(frozen=True, eq=False)
class Trace:
    """One sample on its way through its pipeline: the same dataset, index and seed give the same trace.

    The first snapshot is the picture as loaded (unless only the last one was kept). `class_names` has several entries
    for a multi-label sample.
    """

    dataset: str
    index: int
    seed: int
    class_names: tuple[str, ...]
    snapshots: tuple[Snapshot, ...]
    path: str | None = None
    remarks: tuple[str, ...] = ()

    def __repr__(self) -> str:
        names = ", ".join(self.class_names) or "no label"
        stages = " > ".join(snapshot.stage for snapshot in self.snapshots)
        return f"<Trace of {self.dataset} #{self.index} ({names}), seed {self.seed}: {stages}>"

    @property
    def original(self) -> Snapshot:
        """The picture as loaded."""
        return self.snapshots[0]

    @property
    def transformed(self) -> Snapshot:
        """The picture as the network gets it."""
        return self.snapshots[-1]


def trace(
    dataset: Dataset, index: int, seed: int = 0, *, keep: Extent = "all", max_side: MaxSide | None = None
) -> Trace:
    """Run sample `index` through every stage, once, with chance fixed by `seed`.

    The caller's global random state is as it was afterwards. Threads wait for one another: pipelines, and what they
    draw from, are seldom made for several at once; processes do not. Where no stage sees the picture (`keep` is
    `first`, or there are no stages), `max_side` allows a smaller copy, of that many pixels along the longer side.

    Raises:
        IndexError: `index` is not in [0, dataset.length).
        DataError: the sample's file cannot be read.
    """
    if not 0 <= index < dataset.length:
        raise IndexError(f"index {index} is outside {dataset.name} (0..{dataset.length - 1})")
    stages = dataset.pipeline(index)
    if max_side is not None and dataset.thumbnail is not None and (keep == "first" or not stages):
        small = dataset.thumbnail(index, max_side)
        snapshots: tuple[Snapshot, ...] = (Snapshot(dataset.loader, small.image, full=small.size),)
        remarks = small.remarks
    else:
        draws_globally = any(stage.draws_globally for stage in stages)
        with ALONE, seeded_globals(mixed(seed, index)) if draws_globally else nullcontext():
            loaded = dataset.load(index)
            snapshots = tuple(take_snapshots(dataset, loaded, follow(dataset, loaded, index, seed), keep))
        remarks = dataset.remarks(loaded)
    path, names = dataset.sample(index).path, dataset.class_names(index)
    return Trace(dataset.name, index, seed, names, snapshots, path, remarks)


def follow(dataset: Dataset, loaded: object, index: int, seed: int) -> Iterator[tuple[str, Outcome]]:
    """The outcome of every stage, one after the other."""
    state = loaded
    for position, stage in enumerate(dataset.pipeline(index)):
        outcome = stage.apply(state, generator(seed, index, position))
        yield stage.name, outcome
        state = outcome.state


def take_snapshots(
    dataset: Dataset, loaded: object, outcomes: Iterator[tuple[str, Outcome]], keep: Extent
) -> Iterator[Snapshot]:
    """The snapshots that are asked for; no other state is turned into a picture.

    Each is taken before the next stage runs: frameworks may change a state in place.
    """
    if keep == "last":
        outcomes = chain([(dataset.loader, Outcome(loaded))], outcomes)
    else:
        before = dataset.to_image(loaded)
        yield Snapshot(dataset.loader, before)
    if keep == "all":
        for name, outcome in outcomes:
            image = dataset.to_image(outcome.state)
            yield Snapshot(name, image, outcome.params, not np.array_equal(before.pixels, image.pixels), outcome.note)
            before = image
    elif keep != "first":
        for name, outcome in deque(outcomes, maxlen=1):
            yield Snapshot(name, dataset.to_image(outcome.state), outcome.params)
