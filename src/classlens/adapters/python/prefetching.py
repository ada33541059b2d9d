"""timm's `PrefetchLoader`, which normalises and erases on the device, behind the dataset's own pipeline.

It is timm's default in training, so the last two stages of most of its recipes stand in the loader. Nothing of timm is
imported: the loader's own numbers and its own `RandomErasing` are used.
"""

from copy import copy
from dataclasses import dataclass
from importlib import import_module

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.image import Triple


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


def without_prefetching(given: Thing) -> tuple[Thing, list[Thing]]:
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
