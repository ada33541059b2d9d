"""Transforms that do several things in one call, unfolded into the ones they consist of."""

from collections.abc import Sequence
from importlib import import_module

from classlens.adapters.pipelines.carried import Foreign


def unfolded(transform: Foreign) -> Sequence[Foreign] | None:
    """The members of a preset of torchvision (`weights.transforms()`); None for anything else."""
    kind = type(transform)
    if kind.__name__ != "ImageClassification" or not kind.__module__.startswith("torchvision."):
        return None
    transforms = import_module("torchvision.transforms")
    return (
        transforms.Resize(transform.resize_size, transform.interpolation, antialias=transform.antialias),
        transforms.CenterCrop(transform.crop_size),
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(import_module("torch").float),
        transforms.Normalize(transform.mean, transform.std),
    )
