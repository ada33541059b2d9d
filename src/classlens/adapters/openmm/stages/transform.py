"""The shape of a native transform, and how a config's settings become one.

A transform is a frozen record whose fields are the settings of the config. It works in two halves: `draw` takes from
a generator everything that is random, `apply` computes the picture from that and nothing else. So the same drawn
values give the same picture, and each half can be compared with another implementation on its own.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import Any, Protocol, TypeAlias, TypeVar

import cv2
import numpy as np

from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.decode import Pixels
from classlens.dataset.rng import generator
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError, first_line, suggestion

Params: TypeAlias = Mapping[str, Any]
NOTHING: Params = {}
Setting: TypeAlias = Any
"""One value of a config; whoever uses it checks what it is."""

T = TypeVar("T")

REFUSALS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError),
    *(ValueError, cv2.error),
)
"""What is raised over settings that are not liked, by a constructor or at the first use."""

PROBE: Pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
"""A made-up picture."""


class Transform(Protocol):
    """A picture in, a picture out, with chance kept apart."""

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """What is random, drawn for this picture."""
        ...

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """The picture that follows from what was drawn; the given array stays as it is."""
        ...


Tried = TypeVar("Tried", bound=Transform)


def stage_of(name: str, transform: Transform, settings: Settings) -> Stage:
    """A transform as a stage of the pipeline."""

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if state.views:
            raise TypeError(f"{name} cannot follow a stage that makes several views")
        params = transform.sample_params(state.pixels, random)
        return Outcome(state.with_pixels(transform.apply(state.pixels, params)), params)

    return Stage(name, apply, arguments(settings), draws_globally=False)


def named(settings: Settings) -> Settings:
    """The settings with the bare name of their type: `mmpretrain.RandomFlip`, as a scope or an import, is `RandomFlip`."""
    name = str(settings.get("type"))
    return {**settings, "type": name.rpartition(".")[2]} if "." in name else settings


def arguments(settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("type", "_scope_", "_rows_first_")}


def tried(transform: Tried, what: str) -> Tried:
    """The transform, after it has worked on a made-up picture.

    Most settings that make no sense stop training at the first picture only; here they stop before one is read.

    Raises:
        ConfigError: it cannot work with its settings.
    """
    chances = [name for name in ("prob", "erase_prob") if isinstance(getattr(transform, name, None), (int, float))]
    try:
        sure = replace(transform, **dict.fromkeys(chances, 1.0))  # type: ignore[type-var]
        sure.apply(PROBE, sure.sample_params(PROBE, generator(0, 0, 0)))
    except DataError:  # it is the picture that does not suit
        pass
    except REFUSALS as error:
        raise ConfigError(f"{what}: {first_line(error)}") from error
    return transform


def record_of(kind: type[T], settings: Settings, where: str) -> T:
    """The transform record that the settings describe.

    Raises:
        ConfigError: a setting does not exist, is missing, or has a value that the transform cannot work with.
    """
    known: Sequence[Field[Any]] = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    check_settings(settings, [field.name for field in known], required, where)
    try:
        return kind(**arguments(settings))
    except REFUSALS as error:
        raise ConfigError(f"{where}: {settings['type']}: {first_line(error)}") from error


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number for both sides, or two numbers."""
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)


def colour(name: str, value: Setting) -> None:
    """Colours are one number or three."""
    parts = [value] * 3 if is_number(value) else value
    if not isinstance(parts, (list, tuple)) or len(parts) != 3 or not all(map(is_number, parts)):
        raise ValueError(f"{name} is a number or three, not {value!r}")


def at_least_0(name: str, value: Setting, kind: type = object) -> None:
    """Counts and paddings; `kind` may ask for whole numbers."""
    if not is_number(value) or value < 0 or not isinstance(value, kind):
        what = "a whole number" if kind is int else "a number"
        raise ValueError(f"{name} is {what} and not below 0, not {value!r}")


def check_settings(settings: Settings, known: Sequence[str], max_side: Sequence[str], where: str) -> None:
    """Refuse unknown and missing settings, and those that 0.x refused before they were translated.

    Raises:
        ConfigError: a setting does not exist, or is missing; or makes no sense in 0.x.
    """
    if "_refused_" in settings:
        raise ConfigError(f"{where}: {settings['type']}: {settings['_refused_']}")
    given = arguments(settings)
    for key in given:
        if key not in known:
            raise ConfigError(f"{where}: {settings['type']} has no setting {key!r}", hint=suggestion(key, known))
    for key in max_side:
        if key not in given:
            raise ConfigError(f"{where}: {settings['type']} needs the setting {key!r}")


def positive(name: str, *values: float) -> None:
    """Sizes and scales must be above 0."""
    if not all(is_number(value) and value > 0 for value in values):
        raise ValueError(f"{name} must be above 0, not {', '.join(map(str, values))}")


def probability(name: str, value: float) -> None:
    """Probabilities lie in [0, 1]."""
    if not is_number(value) or not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value}")
