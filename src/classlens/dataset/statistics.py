"""Numbers about samples as loaded: how many of each class, how large, which colours, which ones twice, which ones bad.

A sample is measured on its own, so that many can be at once; only a few numbers of each are kept.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from unicodedata import east_asian_width

import cv2
import numpy as np

from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import Pixels, damage_in
from classlens.errors import DataError, join_first
from classlens.printed import join_lines
from classlens.results import Drawable

LEVELS = np.arange(256)
BAR, LISTED, NAMED = 40, 30, 10
"""The characters of the longest bar, the lines for classes or groups, and the names in a line."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """What is kept of a sample; of one that cannot be loaded only the `error`, which a damaged one has, too.

    `levels` counts the pixels of each channel (red, green, blue) at each of 256 levels; `fingerprint` is the same for
    the same pixels in the same shape, whatever the file.
    """

    index: int
    class_names: tuple[str, ...]
    error: str = ""
    remarks: tuple[str, ...] = ()
    size: tuple[int, int] = (0, 0)
    levels: Pixels | None = None
    fingerprint: bytes = b""


@dataclass(frozen=True)
class Survey(Drawable):
    """What is known of `samples` pictures of a dataset.

    `sizes` counts the readable pictures of each (height, width). `mean` and `std` are per channel (red, green, blue),
    0..255, over all pixels of all pictures; `duplicates` are groups of indices with the same pixels; `bad` are indices
    with the reason, damaged ones that decode included. `fingerprints` leads to the first sample with the same pixels.
    `in_splits` says for every other split which samples have the same pixels as one there (index here, index there), or
    why it was not searched.
    """

    samples: int
    per_class: Mapping[str, int]
    sizes: Mapping[tuple[int, int], int]
    mean: tuple[float, ...] | None
    std: tuple[float, ...] | None
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
        if not self.sizes:
            return dict.fromkeys(("width", "height", "aspect"))
        heights, widths = np.repeat(list(self.sizes), list(self.sizes.values()), axis=0).T
        return {
            name: {"min": values.min().item(), "median": np.median(values).item(), "max": values.max().item()}
            for name, values in (("width", widths), ("height", heights), ("aspect", widths / heights))
        }

    def text(self) -> str:
        """The numbers as lines of text."""
        notes = [f"{times} x {remark}" for remark, times in self.remarks.items()]
        notes += [f"note: {warning}" for warning in self.warnings]
        notes += [f"bad: #{index} {reason}" for index, reason in self.bad]
        if self.samples < self.length:
            notes.insert(0, f"duplicates were looked for among these {self.samples} samples only")
        return join_lines([*lines_of_classes(self), *lines_of_pictures(self), *notes])

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
            "duplicates": list(map(list, self.duplicates)),
            "duplicates_in": dict(self.in_splits),
            "bad": [{"index": index, "error": reason} for index, reason in self.bad],
            "remarks": dict(self.remarks),
            "warnings": list(self.warnings),
        }


def survey(dataset: Dataset, indices: Iterable[int]) -> Survey:
    """Measure samples of a dataset one after the other; `classlens.browse` does so in several processes."""

    def measure_or_blame(index: int) -> Measurement:
        try:
            return measure(dataset, index)()
        except DataError as error:
            return Measurement(index, dataset.class_names(index), str(error))

    return add_up(dataset, map(measure_or_blame, indices))


def measure(dataset: Dataset, index: int) -> Callable[[], Measurement]:
    """Load a sample; what is returned measures it."""
    state = dataset.load(index)
    image, remarks, names = dataset.to_image(state), dataset.remarks(state), dataset.class_names(index)
    damage, path = damage_in(remarks), dataset.sample(index).path
    damage = f"{path}: {damage}" if damage and path else damage

    def measure_picture() -> Measurement:
        pixels = np.ascontiguousarray(image.pixels)
        levels = [cv2.calcHist([pixels], [channel], None, [256], [0, 256]).ravel() for channel in range(3)]
        digest = hashlib.blake2b(repr(pixels.shape).encode(), digest_size=16)
        digest.update(pixels.data)
        counts = np.stack(levels).astype(np.int64)
        return Measurement(index, names, damage, remarks, image.size, counts, digest.digest())

    return measure_picture


def add_up(dataset: Dataset, samples: Iterable[Measurement]) -> Survey:
    """All measurements of samples of a dataset together."""
    labels, remarks, sizes = Counter[str](), Counter[str](), Counter[tuple[int, int]]()
    bad: list[tuple[int, str]] = []
    first: dict[bytes, int] = {}
    same: dict[int, list[int]] = {}
    levels, count = np.zeros((3, 256), np.int64), 0
    for one in samples:
        count += 1
        labels.update(one.class_names)
        if one.error:
            bad.append((one.index, one.error))
        if one.levels is None:
            continue
        remarks.update(one.remarks)
        sizes[one.size] += 1
        levels += one.levels
        earlier = first.setdefault(one.fingerprint, one.index)
        if earlier != one.index:
            same.setdefault(earlier, [earlier]).append(one.index)
    mean, std = None, None
    if pixels := int(levels[0].sum()):  # from sums of whole numbers: nothing is lost over many pictures
        means = levels @ LEVELS / pixels
        mean = tuple(means.tolist())
        std = tuple(np.sqrt(np.maximum(levels @ LEVELS**2 / pixels - means**2, 0)).tolist())
    return Survey(
        samples=count,
        per_class=dict(labels.most_common()),
        sizes=dict(sizes),
        mean=mean,
        std=std,
        duplicates=tuple(map(tuple, same.values())),
        bad=tuple(bad),
        remarks=dict(remarks),
        fingerprints=first,
        dataset=dataset.name,
        length=dataset.length,
        classes=dataset.classes or (),
        warnings=dataset.warnings,
    )


def pairs_with_same_pixels(survey: Survey, others: Iterable[Measurement]) -> tuple[tuple[int, int], ...]:
    """Samples of a survey and those of another split, in pairs."""
    pairs = ((survey.fingerprints.get(one.fingerprint), one.index) for one in others)
    return tuple((index, other) for index, other in pairs if index is not None)


def lines_of_classes(survey: Survey) -> Iterator[str]:
    """How many samples there are, and how many of each class."""
    yield f"{survey.samples} of the {survey.length} samples of {survey.dataset}"
    largest = max(survey.per_class.values(), default=1)
    for name, count in list(survey.per_class.items())[:LISTED]:
        wide = sum(east_asian_width(letter) in "WF" for letter in name[:24])  # letters of two columns
        yield f"  {name[:24]:<{24 - wide}} {count:>8}  {'#' * max(1, round(BAR * count / largest))}"
    if len(survey.per_class) > LISTED:
        yield f"  and {len(survey.per_class) - LISTED} more classes, the smallest {min(survey.per_class.values())}"
    if absent := [name for name in survey.classes if name not in survey.per_class]:
        yield f"  none of {join_first(absent, NAMED)}"


def lines_of_pictures(survey: Survey) -> Iterator[str]:
    """Sizes, colours, and pictures with the same pixels."""
    for name, values in survey.ranges.items():
        if values:
            yield f"{name:<8} {values['min']:.4g} to {values['max']:.4g}, median {values['median']:.4g}"
    if survey.mean and survey.std:
        yield "mean     " + ", ".join(f"{value:.2f}" for value in survey.mean) + "  (red, green, blue)"
        yield "std      " + ", ".join(f"{value:.2f}" for value in survey.std)
    for group in survey.duplicates[:LISTED]:
        yield f"the same pixels: {join_first([f'#{index}' for index in group], NAMED)}"
    if len(survey.duplicates) > LISTED:
        yield f"and {len(survey.duplicates) - LISTED} more groups of the same pixels"
    for split, pairs in survey.in_splits.items():
        if isinstance(pairs, str):
            yield f"not compared with {split}: {pairs}"
        elif pairs:
            doubles = [f"#{one} is {split} #{other}" for one, other in pairs]
            yield f"the same pixels in {split}: {join_first(doubles, NAMED)}"
    if clean := [split for split, pairs in survey.in_splits.items() if not pairs]:
        yield f"none of these pixels in {' or '.join(clean)}"
