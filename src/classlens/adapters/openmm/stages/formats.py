"""Stages that change how the picture is held: normalised, as a Pillow picture, or packed for the network.

Normalisation is undone for the eye by the `Encoding` that the state carries; packing changes nothing to be seen and
is left out of the pipeline.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages.transform import Setting, arguments, check_settings, is_number, record_of
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError
from classlens.image import Encoding

LOADER = "LoadImageFromFile"
PACKING = ("PackInputs", "PackClsInputs", "PackMultiTaskInputs")
"""Stages that hand the picture over to the network."""

FOLDED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(PACKING, (("input_key", "algorithm_keys", "meta_keys"), ())),
    "PackMultiTaskInputs": (("multi_task_fields", "input_key", "task_handlers"), ("multi_task_fields",)),
    "CleanCaption": (("keys", "remove_chars", "lowercase", "remove_dup_space", "strip"), ()),
    "Collect": (("keys", "meta_keys"), ("keys",)),
    **dict.fromkeys(("ToTensor", "ImageToTensor", "ToHalf"), (("keys",), ("keys",))),
}
"""Stages that pack what is there, or change a text, and make no new picture: the settings they have, and must have."""


@dataclass(frozen=True)
class Normalize:
    """(picture - mean) / std, with red and blue swapped first if `to_rgb`."""

    mean: Sequence[float]
    std: Sequence[float]
    to_rgb: bool = True

    def __post_init__(self) -> None:
        if (
            not all(map(is_number, (*self.mean, *self.std)))
            or len(self.mean) not in (1, 3)
            or len(self.std) != len(self.mean)
            or 0 in self.std
        ):
            raise ValueError(f"mean and std are three numbers each (grey: one), std without 0: {self.mean}, {self.std}")

    def state(self, state: State) -> State:
        """The normalised sample, which remembers how to undo it."""
        encoding = Encoding("RGB" if self.to_rgb else "BGR", mean=triple(self.mean), std=triple(self.std))
        flips = self.to_rgb and state.pixels.ndim == 3
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB) if flips else state.pixels
        scaled = (array.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return replace(state, value=scaled, encoding=encoding)


def check_folded(settings: Settings, where: str) -> None:
    """Refuse settings of a stage that makes no new picture, as training would.

    Raises:
        ConfigError: a setting is missing, unknown or of a wrong kind.
    """
    known, max_side = FOLDED[str(settings["type"])]
    check_settings(settings, known, max_side, where)
    for key in ("keys", "algorithm_keys", "meta_keys", "multi_task_fields"):
        names = settings.get(key, ())
        if isinstance(names, str) and (key != "keys" or settings["type"] == "CleanCaption"):
            names = [names]
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{where}: {settings['type']}: {key} are names, not {names!r}")


def triple(values: Sequence[float]) -> tuple[float, float, float]:
    """Three channel values; one stands for all three."""
    first, second, third = list(values) * (3 // len(values))
    return float(first), float(second), float(third)


@dataclass(frozen=True)
class ToPillow:
    """An array becomes a Pillow picture, for the torchvision stages that follow."""

    to_rgb: bool = False

    def state(self, state: State) -> State:
        """The sample as Pillow holds it."""
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB) if self.to_rgb else state.pixels
        encoding = Encoding("RGB") if self.to_rgb else state.encoding
        return replace(state, value=Pillow.fromarray(array), encoding=encoding)


@dataclass(frozen=True)
class ToArray:
    """A Pillow picture becomes an array again."""

    to_bgr: bool = False
    dtype: str | None = None

    def __post_init__(self) -> None:
        np.dtype(self.dtype)

    def state(self, state: State) -> State:
        """The sample as an array."""
        array = np.array(state.value, dtype=self.dtype)
        if not self.to_bgr:
            return replace(state, value=array)
        return replace(state, value=cv2.cvtColor(array, cv2.COLOR_RGB2BGR), encoding=Encoding("BGR"))


TRANSPOSED = frozenset(("gt_label", "gt_score", "img", "mask"))
"""What a sample may have that is an array."""


@dataclass(frozen=True)
class Transpose:
    """The axes of an array in another order: rows, columns, channels are 0, 1, 2 to begin with."""

    keys: Sequence[str]
    order: Sequence[int]

    def __post_init__(self) -> None:
        if not isinstance(self.keys, list | tuple) or not set(map(str, self.keys)) <= TRANSPOSED:
            raise ValueError(f"keys is a list of {' and '.join(sorted(TRANSPOSED))}, not {self.keys!r}")
        if "img" in self.keys and (sorted(self.order) != [0, 1, 2] or self.order[1] == 2):
            raise ValueError(f"order names the axes 0, 1 and 2 once each, not 2 in the middle: {tuple(self.order)}")

    def state(self, state: State) -> State:
        """The sample with its axes exchanged."""
        if "img" not in self.keys:
            return state
        if state.encoding.layout != "HWC" or state.pixels.ndim != 3:
            raise DataError("Transpose: the channels of this picture are not its last axis")
        layout = replace(state.encoding, layout="CHW" if self.order[0] == 2 else "HWC")
        return replace(state, value=state.pixels.transpose(self.order), encoding=layout)


FORMATS: dict[str, type[Normalize] | type[ToPillow] | type[ToArray] | type[Transpose]] = {
    "Normalize": Normalize,
    "Transpose": Transpose,
    "NumpyToPIL": ToPillow,
    "ToPIL": ToPillow,
    "PILToNumpy": ToArray,
    "ToNumpy": ToArray,
}


def format_stage(settings: Settings, where: str) -> Stage:
    """One of `FORMATS` as a stage.

    Raises:
        ConfigError: a setting is unknown or makes no sense.
    """
    name = str(settings["type"])
    kind = record_of(FORMATS[name], settings, where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        return Outcome(kind.state(state), note="undone for the eye" if name == "Normalize" else "")

    return Stage(name, apply, arguments(settings), draws_globally=False)


Build = Callable[[Sequence[Settings], str], tuple[Stage, ...]]


def as_list(transforms: Setting, where: str) -> Sequence[Settings]:
    """One transform or several.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(transforms, Mapping):
        return [transforms]
    if not isinstance(transforms, (list, tuple)):
        raise ConfigError(f"{where}: transforms are dicts, not {transforms!r}")
    return transforms


