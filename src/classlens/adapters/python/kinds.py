"""What an object is, told by the names of its classes, so that no framework is imported to find out."""

from collections.abc import Generator, Mapping
from types import FunctionType
from typing import Any, TypeAlias

from classlens.pipelines.listen import is_sequence

Thing: TypeAlias = Any  # an object of the user
MODULE, LOSS = "torch.nn.modules.module.Module", "torch.nn.modules.loss._Loss"
PREFETCHING = "timm.data.loader.PrefetchLoader"
SUBSET, CONCAT = "torch.utils.data.dataset.Subset", "torch.utils.data.dataset.ConcatDataset"
TRAINER = "transformers.trainer.Trainer"
OPTIMIZER = "torch.optim.optimizer.Optimizer"
TRANSFORMS = ("torchvision.transforms", "albumentations", "timm.data", "kornia.augmentation")

ACCELERATED = "accelerate.scheduler.AcceleratedScheduler"

TIMM_MIXUP = "timm.data.mixup.Mixup"
MIXINGS: Mapping[str, str] = {
    TIMM_MIXUP: "Mixup, CutMix or both",
    "torchvision.transforms.v2._augment.MixUp": "Mixup",
    "torchvision.transforms.v2._augment.CutMix": "CutMix",
    "kornia.augmentation._2d.mix.mixup.RandomMixUpV2": "Mixup",
    "kornia.augmentation._2d.mix.cutmix.RandomCutMixV2": "CutMix",
}

CONFIGURATION = {"scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau"}
"""The keys of a scheduler's dict, as Lightning has it. How a metric is called decides nothing here."""


def bases_of(thing: Thing) -> set[str]:
    """The dotted names of an object's class and of all that it inherits from."""
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(thing).__mro__}


def children_of(thing: Thing) -> list[Thing]:
    return list(thing.children()) if "torch.nn.modules.container.Sequential" in bases_of(thing) else []


def is_transform(thing: Thing) -> bool:
    """A transform, or a composition of them, of a known framework."""
    if is_known_transform(thing):
        return True
    parts = children_of(thing)
    if parts and all(map(is_transform, parts)):  # those of torchvision and kornia are modules
        return True
    return callable(thing) and is_sequence(getattr(thing, "transforms", None)) and not is_dataset(thing)


def is_known_transform(thing: Thing) -> bool:
    return callable(thing) and any(name.startswith(TRANSFORMS) for name in bases_of(thing))


def is_augmentation(thing: Thing) -> bool:
    """Kornia's augmentations, which stand beside a loader and run on its batches; a composition or a row of them."""
    if parts := children_of(thing):
        return all(map(is_augmentation, parts))
    return any(name.startswith("kornia.augmentation") for name in bases_of(thing))


def is_mixing(thing: Thing) -> bool:
    """Whether an object mixes batches: timm's Mixup (also as collate function), v2.MixUp, v2.CutMix, or a choice of them."""
    if bases_of(thing) & MIXINGS.keys():
        return True
    choices = getattr(thing, "transforms", None)
    return type(thing).__name__ == "RandomChoice" and bool(choices) and all(map(is_mixing, choices or ()))


def is_module(thing: Thing) -> bool:
    return MODULE in bases_of(thing) and not is_transform(thing)


def is_scheduler(thing: Thing) -> bool:
    around_one = hasattr(thing, "optimizer") or ACCELERATED in bases_of(thing)
    return around_one and callable(getattr(thing, "step", None)) and not is_module(thing)


def is_configuration(thing: Thing) -> bool:
    if not isinstance(thing, Mapping) or "scheduler" not in thing or set(thing) - CONFIGURATION:
        return False
    inside = thing["scheduler"]
    return all(map(is_scheduler, inside if isinstance(inside, (list, tuple)) else [inside]))


def is_lightning(thing: Thing) -> bool:
    return is_module(thing) and callable(getattr(thing, "configure_optimizers", None))


def is_loader(thing: Thing) -> bool:
    return bool({"torch.utils.data.dataloader.DataLoader", PREFETCHING} & bases_of(thing))


def is_stream(thing: Thing) -> bool:
    """What gives its samples one after the other only: an IterableDataset of torch or Hugging Face, or a generator."""
    return isinstance(thing, Generator) or any(kind.__name__ == "IterableDataset" for kind in type(thing).__mro__)


def is_dataset(thing: Thing) -> bool:
    """Anything with samples, by number or as a stream: a Dataset of torch, of Hugging Face, or a class of the user's."""
    if is_stream(thing):
        return True
    if isinstance(thing, (str, bytes, tuple, list, Mapping, FunctionType)) or MODULE in bases_of(thing):
        return False
    return hasattr(thing, "__getitem__") and hasattr(thing, "__len__") and not is_known_transform(thing)
