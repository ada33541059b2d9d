"""Datasets and DataLoaders of the user: samples by number, their pipeline laid open, their files, labels and class names.

Labels are read as datasets of torchvision, timm, Hugging Face and users keep them. A label is a number, a name, a row
of zeros and ones, or several of these: one for each head of the network. What is none (masks, boxes, other pictures,
numbers with a fraction) gives no label.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from copy import copy
from dataclasses import dataclass, replace
from functools import cache, lru_cache, partial
from itertools import islice
from os import PathLike, fspath
from types import FunctionType, GetSetDescriptorType, MemberDescriptorType
from typing import NoReturn

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.dataset.dataset import Dataset, Label, Sample, Stage
from classlens.dataset.listing import class_difference, combine, concatenate
from classlens.dataset.rng import generator, seed_of, seeded_globals
from classlens.dataset.state import State, holds_picture, to_image
from classlens.errors import ClasslensError, ConfigError, DataError
from classlens.pipelines.lay_open import lay_open, loaded, remarks
from classlens.user_code import users_code

LISTS = ("targets", "labels", "_labels", "y")  # attributes under which datasets keep the labels of all samples
KEYS = ("label", "labels", "target", "targets", "fine_label", "y", "class", "category", "cls", "class_id")
"""Keys under which a sample that is a dict keeps its label."""

OF_OBJECTS = {"boxes", "bbox", "bboxes", "masks"}
"""Keys of a dict about the objects in a picture: its labels are numbers, one for each object."""

NO_HEADS = {"id", "image_id", "index", "idx", "path", "file_name", "filename", "size", "orig_size", "area", "iscrowd"}

LONGEST = 60  # a text with more letters is a caption
IN_CLASSES = (FunctionType, classmethod, staticmethod, property, type, MemberDescriptorType, GetSetDescriptorType)
"""What stands in the body of a class and is no transform kept there."""

JOINT = ("transforms",)  # where torchvision keeps a transform that takes picture and label together
OF_BATCH = ("_format_kwargs",)  # where Hugging Face keeps the function that `set_transform` is given


def open_data(thing: Thing, split: str) -> Dataset:
    """A Dataset or DataLoader of torch, or any object with samples, with its pipeline laid open."""
    dataset, indices = unwrap_subsets(thing)
    if kinds.CONCAT in kinds.bases_of(dataset):
        return open_members(dataset, indices, split)
    attributes, name = find_pipeline(dataset), type(dataset).__name__
    raw = replace_pipeline(dataset, attributes, stop_at_pipeline)
    transform: Thing = getattr(dataset, attributes[0]) if attributes else None
    transform = OfRow(transform["transform"]) if attributes == OF_BATCH else transform
    name, warnings = (dataset.name, (dataset.note,)) if isinstance(dataset, FirstSamples) else (name, ())
    return Dataset(
        name=f"{name} {split}",
        length=len(indices),
        load=lambda index: load_sample(raw, indices[index], repeatable=not attributes),
        stages=lay_open(transform, joint=attributes == JOINT),
        to_image=to_image,
        sample=sample_reader(dataset, indices, joint=attributes == JOINT),
        classes=class_names(dataset),
        loader=name,
        remarks=remarks,
        warnings=warnings,
        takes_transforms=True,
    )


def open_members(concatenation: Thing, indices: Sequence[int], split: str) -> Dataset:
    """The samples of a ConcatDataset, each with the file, label and pipeline that its member gives it.

    Training gets numbers. Where these have other names in other members, each sample is named as its own member has it.
    """
    parts = [open_data(member, split) for member in concatenation.datasets]
    name, differ = type(concatenation).__name__, class_difference(parts)
    if differ:
        parts = [replace(part, classes=None, sample=partial(name_labels, part)) for part in parts]
    whole = concatenate(parts)
    chosen = combine([whole], len(indices), lambda index: (whole, indices[index] % whole.length))
    loaders = {part.loader for part in parts}
    warnings = (f"{differ}: a number is not one class, and each sample is named as its own dataset has it",)
    return replace(
        chosen,
        name=f"{name} {split}",
        loader=loaders.pop() if len(loaders) == 1 else name,
        warnings=(*chosen.warnings, *(warnings if differ else ())),
    )


def name_labels(part: Dataset, index: int) -> Sample:
    return replace(part.sample(index), labels=part.class_names(index))


FIRST = 64  # so many samples of a stream are shown


@dataclass(frozen=True)
class FirstSamples:
    """The first samples of a stream, by their numbers; `classes` are the stream's own."""

    name: str
    items: Sequence[Thing]
    classes: Sequence[str] | None
    note: str

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Thing:
        return self.items[index]


