"""Follow one sample through its pipeline and keep what every stage made of it.

The same dataset, index and seed give the same pixels: in any order, in any process, alone or among others.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from itertools import chain
from typing import Literal

import numpy as np

from classlens.dataset.dataset import Dataset, MaxSide, Outcome, Params, Thumbnail
from classlens.dataset.rng import generator, mixed, seeded_globals
from classlens.image import Image
from classlens.sharing import ALONE

Extent = Literal["all", "ends", "first", "last"]
"""Which snapshots are kept: after every stage, the first and the last, or only one of these two."""


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The sample as it left `stage`, what was drawn there, and whether its pixels or size changed.

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
    """One draw of one sample: the same dataset, index and seed give the same trace.

    The first snapshot is the picture as loaded (unless only the last one was kept). `class_names` has several entries for a multi-label sample.
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
    draw from, are seldom made for several at once; processes do not. Where no stage sees the picture (`keep` is `first`, or
    there are no stages), `needed` allows a smaller copy of it, of that many pixels along the longer side.

    Raises:
        IndexError: `index` is not in [0, dataset.length).
        DataError: the sample's file cannot be read.
    """
    if not 0 <= index < dataset.length:
        raise IndexError(f"index {index} is outside {dataset.name} (0..{dataset.length - 1})")
    unseen = keep == "first" or not dataset.pipeline(index)
    if max_side is not None and unseen and dataset.thumbnail is not None:
        return glanced(dataset, index, seed, dataset.thumbnail(index, max_side))
    foreign = any(stage.draws_globally for stage in dataset.pipeline(index))
    with ALONE, seeded_globals(mixed(seed, index)) if foreign else nullcontext():
        loaded = dataset.load(index)
        snapshots = tuple(kept(dataset, loaded, follow(dataset, loaded, index, seed), keep))
    return told(dataset, index, seed, snapshots, dataset.remarks(loaded))


def glanced(dataset: Dataset, index: int, seed: int, seen: Thumbnail) -> Trace:
    return told(dataset, index, seed, (Snapshot(dataset.loader, seen.image, full=seen.size),), seen.remarks)


def told(dataset: Dataset, index: int, seed: int, snapshots: tuple[Snapshot, ...], remarks: tuple[str, ...]) -> Trace:
    """Snapshots with what is known of their sample."""
    path, names = dataset.sample(index).path, dataset.class_names(index)
    return Trace(dataset.name, index, seed, names, snapshots, path, remarks)


def kept(dataset: Dataset, loaded: object, outcomes: Iterator[tuple[str, Outcome]], keep: Extent) -> Iterator[Snapshot]:
    """The snapshots that are asked for; no other state is turned into a picture."""
    if keep == "last":
        outcomes = chain([(dataset.loader, Outcome(loaded))], outcomes)
    else:
        first = Snapshot(dataset.loader, dataset.to_image(loaded))
        yield first
    if keep == "all":
        yield from every_snapshot(dataset, first.image, outcomes)
    if keep in ("ends", "last"):
        for name, outcome in deque(outcomes, maxlen=1):
            yield Snapshot(name, dataset.to_image(outcome.state), outcome.params)


def follow(dataset: Dataset, loaded: object, index: int, seed: int) -> Iterator[tuple[str, Outcome]]:
    """The outcome of every stage, one after the other."""
    state = loaded
    for position, stage in enumerate(dataset.pipeline(index)):
        outcome = stage.apply(state, generator(seed, index, position))
        yield stage.name, outcome
        state = outcome.state


def every_snapshot(dataset: Dataset, first: Image, outcomes: Iterator[tuple[str, Outcome]]) -> Iterator[Snapshot]:
    """Look at every outcome at once: frameworks may change a state in place later."""
    before = first
    for name, outcome in outcomes:
        image = dataset.to_image(outcome.state)
        changed = not np.array_equal(before.pixels, image.pixels)
        yield Snapshot(name, image, outcome.params, changed, outcome.note)
        before = image
