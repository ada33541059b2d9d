"""Datasets around datasets: several in a row, one repeated, rare classes repeated, one fold of many."""

from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import accumulate
from math import ceil, sqrt

import numpy as np

from classlens.adapters.openmm.samples.listing import Listing
from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.transform import Setting
from classlens.errors import ConfigError

Open = Callable[[Settings], Listing]


def inner(settings: Settings, key: str, where: str) -> Setting:
    """What a wrapper wraps."""
    if key not in settings:
        raise ConfigError(f"{where}: {settings['type']} needs the setting {key!r}")
    return settings[key]


def chosen(listing: Listing, indices: Sequence[int]) -> Listing:
    """Some samples of a listing, in the given order."""
    return replace(
        listing,
        length=len(indices),
        sample=lambda index: listing.sample(indices[index]),
        pixels=lambda index: listing.pixels(indices[index]),
        content=lambda index: listing.read(indices[index]),
    )


def concatenated(settings: Settings, open_one: Open, where: str) -> Listing:
    """ConcatDataset: one after the other."""
    parts = [open_one(one) for one in inner(settings, "datasets", where)]
    if not parts:
        raise ConfigError(f"{where}: ConcatDataset has no datasets")
    starts = list(accumulate((part.length for part in parts), initial=0))

    def at(index: int) -> tuple[Listing, int]:
        number = bisect_right(starts, index) - 1
        return parts[number], index - starts[number]

    names = {part.classes for part in parts}
    warnings = tuple(warning for part in parts for warning in part.warnings)
    if len(names) > 1:
        warnings += ("the concatenated datasets have different class names; those of the first are shown",)
    return replace(
        parts[0],
        length=starts[-1],
        sample=lambda index: at(index)[0].sample(at(index)[1]),
        pixels=lambda index: at(index)[0].pixels(at(index)[1]),
        content=lambda index: at(index)[0].read(at(index)[1]),
        warnings=warnings,
    )


def repeated(settings: Settings, open_one: Open, where: str) -> Listing:
    """RepeatDataset: the same samples `times` times."""
    listing = open_one(inner(settings, "dataset", where))
    return replace(
        listing,
        length=listing.length * int(inner(settings, "times", where)),
        sample=lambda index: listing.sample(index % listing.length),
        pixels=lambda index: listing.pixels(index % listing.length),
        content=lambda index: listing.read(index % listing.length),
    )


def class_balanced(settings: Settings, open_one: Open, where: str) -> Listing:
    """ClassBalancedDataset: samples of rare classes come up to sqrt(threshold / frequency) times.

    Source: Gupta et al., LVIS, CVPR 2019, section 5 (repeat factor sampling).
    """
    listing = open_one(inner(settings, "dataset", where))
    threshold = float(settings.get("oversample_thr", 0.0))
    labels = [set(listing.sample(index).labels) for index in range(listing.length)]
    counts = Counter(label for found in labels for label in found)
    factor = {label: max(1.0, sqrt(threshold * listing.length / count)) for label, count in counts.items()}
    times = [ceil(max((factor[label] for label in found), default=1.0)) for found in labels]
    return chosen(listing, [index for index, count in enumerate(times) for _ in range(count)])


def one_fold(settings: Settings, open_one: Open, where: str) -> Listing:
    """KFoldDataset: all folds but one, or that one with `test_mode`; shuffled first with `seed`."""
    listing = open_one(inner(settings, "dataset", where))
    fold, folds = int(settings.get("fold", 0)), int(settings.get("num_splits", 5))
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