def first_samples(stream: Thing) -> FirstSamples:
    """What one pass over the stream gives first, with chance fixed: a sample in it cannot be drawn again."""
    name = type(stream).__name__
    with seeded_globals(0), users_code(f"{name}, asked for its first {FIRST} samples,", DataError):
        samples = list(islice(stream, FIRST))
    those = f"the first {FIRST}" if len(samples) == FIRST else "all"
    if not samples:
        raise DataError(f"{name} gives no sample")
    note = (
        f"{name} gives its samples one after the other, none by its number: {those} of one pass are shown as they come"
    )
    return FirstSamples(name, samples, class_names(stream), note)


def unwrap_subsets(thing: Thing) -> tuple[Thing, Sequence[int]]:
    """The dataset of a loader inside all subsets, and the numbers of the samples that these select."""
    dataset, selections = thing.dataset if kinds.is_loader(thing) else thing, []
    while kinds.SUBSET in kinds.bases_of(dataset):
        selections.append(dataset.indices)
        dataset = dataset.dataset
    if kinds.is_stream(dataset):
        dataset = first_samples(dataset)
    if not hasattr(dataset, "__getitem__"):
        hint = "a sample must be reachable by its index to be drawn again: give a map-style dataset"
        raise ConfigError(f"{type(dataset).__name__} has no samples by number", hint=hint)
    indices: Sequence[int] = range(len(dataset))
    for selection in reversed(selections):
        indices = [indices[int(place)] for place in selection]
    return dataset, indices


def find_member(thing: Thing, index: int) -> tuple[Thing, int]:
    """The dataset inside all subsets and concatenations that sample `index` comes from, and its number there."""
    dataset, indices = unwrap_subsets(thing)
    place = indices[index]
    if kinds.CONCAT not in kinds.bases_of(dataset):
        return dataset, place
    starts = [0, *dataset.cumulative_sizes]
    number = bisect_right(starts, place % starts[-1]) - 1
    return find_member(dataset.datasets[number], place % starts[-1] - starts[number])


class PipelineReached(BaseException):
    """Its argument is what the pipeline was given. Not an Exception: datasets may retry those."""


def stop_at_pipeline(value: Thing) -> NoReturn:
    raise PipelineReached(value)


@dataclass(frozen=True)
class StandIn:
    """Answers the first call in place of the pipeline; datasets may also loop over a list of transforms."""

    joint: bool
    answer: Callable[[Thing], Thing]

    def __call__(self, *args: Thing, **kwargs: Thing) -> Thing:
        if kwargs and not args:
            return self.answer(kwargs)
        return self.answer(args if self.joint and len(args) > 1 else args[0])

    def __iter__(self) -> Iterator["StandIn"]:
        return iter([self])


@dataclass(frozen=True)
class OfRow:
    """A function of batches, as `set_transform` of Hugging Face takes it, as one of a single row."""

    func: Callable[[Thing], Thing]

    def __call__(self, row: Mapping[str, Thing]) -> Thing:
        return {key: values[0] for key, values in self.func({key: [value] for key, value in row.items()}).items()}


def of_batch(function: Callable[[Thing], Thing]) -> Callable[[Thing], Thing]:
    """A function of a row, where Hugging Face calls one of a batch; it asks for one row at a time."""
    return lambda batch: {key: [value] for key, value in function({key: batch[key][0] for key in batch}).items()}


def find_pipeline(dataset: Thing) -> tuple[str, ...]:
    """The attributes with the transform that the dataset applies to its pictures: the usual, or the only one there is.

    They are its own, or those of its class; but functions in a class are methods.
    """
    if hasattr(dataset, "select_columns") and dataset.format["type"] == "custom":
        return OF_BATCH
    of_class: dict[str, Thing] = {}
    for kind in reversed(type(dataset).__mro__):
        of_class |= vars(kind)
    own = {name: value for name, value in of_class.items() if not isinstance(value, IN_CLASSES)}
    own |= getattr(dataset, "__dict__", {})
    if own.get("transforms") is not None and type(own["transforms"]).__name__ != "StandardTransform":
        return JOINT
    if own.get("transform") is not None:
        return tuple(name for name in ("transform", "transforms") if name in own)
    names = tuple(name for name, value in own.items() if kinds.is_transform(value))
    return names if len(names) == 1 else ()


def replace_pipeline(dataset: Thing, attributes: Sequence[str], answer: Callable[[Thing], Thing]) -> Thing:
    other = copy(dataset) if attributes else dataset
    for name in attributes:
        stand_in = StandIn(attributes == JOINT, answer)
        vars(other)[name] = {"transform": of_batch(stand_in)} if attributes == OF_BATCH else stand_in
    return other


