"""Pictures as a network is fed them. No torch in here: processes that only decode pictures start faster without it.

Every picture is read as the dataset gives it, without its augmentations, and prepared by the network's own test pipeline.
Global random state is set for each by its number, so that a dataset that draws gives the same picture whoever asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import BAD_SAMPLE
from classlens.dataset.rng import seed_of, seeded_globals
from classlens.errors import first_line
from classlens.image import Image

Prepare = Callable[[Image], Image]


@dataclass(frozen=True, eq=False)
class Fed:
    """A picture as the network is fed it, its file, its label as the dataset numbers it, and its (height, width) as read.

    There is no `image` where there is an `error`.
    """

    index: int
    image: Image | None
    path: str | None = None
    label: int | None = None
    size: tuple[int, int] | None = None
    error: str = ""


def as_it_is(image: Image) -> Image:
    return image


Read = Callable[[Iterable[int]], Iterator[Fed]]
"""Gives the pictures of those numbers, in that order."""


def feed(dataset: Dataset, prepare: Prepare, seed: int, index: int) -> Fed:
    """One picture as the network is fed it; whatever is wrong with it is said instead."""
    path = None
    try:
        with seeded_globals(seed_of(seed, index)):
            sample = dataset.sample(index)
            path = sample.path
            picture = dataset.to_image(dataset.load(index))
            return Fed(index, prepare(picture), path, dataset.number_of(sample), picture.size)
    except BAD_SAMPLE as error:
        return Fed(index, None, path, error=first_line(error))


def prepare_here(read: Fed, prepare: Prepare) -> Fed:
    """A picture that another process read, as the network is fed it."""
    try:
        return read if read.image is None else replace(read, image=prepare(read.image))
    except BAD_SAMPLE as error:
        return Fed(read.index, None, read.path, error=first_line(error))
