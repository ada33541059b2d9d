"""What a native stage is, and how one is made of the settings of a config.

A transform is a frozen record that works in two halves: `sample_params` takes from a generator everything that is
random, `apply` computes the picture from that and nothing else. So the same parameters give the same picture, and each
half can be compared with another implementation on its own.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, TypeAlias, TypeVar

import numpy as np

from classlens.adapters.openmm.stages.rules import REFUSALS
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError, first_line

Params: TypeAlias = Mapping[str, Any]
NOTHING: Params = {}

PROBE: Pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)
"""A made-up picture."""


class NativeStep:
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
        params = self.sample_params(state.pixels, random)
        return Outcome(state.with_pixels(self.apply(state.pixels, params)), params)


T = TypeVar("T")


def construct(kind: Callable[..., T], values: Mapping[str, Any], what: str) -> T:
    """An object of any class; a transform has to change a made-up picture first, whatever its probability.

    Most settings that make no sense stop training at the first picture only; here they stop before one is read.
    """
    try:
        step = kind(**values)
        if isinstance(step, Transform):
            chances = [name for name in ("prob", "erase_prob") if isinstance(getattr(step, name, None), int | float)]
            sure = replace(step, **dict.fromkeys(chances, 1.0))  # type: ignore[type-var]
            with suppress(DataError):  # it is the picture that does not suit
                sure.apply(PROBE, sure.sample_params(PROBE, np.random.default_rng(0)))
    except REFUSALS as error:
        raise ConfigError(f"{what}: {first_line(error)}") from error
    return step
