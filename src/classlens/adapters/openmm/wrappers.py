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
from classlens.adapters.openmm.stages.rules import Setting
from classlens.adapters.openmm.stages.transform import named
from classlens.config.settings import Settings
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Listing, made_of
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
        return Sample(info.get("img_path"), labels_in(info.get("gt_label", ())) or ())

    def trouble(index: int) -> str:
        label = dataset.get_data_info(index).get("gt_label", ())
        return f"no label: gt_label is {repr(label)[:40]}" if labels_in(label) is None else ""

    names = (getattr(dataset, "metainfo", None) or {}).get("classes")
    return Listing(
        len(dataset),
        sample,
        tuple(map(str, names)) if names else None,
        pixels=lambda index: dataset.get_data_info(index).get("img"),
        trouble=trouble,
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


Open = Callable[[Settings, str], Listing]
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


def wrapped(settings: Settings, open_one: Open, where: str) -> Listing:
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


def chosen(listing: Listing, indices: Sequence[int]) -> Listing:
    return made_of([listing], len(indices), lambda index: (listing, indices[index]))


def concatenated(settings: Settings, open_one: Open, where: str) -> Listing:
    """ConcatDataset: one after the other, each with its own pipeline.

    Raises:
        ConfigError: there are none, or their class names differ without `ignore_keys`, which 0.x implies.
    """
    given = inner(settings, "datasets", where)
    parts = [open_one(one, f"datasets.{number}") for number, one in enumerate(given)]
    if not parts:
        raise ConfigError(f"{where}: ConcatDataset has no datasets")
    starts = list(accumulate((part.length for part in parts), initial=0))

    def origin(index: int) -> tuple[Listing, int]:
        number = bisect_right(starts, index) - 1
        return parts[number], index - starts[number]

    joined = made_of(parts, starts[-1], origin)
    other = next((number for number, part in enumerate(parts) if part.classes != parts[0].classes), None)
    if other is None:
        return joined
    differ = f"dataset {other + 1} of ConcatDataset has {described(parts[other])}, the first one {described(parts[0])}"
    if "classes" not in as_names(settings.get("ignore_keys")):
        raise ConfigError(f"{where}: {differ}", hint="training refuses that too; give both the same metainfo.classes")
    return replace(joined, warnings=(*joined.warnings, f"{differ}: names of the first are shown"))


def as_names(given: Setting) -> Sequence[str]:
    return [given] if isinstance(given, str) else list(given or ())


def described(part: Listing) -> str:
    """The classes of a dataset in a few words."""
    if part.classes is None:
        return "no class names"
    shown = ", ".join(part.classes[:3]) + (", ..." if len(part.classes) > 3 else "")
    return f"{len(part.classes)} classes ({shown})"


def repeated(settings: Settings, open_one: Open, where: str) -> Listing:
    """RepeatDataset: the same samples `times` times."""
    listing = wrapped(settings, open_one, where)
    times = int(inner(settings, "times", where))
    return made_of([listing], listing.length * times, lambda index: (listing, index % listing.length))


def class_balanced(settings: Settings, open_one: Open, where: str) -> Listing:
    """ClassBalancedDataset: samples of rare classes come up to sqrt(threshold / frequency) times.

    Source: Gupta et al., LVIS, CVPR 2019, section 5 (repeat factor sampling).
    """
    listing = wrapped(settings, open_one, where)
    threshold = float(settings.get("oversample_thr", 0.0))
    labels = [set(listing.sample(index).labels) for index in range(listing.length)]
    counts = Counter(label for found in labels for label in found)
    factor = {label: max(1.0, sqrt(threshold * listing.length / count)) for label, count in counts.items()}
    times = [ceil(max((factor[label] for label in found), default=1.0)) for found in labels]
    return chosen(listing, [index for index, count in enumerate(times) for _ in range(count)])


def one_fold(settings: Settings, open_one: Open, where: str) -> Listing:
    """KFoldDataset: all folds but one, or that one with `test_mode`; shuffled first with `seed`.

    Raises:
        ConfigError: there are no folds.
    """
    listing = wrapped(settings, open_one, where)
    fold, folds = int(settings.get("fold", 0)), int(settings.get("num_splits", 5))
    if folds < 1:
        raise ConfigError(f"{where}: num_splits is 1 or more, not {folds}")
    if not 0 <= fold < folds:
        said = f"KFoldDataset has no fold {fold} of {folds}: they count from 0"
        listing = replace(listing, warnings=(*listing.warnings, said))
    order = list(range(listing.length))
    if settings.get("seed") is not None:
        np.random.default_rng(settings["seed"]).shuffle(order)
    first, last = listing.length * fold // folds, listing.length * (fold + 1) // folds
    return chosen(listing, order[first:last] if settings.get("test_mode") else order[:first] + order[last:])


WRAPPERS: dict[str, Callable[[Settings, Open, str], Listing]] = {
    "ConcatDataset": concatenated,
    "RepeatDataset": repeated,
    "ClassBalancedDataset": class_balanced,
    "KFoldDataset": one_fold,
}
