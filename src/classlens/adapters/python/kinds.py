"""What an object is, told by the names of its classes, so that no framework is imported to find out."""

from collections.abc import Mapping
from types import FunctionType
from typing import Any, TypeAlias

from classlens.pipelines.listen import is_sequence

Thing: TypeAlias = Any
"""An object of the user."""

MODULE = "torch.nn.modules.module.Module"
SEQUENTIAL = "torch.nn.modules.container.Sequential"
LOADER = "torch.utils.data.dataloader.DataLoader"
PREFETCHING = "timm.data.loader.PrefetchLoader"
ITERABLE = "torch.utils.data.dataset.IterableDataset"
OPTIMIZER = "torch.optim.optimizer.Optimizer"
TRANSFORMS = ("torchvision.transforms", "albumentations", "timm.data", "kornia.augmentation")


def kinds(thing: Thing) -> set[str]:
    return {f"{kind.__module__}.{kind.__qualname__}" for kind in type(thing).__mro__}


def is_transform(thing: Thing) -> bool:
    """A transform, or a composition of them, of a known framework."""
    if is_known_transform(thing):
        return True
    members = list(thing.children()) if SEQUENTIAL in kinds(thing) else []
    if members and all(map(is_transform, members)):  # those of torchvision and kornia are modules
        return True
    inner = getattr(thing, "transforms", None)
    return callable(thing) and is_sequence(inner) and not is_dataset(thing)


def is_known_transform(thing: Thing) -> bool:
    return callable(thing) and any(name.startswith(TRANSFORMS) for name in kinds(thing))


def is_augmentation(thing: Thing) -> bool:
    """Kornia's augmentations, which stand beside a loader and run on its batches; a composition or a row of them."""
    members = list(thing.children()) if SEQUENTIAL in kinds(thing) else []
    if members:
        return all(map(is_augmentation, members))
    return any(name.startswith("kornia.augmentation") for name in kinds(thing))


def is_module(thing: Thing) -> bool:
    return MODULE in kinds(thing) and not is_transform(thing)


def is_optimizer(thing: Thing) -> bool:
    return OPTIMIZER in kinds(thing)


def is_scheduler(thing: Thing) -> bool:
    return hasattr(thing, "optimizer") and callable(getattr(thing, "step", None)) and not is_module(thing)


def is_loader(thing: Thing) -> bool:
    return bool({LOADER, PREFETCHING} & kinds(thing))


def is_dataset(thing: Thing) -> bool:
    """Anything with samples by number: a Dataset of torch, of Hugging Face, or a class of the user's own."""
    if isinstance(thing, (str, bytes, tuple, list, Mapping, FunctionType)) or MODULE in kinds(thing):
        return False
    if is_known_transform(thing):
        return False
    return hasattr(thing, "__getitem__") and hasattr(thing, "__len__")
