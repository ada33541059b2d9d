"""One scheduler of a config: as written (`Scheduler`), and on a clock (`Placed`).

Whoever reads an argument reads it through `Placed`, which says where in the config a wrong one stands.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any, Literal, TypeGuard

from classlens.errors import ConfigError


@dataclass(frozen=True)
class Scheduler:
    """One member of `param_scheduler`, checked; `name` is the hyper-parameter it moves.

    `kind` is the type without its ending: CosineAnnealing for CosineAnnealingLR and CosineAnnealingMomentum.
    """

    where: str
    type_name: str
    kind: str
    name: str
    arguments: Mapping[str, Any]
    begin: float
    end: float | None
    by_epoch: bool
    converts: bool
    zero_stays: bool

    def wrong(self, what: str, *, hint: str = "") -> ConfigError:
        """An error about this scheduler."""
        return ConfigError(f"{self.where} ({self.type_name}): {what}", hint=hint)


@dataclass(frozen=True)
class Placed:
    """A scheduler on a clock: arguments and span in its final unit."""

    scheduler: Scheduler
    arguments: Mapping[str, Any]
    begin: float
    end: float
    unit: Literal["step", "epoch"]

    @property
    def last(self) -> float:
        """The local step of its last move."""
        return self.end - self.begin - 1

    def number(self, name: str, default: float, *, least: float = -inf, whole: bool = False) -> float:
        """An argument that is a number, of `least` or more.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, default)
        bounded = least == -inf or (is_number(value) and least <= value < inf)
        if not is_number(value) or not bounded or (whole and not isinstance(value, int)):
            what = ("a whole number" if whole else "a number") + (f" of {least:g} or more" if least > -inf else "")
            raise self.scheduler.wrong(f"{name} is {what}, not {value!r}")
        return float(value)

    def word(self, name: str, words: Sequence[str]) -> str:
        """An argument that is one of a few words, the first by default.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, words[0])
        if value not in words:
            raise self.scheduler.wrong(f"{name} is {' or '.join(words)}, not {value!r}")
        return str(value)

    def fraction(self, name: str, default: float) -> float:
        """An argument between 0 and 1."""
        value = self.number(name, default)
        if not 0 <= value <= 1:
            raise self.scheduler.wrong(f"{name} lies between 0 and 1, not {value:g}")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """An argument that is a list of numbers."""
        values = self.arguments[name]
        if not isinstance(values, list | tuple) or not all(is_number(value) and isfinite(value) for value in values):
            raise self.scheduler.wrong(f"{name} is a list of numbers, not {values!r}")
        return tuple(float(value) for value in values)


def is_number(value: object) -> TypeGuard[float]:
    """Whether an argument is a number; NaN is one."""
    return isinstance(value, int | float) and not isinstance(value, bool)
