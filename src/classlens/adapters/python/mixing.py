"""Mixup and CutMix of timm, torchvision and kornia as a batch plan.

What is read is how often and with what alpha; which samples are paired is drawn by classlens. timm's modes that draw
for each element, and kornia, which always does, are shown with one draw for the batch.
"""

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from importlib import import_module

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.dataset.dataset import BatchPlan, Mixing
from classlens.image import Triple
from classlens.pipelines.listen import name_of

TIMM = "timm.data.mixup.Mixup"
TORCHVISION = {
    "torchvision.transforms.v2._augment.MixUp": "Mixup",
    "torchvision.transforms.v2._augment.CutMix": "CutMix",
}
KORNIA = {
    "kornia.augmentation._2d.mix.mixup.RandomMixUpV2": "Mixup",
    "kornia.augmentation._2d.mix.cutmix.RandomCutMixV2": "CutMix",
}

STACKING = ("torch.utils.data", "timm.data", "transformers.data", "lightning", "pytorch_lightning")
"""Packages whose collate functions only stack samples, except those that are known to mix."""


def is_mixing(thing: Thing) -> bool:
    """Whether an object mixes batches: timm's Mixup (also as collate function), v2.MixUp, v2.CutMix, or a choice of them."""
    names = kinds.kinds(thing)
    if TIMM in names or names & (TORCHVISION.keys() | KORNIA.keys()):
        return True
    inner = getattr(thing, "transforms", None)
    return type(thing).__name__ == "RandomChoice" and bool(inner) and all(map(is_mixing, inner or ()))


def find_mixing(augmentation: Thing) -> Thing:
    return None if augmentation is None else next(filter(is_mixing, augmentation.modules()), None)


def read_batch_plan(loader: Thing, mixing: Thing, own: Thing = None) -> BatchPlan | None:
    """How a DataLoader batches, and how its collate function or `mixing` mixes; None where there is no batch size.

    `own` runs the loader's collate function; without it, one that is not known is only named.
    """
    size = getattr(loader, "batch_size", None)
    collate = getattr(loader, "collate_fn", None)
    known = is_mixing(collate)
    if size is None:
        return None
    if mixing is None and known:
        mixing = collate
    module = getattr(collate, "__module__", None) or type(collate).__module__
    # Nobody knows what a collate function does that comes from no framework.
    collator = "" if collate is None or known or module.startswith(STACKING) else name_of(collate)
    return BatchPlan(
        size, () if mixing is None else read_mixings(mixing), own if collator and mixing is None else None, collator
    )


def read_mixings(thing: Thing, share: float = 1.0) -> tuple[Mixing, ...]:
    """The ways of mixing, each with the probability that a batch is mixed like that; `share` is that of the object."""
    names = kinds.kinds(thing)
    for name in names & TORCHVISION.keys():
        return (Mixing(TORCHVISION[name], float(thing.alpha), share),)  # type: ignore[arg-type]
    for name in names & KORNIA.keys():
        # Mixup's share is drawn evenly from 0..1, which is Beta(1, 1)
        beta = getattr(thing._param_generator, "beta", None)
        return (Mixing(KORNIA[name], 1.0 if beta is None else float(beta), share * float(thing.p_batch)),)  # type: ignore[arg-type]
    if TIMM in names:
        return read_timm_mixings(thing)
    chances: Sequence[float] = thing.p
    return tuple(
        found for one, chance in zip(thing.transforms, chances, strict=True) for found in read_mixings(one, chance)
    )


def read_timm_mixings(thing: Thing) -> tuple[Mixing, ...]:
    """One object of timm stands for both: CutMix with `switch_prob` where both are on."""
    both = thing.mixup_alpha > 0 and thing.cutmix_alpha > 0
    cut = thing.switch_prob if both else float(thing.cutmix_alpha > 0)
    within = None if thing.cutmix_minmax is None else tuple(thing.cutmix_minmax)
    found = []
    if thing.mixup_alpha > 0:
        found.append(Mixing("Mixup", thing.mixup_alpha, thing.mix_prob * (1 - cut)))
    if thing.cutmix_alpha > 0:
        found.append(
            Mixing("CutMix", thing.cutmix_alpha, thing.mix_prob * cut, within=within, corrected=thing.correct_lam)
        )
    return tuple(found)


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


def unwrap_prefetching(given: Thing) -> tuple[Thing, list[Thing]]:
    """The loader inside, and the transforms that the outer one runs; anything else as it is."""
    if kinds.PREFETCHING not in kinds.kinds(given):
        return given, []
    mean, std = (
        tuple(round(float(value) / 255, 6) for value in values.flatten()) for values in (given.mean, given.std)
    )
    stages: list[Thing] = [Normalize(mean, std)]  # type: ignore[arg-type]
    if given.random_erasing is not None:
        erasing = copy(given.random_erasing)
        erasing.device = "cpu"
        stages.append(erasing)
    return given.loader, stages
