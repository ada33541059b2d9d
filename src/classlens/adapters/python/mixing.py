"""What a DataLoader does to a batch: Mixup and CutMix, or its own `collate_fn`, the way of PyTorch's own recipe.

Of the mixings of timm, torchvision and kornia it is read how often they happen and with what alpha; which samples are
paired is drawn by classlens. timm's modes that draw for each element, and kornia, which always does, are shown with one
draw for the batch. A collate function that nobody knows is run on whole batches: it is handed what the dataset gives,
the samples drawn as their traces are, and what it returns is taken apart again, a picture and its labels for each.
"""

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from functools import partial
from importlib import import_module

import numpy as np

from classlens.adapters.python.kinds import MIXINGS, PREFETCHING, TIMM_MIXUP, Thing, bases_of, is_mixing
from classlens.adapters.python.python_data import as_labels, play_sample
from classlens.dataset.dataset import BatchPlan, Collated, Dataset, Mixing
from classlens.dataset.rng import seed_of, seeded_globals
from classlens.dataset.state import State, holds_picture, numbers_of, picture_in, to_image
from classlens.errors import DataError
from classlens.image import Triple
from classlens.pipelines.encodings import encoding_after, triple
from classlens.pipelines.listen import name_of
from classlens.user_code import users_code

STACKING = ("torch.utils.data", "timm.data", "transformers.data", "lightning", "pytorch_lightning")
"""Packages whose collate functions only stack samples, except those that are known to mix."""

LEAST = 1e-6
"""A smaller share of a class is rounding."""


def read_batch_plan(loader: Thing, mixing: Thing, dataset: Dataset | None) -> BatchPlan | None:
    """How a DataLoader batches, and how its collate function or `mixing` mixes; None where there is no batch size.

    A collate function that is not known is run on the samples of `dataset`; without it, it is only named.
    """
    size = getattr(loader, "batch_size", None)
    if size is None:
        return None
    collate = getattr(loader, "collate_fn", None)
    known = is_mixing(collate)
    mixing = collate if mixing is None and known else mixing
    module = getattr(collate, "__module__", None) or type(collate).__module__
    # Nobody knows what a collate function does that comes from no framework.
    collator = "" if collate is None or known or module.startswith(STACKING) else name_of(collate)
    run = None
    if collator and mixing is None and dataset is not None:
        run = partial(collate_batch, loader, dataset)
    return BatchPlan(size, () if mixing is None else read_mixings(mixing), run, collator)


def read_mixings(thing: Thing, share: float = 1.0) -> tuple[Mixing, ...]:
    """The ways of mixing, each with the probability that a batch is mixed like that; `share` is that of the object."""
    name = next(iter(bases_of(thing) & MIXINGS.keys()), "")
    kind: Thing = MIXINGS.get(name)
    if name == TIMM_MIXUP:  # one object stands for both: CutMix with `switch_prob` where both are on
        cut = thing.switch_prob if thing.mixup_alpha > 0 and thing.cutmix_alpha > 0 else float(thing.cutmix_alpha > 0)
        within = None if thing.cutmix_minmax is None else tuple(thing.cutmix_minmax)
        both = (
            Mixing("Mixup", thing.mixup_alpha, thing.mix_prob * (1 - cut)),
            Mixing("CutMix", thing.cutmix_alpha, thing.mix_prob * cut, within=within, corrected=thing.correct_lam),
        )
        return tuple(one for one in both if one.alpha > 0)
    if name.startswith("torchvision"):
        return (Mixing(kind, float(thing.alpha), share),)
    if name.startswith("kornia"):
        # Mixup's share is drawn evenly from 0..1, which is Beta(1, 1)
        beta = getattr(thing._param_generator, "beta", None)
        return (Mixing(kind, 1.0 if beta is None else float(beta), share * float(thing.p_batch)),)
    choices = zip(thing.transforms, thing.p, strict=True)
    return tuple(mixing for one, chance in choices for mixing in read_mixings(one, chance))


