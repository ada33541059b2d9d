"""The shape of a native transform, and how a config's settings become one.

A transform is a frozen record whose fields are the settings of the config. It works in two halves: `draw` takes from
a generator everything that is random, `apply` computes the picture from that and nothing else. So the same drawn
values give the same picture, and each half can be compared with another implementation on its own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.state import State
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.reading import Pixels
from classlens.errors import ConfigError, suggestion

Draws: TypeAlias = Mapping[str, Any]
NOTHING: Draws = {}
Setting: TypeAlias = Any
"""One value of a config; whoever uses it checks what it is."""

T = TypeVar("T")


class Transform(Protocol):
    """A picture in, a picture out, with chance kept apart."""

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """What is random, drawn for this picture."""
        ...

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """The picture that follows from what was drawn; the given array stays as it is."""
        ...


def stage_of(name: str, transform: Transform, settings: Settings) -> Stage:
    """A transform as a stage of the pipeline."""

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if state.views:
            raise TypeError(f"{name} cannot follow a stage that makes several views")
        drawn = transform.draw(state.pixels, random)
        return Outcome(state.with_pixels(transform.apply(state.pixels, drawn)), drawn)

    return Stage(name, apply, arguments(settings), draws_globally=False)


def named(settings: Settings) -> Settings:
    """The settings with the bare name of their type: `mmpretrain.RandomFlip`, as a scope or an import, is `RandomFlip`."""
    name = str(settings.get("type"))
    return {**settings, "type": name.rpartition(".")[2]} if "." in name else settings


def arguments(settings: Settings) -> dict[str, Any]:
    """The settings without the name of the transform and bookkeeping keys."""
    return {key: value for key, value in settings.items() if key not in ("type", "_scope_")}


def record_of(kind: type[T], settings: Settings, where: str) -> T:
    """The transform record that the settings describe.

    Raises:
        ConfigError: a setting does not exist, is missing, or has a value that the transform cannot work with.
    """
    known: Sequence[Field[Any]] = fields(kind)  # type: ignore[arg-type]
    given = arguments(settings)
    unknown = [key for key in given if key not in {field.name for field in known}]
    if unknown:
        hint = suggestion(unknown[0], [field.name for field in known])
        raise ConfigError(f"{where}: {settings['type']} has no setting {unknown[0]!r}", hint=hint)
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    absent = [name for name in required if name not in given]
    if absent:
        raise ConfigError(f"{where}: {settings['type']} needs the setting {absent[0]!r}")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{where}: {settings['type']}: {error}") from error


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number for both sides, or two numbers."""
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)


def positive(name: str, *values: float) -> None:
    """Sizes and scales must be above 0."""
    if not all(value > 0 for value in values):
        raise ValueError(f"{name} must be above 0, not {', '.join(map(str, values))}")


def probability(name: str, value: float) -> None:
    """Probabilities lie in [0, 1]."""
    if not 0 <= value <= 1:
        raise ValueError(f"{name} must lie in [0, 1], not {value}")
