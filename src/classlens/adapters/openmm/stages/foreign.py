"""Stages that others implement: `torchvision/...`, Albumentations, mmpretrain, and the user's own code.

They are imported only when a pipeline names them, and draw from the global generators, which `trace` seeds.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import import_module
from inspect import signature
from typing import Any, TypeAlias

import numpy as np

from classlens.adapters.openmm.own import made
from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.state import State
from classlens.adapters.openmm.stages.transform import arguments
from classlens.dataset.dataset import Outcome, Stage
from classlens.errors import ConfigError, MissingDependency, suggestion
from classlens.image import Encoding

Foreign: TypeAlias = Any
"""A module or object of another package."""


def package(name: str, extra: str) -> Foreign:
    """An optional package.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return import_module(name)
    except ModuleNotFoundError as error:
        raise MissingDependency(str(error.name), extra=extra) from error


def torchvision_stage(settings: Settings, where: str) -> Stage:
    """One of torchvision's transforms, which take what the stage before them left (mostly a Pillow picture).

    Raises:
        MissingDependency: torchvision is not installed.
        ConfigError: there is no such transform, or it refuses its settings.
    """
    module = package("torchvision.transforms", "torchvision")
    name = str(settings["type"]).removeprefix("torchvision/")
    kind = getattr(module, name, None)
    if kind is None or not name[:1].isupper():
        hint = suggestion(name, [known for known in dir(module) if known[:1].isupper()])
        raise ConfigError(f"{where}: torchvision has no transform named {name!r}", hint=hint)
    given = dict(arguments(settings))
    if isinstance(given.get("interpolation"), str):
        given["interpolation"] = module.InterpolationMode(given["interpolation"].lower())
    if isinstance(given.get("dtype"), str):
        given["dtype"] = getattr(import_module("torch"), given["dtype"])
    if any(isinstance(one, Mapping) for one in given.get("transforms") or ()):
        hint = f"use {name} without torchvision/, which takes dicts" if name in ("RandomApply", "RandomChoice") else ""
        raise ConfigError(f"{where}: {settings['type']} takes transforms, not dicts, in training too", hint=hint)
    try:
        transform = kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {settings['type']}: {error}") from error

    def apply(state: State, random: np.random.Generator) -> Outcome:
        value = transform(state.value)
        if isinstance(value, tuple):  # FiveCrop and TenCrop
            return Outcome(replace(state, views=tuple(replace(state, value=view) for view in value)))
        return Outcome(replace(state, value=value, encoding=torch_encoding(state.encoding, value, transform)))

    return Stage(str(settings["type"]), apply, arguments(settings))


def torch_encoding(before: Encoding, value: Foreign, transform: Foreign) -> Encoding:
    """How the result of a torchvision transform is encoded: tensors are channels first, floats are in 0..1."""
    if not hasattr(value, "is_floating_point"):
        return before
    white = 1.0 if value.is_floating_point() else 255.0
    if type(transform).__name__ == "Normalize":
        mean, std = tuple(map(float, transform.mean)), tuple(map(float, transform.std))
        return Encoding(before.order, "CHW", white, mean, std)  # type: ignore[arg-type]
    return replace(before, layout="CHW", white=white)


def albumentations_stage(settings: Settings, where: str) -> Stage:
    """A composition of Albumentations' transforms; what each of them drew is shown where the package tells.

    Raises:
        MissingDependency: albumentations is not installed.
        ConfigError: there is no such transform, or it refuses its settings.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks a server for newer versions
    module = package("albumentations", "albumentations")
    told = {"save_applied_params": True} if "save_applied_params" in signature(module.Compose).parameters else {}
    composed = module.Compose([albumentation(module, one, where) for one in settings["transforms"]], **told)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if hasattr(composed, "set_random_seed"):
            composed.set_random_seed(int(random.integers(2**31)))
        result = composed(image=np.ascontiguousarray(state.pixels))
        drawn = {str(name): scalars(values) for name, values in result.get("applied_transforms", ())}
        return Outcome(state.with_pixels(result["image"]), drawn)

    return Stage(str(settings["type"]), apply, arguments(settings))


def scalars(values: Mapping[str, Foreign]) -> dict[str, object]:
    """The drawn values that fit in a caption; kernels and maps do not."""
    return {name: value for name, value in values.items() if isinstance(value, (bool, int, float, str))}


def albumentation(module: Foreign, settings: Settings, where: str) -> Foreign:
    """One of Albumentations' transforms, with those nested in it."""
    kind = getattr(module, str(settings.get("type")), None)
    if kind is None:
        raise ConfigError(f"{where}: albumentations has no transform named {settings.get('type')!r}")
    given = dict(arguments(settings))
    if "transforms" in given:
        given["transforms"] = [albumentation(module, one, where) for one in given["transforms"]]
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {settings['type']}: {error}") from error


def own_stage(settings: Settings, modules: Sequence[str], where: str) -> Stage:
    """A transform of mmpretrain, or of the user's own code; for trusted configs only.

    Raises:
        ConfigError: there is no such transform, or it refuses its settings.
    """
    transform = made(settings, "TRANSFORMS", modules, where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        shape = np.shape(state.value)[:2]
        result = transform({"img": state.value, "img_shape": shape, "ori_shape": shape, "img_path": state.path})
        value = result.get("img") if isinstance(result, Mapping) else None
        return Outcome(state if value is None else replace(state, value=value))

    return Stage(str(settings["type"]), apply, arguments(settings))
