"""The pipelines of OpenMMLab configs, without OpenMMLab: from settings to stages, and where training would stop.

Deterministic stages give the pixels of mmpretrain 1.2; random ones give them for the same drawn parameters. What a
dataset gives is a dict, and every stage takes what it needs out of that. One that does not get it stops training at the
first sample, so that nothing may be shown here as if it had run.
"""

from collections.abc import Callable, Container, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from classlens.adapters.openmm.stages import colours, crops, shapes_and_flips
from classlens.adapters.openmm.stages.foreign import albumentations_stage, own_stage, torchvision_stage
from classlens.adapters.openmm.stages.formats import FOLDED, FORMATS, LOADER, PACKING, check_folded
from classlens.adapters.openmm.stages.mask_generators import MASKS
from classlens.adapters.openmm.stages.nested import NESTED, nested_stage
from classlens.adapters.openmm.stages.policies import KINDS, auto_augment, operation, rand_augment
from classlens.adapters.openmm.stages.transform import (
    NOTHING,
    NativeStep,
    Transform,
    arguments,
    named,
    record_of,
    try_out,
)
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.listing import LoadImageFromFile
from classlens.dataset.state import State
from classlens.dataset.storage import read_bytes
from classlens.errors import ConfigError, suggestion
from classlens.image import Encoding, Image

STEPS: Mapping[str, type[NativeStep]] = {
    **{
        name: kind
        for module in (shapes_and_flips, crops, colours)
        for name, kind in vars(module).items()
        if isinstance(kind, type) and issubclass(kind, Transform) and kind.__module__ == module.__name__
    },
    **FORMATS,
    **MASKS,
}
DETERMINISTIC = ("Resize", "ResizeEdge", "CenterCrop", "EfficientNetCenterCrop", "Pad")
POLICIES = {"RandAugment": rand_augment, "AutoAugment": auto_augment}
ALBUMENTATIONS = ("Albumentations", "Albu")
NATIVE = (*STEPS, *POLICIES, *NESTED, *ALBUMENTATIONS, *KINDS, LOADER, *FOLDED)


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
    stages, loaded = [], False
    for position, settings in enumerate(pipeline):
        written = f"{places[position]}: " if len(places) == len(pipeline) and places[position] else ""
        stage = f"{written}{where}: stage {position + 1}"
        if not isinstance(settings, Mapping) or "type" not in settings:
            raise ConfigError(f"{stage} is not a dict with a type: {settings!r}")
        name = named(settings)["type"]
        if name == LOADER and loaded:
            stages.append(reloading_stage(named(settings), stage))
        elif name in FOLDED:
            check_folded(named(settings), stage)
        elif name != LOADER:
            stages.append(build_stage(settings, stage, trusted))
        loaded = loaded or name == LOADER
    return tuple(stages)


def build_stage(settings: Settings, where: str, trusted: Sequence[str] | None) -> Stage:
    """One transform as a stage."""
    original, settings = settings, named(settings)
    name = str(settings["type"])
    if name in ALBUMENTATIONS:
        return albumentations_stage(settings, where)
    if name in NESTED:
        return nested_stage(settings, where, lambda inner, place: build_stages(inner, where=place, trusted=trusted))
    if name.startswith("torchvision/"):
        return torchvision_stage(settings, where)
    step = transform(settings, where)
    if step is not None:
        return Stage(name, step.run, arguments(settings), draws_globally=False)
    if trusted is not None:
        return own_stage(original, trusted, where)
    near = suggestion(name, NATIVE)
    own = "transforms of your own need --trust-config"
    hint = f"{near} {own}" if near.startswith("did you mean") else own
    raise ConfigError(f"{where}: no transform named {name!r}", hint=hint)


def transform(settings: Settings, where: str) -> NativeStep | None:
    """The native stage of that type, or None."""
    name = str(settings["type"])
    if name in STEPS:
        step = record_of(STEPS[name], settings, where)
        return try_out(step, f"{where}: {name}") if isinstance(step, Transform) else step
    if name in POLICIES:
        return POLICIES[name](settings, where, member)
    return operation(settings, where) if name in KINDS else None


def member(settings: Settings, where: str) -> Transform:
    """One policy of AutoAugment or RandAugment, which may be any transform that makes one picture of another."""
    step = transform(settings, where)
    if not isinstance(step, Transform) or type(step).run is not Transform.run:
        raise ConfigError(f"{where}: no operation named {settings['type']!r}", hint=suggestion(settings["type"], KINDS))
    return step


