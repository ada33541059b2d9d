"""The user's datasets: samples as they come off the disk, and the transforms in them laid open.

The pipeline is found among the dataset's attributes. A shallow copy of the dataset gets a stand-in in its place that
keeps what it is called with and stops there, so that loading a sample runs nothing of the pipeline.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NoReturn

from PIL import Image as Pillow

from classlens.adapters.pipelines import lay_open
from classlens.adapters.pipelines.carried import Carried, loaded, look, remarks
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.labels import class_names, known_sample, label_in
from classlens.adapters.running import users_code
from classlens.dataset.chance import seeded_globals
from classlens.dataset.dataset import Dataset, Sample
from classlens.errors import ClasslensError, ConfigError, DataError

REMEMBERED = 4096
"""How many labels are kept that had to be learnt by loading the sample."""


class _Caught(BaseException):
    """Private: the pipeline was reached, and this is what it was given. Not an Exception: datasets may retry those."""

    def __init__(self, value: Thing) -> None:
        super().__init__()
        self.value = value


@dataclass(frozen=True, eq=False)
class Pipeline:
    """A dataset's transform, the attributes it stands under, and whether it takes picture and label together."""

    transform: Thing
    attributes: tuple[str, ...]
    joint: bool = False


def open_data(given: Thing, split: str) -> Dataset:
    """A Dataset or DataLoader of torch, or any object with samples by number, with its pipeline laid open.

    Raises:
        ConfigError: samples cannot be had by number.
    """
    dataset, indices = unwrapped(given.dataset if kinds.is_loader(given) else given)
    if kinds.ITERABLE in kinds.kinds(dataset) or not hasattr(dataset, "__getitem__"):
        raise ConfigError(
            f"{type(dataset).__name__} has no samples by number",
            hint="a sample must be reachable by its index to be drawn again: give a map-style dataset",
        )
    pipeline = pipeline_of(dataset)
    raw = dataset if pipeline is None else without(dataset, pipeline)
    length = len(dataset) if indices is None else len(indices)
    place = (lambda index: index) if indices is None else indices.__getitem__
    name = type(dataset).__name__
    return Dataset(
        name=f"{name} {split}",
        length=length,
        load=lambda index: load(raw, place(index), repeatable=pipeline is None),
        stages=() if pipeline is None else lay_open(pipeline.transform, joint=pipeline.joint),
        look=look,
        sample=lru_cache(REMEMBERED)(lambda index: sample(dataset, place(index))),
        classes=class_names(dataset),
        loader=name,
        remarks=remarks,
    )


def extended(dataset: Dataset, transforms: Sequence[Thing]) -> Dataset:
    """The dataset with transforms of any framework behind its own stages; a picture without any is given as Pillow's.

    Raises:
        ConfigError: its own stages pass on something that other frameworks do not take.
    """
    if not transforms:
        return dataset
    stages = (*dataset.stages, *(stage for transform in transforms for stage in lay_open(transform)))
    if dataset.look is look:
        return replace(dataset, stages=stages)
    if dataset.stages:
        raise ConfigError(
            f"{dataset.name} has a pipeline of its own: a transform cannot be put behind it",
            hint="put it in front of pictures that have none, such as folder:PATH",
        )

    def load(index: int) -> Carried:
        state = dataset.load(index)
        return Carried(Pillow.fromarray(dataset.look(state).pixels), said=dataset.remarks(state))

    return replace(dataset, load=load, stages=stages, look=look, remarks=remarks)


def unwrapped(dataset: Thing) -> tuple[Thing, Sequence[int] | None]:
    """The dataset inside nested Subsets, and the numbers of the samples that they leave."""
    indices: Sequence[int] | None = None
    while "torch.utils.data.dataset.Subset" in kinds.kinds(dataset):
        inner = [int(index) for index in dataset.indices]
        indices = inner if indices is None else [inner[index] for index in indices]
        dataset = dataset.dataset
    return dataset, indices


def pipeline_of(dataset: Thing) -> Pipeline | None:
    """The transform that the dataset applies to its pictures: under its usual name, or the only one there is."""
    own: Mapping[str, Thing] = getattr(dataset, "__dict__", {})
    both = own.get("transforms")
    if both is not None and type(both).__name__ != "StandardTransform":
        return Pipeline(both, ("transforms",), joint=True)
    if own.get("transform") is not None:
        return Pipeline(own["transform"], tuple(name for name in ("transform", "transforms") if name in own))
    found = [name for name, value in own.items() if kinds.is_transform(value)]
    return Pipeline(own[found[0]], (found[0],)) if len(found) == 1 else None


def without(dataset: Thing, pipeline: Pipeline) -> Thing:
    """A shallow copy of the dataset that stops where its pipeline would begin."""
    raw = copy(dataset)
    for name in pipeline.attributes:
        raw.__dict__[name] = Catch(pipeline.joint)
    return raw


@dataclass(frozen=True)
class Catch:
    """Stands where the pipeline stood, and stops at the first call; datasets may also loop over a list of transforms."""

    joint: bool

    def __call__(self, *args: Thing, **kwargs: Thing) -> NoReturn:
        """Keep what the pipeline is given."""
        if kwargs and not args:
            raise _Caught(kwargs)
        raise _Caught(args if self.joint and len(args) > 1 else args[0])

    def __iter__(self) -> Iterator["Catch"]:
        return iter([self])


def load(raw: Thing, index: int, *, repeatable: bool) -> Carried:
    """Sample `index` as its pipeline is given it; `repeatable` fixes what a dataset without one draws by itself.

    Raises:
        DataError: the dataset cannot read it.
    """
    where = known_sample(raw, index).path or f"sample {index} of {type(raw).__name__}"
    try:
        with seeded_globals(index) if repeatable else nullcontext(), users_code(where, DataError):
            value = raw[index]
    except _Caught as caught:
        value = caught.value
    return loaded(value)


def sample(dataset: Thing, index: int) -> Sample:
    """File and label of a sample; where only loading it tells the label, it is loaded, with chance put back."""
    known = known_sample(dataset, index)
    if known.labels:
        return known
    try:
        with seeded_globals(0), users_code(f"sample {index}", DataError):
            item = dataset[index]
    except ClasslensError:
        return known  # loading it tells what is wrong
    return Sample(known.path, label_in(item))
