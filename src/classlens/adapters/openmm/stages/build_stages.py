"""The pipelines of OpenMMLab configs, without OpenMMLab: from settings to stages, and where training would stop.

Deterministic stages give the pixels of mmpretrain 1.2; random ones give them for the same drawn parameters. What a
dataset gives is a dict, and every stage takes what it needs out of that. One that does not get it stops training at the
first sample, so that nothing may be shown here as if it had run.
"""

from collections.abc import Callable, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias

import numpy as np

from classlens.adapters.openmm.stages import colours, crops, formats, rules, shapes_and_flips
from classlens.adapters.openmm.stages.foreign import albumentations_stage, own_stage, torchvision_stage
from classlens.adapters.openmm.stages.formats import FOLDED, LOADER, PACKING
from classlens.adapters.openmm.stages.policies import KINDS, auto_augment, operation, rand_augment
from classlens.adapters.openmm.stages.rules import ANYTHING, NativeStep, Rule, Transform, as_list, construct, named
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.listing import LoadImageFromFile, Pipeline
from classlens.dataset.state import State
from classlens.dataset.storage import read_bytes
from classlens.errors import ConfigError, first_line, short_repr, suggestion
from classlens.image import Image

KINDS_OF_STEPS: Sequence[type[NativeStep]] = (
    *(shapes_and_flips.Resize, shapes_and_flips.ResizeEdge, shapes_and_flips.CenterCrop, shapes_and_flips.Pad),
    *(shapes_and_flips.RandomResize, shapes_and_flips.RandomChoiceResize, shapes_and_flips.RandomTranslatePad),
    *(shapes_and_flips.RandomFlip, shapes_and_flips.RandomErasing),
    *(crops.RandomCrop, crops.RandomResizedCrop, crops.MAERandomResizedCrop, crops.EfficientNetRandomCrop),
    *(crops.EfficientNetCenterCrop, crops.RandomResizedCropAndInterpolationWithTwoPic),
    *(colours.ColorJitter, colours.Lighting, colours.RandomGrayscale),
    *(formats.Normalize, formats.Transpose, formats.SimMIMMaskGenerator, formats.BEiTMaskGenerator),
)
STEPS: Mapping[str, type[NativeStep]] = {
    **{kind.__name__: kind for kind in KINDS_OF_STEPS},
    **dict.fromkeys(("NumpyToPIL", "ToPIL"), formats.ToPillow),
    **dict.fromkeys(("PILToNumpy", "ToNumpy"), formats.ToArray),
}
RECORDS: Mapping[str, Callable[..., NativeStep | LoadImageFromFile]] = {**STEPS, LOADER: LoadImageFromFile}
SETTINGS = {**FOLDED, **{name: rules.settings_of(kind) for name, kind in RECORDS.items()}}
"""The rules of the settings that each stage has, and which of them it must have."""

POLICIES = {"RandAugment": rand_augment, "AutoAugment": auto_augment}
ALBUMENTATIONS = ("Albumentations", "Albu")


def read_pipeline(
    pipeline: Sequence[Settings], *, where: str, trusted: Sequence[str] | None, places: Sequence[str]
) -> Pipeline:
    """How the pictures of a dataset are loaded, its stages, and why training would stop in or after them.

    The user's own stages may do anything, loading and packing too: nothing is said of what follows one.
    """
    stages = build_stages(pipeline, where=where, trusted=trusted, places=places)
    rows = [named(settings) for settings in pipeline]
    loaders = (transform(row, f"{where}: stage {at}") for at, row in enumerate(rows, start=1) if row["type"] == LOADER)
    loader = next((one for one in loaders if isinstance(one, LoadImageFromFile)), None)
    names, unpacked = [str(row["type"]) for row in rows], ""
    known = list(takewhile(lambda name: name in NATIVE or name.startswith("torchvision/"), names))
    packing = next((row for row in rows[: len(known)] if row["type"] in PACKING), {})
    if rows and len(known) == len(rows) and not packing:
        unpacked = "after the last stage nothing packs the picture for the network: PackInputs is missing"
    elif packing.get("_rows_first_"):
        unpacked = "the picture is collected with its channels last: ImageToTensor is missing"
    elif packing.get("input_key", "img") != "img":
        unpacked = f"{packing['type']} packs {short_repr(packing['input_key'])}, but the picture is 'img'"
    stops = find_stop(known, in_memory=False), find_stop(known, in_memory=True)
    return Pipeline(loader, stages, stops, unpacked)


