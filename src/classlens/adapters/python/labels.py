"""File, label and class names of a sample, as datasets of torchvision, timm and Hugging Face keep them."""

from collections.abc import Mapping, Sequence
from os import PathLike, fspath

from classlens.adapters.python.kinds import Thing
from classlens.dataset.dataset import Sample

LISTS = ("targets", "labels", "_labels", "y")
"""Attributes under which datasets keep the labels of all samples."""

KEYS = ("label", "labels", "target", "fine_label", "y")
"""Keys under which a sample that is a dict keeps its label."""


def known_sample(dataset: Thing, index: int) -> Sample:
    """What the dataset knows without loading the sample."""
    path: str | None = None
    labels: tuple[int, ...] = ()
    for holder in (dataset, getattr(dataset, "reader", None)):
        listed = getattr(holder, "samples", None)
        if isinstance(listed, Sequence) and len(listed) > index and isinstance(listed[index], Sequence):
            first, *rest = listed[index]
            path = fspath(first) if isinstance(first, (str, PathLike)) else None
            labels = as_labels(rest[0]) if rest else ()
    for name in KEYS if hasattr(dataset, "select_columns") else ():
        if not labels and name in dataset.column_names:
            labels = as_labels(dataset.select_columns([name])[index][name])
    for name in LISTS:
        values: Thing = getattr(dataset, name, None)
        if not labels and hasattr(values, "__getitem__") and hasattr(values, "__len__"):
            labels = as_labels(values[index])
    return Sample(path, labels)


def label_in(item: Thing) -> tuple[int, ...]:
    """The label in a loaded sample: what stands behind the picture, or under a usual key."""
    if isinstance(item, Mapping):
        return next((as_labels(item[key]) for key in KEYS if key in item), ())
    if isinstance(item, (tuple, list)) and len(item) > 1:
        return as_labels(item[1])
    return ()


def as_labels(value: Thing) -> tuple[int, ...]:
    """One number, or the places of the ones in a row of zeros and ones."""
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, bool) or value is None:
        return ()
    if isinstance(value, int):
        return (value,)
    if isinstance(value, (list, tuple)) and len(value) > 1 and set(value) <= {0, 1}:
        return tuple(place for place, on in enumerate(value) if on)
    return ()


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
            names = getattr(features.get(key), "names", None)
            if names:
                return tuple(names)
    return None
