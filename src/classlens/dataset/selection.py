"""Which samples to show: those of some numbers or classes, a fair spread over all classes, or any at random.

The first N of a sorted dataset are N pictures of one class; so without other wishes every class gets its turn.
"""

from collections.abc import Sequence

import numpy as np

from classlens.dataset.dataset import Dataset, Label
from classlens.errors import DataError, NotFound

EXACT = 20_000
"""Up to so many samples every label is looked up; beyond, a random part stands for all."""


def given(dataset: Dataset, indices: Sequence[int]) -> list[int]:
    """The indices, checked, each once.

    Raises:
        DataError: there is no such sample.
    """
    for index in indices:
        if not 0 <= index < dataset.length:
            raise DataError(f"no sample {index} in {dataset.name}", hint=f"they are numbered 0..{dataset.length - 1}")
    return list(dict.fromkeys(indices))


def of_classes(dataset: Dataset, names: Sequence[str]) -> list[int]:
    """The samples that carry one of the labels, named or numbered, in order.

    Raises:
        NotFound: no class has that name or number.
    """
    by_name = dataset.length and any(isinstance(label, str) for label in dataset.sample(0).labels)
    wanted = {
        name if by_name and name not in (dataset.classes or ()) else class_number(dataset, name) for name in names
    }
    indices = [index for index in range(dataset.length) if wanted.intersection(dataset.sample(index).labels)]
    if not indices:
        raise DataError(f"no sample of {dataset.name} belongs to {', '.join(names)}")
    return indices


def class_number(dataset: Dataset, name: str) -> int:
    """The label of a class."""
    names = dataset.classes or ()
    if name in names:
        return names.index(name)
    if name.isdigit() and (dataset.classes is None or int(name) < len(names)):
        return int(name)
    raise NotFound("class", name, names, where=dataset.name)


def spread(dataset: Dataset, number: int, seed: int, among: Sequence[int] | None = None) -> list[int]:
    """`number` samples, every class in its turn; order and choice follow from the seed."""
    random = np.random.default_rng([abs(seed), 0x5EED])
    total = dataset.length if among is None else len(among)
    size = total if total <= EXACT else min(total, max(EXACT, 10 * number))
    picked = random.permutation(total) if size == total else random.choice(total, size, replace=False, shuffle=True)
    candidates = picked.tolist() if among is None else [among[place] for place in picked.tolist()]
    if number >= total:
        return sorted(candidates)
    groups: dict[tuple[Label, ...], list[int]] = {}
    for index in candidates:
        groups.setdefault(dataset.sample(index).labels[:1], []).append(index)
    turns = sorted(
        ((turn, place, index) for place, group in enumerate(groups.values()) for turn, index in enumerate(group))
    )
    return [index for _, _, index in turns[:number]]


def shuffled(dataset: Dataset, number: int, seed: int, among: Sequence[int] | None = None) -> list[int]:
    """`number` samples, each as likely as any other."""
    random = np.random.default_rng([abs(seed), 0x0DD5])
    total = dataset.length if among is None else len(among)
    picked = random.choice(total, min(number, total), replace=False, shuffle=True).tolist()
    return picked if among is None else [among[place] for place in picked]