def build_stages(
    pipeline: Sequence[Settings], *, where: str, trusted: Sequence[str] | None = None, places: Sequence[str] = ()
) -> tuple[Stage, ...]:
    """The stages of a pipeline that change the picture: loading comes before them, packing shows nothing.

    `places` says of each entry where it is written; errors begin with that. In a trusted config, transforms that are
    not native are looked for in mmpretrain and in the `trusted` modules; None means that it is not trusted.
    """
    stages, loaded = [], False
    for position, settings in enumerate(pipeline):
        place = f"{places[position]}: " if len(places) == len(pipeline) and places[position] else ""
        stage = f"{place}{where}: stage {position + 1}"
        if not isinstance(settings, Mapping) or "type" not in settings:
            raise ConfigError(f"{stage} is not a dict with a type: {short_repr(settings)}")
        name = named(settings)["type"]
        if name in FOLDED:
            rules.check_settings(named(settings), *SETTINGS[name], stage)
        elif name != LOADER or loaded:
            stages.append(build_stage(settings, stage, trusted))
        loaded = loaded or name == LOADER
    return tuple(stages)


def build_stage(settings: Settings, where: str, trusted: Sequence[str] | None) -> Stage:
    """One transform as a stage."""
    original, settings = settings, named(settings)
    name = str(settings["type"])
    if name in ALBUMENTATIONS:
        return albumentations_stage(settings, where)
    if name.startswith("torchvision/"):
        return torchvision_stage(settings, where)
    if name in NESTED:
        return nested_stage(settings, where, trusted)
    step = transform(settings, where)
    if step is not None:
        apply = partial(load_anew, step) if isinstance(step, LoadImageFromFile) else step.run
        return Stage(name, apply, rules.arguments(settings), draws_globally=False)
    if trusted is not None:
        return own_stage(original, trusted, where)
    near = suggestion(name, NATIVE)
    own = "transforms of your own need --trust-config"
    hint = f"{near} {own}" if near.startswith("did you mean") else own
    raise ConfigError(f"{where}: no transform named {short_repr(name)}", hint=hint)


def transform(settings: Settings, where: str) -> NativeStep | LoadImageFromFile | None:
    """The native stage of that type, or the loader; None for others."""
    name = str(settings["type"])
    if name in RECORDS:
        return construct(RECORDS[name], rules.check_settings(settings, *SETTINGS[name], where), f"{where}: {name}")
    if name in POLICIES:
        return POLICIES[name](settings, where, member)
    return operation(settings, where) if name in KINDS else None


def member(settings: Settings, where: str) -> Transform:
    """One policy of AutoAugment or RandAugment, which may be any transform that makes one picture of another."""
    step = transform(named(settings), where)
    if not isinstance(step, Transform) or type(step).run is not Transform.run:
        raise ConfigError(
            f"{where}: no operation named {short_repr(settings['type'])}", hint=suggestion(settings["type"], KINDS)
        )
    return step


def load_anew(loader: LoadImageFromFile, state: State, random: np.random.Generator) -> Outcome:
    path = state.path or ""
    return Outcome(loader.state(read_bytes(path), path), note="loaded anew: what was done before is lost")


Pipelines: TypeAlias = Sequence[Sequence[Stage]]
Values: TypeAlias = Mapping[str, Any]


def nested_stage(settings: Settings, where: str, trusted: Sequence[str] | None) -> Stage:
    """One of `NESTED` as a stage; some have one pipeline, some a list of them, and each may be a single transform."""
    name = str(settings["type"])
    place, (known, apply) = f"{where}: {name}", NESTED[name]
    values = rules.check_settings(
        settings, known, [key for key in known if key in NEEDED.get(name, known) and key != "prob"], where
    )
    if values.get("auto_remap") and values.get("remapping") is not None:
        raise ConfigError(f"{place}: remapping must be None if auto_remap is set")
    several = known["transforms"] is PIPELINES
    pipelines = []
    for option in values["transforms"] if several else [values["transforms"]]:
        rows = [option] if isinstance(option, Mapping) else option
        if not isinstance(rows, (list, tuple)):
            raise ConfigError(f"{place}: transforms are dicts, not {short_repr(rows)}")
        pipelines.append(build_stages(rows, where=place, trusted=trusted))
    shares = values.get("num_views", values.get("prob"))
    count = len(shares) if isinstance(shares, list | tuple) else 1
    if shares is not None and count != len(pipelines):
        raise ConfigError(f"{place}: {len(pipelines)} pipelines cannot share {short_repr(shares)}")
    draws_globally = any(stage.draws_globally for pipeline in pipelines for stage in pipeline)
    return Stage(name, partial(apply, values, pipelines), values, draws_globally=draws_globally)


