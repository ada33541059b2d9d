"""Which samples to show: those of some numbers or classes, a fair spread over all classes, or any at random.

The first N of a sorted dataset are N pictures of one class; so without other wishes every class gets its turn.
"""

from collections.abc import Sequence

import numpy as np

from classlens.dataset.dataset import Dataset, Label
from classlens.errors import DataError, NotFound

EXACT = 20_000  # up to so many samples every label is looked up; beyond, a random part stands for all


def check_indices(dataset: Dataset, indices: Sequence[int]) -> list[int]:
    """The indices of samples that exist, each once."""
    for index in indices:
        if not 0 <= index < dataset.length:
            raise DataError(f"no sample {index} in {dataset.name}", hint=f"they are numbered 0..{dataset.length - 1}")
    return list(dict.fromkeys(indices))


def of_classes(dataset: Dataset, names: Sequence[str]) -> list[int]:
    """The samples that carry one of the labels, named or numbered, in order."""
    classes = dataset.classes or ()
    by_name = dataset.length and any(isinstance(label, str) for label in dataset.sample(0).labels)
    labels: set[Label] = set()
    for name in names:
        if name in classes:
            labels.add(classes.index(name))
        elif by_name:
            labels.add(name)
        elif name.isdigit() and (dataset.classes is None or int(name) < len(classes)):
            labels.add(int(name))
        else:
            raise NotFound("class", name, classes, where=dataset.name)
    indices = [index for index in range(dataset.length) if labels.intersection(dataset.sample(index).labels)]
    if not indices:
        raise DataError(f"no sample of {dataset.name} belongs to {', '.join(names)}")
    return indices


def spread(dataset: Dataset, number: int, seed: int, among: Sequence[int] | None = None) -> list[int]:
    """`number` samples, every class in its turn; order and choice follow from the seed."""
    random = np.random.default_rng([abs(seed), 0x5EED])
    among = range(dataset.length) if among is None else among
    total = len(among)
    size = total if total <= EXACT else min(total, max(EXACT, 10 * number))
    places = random.permutation(total) if size == total else random.choice(total, size, replace=False, shuffle=True)
    candidates = [among[place] for place in places.tolist()]
    if number >= total:
        return sorted(candidates)
    groups: dict[tuple[Label, ...], list[int]] = {}
    for index in candidates:
        groups.setdefault(dataset.sample(index).labels[:1], []).append(index)
    turns = [(turn, place, index) for place, group in enumerate(groups.values()) for turn, index in enumerate(group)]
    return [index for _, _, index in sorted(turns)[:number]]


def shuffle(dataset: Dataset, number: int, seed: int, among: Sequence[int] | None = None) -> list[int]:
    """`number` samples, each as likely as any other."""
    random = np.random.default_rng([abs(seed), 0x0DD5])
    among = range(dataset.length) if among is None else among
    return [among[place] for place in random.choice(len(among), min(number, len(among)), replace=False, shuffle=True)]
