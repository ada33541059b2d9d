"""Numbers about samples as loaded: how many of each class, how large, which colours, which ones twice, which ones bad.

A sample is measured on its own, so that many can be at once; only a few numbers of each are kept.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import cv2
import numpy as np

from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import damage_in
from classlens.errors import DataError
from classlens.image import Image

Values = tuple[float, float, float]
Levels: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

LEVELS = np.arange(256)
BAR = 40
"""Characters of the longest bar."""

LISTED, NAMED = 30, 10
"""So many classes or groups have a line, and so many names stand in one."""


@dataclass(frozen=True)
class Found:
    """A loaded sample, or the reason why there is none; of a damaged one that decodes there is both."""

    index: int
    class_names: tuple[str, ...]
    image: Image | None = None
    remarks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, eq=False)
class Measured:
    """What is kept of a sample: `levels` counts the pixels of each channel (red, green, blue) at each of 256 levels."""

    index: int
    class_names: tuple[str, ...]
    size: tuple[int, int] = (0, 0)
    levels: Levels = field(default_factory=lambda: np.zeros((3, 256), np.int64))
    fingerprint: bytes = b""
    remarks: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Survey:
    """What was found in `samples` pictures.

    `sizes` counts the readable pictures of each (height, width). `mean` and `std` are per channel (red, green, blue),
    0..255, over all pixels of all pictures; `duplicates` are groups of indices with the same pixels; `bad` are indices
    with the reason, damaged ones that decode included. `fingerprints` leads to the first sample with the same pixels.
    Of the whole dataset there are its name, `length`, `classes` and `warnings`. `in_splits` says for every other split
    which samples have the same pixels as one there (index here, index there), or why it was not searched.
    """

    samples: int
    per_class: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    mean: Values | None
    std: Values | None
    duplicates: tuple[tuple[int, ...], ...]
    bad: tuple[tuple[int, str], ...]
    remarks: Mapping[str, int]
    fingerprints: Mapping[bytes, int] = field(default_factory=dict, repr=False)
    dataset: str = ""
    length: int = 0
    classes: tuple[str, ...] = ()
    in_splits: Mapping[str, tuple[tuple[int, int], ...] | str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    @property
    def ranges(self) -> dict[str, dict[str, float] | None]:
        """Smallest, middle and largest width, height and width / height; None where no picture can be read."""
        sides: dict[str, dict[float, int]] = {"width": {}, "height": {}, "aspect": {}}
        for (height, width), times in self.sizes.items():
            for counts, value in zip(sides.values(), (width, height, width / height), strict=True):
                counts[value] = counts.get(value, 0) + times
        ranges: dict[str, dict[str, float] | None] = dict.fromkeys(sides)
        for name, counts in sides.items():
            if counts:
                values = np.repeat(list(counts), list(counts.values()))
                middle = np.median(values).item()
                ranges[name] = {"min": values.min().item(), "median": middle, "max": values.max().item()}
        return ranges

    def text(self) -> str:
        """The numbers as lines of text."""
        return "\n".join([*lines_of_classes(self), *lines_of_pictures(self), *lines_of_notes(self)])

    def as_data(self) -> dict[str, Any]:
        """The numbers, as JSON can hold them."""
        return {
            "dataset": self.dataset,
            "length": self.length,
            "samples": self.samples,
            "classes": dict(self.per_class),
            **self.ranges,
            "mean": self.mean,
            "std": self.std,
            "duplicates": [list(group) for group in self.duplicates],
            "duplicates_in": {
                split: pairs if isinstance(pairs, str) else list(map(list, pairs))
                for split, pairs in self.in_splits.items()
            },
            "bad": [{"index": index, "error": reason} for index, reason in self.bad],
            "remarks": dict(self.remarks),
            "warnings": list(self.warnings),
        }


def survey(dataset: Dataset, indices: Iterable[int]) -> Survey:
    """Measure samples of a dataset one after the other; `classlens.browse` does so in several processes."""
    return replace(
        summed(measured(find(dataset, index)) for index in indices),
        dataset=dataset.name,
        length=dataset.length,
        classes=dataset.classes or (),
        warnings=dataset.warnings,
    )


def find(dataset: Dataset, index: int) -> Found:
    """Load a sample."""
    names = dataset.class_names(index)
    try:
        state = dataset.load(index)
    except DataError as error:
        return Found(index, names, error=str(error))
    remarks = dataset.remarks(state)
    return Found(index, names, dataset.to_image(state), remarks, damage_in(remarks))


def measured(found: Found) -> Measured:
    """The numbers of a loaded sample."""
    if found.image is None:
        return Measured(found.index, found.class_names, error=found.error)
    pixels = found.image.pixels
    counts = [cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
    levels = np.stack(counts).astype(np.int64)
    found_size, same = found.image.size, fingerprint(pixels)
    return Measured(found.index, found.class_names, found_size, levels, same, found.remarks, found.error)


def summed(samples: Iterable[Measured]) -> Survey:
    """All measured samples together."""
    labels, remarks, sizes = Counter[str](), Counter[str](), Counter[tuple[int, int]]()
    bad: list[tuple[int, str]] = []
    first: dict[bytes, int] = {}
    same: dict[int, list[int]] = {}
    levels, seen = np.zeros((3, 256), np.int64), 0
    for one in samples:
        seen += 1
        labels.update(one.class_names)
        if one.error:
            bad.append((one.index, one.error))
        if not one.fingerprint:
            continue
        remarks.update(one.remarks)
        sizes[one.size] += 1
        levels += one.levels
        earlier = first.setdefault(one.fingerprint, one.index)
        if earlier != one.index:
            same.setdefault(earlier, [earlier]).append(one.index)
    mean, std = moments(levels)
    return Survey(
        samples=seen,
        per_class=dict(labels.most_common()),
        sizes=dict(sizes),
        mean=mean,
        std=std,
        duplicates=tuple(map(tuple, same.values())),
        bad=tuple(bad),
        remarks=dict(remarks),
        fingerprints=first,
    )


def shared(found: Survey, others: Iterable[Measured]) -> tuple[tuple[int, int], ...]:
    """Samples of a survey and those of another split with the same pixels, in pairs."""
    pairs = ((found.fingerprints.get(one.fingerprint), one.index) for one in others)
    return tuple((index, other) for index, other in pairs if index is not None)


def moments(levels: Levels) -> tuple[Values | None, Values | None]:
    """Mean and standard deviation of each channel, from sums of whole numbers: nothing is lost over many pictures."""
    pixels = int(levels[0].sum())
    if pixels == 0:
        return None, None
    mean = levels @ LEVELS / pixels
    std = np.sqrt(np.maximum(levels @ LEVELS**2 / pixels - mean**2, 0))
    return triple(mean), triple(std)


def triple(values: np.ndarray[Any, np.dtype[np.float64]]) -> Values:
    return float(values[0]), float(values[1]), float(values[2])


def fingerprint(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The same for the same pixels in the same shape, whatever the file."""
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()