def run(stages: Sequence[Stage], state: State, random: np.random.Generator) -> Outcome:
    """Several stages as one; what each drew is kept under its name."""
    params: dict[str, object] = {}
    for position, stage in enumerate(stages):
        outcome = stage.apply(state, random)
        state = outcome.state
        if outcome.params:
            params[f"{position + 1} {stage.name}"] = outcome.params
        elif not params.get(stage.name):
            params[stage.name] = ""
    return Outcome(state, params)


def random_apply(values: Values, pipelines: Pipelines, state: State, random: np.random.Generator) -> Outcome:
    if random.random() >= values.get("prob", 0.5):
        return Outcome(state, {"applied": "no"}, "not drawn")
    outcome = run(pipelines[0], state, random)
    return Outcome(outcome.state, {"applied": "yes", **outcome.params})


def random_choice(values: Values, pipelines: Pipelines, state: State, random: np.random.Generator) -> Outcome:
    choice = int(random.choice(len(pipelines), p=values.get("prob")))
    outcome = run(pipelines[choice], state, random)
    return Outcome(outcome.state, {"chosen": f"{choice + 1} of {len(pipelines)}", **outcome.params})


def multi_view(values: Values, pipelines: Pipelines, state: State, random: np.random.Generator) -> Outcome:
    """Several pictures of one sample: as many by each pipeline as `num_views` says."""
    counts = zip(pipelines, as_list(values["num_views"]), strict=True)
    outcomes = [run(pipeline, state, random) for pipeline, count in counts for _ in range(count)]
    params = {f"view {number}": outcome.params for number, outcome in enumerate(outcomes, start=1)}
    return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), params)


def map_keys(values: Values, pipelines: Pipelines, state: State, random: np.random.Generator) -> Outcome:
    """KeyMapper: what is mapped back is what the stages inside leave; without the picture in it they change nothing."""
    outcome = run(pipelines[0], state, random)
    back = values.get("remapping")
    if back is None and values.get("auto_remap", True):
        back = values.get("mapping")
    return outcome if back is None or "img" in back else replace(outcome, state=state)


def broadcast(values: Values, pipelines: Pipelines, state: State, random: np.random.Generator) -> Outcome:
    """TransformBroadcaster: the stages once for each picture of the list; mapped back under one name, the last stays.

    Shared random parameters are those of one generator in one state.
    """
    outcomes, start = [], deepcopy(random)
    for _ in values["mapping"]["img"]:
        outcomes.append(run(pipelines[0], state, deepcopy(start) if values.get("share_random_params") else random))
    params = {f"picture {number}": outcome.params for number, outcome in enumerate(outcomes, start=1)}
    if values.get("auto_remap", True) or values.get("remapping"):
        return Outcome(outcomes[-1].state, params)
    return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), params)


PIPELINES: Rule = (lambda value: isinstance(value, list | tuple) and len(value) > 0, "is a list of pipelines")
WEIGHTS: Rule = (
    lambda value: all(isinstance(one, float) and one >= 0 for one in value) and sum(value) == 1,
    "are floats that add up to exactly 1 (write one of them as 1 minus the others)",
)
VIEWS: Rule = (
    lambda value: all(isinstance(one, int) and one >= 0 for one in as_list(value)) and sum(as_list(value)) > 0,
    "is a whole number for each pipeline, not all of them 0",
)
ONE_PICTURE: Rule = (
    lambda value: (
        value is None or (isinstance(value, Mapping) and all((key == "img") == (value[key] == "img") for key in value))
    ),
    "is a dict in which the picture, 'img', keeps its name (others are not shown here)",
)
SEVERAL_PICTURES: Rule = (
    lambda value: set(value) == {"img"} and len(value["img"]) > 0 and set(value["img"]) == {"img"},
    "is a dict such as {'img': ['img', 'img']}: the picture as often as it is wanted (others are not shown here)",
)
MAPPER = {"transforms": ANYTHING, "remapping": ONE_PICTURE, "auto_remap": ANYTHING, "allow_nonexist_keys": ANYTHING}
NESTED: Mapping[str, tuple[Mapping[str, Rule], Callable[[Values, Pipelines, State, np.random.Generator], Outcome]]] = {
    "Compose": ({"transforms": ANYTHING}, lambda values, pipelines, state, random: run(pipelines[0], state, random)),
    "KeyMapper": ({**MAPPER, "mapping": ONE_PICTURE}, map_keys),
    "TransformBroadcaster": (
        {
            **MAPPER,
            "mapping": SEVERAL_PICTURES,
            "remapping": rules.or_none(SEVERAL_PICTURES),
            "share_random_params": ANYTHING,
        },
        broadcast,
    ),
    "RandomApply": ({"transforms": ANYTHING, "prob": rules.PROBABILITY}, random_apply),
    "RandomChoice": ({"transforms": PIPELINES, "prob": rules.or_none(WEIGHTS)}, random_choice),
    "MultiView": ({"transforms": PIPELINES, "num_views": VIEWS}, multi_view),
}
"""Stages made of stages: the settings that they have, and what they do with their pipelines."""