def collate_batch(loader: Thing, dataset: Dataset, indices: Sequence[int], seeds: Sequence[int], seed: int) -> Collated:
    """The pictures and the shares of the classes in a batch, as the loader's collate function makes it."""
    name = name_of(loader.collate_fn)
    samples = [play_sample(loader, dataset.stages, *draw) for draw in zip(indices, seeds, strict=True)]
    with seeded_globals(seed_of(seed, indices[0])), users_code(name, DataError):
        batch = loader.collate_fn([item for item, _ in samples])
    images, shares = [], []
    for place, (_, before) in enumerate(samples):
        sample = take_sample(batch, place, len(indices))
        if not holds_picture(sample) or getattr(picture_in(sample), "ndim", 3) > 3:
            raise DataError(f"{name} does not return a picture for each of its {len(indices)} samples")
        images.append(to_image(State(sample, encoding_after(loader.collate_fn, before, sample))))
        named: dict[str, float] = {}
        for label, share in read_shares(sample):
            named[dataset.class_name(label)] = named.get(dataset.class_name(label), 0.0) + share
        shares.append(named)
    return tuple(images), tuple(shares)


def take_sample(batch: Thing, place: int, count: int) -> Thing:
    """What belongs to one sample of a collated batch."""

    def is_stack(value: Thing) -> bool:
        return getattr(value, "ndim", 0) >= 1 and len(value) == count

    if isinstance(batch, Mapping):
        return {key: take_sample(part, place, count) for key, part in batch.items()}
    if isinstance(batch, (list, tuple)):
        if len(batch) == count and not any(map(is_stack, batch)):
            return batch[place]
        return tuple(take_sample(part, place, count) for part in batch)
    return batch[place] if is_stack(batch) else batch


def read_shares(sample: Thing) -> list[tuple[Thing, float]]:
    """The share of every class in a sample: a row of shares, or two labels with the share of the first, or labels."""
    from torch.utils._pytree import tree_leaves

    leaves = [leaf for leaf in tree_leaves(sample) if leaf is not None and not holds_picture(leaf)]
    for leaf in leaves:
        if getattr(leaf, "ndim", 0) == 1 and numbers_of(leaf).dtype.kind == "f" and len(leaf) > 1:
            row = [(label, share) for label, share in enumerate(numbers_of(leaf).tolist()) if share > LEAST]
            return sorted(row, key=lambda pair: -pair[1])
    labels = [label for leaf in leaves for label in as_labels(leaf)]
    fractions = [float(leaf) for leaf in leaves if np.ndim(leaf) == 0 and not as_labels(leaf)]
    if len(labels) == 2 and len(fractions) == 1 and 0 < fractions[0] < 1:
        return [(labels[0], fractions[0]), (labels[1], 1 - fractions[0])]
    return [(label, 1.0) for label in dict.fromkeys(labels)]


@dataclass(frozen=True)
class Normalize:
    """What the loader does to a picture of whole numbers: `mean` and `std` are parts of `max_pixel_value`."""

    mean: Triple
    std: Triple
    max_pixel_value: float = 255.0

    def __call__(self, picture: Thing) -> Thing:
        """The picture as float numbers."""
        torch = import_module("torch")
        mean, std = (
            torch.tensor([value * self.max_pixel_value for value in values]).view(3, 1, 1)
            for values in (self.mean, self.std)
        )
        return torch.as_tensor(picture).float().sub(mean).div(std)


def unwrap_prefetching(loader: Thing) -> tuple[Thing, list[Thing]]:
    """The loader inside timm's, and the transforms that the outer one runs; any other as it is."""
    if PREFETCHING not in bases_of(loader):
        return loader, []
    stages: list[Thing] = [Normalize(triple(loader.mean / 255), triple(loader.std / 255))]
    if loader.random_erasing is not None:
        erasing = copy(loader.random_erasing)
        erasing.device = "cpu"
        stages.append(erasing)
    return loader.loader, stages
