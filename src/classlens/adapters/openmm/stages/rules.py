"""What a native stage is: the rules that its settings keep, and the one reader of them.

A stage names its settings as the fields of a record or the parameters of a function, each annotated with the rule that
its values keep, or in a table of rules. Whatever is wrong is a ConfigError that names the stage, raised when the
pipeline is built.

A transform is a frozen record that works in two halves: `sample_params` takes from a generator everything that is
random, `apply` computes the picture from that and nothing else. So the same parameters give the same picture, and each
half can be compared with another implementation on its own.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from inspect import Parameter, signature
from typing import Annotated, Any, TypeAlias, TypeVar

import cv2
import numpy as np

from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError, first_line, short_repr, suggestion

Setting: TypeAlias = Any  # one value of a config; its rule says what it must be
Rule: TypeAlias = tuple[Callable[[Setting], bool], str]
"""What holds for a value that makes sense, and how a sentence about it goes on after its name."""

REFUSALS = (
    *(ArithmeticError, AssertionError, AttributeError, ImportError, LookupError, OSError, RuntimeError, TypeError),
    *(ValueError, cv2.error),
)
"""What is raised over settings that are not liked, by a rule, by a constructor or at the first use."""


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    first, second = (value, value) if isinstance(value, int) else value
    return int(first), int(second)


def as_list(value: Setting) -> Sequence[Any]:
    return value if isinstance(value, list) and value else [value]


def one_of(*words: str | None) -> Rule:
    return lambda value: value in words, f"is one of {', '.join(filter(None, words))}"


def or_none(rule: Rule) -> Rule:
    return lambda value: value is None or rule[0](value), rule[1]


def tuple_or(kind: type, *lengths: int) -> Rule:
    words = f"is a {kind.__name__} or a tuple of {' or '.join(map(str, lengths))}"
    return lambda value: len(value) in lengths if isinstance(value, tuple) else isinstance(value, kind), words


ANYTHING: Rule = (lambda value: True, "")
SIDES: Rule = (lambda value: value is not True and min(pair(value)) > 0, "must be above 0")
WHOLE_SIDES: Rule = (
    lambda value: type(value) in (int, tuple) and np.shape(value) in ((), (2,)) and np.min(value) > 0,
    "is a whole number or a tuple of two, above 0",
)
ABOVE_0: Rule = (lambda value: is_number(value) and value > 0, "must be above 0")
WHOLE: Rule = (lambda value: isinstance(value, int) and value > 0 and value is not True, "is a whole number above 0")
COUNT: Rule = (lambda value: isinstance(value, int) and value >= 0, "is a whole number and not below 0")
NOT_NEGATIVE: Rule = (lambda value: is_number(value) and value >= 0, "is a number and not below 0")
NUMBER: Rule = (is_number, "is a number")
PROBABILITY: Rule = (lambda value: is_number(value) and 0 <= value <= 1, "must lie in [0, 1]")
PART: Rule = (lambda value: isinstance(value, float) and 0 <= value <= 1, "is a float and must lie in [0, 1]")
RANGE: Rule = (lambda value: len(value) == 2 and 0 <= value[0] <= value[1], "is a range (low, high), not below 0")
COLOUR: Rule = (
    lambda value: is_number(value) or (len(value) == 3 and all(map(is_number, value))),
    "is a number or three",
)
MAPPING: Rule = (lambda value: isinstance(value, Mapping), "is a dict")

Amount: TypeAlias = Annotated[float, or_none(NUMBER)]
"""How strongly an operation acts; None stands for what follows from its level."""

Span: TypeAlias = Annotated[tuple[float, float], RANGE]


def named(settings: Settings) -> Settings:
    """The settings with the bare name of their type: `mmpretrain.RandomFlip`, as a scope or an import, is `RandomFlip`."""
    name = str(settings.get("type"))
    return {**settings, "type": name.rpartition(".")[2]} if "." in name else settings


def arguments(settings: Settings) -> dict[str, Any]:
    return {key: value for key, value in settings.items() if key not in ("type", "_scope_", "_rows_first_")}


def settings_of(kind: Callable[..., Any]) -> tuple[dict[str, Rule], list[str]]:
    """The rule of each setting of a record or a function (None is right where it is the default), and those to be given."""
    known = {name: parameter for name, parameter in signature(kind).parameters.items() if name != "pixels"}
    rules = {name: getattr(parameter.annotation, "__metadata__", (ANYTHING,))[0] for name, parameter in known.items()}
    rules |= {name: or_none(rules[name]) for name, parameter in known.items() if parameter.default is None}
    return rules, [name for name, parameter in known.items() if parameter.default is Parameter.empty]


def check_settings(settings: Settings, rules: Mapping[str, Rule], needed: Sequence[str], where: str) -> dict[str, Any]:
    """The arguments of a stage, after a look at each: it is known and keeps its rule, and none is missing.

    What 0.x refuses was found out when its words were translated.
    """
    what, values = f"{where}: {settings['type']}", arguments(settings)
    if "_refused_" in values:
        raise ConfigError(f"{what}: {values['_refused_']}")
    for key, value in values.items():
        if key not in rules:
            raise ConfigError(f"{what} has no setting {short_repr(key)}", hint=suggestion(key, rules))
        holds, words = rules[key]
        try:
            keeps_rule = holds(value)
        except REFUSALS:
            keeps_rule = False
        if not keeps_rule:
            raise ConfigError(f"{what}: {key} {words}, not {short_repr(value, 99)}")
    for key in needed:
        if key not in values:
            raise ConfigError(f"{what} needs the setting {short_repr(key)}")
    return values


Params: TypeAlias = Mapping[str, Any]

PROBE: Pixels = np.random.default_rng(0).integers(0, 256, (64, 96, 3), dtype=np.uint8)  # a made-up picture


class NativeStep(ABC):
    """A stage that needs nothing but its settings."""

    @abstractmethod
    def run(self, state: State, random: np.random.Generator) -> Outcome:
        """The sample after the stage."""


class Transform(NativeStep):
    """A picture in, a picture out, with chance kept apart."""

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """What is random, sampled for this picture; nothing unless a transform says so."""
        return {}

    @abstractmethod
    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """The picture that follows from the parameters; the given array stays as it is."""

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
