"""One scheduler of a config: as written (`Scheduler`), and on a clock (`Placed`).

Whoever reads an argument reads it through `Placed`, which says where in the config a wrong one stands.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

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

    def number(self, name: str, default: float) -> float:
        """An argument that is a number.

        Raises:
            ConfigError: it is something else.
        """
        value = self.arguments.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise self.scheduler.wrong(f"{name} is a number, not {value!r}")
        return float(value)

    def fraction(self, name: str, default: float) -> float:
        """An argument between 0 and 1."""
        value = self.number(name, default)
        if not 0 <= value <= 1:
            raise self.scheduler.wrong(f"{name} lies between 0 and 1, not {value:g}")
        return value

    def numbers(self, name: str) -> tuple[float, ...]:
        """An argument that is a list of numbers."""
        values = self.arguments[name]
        if not isinstance(values, list | tuple) or not all(isinstance(value, int | float) for value in values):
            raise self.scheduler.wrong(f"{name} is a list of numbers, not {values!r}")
        return tuple(float(value) for value in values)
