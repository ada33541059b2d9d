"""A DataLoader's own `collate_fn`, run on whole batches: the way in which PyTorch's own recipe mixes them.

It is handed what the dataset gives: the samples are drawn as their traces are. What it returns is taken apart again,
a picture and its labels for each sample.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.python_data import as_labels, play_sample
from classlens.dataset.dataset import Collated, Dataset
from classlens.dataset.rng import seed_of, seeded_globals
from classlens.dataset.state import State, holds_picture, numbers_of, picture_in, to_image
from classlens.errors import DataError
from classlens.pipelines.encodings import encoding_after
from classlens.pipelines.listen import name_of
from classlens.user_code import users_code

LEAST = 1e-6
"""A smaller share of a class is rounding."""


@dataclass(frozen=True, eq=False)
class Collating:
    """The collate function of a loader, whose dataset is laid open."""

    loader: Thing
    dataset: Dataset

    def __call__(self, indices: Sequence[int], seeds: Sequence[int], seed: int) -> Collated:
        """The pictures and the shares of the classes in a batch.

        Raises:
            DataError: the function fails, or what it returns is not one picture for each sample.
        """
        collate, stages = self.loader.collate_fn, self.dataset.stages
        name = name_of(collate)
        samples = [play_sample(self.loader, stages, *draw) for draw in zip(indices, seeds, strict=True)]
        with seeded_globals(seed_of(seed, indices[0])), users_code(name, DataError):
            batch = collate([item for item, _ in samples])
        images, shares = [], []
        for place, (_, before) in enumerate(samples):
            sample = take_sample(batch, place, len(indices))
            if not holds_picture(sample) or getattr(picture_in(sample), "ndim", 3) > 3:
                raise DataError(f"{name} does not return a picture for each of its {len(indices)} samples")
            encoding = encoding_after(collate, before, sample)
            images.append(to_image(State(sample, encoding)))
            shares.append(read_shares(sample, self.dataset.class_name))
        return tuple(images), tuple(shares)


def take_sample(batch: Thing, place: int, count: int) -> Thing:
    """What belongs to one sample of a collated batch."""
    if isinstance(batch, Mapping):
        return {key: take_sample(part, place, count) for key, part in batch.items()}
    if isinstance(batch, (list, tuple)):
        listed = len(batch) == count and not any(is_stack(part, count) for part in batch)
        return batch[place] if listed else tuple(take_sample(part, place, count) for part in batch)
    return batch[place] if is_stack(batch, count) else batch


def is_stack(value: Thing, count: int) -> bool:
    return getattr(value, "ndim", 0) >= 1 and len(value) == count


def read_shares(sample: Thing, named: Callable[[Thing], str]) -> Mapping[str, float]:
    """The share of every class in a sample: a row of shares, or two labels with the share of the first, or labels."""
    parts = list(find_leaves(sample))
    for part in parts:
        if getattr(part, "ndim", 0) == 1 and numbers_of(part).dtype.kind == "f" and len(part) > 1:
            row = dict(enumerate(numbers_of(part).tolist()))
            ordered = sorted(row.items(), key=lambda item: -item[1])
            return {named(label): share for label, share in ordered if share > LEAST}
    labels = [label for part in parts for label in as_labels(part)]
    fractions = [float(part) for part in parts if np.ndim(part) == 0 and not as_labels(part)]
    if len(labels) == 2 and len(fractions) == 1 and 0 < fractions[0] < 1:
        first, second = map(named, labels)
        share = fractions[0] if first != second else 1.0
        return {first: share} if first == second else {first: share, second: 1 - share}
    return {named(label): 1.0 for label in labels}


def find_leaves(sample: Thing) -> Iterator[Thing]:
    if isinstance(sample, (Mapping, list, tuple)):
        for part in sample.values() if isinstance(sample, Mapping) else sample:
            yield from find_leaves(part)
    elif not holds_picture(sample) and sample is not None:
        yield sample
