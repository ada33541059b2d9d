"""The pipelines of OpenMMLab configs, without OpenMMLab: from settings to stages.

Deterministic stages give the pixels of mmpretrain 1.2; random ones give them for the same drawn parameters.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from classlens.adapters.openmm.stages.colours import ColorJitter, Lighting, RandomGrayscale
from classlens.adapters.openmm.stages.crops import (
    EfficientNetCenterCrop,
    EfficientNetRandomCrop,
    MAERandomResizedCrop,
    RandomCrop,
    RandomResizedCrop,
    two_pictures,
)
from classlens.adapters.openmm.stages.foreign import albumentations_stage, own_stage, torchvision_stage
from classlens.adapters.openmm.stages.formats import (
    FOLDED,
    FORMATS,
    LOADER,
    check_folded,
    compose,
    format_stage,
    multi_view,
    random_apply,
    random_choice,
)
from classlens.adapters.openmm.stages.mask_generators import MASKS, mask_stage
from classlens.adapters.openmm.stages.policies import KINDS, auto_augment, operation, rand_augment
from classlens.adapters.openmm.stages.shapes_and_flips import (
    CenterCrop,
    Pad,
    RandomChoiceResize,
    RandomErasing,
    RandomFlip,
    RandomResize,
    RandomTranslatePad,
    Resize,
    ResizeEdge,
)
from classlens.adapters.openmm.stages.transform import NOTHING, Transform, arguments, named, record_of, stage_of, tried
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.loading import LoadImageFromFile
from classlens.dataset.state import State
from classlens.dataset.storage import read_bytes
from classlens.errors import ConfigError, suggestion
from classlens.image import Encoding, Image

DETERMINISTIC: Mapping[str, type[Any]] = {
    "Resize": Resize,
    "ResizeEdge": ResizeEdge,
    "CenterCrop": CenterCrop,
    "EfficientNetCenterCrop": EfficientNetCenterCrop,
    "Pad": Pad,
}
RANDOM: Mapping[str, type[Any]] = {
    "RandomFlip": RandomFlip,
    "RandomCrop": RandomCrop,
    "RandomResizedCrop": RandomResizedCrop,
    "EfficientNetRandomCrop": EfficientNetRandomCrop,
    "MAERandomResizedCrop": MAERandomResizedCrop,
    "ColorJitter": ColorJitter,
    "Lighting": Lighting,
    "RandomGrayscale": RandomGrayscale,
    "RandomErasing": RandomErasing,
    "RandomResize": RandomResize,
    "RandomChoiceResize": RandomChoiceResize,
    "RandomTranslatePad": RandomTranslatePad,
}
POLICIES = {
    "RandAugment": rand_augment,
    "AutoAugment": auto_augment,
}
SPECIAL: Mapping[str, Callable[[Settings, str], Stage]] = {
    **dict.fromkeys(FORMATS, format_stage),
    **dict.fromkeys(MASKS, mask_stage),
    **dict.fromkeys(("Albumentations", "Albu"), albumentations_stage),
    "RandomResizedCropAndInterpolationWithTwoPic": two_pictures,
}
"""Transforms that do more, or less, than making one picture out of another."""
NESTED = {"Compose": compose, "RandomApply": random_apply, "RandomChoice": random_choice, "MultiView": multi_view}

NATIVE = (*DETERMINISTIC, *RANDOM, *POLICIES, *NESTED, *SPECIAL, *KINDS, LOADER, *FOLDED)


def is_native(name: str) -> bool:
    return name in NATIVE or name.startswith("torchvision/")


def build_stages(
    pipeline: Sequence[Settings], *, where: str, trusted: Sequence[str] | None = None, places: Sequence[str] = ()
) -> tuple[Stage, ...]:
    """The stages of a pipeline that change the picture: loading comes before them, packing shows nothing.

    `places` says of each entry where it is written; errors begin with that. In a trusted config, transforms that are
    not native are looked for in mmpretrain and in the `trusted` modules; None means that it is not trusted.

    Raises:
        ConfigError: a transform or one of its settings is unknown, or a value makes no sense.
        MissingDependency: a transform belongs to a package that is not installed.
    """
    built = partial(build_nested, trusted=trusted)
    stages, loaded = [], False
    for position, settings in enumerate(pipeline):
        written = f"{places[position]}: " if len(places) == len(pipeline) and places[position] else ""
        stage = f"{written}{where}: stage {position + 1}"
        if not isinstance(settings, Mapping) or "type" not in settings:
            raise ConfigError(f"{stage} is not a dict with a type: {settings!r}")
        name = named(settings)["type"]
        if name == LOADER and loaded:
            stages.append(reloading(settings, stage))
        elif name in FOLDED:
            check_folded(named(settings), stage)
        elif name != LOADER:
            stages.append(build_stage(settings, stage, built))
        loaded = loaded or name == LOADER
    return tuple(stages)


def build_nested(pipeline: Sequence[Settings], where: str, *, trusted: Sequence[str] | None) -> tuple[Stage, ...]:
    return build_stages(pipeline, where=where, trusted=trusted)


def build_stage(settings: Settings, where: str, build: partial[tuple[Stage, ...]]) -> Stage:
    """One transform as a stage."""
    original, settings = settings, named(settings)
    name = str(settings["type"])
    if name in SPECIAL:
        return SPECIAL[name](settings, where)
    if name in NESTED:
        return NESTED[name](settings, where, build)
    if name.startswith("torchvision/"):
        return torchvision_stage(settings, where)
    native = transform(settings, where)
    if native is not None:
        return stage_of(name, native, settings)
    trusted = build.keywords["trusted"]
    if trusted is not None:
        return own_stage(original, trusted, where)
    near = suggestion(name, NATIVE)
    own = "transforms of your own need --trust-config"
    hint = f"{near} {own}" if near.startswith("did you mean") else own
    raise ConfigError(f"{where}: no transform named {name!r}", hint=hint)


def transform(settings: Settings, where: str) -> Transform | None:
    """The native transform of that type, or None.

    Raises:
        ConfigError: a setting is unknown, missing, or makes no sense.
    """
    name = str(settings["type"])
    kind = DETERMINISTIC.get(name) or RANDOM.get(name)
    if kind is not None:
        record: Transform = record_of(kind, settings, where)
        return tried(record, f"{where}: {name}")
    if name in POLICIES:
        return POLICIES[name](settings, where, member)
    return operation(settings, where) if name in KINDS else None


def member(settings: Settings, where: str) -> Transform:
    """One policy of AutoAugment or RandAugment, which may be any transform that makes one picture of another.

    Raises:
        ConfigError: there is no such transform, or its settings make no sense.
    """
    found = transform(settings, where)
    if found is None:
        raise ConfigError(f"{where}: no operation named {settings['type']!r}", hint=suggestion(settings["type"], KINDS))
    return found


def test_pipeline(pipeline: Sequence[Settings], *, where: str) -> Callable[[Image], Image]:
    """What a test pipeline does to a picture before normalisation, pixel by pixel as upstream.

    Raises:
        ConfigError: it has a random or unknown stage.
    """
    steps: list[Transform] = []
    for position, settings in enumerate(pipeline):
        settings = named(settings)
        name = str(settings["type"])
        if name in FOLDED or name in FORMATS or name == LOADER:
            continue
        if name not in DETERMINISTIC:
            kind = "a random stage" if name in RANDOM or name in POLICIES else "no deterministic stage known here"
            raise ConfigError(f"{where}: stage {position + 1}: {name} is {kind}")
        steps.append(record_of(DETERMINISTIC[name], settings, f"{where}: stage {position + 1}"))

    def prepare(image: Image) -> Image:
        pixels = np.ascontiguousarray(image.pixels[..., ::-1])
        for step in steps:
            pixels = step.apply(pixels, NOTHING)
        return Encoding("BGR").decode(pixels)

    return prepare


test_pipeline.__test__ = False  # type: ignore[attr-defined]


def reloading(settings: Settings, where: str) -> Stage:
    """A loader after other stages, which reads the file anew; what they did is lost.

    Raises:
        ConfigError: the loader has an unknown setting or value.
    """
    loader = record_of(LoadImageFromFile, named(settings), where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        path = state.path or ""
        return Outcome(loader.state(read_bytes(path), path), note="loaded anew: what was done before is lost")

    return Stage(LOADER, apply, arguments(settings), draws_globally=False)


def loader_of(pipeline: tuple[Settings, ...], where: str) -> LoadImageFromFile | None:
    """The loader that a pipeline starts with, or None for datasets that hold their pictures in memory.

    Raises:
        ConfigError: the loader has an unknown setting or value.
    """
    for position, settings in enumerate(pipeline):
        if named(settings).get("type") == LOADER:
            return record_of(LoadImageFromFile, named(settings), f"{where}: stage {position + 1}")
    return None