NEEDED = {"KeyMapper": ("transforms",), "TransformBroadcaster": ("transforms", "mapping")}
"""What those must have that need not have all of their settings."""

NATIVE = (*STEPS, *POLICIES, *NESTED, *ALBUMENTATIONS, *KINDS, LOADER, *FOLDED)


def read_test_pipeline(pipeline: Sequence[Settings], *, where: str) -> Callable[[Image], Image]:
    """What a test pipeline does to a picture before normalisation, pixel by pixel as upstream."""
    steps: list[Transform] = []
    for position, settings in enumerate(map(named, pipeline), start=1):
        name, stage = str(settings["type"]), f"{where}: stage {position}"
        kind = STEPS.get(name)
        if name in FOLDED or name == LOADER or (kind is not None and not issubclass(kind, Transform)):
            continue
        if kind is None or kind.sample_params is not Transform.sample_params:
            words = "a random stage" if kind or name in POLICIES else "no deterministic stage known here"
            raise ConfigError(f"{stage}: {name} is {words}")
        values = rules.check_settings(settings, *SETTINGS[name], stage)
        try:
            steps.append(kind(**values))
            steps[-1].apply(rules.PROBE, {})
        except rules.REFUSALS as error:
            raise ConfigError(f"{stage}: {name}: {first_line(error)}") from error
    return partial(prepare, steps)


def prepare(steps: Sequence[Transform], image: Image) -> Image:
    pixels = np.ascontiguousarray(image.pixels[..., ::-1])
    for step in steps:
        pixels = step.apply(pixels, {})
    return Image(np.ascontiguousarray(pixels[..., ::-1]))


ARRAY, PILLOW, ANY = "an array", "a Pillow picture", ""
"""What a stage takes or leaves; `ANY` is any of them, or not known which."""

BLIND = (LOADER, "SimMIMMaskGenerator", "BEiTMaskGenerator", "CleanCaption", "ToTensor")
"""Stages that ask for no picture."""

TAKES = {
    "MAERandomResizedCrop": PILLOW,
    **dict.fromkeys((*BLIND, *PACKING, "Collect", "ToNumpy", "PILToNumpy", "RandomFlip", *NESTED), ANY),
}
"""What a stage takes, where it is not an array."""

LEAVES = {
    **dict.fromkeys(("PILToNumpy", "ToNumpy", LOADER), ARRAY),
    **dict.fromkeys(("NumpyToPIL", "ToPIL"), PILLOW),
    **dict.fromkeys(("RandomFlip", *NESTED), ANY),
}
"""What a stage leaves, where it is not what it took."""


def find_stop(names: Sequence[str], *, in_memory: bool) -> str:
    """Which stage finds no picture, in a dataset of files or of pictures in memory; empty if all of them do."""
    picture, packed, held = in_memory, "", ARRAY
    for position, name in enumerate(names, start=1):
        stage, takes = f"stage {position}, {name},", TAKES.get(name, ARRAY)
        if name == LOADER and in_memory:
            return f"{stage} looks for a file, but this dataset holds its pictures in memory"
        if packed:
            return f"{stage} finds no picture: {packed} has packed it"
        if not picture and name not in BLIND:
            return f"{stage} finds no picture: {LOADER} does not come before it"
        if name.startswith("torchvision/"):
            held = ANY if held == ARRAY or name.endswith(("ToTensor", "Lambda")) else held
        elif takes and held and takes != held:
            form, converter = ("Pillow picture", "NumpyToPIL") if takes == PILLOW else ("array", "PILToNumpy")
            return f"{stage} finds {held} and no {form}: {converter} does not come before it"
        else:
            held = LEAVES.get(name, held)
        picture, packed = picture or name == LOADER, name if name in PACKING else ""
    return ""