def test_pipeline(pipeline: Sequence[Settings], *, where: str) -> Callable[[Image], Image]:
    """What a test pipeline does to a picture before normalisation, pixel by pixel as upstream.

    Raises:
        ConfigError: it has a random or unknown stage.
    """
    steps: list[Any] = []
    for position, settings in enumerate(map(named, pipeline)):
        name, stage = str(settings["type"]), f"{where}: stage {position + 1}"
        if name in FOLDED or name in FORMATS or name == LOADER:
            continue
        if name not in DETERMINISTIC:
            kind = "a random stage" if name in STEPS or name in POLICIES else "no deterministic stage known here"
            raise ConfigError(f"{stage}: {name} is {kind}")
        steps.append(record_of(STEPS[name], settings, stage))
    return partial(prepare, steps)


test_pipeline.__test__ = False  # type: ignore[attr-defined]


def prepare(steps: Sequence[Transform], image: Image) -> Image:
    """A picture after the steps of a test pipeline."""
    pixels = np.ascontiguousarray(image.pixels[..., ::-1])
    for step in steps:
        pixels = step.apply(pixels, NOTHING)
    return Encoding("BGR").decode(pixels)


def reloading_stage(settings: Settings, where: str) -> Stage:
    """A loader after other stages, which reads the file anew; what they did is lost."""
    loader = record_of(LoadImageFromFile, settings, where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        path = state.path or ""
        return Outcome(loader.state(read_bytes(path), path), note="loaded anew: what was done before is lost")

    return Stage(LOADER, apply, arguments(settings), draws_globally=False)


def loader_of(pipeline: Sequence[Settings], where: str) -> LoadImageFromFile | None:
    """The loader that a pipeline starts with, or None for datasets that hold their pictures in memory.

    Raises:
        ConfigError: the loader has an unknown setting or value.
    """
    for position, settings in enumerate(map(named, pipeline), start=1):
        if settings.get("type") == LOADER:
            return record_of(LoadImageFromFile, settings, f"{where}: stage {position}")
    return None


BLIND = (*MASKS, "CleanCaption", "ToTensor")
"""Stages that ask for no picture."""

ARRAY, PILLOW = "an array", "a Pillow picture"
LOOSE = ("RandomFlip", "Compose", "MultiView", "RandomApply", "RandomChoice")
"""Stages that take either, and may leave something else."""


def held_after(name: str, held: str) -> str | None:
    """What a stage leaves of `ARRAY` or `PILLOW`: one of them, or nothing where that is not known.

    None says that it stops at what it gets.
    """
    if name in ("PILToNumpy", "ToNumpy"):
        return ARRAY
    if name in LOOSE:
        return ""
    if name.startswith("torchvision/"):
        return "" if held == ARRAY or name.endswith(("ToTensor", "Lambda")) else held
    if name in (*BLIND, *PACKING, "Collect", LOADER):
        return held
    if held == (ARRAY if name == "MAERandomResizedCrop" else PILLOW):
        return None
    return PILLOW if name in ("NumpyToPIL", "ToPIL") else held


def no_picture(pipeline: Sequence[Settings], own: Container[str], *, in_memory: bool) -> str:
    """Which stage finds no picture, in a dataset of files or of pictures in memory; empty if all of them do.

    Stages of the user's `own` may do anything, loading and packing too: nothing is said of what follows one.
    """
    picture, packed, held = in_memory, "", ARRAY
    for position, settings in enumerate(pipeline, start=1):
        name = str(named(settings)["type"])
        stage = f"stage {position}, {name},"
        if name in own:
            return ""
        if name == LOADER and in_memory:
            return f"{stage} looks for a file, but this dataset holds its pictures in memory"
        if packed:
            return f"{stage} finds no picture: {packed} has packed it"
        if not picture and name != LOADER and name not in BLIND:
            return f"{stage} finds no picture: {LOADER} does not come before it"
        after = held_after(name, held)
        if after is None:
            wanted, bringing = ("Pillow picture", "NumpyToPIL") if held == ARRAY else ("array", "PILToNumpy")
            return f"{stage} finds {held} and no {wanted}: {bringing} does not come before it"
        picture, held = picture or name == LOADER, ARRAY if name == LOADER else after
        packed = name if name in PACKING else ""
    return ""


def not_packed(pipeline: Sequence[Settings], own: Container[str]) -> str:
    """Why a pipeline gives the network nothing; empty if it gives it the picture, or where there is no pipeline."""
    for settings in map(named, pipeline):
        if settings["type"] in own:
            return ""
        if settings["type"] in PACKING:
            if settings.get("_rows_first_"):
                return "the picture is collected with its channels last: ImageToTensor is missing"
            key = settings.get("input_key", "img")
            return "" if key == "img" else f"{settings['type']} packs {key!r}, but the picture is 'img'"
    return "after the last stage nothing packs the picture for the network: PackInputs is missing" if pipeline else ""
