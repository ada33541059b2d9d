"""`--stats`: the numbers of a survey as text, or as JSON."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, TextIO

import numpy as np

from classlens.adapters import open_source
from classlens.cli.browse_job import BAD_SAMPLE, failed
from classlens.cli.browse_workers import DatasetSpec, Job, WorkerCrash
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Dataset
from classlens.dataset.statistics import Found, Measured, Survey, find, measured
from classlens.errors import ClasslensError, DataError

COMPARED = 10_000
"""A split of so many samples is looked through for pictures of another one, however few that one has."""

Compared = Mapping[str, tuple[tuple[int, int], ...] | str]
"""For every other split: the pairs of samples with the same pixels, or why it was not looked at."""

BAR = 40
SHOWN, NAMED = 30, 10
"""So many classes or groups are told, and so many names in one of them."""


def found_in(dataset: Dataset, index: int, seed: int) -> Found:
    """One sample, or what is wrong with it."""
    try:
        return find(dataset, index)
    except BAD_SAMPLE as error:
        return Found(index, dataset.class_names(index), error=failed(dataset, index, seed, error).error)


def not_found(casualty: WorkerCrash) -> Measured:
    return Measured(casualty.index, casualty.class_names, error=casualty.reason)


MEASURING = Job(found_in, measured, not_found)


def other_splits(dataset: Dataset, opening: DatasetSpec, indices: Sequence[int]) -> dict[str, Dataset | str]:
    """The other splits that the source has, or why one is not compared; none unless all of this one is looked at."""
    others: dict[str, Dataset | str] = {}
    source = open_source(opening.target, options=opening.options)
    for phase in SPLITS if len(indices) == dataset.length else ():
        if phase == opening.phase:
            continue
        try:
            other = source.dataset(phase)
        except DataError as error:
            others[phase] = str(error)
            continue
        except ClasslensError:  # there is no such split
            continue
        if other.length > max(dataset.length, COMPARED):
            others[phase] = f"it has {other.length:,} samples, --phase {phase} compares them all"
        else:
            others[phase] = "it has the same files" if is_same(dataset, other) else other
    return others


def is_same(dataset: Dataset, other: Dataset) -> bool:
    """Whether two splits are the same files, as far as a few of them show."""
    length = dataset.length
    places = (0, length // 3, length // 2, length - 1)
    return length == other.length and all(
        dataset.sample(place).path == other.sample(place).path is not None for place in places
    )


def print_stats(dataset: Dataset, found: Survey, compared: Compared, out: TextIO, *, as_json: bool) -> None:
    """Print what was found."""
    if as_json:
        json.dump(as_data(dataset, found, compared), out, indent=1)
        out.write("\n")
    else:
        out.writelines(f"{line}\n" for line in lines_of(dataset, found, compared))


def as_data(dataset: Dataset, found: Survey, compared: Compared) -> dict[str, Any]:
    return {
        "dataset": dataset.name,
        "length": dataset.length,
        "samples": found.samples,
        "classes": dict(found.per_class),
        **{name: range_of(values) for name, values in sides(found).items()},
        "mean": found.mean,
        "std": found.std,
        "duplicates": [list(group) for group in found.duplicates],
        "duplicates_in": {
            split: pairs if isinstance(pairs, str) else list(map(list, pairs)) for split, pairs in compared.items()
        },
        "bad": [{"index": index, "error": reason} for index, reason in found.bad],
        "remarks": dict(found.remarks),
        "warnings": list(dataset.warnings),
    }


def sides(found: Survey) -> Mapping[str, Mapping[float, int]]:
    """How often each width, height and width / height was found."""
    names: dict[str, dict[float, int]] = {"width": {}, "height": {}, "aspect": {}}
    for (height, width), times in found.sizes.items():
        for counts, value in zip(names.values(), (width, height, width / height), strict=True):
            counts[value] = counts.get(value, 0) + times
    return names


def range_of(counts: Mapping[float, int]) -> dict[str, float] | None:
    """Smallest, middle and largest of counted values."""
    if not counts:
        return None
    values = np.repeat(list(counts), list(counts.values()))
    return {"min": values.min().item(), "median": np.median(values).item(), "max": values.max().item()}


def lines_of(dataset: Dataset, found: Survey, compared: Compared) -> list[str]:
    """The survey for people."""
    lines = [f"{found.samples} of the {dataset.length} samples of {dataset.name}"]
    largest = max(found.per_class.values(), default=1)
    for name, count in list(found.per_class.items())[:SHOWN]:
        lines.append(f"  {name[:24]:<24} {count:>8}  {'#' * max(1, round(BAR * count / largest))}")
    if len(found.per_class) > SHOWN:
        lines.append(f"  and {len(found.per_class) - SHOWN} more classes, the smallest {min(found.per_class.values())}")
    absent = [name for name in dataset.classes or () if name not in found.per_class]
    if absent:
        lines.append(f"  none of {shortened(absent)}")
    for name, counts in sides(found).items():
        if span := range_of(counts):
            lines.append(f"{name:<8} {span['min']:.4g} to {span['max']:.4g}, median {span['median']:.4g}")
    if found.mean and found.std:
        lines.append("mean     " + ", ".join(f"{value:.2f}" for value in found.mean) + "  (red, green, blue)")
        lines.append("std      " + ", ".join(f"{value:.2f}" for value in found.std))
    lines += [f"the same pixels: {shortened([f'#{index}' for index in group])}" for group in found.duplicates[:SHOWN]]
    if len(found.duplicates) > SHOWN:
        lines.append(f"and {len(found.duplicates) - SHOWN} more groups of the same pixels")
    lines += lines_across(compared)
    if found.samples < dataset.length:
        lines.append(f"duplicates were looked for among these {found.samples} samples only")
    lines += [f"{times} x {remark}" for remark, times in found.remarks.items()]
    lines += [f"note: {warning}" for warning in dataset.warnings]
    lines += [f"bad: #{index} {reason}" for index, reason in found.bad]
    return lines


def lines_across(compared: Compared) -> list[str]:
    """Which pictures are in other splits, too."""
    lines = []
    for split, pairs in compared.items():
        if isinstance(pairs, str):
            lines.append(f"not compared with {split}: {pairs}")
        elif pairs:
            shown = shortened([f"#{index} is {split} #{other}" for index, other in pairs])
            lines.append(f"the same pixels in {split}: {shown}")
    clean = [split for split, pairs in compared.items() if not pairs]
    return [*lines, f"none of these pixels in {' or '.join(clean)}"] if clean else lines


def shortened(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