def load_sample(raw: Thing, index: int, *, repeatable: bool) -> State:
    """Sample `index` as its pipeline is given it; `repeatable` fixes what a dataset without one draws by itself."""
    where = path_of(raw, index) or f"sample {index} of {type(raw).__name__}"
    try:
        with seeded_globals(index) if repeatable else nullcontext(), users_code(where, DataError):
            value = raw[index]
    except PipelineReached as reached:
        (value,) = reached.args
    return loaded(value, raw)


def play_sample(loader: Thing, stages: Sequence[Stage], index: int, seed: int) -> tuple[Thing, State]:
    """A sample as the dataset gives it to its loader, drawn as `trace` draws it, and its picture as it is encoded."""
    dataset, place = find_member(loader, index)
    attributes = find_pipeline(dataset)
    states: list[State] = []

    def play(value: Thing) -> Thing:
        state = loaded(value)
        for position, stage in enumerate(stages):
            state = stage.apply(state, generator(seed, index, position)).state
        states.append(state)
        return state.value

    source = replace_pipeline(dataset, attributes, play)
    with seeded_globals(seed_of(seed, index) if attributes else place), users_code(f"sample {index}", DataError):
        item = source[place]
    return item, states[-1] if states else loaded(item)


def sample_reader(dataset: Thing, indices: Sequence[int], *, joint: bool) -> Callable[[int], Sample]:
    """File and label of a sample by its number.

    Listed labels need no loading. They count only where the dataset passes them on as they are listed: known
    frameworks do, after `target_transform`; of others, and of what a `joint` pipeline makes of labels, some are loaded
    to see. Rows of zeros and ones mark classes by their places only if all rows are such.
    """
    classes = class_names(dataset)
    probes = indices[:: max(1, len(indices) // 5)]  # five or more show what the dataset makes of its labels
    known = type(dataset).__module__.startswith(("torchvision.datasets.", "timm.data."))
    if hasattr(dataset, "select_columns"):
        known = dataset.format["type"] != "custom"

    @cache
    def reader() -> Callable[[int], Thing]:
        load, column = partial(load_label, dataset), list_labels(dataset)
        if column is None:
            return load
        look_up = partial(look_up_label, dataset, column)
        pairs = ((look_up(index), load(index)) for index in (() if known and not joint else probes[::2]))
        return look_up if all(label is None or as_labels(one) == as_labels(label) for one, label in pairs) else load

    @cache
    def is_hot() -> bool:
        return all(is_row(reader()(index)) for index in probes)

    @lru_cache(4096)  # samples may have to be loaded for their labels
    def read_sample(number: int) -> Sample:
        index = indices[number]
        label = reader()(index)
        return Sample(path_of(dataset, index), as_labels(label, classes, hot=is_row(label) and is_hot()))

    return read_sample


def load_label(dataset: Thing, index: int) -> Thing:
    """The label in a sample that is loaded to see it, with chance put back; None where there is none to be seen."""
    try:
        with seeded_globals(0), users_code(f"sample {index}", DataError):
            return find_label(dataset[index])
    except ClasslensError:
        return None  # whoever looks at the sample gets to know what is wrong with it


def look_up_label(dataset: Thing, column: Thing, index: int) -> Thing:
    """A label that the dataset lists, after its `target_transform`."""
    label, change = column[index], getattr(dataset, "target_transform", None)
    label = label.item() if getattr(label, "ndim", 1) == 0 else label
    if not callable(change):
        return label
    with seeded_globals(0), users_code("target_transform", DataError):
        return change(label)


def list_labels(dataset: Thing) -> Thing:
    """The labels that a dataset keeps of all samples, read at once: one by one, each takes Hugging Face milliseconds."""
    entries = find_entries(dataset)
    if entries and len(entries[0]) > 1:
        return [entry[1] for entry in entries]
    if hasattr(dataset, "select_columns"):
        masks = {name for name, feature in dataset.features.items() if type(feature).__name__ == "Image"}
        name = next((name for name in KEYS if name in dataset.column_names and name not in masks), None)
        return None if name is None else dataset.with_format(None).select_columns([name])[:][name]
    for name in LISTS:
        values: Thing = getattr(dataset, name, None)
        is_list = not isinstance(values, Mapping) and hasattr(values, "__getitem__") and hasattr(values, "__len__")
        if is_list and len(values) == len(dataset):  # else it lists something else, such as the names of the classes
            return getattr(values, "iloc", values)
    return None


def find_entries(dataset: Thing) -> Sequence[Thing]:
    """What `samples` lists, file and label as a rule; empty where the dataset has no such list."""
    for holder in (dataset, getattr(dataset, "reader", None)):
        samples = getattr(holder, "samples", None)
        if isinstance(samples, Sequence) and samples and isinstance(samples[0], (tuple, list)):
            return samples if len(samples) >= len(dataset) else ()
    return ()


def path_of(dataset: Thing, index: int) -> str | None:
    entries = find_entries(dataset)
    first = entries[index][0] if entries else None
    return fspath(first) if isinstance(first, (str, PathLike)) else None


def find_label(item: Thing) -> Thing:
    """The label in a loaded sample: what stands behind the picture, else before it, or under a usual key."""
    if isinstance(item, Mapping):
        heads = {key: value for key, value in item.items() if "label" in str(key) or "target" in str(key)}
        return next((item[key] for key in KEYS if key in item), heads or None)
    if not isinstance(item, (tuple, list)):
        return None
    first = next((place for place, part in enumerate(item) if holds_picture(part)), 0)
    for part in (*item[first + 1 :], *item[:first]):
        if not holds_picture(part) and as_labels(part, hot=False):
            return part
    return find_label(item[first]) if item and isinstance(item[first], Mapping) else None


def as_labels(value: Thing, classes: Sequence[str] | None = None, *, hot: bool = True) -> tuple[Label, ...]:
    """The labels that a value stands for; `hot` says that rows of zeros and ones mark the classes by their places.

    A tuple is one label for each head, and so is a row of numbers that cannot all be classes.
    """
    if isinstance(value, Mapping):
        return labels_by_key(value, classes, hot=hot)
    if isinstance(value, str):
        return (str(value),) if len(value) <= LONGEST and not {"/", "\\"} & set(value) else ()
    plain = value.tolist() if hasattr(value, "tolist") else value
    if isinstance(plain, (int, float)):
        return (int(plain),) if plain == plain // 1 else ()
    if not isinstance(plain, (list, tuple)) or not plain or getattr(value, "ndim", 1) > 1:
        return ()
    if len(plain) == 1 and isinstance(plain[0], (int, str)):
        return as_labels(plain[0], classes)
    hot = (hot and (classes is None or len(classes) == len(plain))) or isinstance(plain[0], float)
    if hot and is_row(plain) and not isinstance(value, tuple):
        return tuple(place for place, on in enumerate(plain) if on)
    numbers = all(isinstance(part, int) for part in plain)
    if numbers and not isinstance(value, tuple) and classes and all(0 <= part < len(classes) for part in plain):
        return tuple(dict.fromkeys(plain))
    if numbers or isinstance(value, tuple) or all(map(is_row, plain)):
        return labels_of_heads((f"head {number}", part) for number, part in enumerate(plain, start=1))
    return tuple(plain) if all(isinstance(part, str) and len(part) <= LONGEST for part in plain) else ()


def labels_by_key(value: Mapping[str, Thing], classes: Sequence[str] | None, *, hot: bool) -> tuple[Label, ...]:
    """The labels in a dict: under a usual key, or a head for each number and name in it."""
    key = next((key for key in KEYS if key in value), None)
    if key is not None and OF_OBJECTS & value.keys():
        return tuple(dict.fromkeys(label for part in value[key] for label in as_labels(part)))
    if key is not None:
        return as_labels(value[key], classes, hot=hot)
    heads = ((str(key), part) for key, part in value.items() if str(key) not in NO_HEADS)
    return labels_of_heads((key, part) for key, part in heads if is_row(part) or getattr(part, "ndim", 0) == 0)


def labels_of_heads(parts: Iterable[tuple[str, Thing]]) -> tuple[Label, ...]:
    """Labels of several heads, each marked by the name of its head; those of a single one as they are."""
    heads = {name: labels for name, part in parts if (labels := as_labels(part))}
    if len(heads) == 1:
        return next(iter(heads.values()))
    pairs = ((name, label) for name, labels in heads.items() for label in labels)
    return tuple(
        label if isinstance(label, str) and name.startswith("head ") else f"{name}: {label}" for name, label in pairs
    )


def is_row(value: Thing) -> bool:
    """Whether a value is a row of zeros and ones, at least two of them."""
    row = value.tolist() if hasattr(value, "tolist") else value
    is_list = isinstance(row, (list, tuple)) and len(row) > 1
    return is_list and all(isinstance(part, (int, float)) and part in (0, 1) for part in row)


def class_names(dataset: Thing) -> tuple[str, ...] | None:
    """Names in the order of the labels: `classes`, `class_to_idx`, or the features of a Hugging Face dataset."""
    names = getattr(dataset, "classes", None)
    if isinstance(names, (list, tuple)) and names and all(isinstance(name, str) for name in names):
        return tuple(names)
    for holder in (dataset, getattr(dataset, "reader", None)):
        numbers = getattr(holder, "class_to_idx", None)
        if isinstance(numbers, Mapping) and numbers:
            return tuple(sorted(numbers, key=lambda name: int(numbers[name])))
    features = getattr(dataset, "features", None)
    for feature in map(features.get, KEYS) if isinstance(features, Mapping) else ():
        names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
        if names:
            return tuple(names)
    return None
