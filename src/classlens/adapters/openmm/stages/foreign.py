"""Stages that others implement: `torchvision/...`, Albumentations, mmpretrain, and the user's own code.

They are imported only when a pipeline names them. Those of torchvision and Albumentations run as in any other source,
through `pipelines/`, and show the same parameters.

The user's own transforms and datasets, of trusted configs only, are looked for in the modules that `custom_imports`
names, by the name of the class (a dotted type names module and class at once), then in the registry of mmpretrain where
it is installed. So a plain class that asks nothing of OpenMMLab needs no OpenMMLab.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from enum import EnumMeta
from importlib import import_module
from importlib.util import find_spec
from inspect import isclass

import numpy as np

from classlens.adapters.openmm.setup import Setup
from classlens.adapters.openmm.stages.rules import arguments, construct
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.state import Foreign, State
from classlens.errors import ConfigError, DataError, install_command, short_repr, suggestion
from classlens.user_code import importable, users_code

INTERPOLATIONS = {name: name for name in ("nearest", "bilinear", "bicubic", "box", "lanczos")} | {"hammimg": "hamming"}
"""What may be written for the interpolation of a `torchvision/` transform, spelt as upstream does."""


def torchvision_stage(settings: Settings, where: str) -> Stage:
    """One of torchvision's transforms, which take what the stage before them left (mostly a Pillow picture)."""
    from classlens.pipelines.lay_open import stage_of  # not at the start: most configs name no stage of another package

    what, options = f"{where}: {settings['type']}", arguments(settings)
    with users_code(what):
        module = import_module("torchvision.transforms")
    name = str(settings["type"]).removeprefix("torchvision/")
    kinds = {known: kind for known, kind in vars(module).items() if isclass(kind) and not isinstance(kind, EnumMeta)}
    if name not in kinds or not name[:1].isupper():
        raise ConfigError(
            f"{where}: torchvision has no transform named {short_repr(name)}", hint=suggestion(name, kinds)
        )
    if isinstance(options.get("interpolation"), str):
        word = options["interpolation"].lower()
        if word not in INTERPOLATIONS:
            raise ConfigError(f"{what}: no interpolation {short_repr(word)}", hint=suggestion(word, INTERPOLATIONS))
        options["interpolation"] = module.InterpolationMode(INTERPOLATIONS[word])
    if isinstance(options.get("dtype"), str):
        options["dtype"] = getattr(import_module("torch"), options["dtype"], options["dtype"])
    if any(isinstance(one, Mapping) for one in options.get("transforms") or ()):
        hint = f"use {name} without torchvision/, which takes dicts" if name in ("RandomApply", "RandomChoice") else ""
        raise ConfigError(f"{what} takes transforms, not dicts, in training too", hint=hint)
    transform = construct(kinds[name], options, what)
    return replace(stage_of(transform), name=str(settings["type"]), settings=arguments(settings))


def albumentations_stage(settings: Settings, where: str) -> Stage:
    """A composition of Albumentations' transforms."""
    from classlens.pipelines.lay_open import stage_of  # not at the start: most configs name no stage of another package

    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # or its import asks a server for newer versions
    what, rows = f"{where}: {settings['type']}", settings.get("transforms")
    with users_code(what):
        module = import_module("albumentations")
    if not isinstance(rows, list):
        raise ConfigError(f"{what}: transforms is a list, not {short_repr(rows)}")
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
    if not isinstance(settings, Mapping) or not hasattr(module, str(settings.get("type"))):
        name = settings.get("type") if isinstance(settings, Mapping) else settings
        raise ConfigError(f"{where}: albumentations has no transform named {short_repr(name)}")
    options = arguments(settings)
    if "transforms" in options:
        options["transforms"] = [albumentation(module, one, where) for one in options["transforms"]]
    return construct(getattr(module, str(settings["type"])), options, f"{where}: {settings['type']}")


def own_stage(settings: Settings, modules: Sequence[str], where: str) -> Stage:
    """A transform of mmpretrain, or of the user's own code; for trusted configs only."""
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


def build_own(settings: Settings, registry: str, modules: Sequence[str], where: str) -> Foreign:
    """The object that the settings describe, of a type in a registry of mmpretrain or in the user's own modules."""
    name = str(settings.get("type"))
    module, _, attribute = name.rpartition(".")
    places = [(one, name) for one in modules]
    if module:
        with importable("."):
            if find_spec(module.partition(".")[0]) is not None:  # a scope such as `mmcls` need not be a package
                places = [(module, attribute), *places]
    own = [getattr(import_own(place, where), member, None) for place, member in places]
    kind = next((one for one in own if callable(one)), None)
    hint = f"types of mmpretrain need it: {install_command('mmpretrain')}"
    if find_spec("mmpretrain") is not None:
        import_module("mmpretrain.datasets")  # fills the registries
        kind = kind or getattr(import_module("mmpretrain.registry"), registry).get(name)
        modules, hint = [*modules, f"mmpretrain's {registry}"], "does custom_imports name its module?"
    if kind is None:
        raise ConfigError(
            f"{where}: nothing named {short_repr(name)} in {', '.join(modules) or 'custom_imports'}", hint=hint
        )
    options = {key: value for key, value in settings.items() if key not in ("type", "_scope_")}
    return construct(kind, options, f"{where}: {name}")


def import_modules(setup: Setup) -> None:
    """Import what `custom_imports` names, so that it registers its types; what may fail there may fail here."""
    for module in setup.imports:
        try:
            import_own(module, setup.where("custom_imports") or str(setup.path))
        except ConfigError:
            if not setup.may_lack_imports:
                raise


def import_own(name: str, where: str) -> Foreign:
    """A module of the user's, also from the working directory."""
    try:
        with importable("."):
            return import_module(name)
    except ModuleNotFoundError as error:
        missing = error.name or name
        if name == missing or name.startswith(f"{missing}."):
            hint = "run from the folder that it lies in, or set PYTHONPATH to that"
            raise ConfigError(f"{where}: no module named {short_repr(missing)}", hint=hint) from error
        hint = install_command("mmpretrain") if missing.startswith("mm") else f"pip install {missing.partition('.')[0]}"
        raise ConfigError(f"{where}: {name} needs {missing}, which is not installed", hint=hint) from error
