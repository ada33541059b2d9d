"""File, label and class names of a sample, as datasets of torchvision, timm, Hugging Face and users keep them.

A label is a number, a name, a row of zeros and ones, or several of these: one for each head of the network. What is
none (masks, boxes, other pictures, numbers with a fraction) gives no label.
"""

from collections.abc import Iterable, Mapping, Sequence
from os import PathLike, fspath

from classlens.adapters.pipelines.carried import holds_picture
from classlens.adapters.python.kinds import Thing
from classlens.dataset.dataset import Label

LISTS = ("targets", "labels", "_labels", "y")
"""Attributes under which datasets keep the labels of all samples."""

KEYS = ("label", "labels", "target", "targets", "fine_label", "y", "class", "category", "cls", "class_id")
"""Keys under which a sample that is a dict keeps its label."""

OF_OBJECTS = {"boxes", "bbox", "bboxes", "masks"}
"""Keys of a dict about the objects in a picture: its labels are numbers, one for each object."""

NO_HEADS = {"id", "image_id", "index", "idx", "path", "file_name", "filename", "size", "orig_size", "area", "iscrowd"}

LONGEST = 60
"""A text with more letters is a caption."""


def path_of(dataset: Thing, index: int) -> str | None:
    """The file of a sample, where the dataset lists its files."""
    first, *_ = (*listed_pair(dataset, index), None)
    return fspath(first) if isinstance(first, (str, PathLike)) else None


def listed_pair(dataset: Thing, index: int) -> Sequence[Thing]:
    """The entry of a sample in `samples`, file and label as a rule; empty where the dataset has no such list."""
    for holder in (dataset, getattr(dataset, "reader", None)):
        listed = getattr(holder, "samples", None)
        pair: Thing = listed[index] if isinstance(listed, Sequence) and len(listed) > index else ()
        if isinstance(pair, (tuple, list)):
            return pair
    return ()


def listed_label(dataset: Thing, index: int) -> Thing:
    """The label that the dataset lists for a sample, before its `target_transform`; None where it lists none."""
    pair = listed_pair(dataset, index)
    if len(pair) > 1:
        return pair[1]
    if hasattr(dataset, "select_columns"):
        name = next((name for name in KEYS if name in dataset.column_names), None)
        return None if name is None else dataset.select_columns([name])[index][name]
    for name in LISTS:
        values: Thing = getattr(dataset, name, None)
        listed = not isinstance(values, Mapping) and hasattr(values, "__getitem__") and hasattr(values, "__len__")
        if listed and len(values) == len(dataset):  # else it lists something else, such as the names of the classes
            value = values.iloc[index] if hasattr(values, "iloc") else values[index]
            return value.item() if getattr(value, "ndim", 1) == 0 else value
    return None


def label_in(item: Thing) -> Thing:
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
    return label_in(item[first]) if item and isinstance(item[first], Mapping) else None


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
        return of_heads((f"head {number}", part) for number, part in enumerate(plain, start=1))
    return tuple(plain) if all(isinstance(part, str) and len(part) <= LONGEST for part in plain) else ()


def labels_by_key(value: Mapping[str, Thing], classes: Sequence[str] | None, *, hot: bool) -> tuple[Label, ...]:
    """The labels in a dict: under a usual key, or a head for each number and name in it."""
    key = next((key for key in KEYS if key in value), None)
    if key is not None and OF_OBJECTS & value.keys():
        return tuple(dict.fromkeys(label for part in value[key] for label in as_labels(part)))
    if key is not None:
        return as_labels(value[key], classes, hot=hot)
    heads = ((str(key), part) for key, part in value.items() if str(key) not in NO_HEADS)
    return of_heads((key, part) for key, part in heads if is_row(part) or getattr(part, "ndim", 0) == 0)


def of_heads(parts: Iterable[tuple[str, Thing]]) -> tuple[Label, ...]:
    """Labels of several heads, each marked by the name of its head; those of a single one as they are."""
    labels = {name: found for name, part in parts if (found := as_labels(part))}
    if len(labels) == 1:
        return next(iter(labels.values()))
    return tuple(
        label if isinstance(label, str) and name.startswith("head ") else f"{name}: {label}"
        for name, found in labels.items()
        for label in found
    )


def is_row(value: Thing) -> bool:
    """Whether a value is a row of zeros and ones, at least two of them."""
    row = value.tolist() if hasattr(value, "tolist") else value
    if not isinstance(row, (list, tuple)) or len(row) < 2:
        return False
    return all(isinstance(part, (int, float)) and part in (0, 1) for part in row)


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
    if isinstance(features, Mapping):
        for key in KEYS:
            feature = features.get(key)
            names = getattr(feature, "names", None) or getattr(getattr(feature, "feature", None), "names", None)
            if names:
                return tuple(names)
    return None
