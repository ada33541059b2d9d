"""Numbers about samples as loaded: how many of each class, how large, which colours, which ones twice, which ones bad.

A sample is measured on its own, so that many can be at once; only a few numbers of each are kept.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import cv2
import numpy as np

from classlens.dataset.dataset import Dataset
from classlens.dataset.decoder_warnings import damage_in
from classlens.errors import DataError
from classlens.image import Image

Values = tuple[float, float, float]
Levels: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]

LEVELS = np.arange(256)


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


def survey(dataset: Dataset, indices: Iterable[int]) -> Survey:
    return summed(measured(find(dataset, index)) for index in indices)


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
