"""Datasets of the user's own classes, and those of mmpretrain that are not native, in trusted configs."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import accumulate
from math import ceil, sqrt
from typing import Any

import numpy as np

from classlens.adapters.openmm.stages.foreign import build_own
from classlens.adapters.openmm.stages.rules import Setting, named
from classlens.config.settings import Settings
from classlens.dataset.dataset import Dataset, Sample
from classlens.dataset.listing import Listing, combine
from classlens.errors import ConfigError


def own_listing(settings: Settings, modules: Sequence[str], where: str) -> Listing:
    """A dataset of the user's own class: `get_data_info(index)` as OpenMMLab has it gives path and label.

    Raises:
        ConfigError: there is no such class, or its objects have no such method.
    """
    dataset = build_own({**settings, "pipeline": ()}, "DATASETS", modules, where)
    if not hasattr(dataset, "get_data_info") or not hasattr(dataset, "__len__"):
        raise ConfigError(f"{where}: {settings['type']} has no get_data_info(index) and len()")

    def sample(index: int) -> Sample:
        info: Mapping[str, Any] = dataset.get_data_info(index)
        label = info.get("gt_label", ())
        labels = labels_in(label)
        trouble = f"no label: gt_label is {repr(label)[:40]}" if labels is None else ""
        return Sample(info.get("img_path"), labels or (), trouble)

    names = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return Listing(
        len(dataset),
        sample,
        tuple(map(str, names)) if names else None,
        picture=lambda index: dataset.get_data_info(index).get("img"),
    )


def labels_in(label: Any) -> tuple[int, ...] | None:  # noqa: ANN401 - whatever the user's class gives
    """A number or several; of an array of zeros and ones, as 0.x has it, the places of the ones; None for all else."""
    values = label.tolist() if hasattr(label, "tolist") else label
    rows = list(values) if isinstance(values, list | tuple) else [values]
    if not all(isinstance(one, int) or (isinstance(one, float) and one.is_integer()) for one in rows):
        return None
    if values is not label and len(rows) > 1 and set(rows) <= {0, 1}:
        return tuple(place for place, on in enumerate(rows) if on)
    return tuple(map(int, rows))


Open = Callable[[Settings, str], Dataset]
"""Opens what a wrapper wraps, which is found in its settings under the given key."""


def inner(settings: Settings, key: str, where: str) -> Setting:
    """What a wrapper wraps."""
    if key not in settings:
        raise ConfigError(f"{where}: {settings['type']} needs the setting {key!r}")
    return settings[key]


LACKING: Mapping[str, tuple[str, frozenset[str]]] = {
    "KFoldDataset": (
        "get_subset",
        frozenset({"ClassBalancedDataset", "ConcatDataset", "KFoldDataset", "RepeatDataset"}),
    ),
    "ClassBalancedDataset": ("get_cat_ids", frozenset({"ConcatDataset", "RepeatDataset"})),
}
"""Wrapper -> the method that it calls of what it wraps, and the wrappers that have none in 1.x."""


def wrapped(settings: Settings, open_one: Open, where: str) -> Dataset:
    """The one dataset that a wrapper wraps; 0.x takes any, which its bridge says by `around_any`.

    Raises:
        ConfigError: none is given, or 1.x stops at these two, one around the other.
    """
    kind, inside = settings["type"], inner(settings, "dataset", where)
    method, without = LACKING.get(str(kind), ("", frozenset()))
    name = str(named(inside).get("type")) if isinstance(inside, Mapping) else ""
    if name in without and not settings.get("around_any"):
        raise ConfigError(
            f"{where}: training stops here: {kind} around {name}, which has no {method}",
            hint=f"put {kind} inside {name}",
        )
    return open_one(inside, "dataset")


def select(dataset: Dataset, indices: Sequence[int]) -> Dataset:
    return combine([dataset], len(indices), lambda index: (dataset, indices[index]))


def concatenate(settings: Settings, open_one: Open, where: str) -> Dataset:
    """ConcatDataset: one after the other, each with its own pipeline.

    Raises:
        ConfigError: there are none, or their class names differ without `ignore_keys`, which 0.x implies.
    """
    parts = [open_one(one, f"datasets.{number}") for number, one in enumerate(inner(settings, "datasets", where))]
    if not parts:
        raise ConfigError(f"{where}: ConcatDataset has no datasets")
    starts = list(accumulate((part.length for part in parts), initial=0))

    def origin(index: int) -> tuple[Dataset, int]:
        number = bisect_right(starts, index) - 1
        return parts[number], index - starts[number]

    whole = combine(parts, starts[-1], origin)
    other = next((number for number, part in enumerate(parts) if part.classes != parts[0].classes), None)
    if other is None:
        return whole
    first, second = describe_classes(parts[0]), describe_classes(parts[other])
    differ = f"dataset {other + 1} of ConcatDataset has {second}, the first one {first}"
    keys = settings.get("ignore_keys") or ()
    if "classes" not in ([keys] if isinstance(keys, str) else keys):
        raise ConfigError(f"{where}: {differ}", hint="training refuses that too; give both the same metainfo.classes")
    return replace(whole, warnings=(*whole.warnings, f"{differ}: names of the first are shown"))


def describe_classes(part: Dataset) -> str:
    """The classes of a dataset in a few words."""
    if part.classes is None:
        return "no class names"
    shown = ", ".join(part.classes[:3]) + (", ..." if len(part.classes) > 3 else "")
    return f"{len(part.classes)} classes ({shown})"


def repeat(settings: Settings, open_one: Open, where: str) -> Dataset:
    """RepeatDataset: the same samples `times` times."""
    dataset = wrapped(settings, open_one, where)
    times = int(inner(settings, "times", where))
    return combine([dataset], dataset.length * times, lambda index: (dataset, index % dataset.length))


def balance_classes(settings: Settings, open_one: Open, where: str) -> Dataset:
    """ClassBalancedDataset: samples of rare classes come up to sqrt(threshold / frequency) times.

    Source: Gupta et al., LVIS, CVPR 2019, section 5 (repeat factor sampling).
    """
    dataset = wrapped(settings, open_one, where)
    threshold = float(settings.get("oversample_thr", 0.0))
    labels = [set(dataset.sample(index).labels) for index in range(dataset.length)]
    counts = Counter(label for several in labels for label in several)
    factor = {label: max(1.0, sqrt(threshold * dataset.length / count)) for label, count in counts.items()}
    times = [ceil(max((factor[label] for label in several), default=1.0)) for several in labels]
    return select(dataset, [index for index, count in enumerate(times) for _ in range(count)])


def take_fold(settings: Settings, open_one: Open, where: str) -> Dataset:
    """KFoldDataset: all folds but one, or that one with `test_mode`; shuffled first with `seed`."""
    dataset = wrapped(settings, open_one, where)
    fold, folds = int(settings.get("fold", 0)), int(settings.get("num_splits", 5))
    if folds < 1:
        raise ConfigError(f"{where}: num_splits is 1 or more, not {folds}")
    if not 0 <= fold < folds:
        note = f"KFoldDataset has no fold {fold} of {folds}: they count from 0"
        dataset = replace(dataset, warnings=(*dataset.warnings, note))
    order = list(range(dataset.length))
    if settings.get("seed") is not None:
        np.random.default_rng(settings["seed"]).shuffle(order)
    first, last = dataset.length * fold // folds, dataset.length * (fold + 1) // folds
    return select(dataset, order[first:last] if settings.get("test_mode") else order[:first] + order[last:])


WRAPPERS: dict[str, Callable[[Settings, Open, str], Dataset]] = {
    "ConcatDataset": concatenate,
    "RepeatDataset": repeat,
    "ClassBalancedDataset": balance_classes,
    "KFoldDataset": take_fold,
}
