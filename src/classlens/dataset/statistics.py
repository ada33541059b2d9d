"""Numbers about samples as loaded: how many of each class, how large, which colours, which ones twice, which ones bad."""

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from classlens.dataset.complaints import damage_in
from classlens.dataset.dataset import Dataset
from classlens.errors import DataError

Values = tuple[float, float, float]


@dataclass(frozen=True)
class Survey:
    """What was found in `samples` pictures.

    `mean` and `std` are per channel (red, green, blue), 0..255, over all pixels of all pictures; `duplicates` are
    groups of indices with the same pixels; `bad` are indices with the reason, damaged ones that decode included.
    """

    samples: int
    per_class: Mapping[str, int]
    widths: tuple[int, ...]
    heights: tuple[int, ...]
    mean: Values | None
    std: Values | None
    duplicates: tuple[tuple[int, ...], ...]
    bad: tuple[tuple[int, str], ...]
    remarks: Mapping[str, int]

    @property
    def aspects(self) -> tuple[float, ...]:
        """Width / height of every readable picture."""
        return tuple(width / height for width, height in zip(self.widths, self.heights, strict=True))


def survey(dataset: Dataset, indices: Iterable[int]) -> Survey:
    """Load the given samples, one at a time, and count."""
    labels: Counter[str] = Counter()
    remarks: Counter[str] = Counter()
    sizes: list[tuple[int, int]] = []
    bad: list[tuple[int, str]] = []
    same: dict[bytes, list[int]] = {}
    sums, squares, pixels, seen = np.zeros(3), np.zeros(3), 0, 0
    for index in indices:
        seen += 1
        labels.update(dataset.class_names(index))
        try:
            state = dataset.load(index)
        except DataError as error:
            bad.append((index, str(error)))
            continue
        picture = dataset.look(state).pixels
        told = dataset.remarks(state)
        remarks.update(told)
        if damage_in(told):
            bad.append((index, damage_in(told)))
        sizes.append(picture.shape[:2])
        same.setdefault(fingerprint(picture), []).append(index)
        levels = [np.bincount(picture[..., channel].ravel(), minlength=256) for channel in range(3)]
        sums += [counts @ np.arange(256) for counts in levels]
        squares += [counts @ np.arange(256) ** 2 for counts in levels]
        pixels += picture.shape[0] * picture.shape[1]
    mean = sums / pixels if pixels else None
    std = np.sqrt(np.maximum(squares / pixels - mean**2, 0)) if mean is not None else None
    return Survey(
        samples=seen,
        per_class=dict(labels.most_common()),
        widths=tuple(width for _, width in sizes),
        heights=tuple(height for height, _ in sizes),
        mean=triple(mean),
        std=triple(std),
        duplicates=tuple(tuple(group) for group in same.values() if len(group) > 1),
        bad=tuple(bad),
        remarks=dict(remarks),
    )


def triple(values: np.ndarray[Any, np.dtype[np.float64]] | None) -> Values | None:
    """Three channel values as plain numbers."""
    return None if values is None else (float(values[0]), float(values[1]), float(values[2]))


def fingerprint(picture: np.ndarray[Any, np.dtype[np.uint8]]) -> bytes:
    """The same for the same pixels in the same shape, whatever the file."""
    digest = hashlib.blake2b(repr(picture.shape).encode(), digest_size=16)
    digest.update(np.ascontiguousarray(picture).data)
    return digest.digest()
