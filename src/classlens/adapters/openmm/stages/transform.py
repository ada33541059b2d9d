"""What a native transform is, and how the settings of a config become one.

A transform is a frozen record whose fields are the settings of the config. It works in two halves: `sample_params`
takes from a generator everything that is random, `apply` computes the picture from that and nothing else. So the same
parameters give the same picture, and each half can be compared with another implementation on its own.

Whatever is wrong with settings is a ConfigError that names the stage, raised when the pipeline is built.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields, replace
from typing import Any, TypeAlias, TypeVar

import cv2
import numpy as np

from classlens.adapters.openmm.stages.rules import Record
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.rng import generator
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError, first_line, suggestion

Params: TypeAlias = Mapping[str, Any]
NOTHING: Params = {}
REFUSALS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError),
    *(ValueError, cv2.error),
)
"""What is raised over settings that are not liked, by a constructor or at the first use."""

PROBE: Pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
"""A made-up picture."""


class NativeStep(Record):
    """A stage that needs nothing but its settings."""

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        """The sample after the stage."""
        raise NotImplementedError


class Transform(NativeStep):
    """A picture in, a picture out, with chance kept apart."""

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """What is random, sampled for this picture; nothing unless a transform says so."""
        return NOTHING

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """The picture that follows from the parameters; the given array stays as it is."""
        raise NotImplementedError

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        if state.views:
            raise TypeError(f"{type(self).__name__} cannot follow a stage that makes several views")
        pixels = state.pixels
        params = self.sample_params(pixels, random)
        return Outcome(state.with_pixels(self.apply(pixels, params)), params)


T = TypeVar("T")
AnyTransform = TypeVar("AnyTransform", bound=Transform)


def named(settings: Settings) -> Settings:
    """The settings with the bare name of their type: `mmpretrain.RandomFlip`, as a scope or an import, is `RandomFlip`."""
    name = str(settings.get("type"))
    return {**settings, "type": name.rpartition(".")[2]} if "." in name else settings


def arguments(settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("type", "_scope_", "_rows_first_")}


def try_out(transform: AnyTransform, what: str) -> AnyTransform:
    """The transform, after it has worked on a made-up picture.

    Most settings that make no sense stop training at the first picture only; here they stop before one is read.
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
    """The record that the settings describe."""
    known: Sequence[Field[Any]] = fields(kind)  # type: ignore[arg-type]
    required = [f.name for f in known if f.default is MISSING and f.default_factory is MISSING]
    check_settings(settings, [field.name for field in known], required, where)
    return construct(kind, arguments(settings), f"{where}: {settings['type']}")


def construct(kind: Callable[..., T], settings: Mapping[str, Any], what: str) -> T:
    """An object of any class, with a ConfigError about `what` if it refuses its settings."""
    try:
        return kind(**settings)
    except REFUSALS as error:
        raise ConfigError(f"{what}: {first_line(error)}") from error


def check_settings(settings: Settings, known: Sequence[str], required: Sequence[str], where: str) -> None:
    """Refuse unknown and missing settings, and those that 0.x refused before they were translated."""
    if "_refused_" in settings:
        raise ConfigError(f"{where}: {settings['type']}: {settings['_refused_']}")
    for key in arguments(settings):
        if key not in known:
            raise ConfigError(f"{where}: {settings['type']} has no setting {key!r}", hint=suggestion(key, known))
    for key in required:
        if key not in settings:
            raise ConfigError(f"{where}: {settings['type']} needs the setting {key!r}")
