"""Follow one sample through its pipeline and keep the picture after every stage.

The same dataset, index and seed give the same pixels: in any order, in any process, alone or among others.
"""

from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from classlens.dataset.dataset import Dataset, MaxSide, Outcome, Params, State
from classlens.dataset.rng import generator, seed_of, seeded_globals
from classlens.errors import WrongIndex, WrongType
from classlens.image import Image
from classlens.results import Array, Drawable
from classlens.sharing import ALONE

Extent = Literal["all", "ends", "first", "last"]
"""Which snapshots are kept: after every stage, the first and the last, or only one of these two."""


@dataclass(frozen=True, eq=False)
class Snapshot(Drawable, Array):
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
    numbers: ClassVar[str] = "image"

    @property
    def size(self) -> tuple[int, int]:
        return self.full or self.image.size


@dataclass(frozen=True, eq=False)
class Trace(Drawable):
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
        TypeError: `dataset` is none.
        IndexError: `index` is not in [0, dataset.length).
        DataError: the sample's file cannot be read.
    """
    if not isinstance(dataset, Dataset):
        what = f"trace takes a Dataset, not a {type(dataset).__name__}"
        raise WrongType(what, hint='classlens.open_source(...).dataset("train") makes one')
    if not 0 <= index < dataset.length:
        raise WrongIndex(f"index {index} is outside {dataset.name} (0..{dataset.length - 1})")
    stages = dataset.pipeline(index)
    if max_side is not None and dataset.thumbnail is not None and (keep == "first" or not stages):
        loaded = dataset.thumbnail(index, max_side)
        snapshots = [Snapshot(dataset.loader, dataset.to_image(loaded), full=loaded.full)]
    else:
        draws_globally = any(stage.draws_globally for stage in stages)
        with ALONE, seeded_globals(seed_of(seed, index)) if draws_globally else nullcontext():
            loaded = dataset.load(index)
            snapshots = list(take_snapshots(dataset, loaded, index, seed, keep))
    path, names = dataset.sample(index).path, dataset.class_names(index)
    return Trace(dataset.name, index, seed, names, tuple(snapshots), path, dataset.remarks(loaded))


def take_snapshots(dataset: Dataset, loaded: State, index: int, seed: int, keep: Extent) -> Iterator[Snapshot]:
    """What is asked for, each taken before the next stage runs: frameworks may change a state in place."""
    stages = dataset.pipeline(index)
    before = None
    if keep != "last" or not stages:
        before = dataset.to_image(loaded)
        yield Snapshot(dataset.loader, before)
    outcome = Outcome(loaded)
    for position, stage in enumerate(stages if keep != "first" else ()):
        outcome = stage.apply(outcome.state, generator(seed, index, position))
        if keep == "all" or position == len(stages) - 1:
            image = dataset.to_image(outcome.state)
            changed = keep != "all" or before is None or not np.array_equal(before.pixels, image.pixels)
            yield Snapshot(stage.name, image, outcome.params, changed, outcome.note)
            before = image