def lines_of_classes(survey: Survey) -> Iterator[str]:
    """How many samples there are, and how many of each class."""
    yield f"{survey.samples} of the {survey.length} samples of {survey.dataset}"
    largest = max(survey.per_class.values(), default=1)
    for name, count in list(survey.per_class.items())[:LISTED]:
        yield f"  {name[:24]:<24} {count:>8}  {'#' * max(1, round(BAR * count / largest))}"
    if len(survey.per_class) > LISTED:
        yield f"  and {len(survey.per_class) - LISTED} more classes, the smallest {min(survey.per_class.values())}"
    if absent := [name for name in survey.classes if name not in survey.per_class]:
        yield f"  none of {join_first(absent)}"


def lines_of_pictures(survey: Survey) -> Iterator[str]:
    """Sizes, colours, and pictures with the same pixels."""
    for name, values in survey.ranges.items():
        if values:
            yield f"{name:<8} {values['min']:.4g} to {values['max']:.4g}, median {values['median']:.4g}"
    if survey.mean and survey.std:
        yield "mean     " + ", ".join(f"{value:.2f}" for value in survey.mean) + "  (red, green, blue)"
        yield "std      " + ", ".join(f"{value:.2f}" for value in survey.std)
    for group in survey.duplicates[:LISTED]:
        yield f"the same pixels: {join_first([f'#{index}' for index in group])}"
    if len(survey.duplicates) > LISTED:
        yield f"and {len(survey.duplicates) - LISTED} more groups of the same pixels"
    for split, pairs in survey.in_splits.items():
        if isinstance(pairs, str):
            yield f"not compared with {split}: {pairs}"
        elif pairs:
            yield f"the same pixels in {split}: {join_first([f'#{one} is {split} #{other}' for one, other in pairs])}"
    if clean := [split for split, pairs in survey.in_splits.items() if not pairs]:
        yield f"none of these pixels in {' or '.join(clean)}"


def lines_of_notes(survey: Survey) -> Iterator[str]:
    """What else should be known, and which samples are bad."""
    if survey.samples < survey.length:
        yield f"duplicates were looked for among these {survey.samples} samples only"
    yield from (f"{times} x {remark}" for remark, times in survey.remarks.items())
    yield from (f"note: {warning}" for warning in survey.warnings)
    yield from (f"bad: #{index} {reason}" for index, reason in survey.bad)


def join_first(names: Sequence[str]) -> str:
    """The first names, and how many there are more."""
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more
