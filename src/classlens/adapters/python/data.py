"""The user's datasets: samples as they come off the disk, and the transforms in them laid open.

The pipeline is found among the dataset's attributes. A shallow copy of the dataset gets a stand-in in its place that
keeps what it is called with and stops there, so that loading a sample runs nothing of the pipeline.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from types import SimpleNamespace
from typing import NoReturn

from PIL import Image as Pillow

from classlens.adapters.pipelines import lay_open
from classlens.adapters.pipelines.carried import Carried, loaded, look, remarks
from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.labels import as_labels, class_names, is_row, label_in, listed_label, path_of
from classlens.adapters.python.workers import with_repeats
from classlens.adapters.running import users_code
from classlens.dataset.chance import generator, mixed, seeded_globals
from classlens.dataset.dataset import Dataset, Sample, Stage
from classlens.errors import ClasslensError, ConfigError, DataError

REMEMBERED = 4096
"""How many labels are kept that had to be learnt by loading the sample."""

PROBES = 5
"""How many samples are loaded to see what a dataset makes of its labels."""


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
    raw = dataset if pipeline is None else replaced(dataset, pipeline, caught)
    length = len(dataset) if indices is None else len(indices)
    place = (lambda index: index) if indices is None else indices.__getitem__
    name = type(dataset).__name__
    return Dataset(
        name=f"{name} {split}",
        length=length,
        load=lambda index: load(raw, place(index), repeatable=pipeline is None),
        stages=() if pipeline is None else lay_open(pipeline.transform, joint=pipeline.joint),
        look=look,
        sample=samples_of(dataset, [place(index) for index in probed(length)], place, pipeline),
        classes=class_names(dataset),
        loader=name,
        remarks=with_repeats(remarks, given),
    )


def extended(dataset: Dataset, transforms: Sequence[Thing]) -> Dataset:
    """The dataset with transforms of any framework behind its own stages; a picture without any is given as Pillow's.

    Raises:
        ConfigError: its own stages pass on something that other frameworks do not take.
    """
    if not transforms:
        return dataset
    stages = (*dataset.stages, *(stage for transform in transforms for stage in lay_open(transform)))
    standing = SimpleNamespace(transform=transforms[0] if len(transforms) == 1 else transforms)
    if dataset.look is look:
        return replace(dataset, stages=stages, remarks=with_repeats(dataset.remarks, standing))
    if dataset.stages:
        raise ConfigError(
            f"{dataset.name} has a pipeline of its own: a transform cannot be put behind it",
            hint="put it in front of pictures that have none, such as folder:PATH",
        )

    def load(index: int) -> Carried:
        state = dataset.load(index)
        return Carried(Pillow.fromarray(dataset.look(state).pixels), said=dataset.remarks(state))

    return replace(dataset, load=load, stages=stages, look=look, remarks=with_repeats(remarks, standing))


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


def replaced(dataset: Thing, pipeline: Pipeline, answer: Callable[[Thing], Thing]) -> Thing:
    """A shallow copy of the dataset with something else where its pipeline stood."""
    other = copy(dataset)
    for name in pipeline.attributes:
        other.__dict__[name] = StandIn(pipeline.joint, answer)
    return other


def caught(value: Thing) -> NoReturn:
    """Stop where the pipeline would begin."""
    raise _Caught(value)


@dataclass(frozen=True)
class StandIn:
    """Answers the first call in place of the pipeline; datasets may also loop over a list of transforms."""

    joint: bool
    answer: Callable[[Thing], Thing]

    def __call__(self, *args: Thing, **kwargs: Thing) -> Thing:
        """Hand on what the pipeline is given."""
        if kwargs and not args:
            return self.answer(kwargs)
        return self.answer(args if self.joint and len(args) > 1 else args[0])

    def __iter__(self) -> Iterator["StandIn"]:
        return iter([self])


def played(given: Thing, stages: Sequence[Stage], index: int, seed: int) -> tuple[Thing, Carried]:
    """A sample as the dataset gives it to its loader, drawn as `trace` draws it, and its picture as it is encoded.

    Raises:
        DataError: the dataset cannot give it.
    """
    dataset, indices = unwrapped(given.dataset if kinds.is_loader(given) else given)
    pipeline = pipeline_of(dataset)
    states: list[Carried] = []

    def play(value: Thing) -> Thing:
        state = loaded(value)
        for position, stage in enumerate(stages):
            state = stage.apply(state, generator(seed, index, position)).state
        states.append(state)
        return state.value

    source = dataset if pipeline is None else replaced(dataset, pipeline, play)
    place = index if indices is None else indices[index]
    with seeded_globals(place if pipeline is None else mixed(seed, index)), users_code(f"sample {index}", DataError):
        item = source[place]
    return item, states[-1] if states else loaded(item)


def load(raw: Thing, index: int, *, repeatable: bool) -> Carried:
    """Sample `index` as its pipeline is given it; `repeatable` fixes what a dataset without one draws by itself.

    Raises:
        DataError: the dataset cannot read it.
    """
    where = path_of(raw, index) or f"sample {index} of {type(raw).__name__}"
    try:
        with seeded_globals(index) if repeatable else nullcontext(), users_code(where, DataError):
            value = raw[index]
    except _Caught as caught:
        value = caught.value
    return loaded(value)


def samples_of(
    dataset: Thing, probes: Sequence[int], place: Callable[[int], int], pipeline: Pipeline | None
) -> Callable[[int], Sample]:
    """File and label of a sample by its number.

    Listed labels need no loading. They count only where the dataset passes them on as they are listed: known
    frameworks do, after `target_transform`; of others, and of what a joint pipeline makes of labels, some are loaded
    to see. Rows of zeros and ones mark classes by their places only if all rows are such.
    """
    classes = class_names(dataset)
    passed_on = passes_labels_on(dataset) and not (pipeline and pipeline.joint)

    @cache
    def is_listed() -> bool:
        pairs = ((listed(dataset, index), loaded_label(dataset, index)) for index in (() if passed_on else probes[::2]))
        return all(seen is None or as_labels(known) == as_labels(seen) for known, seen in pairs)

    @cache
    def is_hot() -> bool:
        return all(map(is_row, map(label_of, probes)))

    def label_of(index: int) -> Thing:
        known = listed(dataset, index)
        return known if known is not None and is_listed() else loaded_label(dataset, index)

    @lru_cache(REMEMBERED)
    def sample(index: int) -> Sample:
        label = label_of(place(index))
        return Sample(path_of(dataset, place(index)), as_labels(label, classes, hot=is_row(label) and is_hot()))

    return sample


def passes_labels_on(dataset: Thing) -> bool:
    """Whether the class of a dataset is a framework's own, which changes listed labels by `target_transform` only."""
    if hasattr(dataset, "select_columns"):
        return bool(dataset.format["type"] != "custom")
    return type(dataset).__module__.startswith(("torchvision.datasets.", "timm.data."))


def probed(length: int) -> Sequence[int]:
    """A few numbers of samples from all over a dataset."""
    return sorted({(length - 1) * part // (PROBES - 1) for part in range(PROBES)}) if length else ()


def listed(dataset: Thing, index: int) -> Thing:
    """The label that the dataset lists, after its `target_transform`; None where it lists none.

    Raises:
        DataError: `target_transform` fails.
    """
    label, change = listed_label(dataset, index), getattr(dataset, "target_transform", None)
    if label is None or not callable(change):
        return label
    with seeded_globals(0), users_code("target_transform", DataError):
        return change(label)


def loaded_label(dataset: Thing, index: int) -> Thing:
    """The label in a sample that is loaded to see it, with chance put back; None where there is none to be seen."""
    try:
        with seeded_globals(0), users_code(f"sample {index}", DataError):
            return label_in(dataset[index])
    except ClasslensError:
        return None  # whoever looks at the sample is told what is wrong with it