def alternatives(settings: Settings, where: str, build: Build) -> list[tuple[Stage, ...]]:
    """Several pipelines, of one transform or more each.

    Raises:
        ConfigError: there are none.
    """
    place = f"{where}: {settings['type']}"
    options = settings["transforms"]
    if not isinstance(options, (list, tuple)) or not options:
        raise ConfigError(f"{place}: transforms is a list of pipelines, not {options!r}")
    return [build(as_list(one, place), place) for one in options]


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


def foreign(groups: Sequence[Sequence[Stage]]) -> bool:
    return any(stage.draws_globally for group in groups for stage in group)


def compose(settings: Settings, where: str, build: Build) -> Stage:
    """All of the nested stages, one after the other."""
    check_settings(settings, ("transforms",), ("transforms",), where)
    inner = build(as_list(settings["transforms"], where), f"{where}: Compose")
    return Stage("Compose", partial(run, inner), arguments(settings), draws_globally=foreign([inner]))


def random_apply(settings: Settings, where: str, build: Build) -> Stage:
    """All of the nested stages with a probability, else none.

    Raises:
        ConfigError: a setting is missing, unknown or makes no sense.
    """
    check_settings(settings, ("transforms", "prob"), ("transforms",), where)
    inner = build(as_list(settings["transforms"], where), f"{where}: RandomApply")
    chance = settings.get("prob", 0.5)
    if not is_number(chance) or not 0 <= chance <= 1:
        raise ConfigError(f"{where}: RandomApply: prob must lie in [0, 1], not {chance!r}")

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if random.random() >= chance:
            return Outcome(state, {"applied": "no"}, "not drawn")
        outcome = run(inner, state, random)
        return Outcome(outcome.state, {"applied": "yes", **outcome.params})

    return Stage("RandomApply", apply, arguments(settings), draws_globally=foreign([inner]))


def random_choice(settings: Settings, where: str, build: Build) -> Stage:
    """One of several pipelines, evenly or by given probabilities.

    Raises:
        ConfigError: the probabilities are no floats that add up to exactly 1, or do not match the pipelines.
    """
    check_settings(settings, ("transforms", "prob"), ("transforms",), where)
    options = alternatives(settings, where, build)
    weights = settings.get("prob")
    if weights is not None:
        numbers = weights if isinstance(weights, (list, tuple)) else ()
        if len(numbers) != len(options) or not all(isinstance(one, float) and one >= 0 for one in numbers):
            raise ConfigError(
                f"{where}: RandomChoice: {len(options)} pipelines need as many floats for prob, not {weights!r}"
            )
        if sum(numbers) != 1:
            raise ConfigError(
                f"{where}: RandomChoice: {len(options)} pipelines whose prob adds up to {sum(numbers)}, not exactly to 1",
                hint="write one of them as 1 minus the others",
            )

    def apply(state: State, random: np.random.Generator) -> Outcome:
        choice = int(random.choice(len(options), p=weights))
        outcome = run(options[choice], state, random)
        return Outcome(outcome.state, {"chosen": f"{choice + 1} of {len(options)}", **outcome.params})

    return Stage("RandomChoice", apply, arguments(settings), draws_globally=foreign(options))


def multi_view(settings: Settings, where: str, build: Build) -> Stage:
    """Several pictures of one sample, each by its own pipeline and draw.

    Raises:
        ConfigError: there are not as many numbers of views as pipelines, or no views.
    """
    check_settings(settings, ("transforms", "num_views"), ("transforms", "num_views"), where)
    pipelines = alternatives(settings, where, build)
    counts = settings["num_views"]
    counts = [counts] if isinstance(counts, int) else counts
    whole = isinstance(counts, list) and all(isinstance(one, int) and one >= 0 for one in counts)
    if not whole or len(counts) != len(pipelines) or not sum(counts):
        raise ConfigError(f"{where}: MultiView: {len(pipelines)} pipelines, but num_views is {counts!r}")
    views = [pipeline for pipeline, count in zip(pipelines, counts, strict=True) for _ in range(count)]

    def apply(state: State, random: np.random.Generator) -> Outcome:
        outcomes = [run(pipeline, state, random) for pipeline in views]
        params = {f"view {number + 1}": outcome.params for number, outcome in enumerate(outcomes)}
        return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), params)

    return Stage("MultiView", apply, arguments(settings), draws_globally=foreign(pipelines))
