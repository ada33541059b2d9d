"""Stages that others implement: `torchvision/...`, Albumentations, mmpretrain, and the user's own code.

They are imported only when a pipeline names them. Those of torchvision and Albumentations run as in any other source,
through `pipelines/`, and show the same parameters.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import EnumMeta
from importlib import import_module
from inspect import isclass

import numpy as np

from classlens.adapters.openmm.stages.transform import arguments, construct
from classlens.adapters.openmm.trusted_code import build_own
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.state import Foreign, State
from classlens.errors import ConfigError, DataError, MissingDependency, suggestion
from classlens.pipelines.lay_open import stage_of
from classlens.user_code import users_code

INTERPOLATIONS = {name: name for name in ("nearest", "bilinear", "bicubic", "box", "lanczos")} | {"hammimg": "hamming"}
"""What may be written for the interpolation of a `torchvision/` transform, spelt as upstream does."""


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
    kinds = {known: kind for known, kind in vars(module).items() if isclass(kind) and not isinstance(kind, EnumMeta)}
    what = f"{where}: {settings['type']}"
    if name not in kinds or not name[:1].isupper():
        raise ConfigError(f"{where}: torchvision has no transform named {name!r}", hint=suggestion(name, kinds))
    options = arguments(settings)
    if isinstance(options.get("interpolation"), str):
        asked = options["interpolation"].lower()
        if asked not in INTERPOLATIONS:
            raise ConfigError(f"{what}: no interpolation {asked!r}", hint=suggestion(asked, INTERPOLATIONS))
        options["interpolation"] = module.InterpolationMode(INTERPOLATIONS[asked])
    if isinstance(options.get("dtype"), str):
        options["dtype"] = getattr(import_module("torch"), options["dtype"], options["dtype"])
    if any(isinstance(one, Mapping) for one in options.get("transforms") or ()):
        hint = f"use {name} without torchvision/, which takes dicts" if name in ("RandomApply", "RandomChoice") else ""
        raise ConfigError(f"{what} takes transforms, not dicts, in training too", hint=hint)
    stage = stage_of(construct(kinds[name], options, what))
    return replace(stage, name=str(settings["type"]), settings=arguments(settings))


def albumentations_stage(settings: Settings, where: str) -> Stage:
    """A composition of Albumentations' transforms.

    Raises:
        MissingDependency: albumentations is not installed.
        ConfigError: there is no such transform, or it refuses its settings.
    """
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks a server for newer versions
    module = package("albumentations", "albumentations")
    what, rows = f"{where}: {settings['type']}", settings.get("transforms")
    if not isinstance(rows, list):
        raise ConfigError(f"{what}: transforms is a list, not {rows!r}")
    if (settings.get("keymap") or {"img": "image"}).get("img") != "image":
        raise ConfigError(f"{what}: keymap gives the picture another name than 'image', which is the one looked for")
    composed = module.Compose([albumentation(module, one, where) for one in rows])
    normalising = (one for one in reversed(composed.transforms) if "Normalize" in type(one).__name__)
    inner = stage_of(composed, encoder=next(normalising, None))

    def apply(state: State, random: np.random.Generator) -> Outcome:
        outcome = inner.apply(state, random)
        return replace(outcome, state=replace(outcome.state, value=outcome.state.value["image"]))

    return Stage(str(settings["type"]), apply, arguments(settings), draws_globally=inner.draws_globally)


def albumentation(module: Foreign, settings: Settings, where: str) -> Foreign:
    """One of Albumentations' transforms, with those nested in it."""
    if not isinstance(settings, Mapping) or "type" not in settings:
        raise ConfigError(f"{where}: a transform of albumentations is a dict with a type, not {settings!r}")
    kind = getattr(module, str(settings["type"]), None)
    if kind is None:
        raise ConfigError(f"{where}: albumentations has no transform named {settings['type']!r}")
    options = arguments(settings)
    if "transforms" in options:
        options["transforms"] = [albumentation(module, one, where) for one in options["transforms"]]
    return construct(kind, options, f"{where}: {settings['type']}")


def own_stage(settings: Settings, modules: Sequence[str], where: str) -> Stage:
    """A transform of mmpretrain, or of the user's own code; for trusted configs only.

    Raises:
        ConfigError: there is no such transform, or it refuses its settings.
    """
    name, transform = str(settings["type"]), build_own(settings, "TRANSFORMS", modules, where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        shape = np.shape(state.value)[:2]
        with users_code(name, DataError):
            result = transform({"img": state.value, "img_shape": shape, "ori_shape": shape, "img_path": state.path})
        if result is None:
            raise DataError(f"{name} gives no sample: training takes another one instead")
        value = result.get("img") if isinstance(result, Mapping) else None
        return Outcome(state if value is None else replace(state, value=value))

    return Stage(name, apply, arguments(settings))
