"""The record that the plotter reads: parameter groups, and the rules that move their hyper-parameters.

A rule never runs a training loop. Given a clock it lays out a `Course`: a function from any steps, in any order, and a
group's initial value to the values in force during those steps. All groups of a schedule share its rules.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
from jaxtyping import Float64, Int64

from classlens.schedule.clock import Clock

Steps: TypeAlias = Int64[np.ndarray, " steps"]
Values: TypeAlias = Float64[np.ndarray, " steps"]


@dataclass(frozen=True)
class Group:
    """Parameters that share their hyper-parameters.

    `initial` holds what the optimizer starts with, by name: {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-4}.
    `tensors` and `parameters` count what is in the group; None where no model was looked at.
    """

    name: str
    initial: Mapping[str, float]
    tensors: int | None = None
    parameters: int | None = None


@dataclass(frozen=True)
class Stairs:
    """Values that only move at `origin`, `origin + width`, `origin + 2 * width`, ... before `stop` (all in steps)."""

    origin: int
    width: int
    stop: int


@dataclass(frozen=True)
class Mark:
    """A step worth pointing at, and what happens there: "warm-up ends", "restart", "milestone"."""

    step: int
    what: str


@dataclass(frozen=True)
class Setting:
    """One rule as the user wrote it, for checks and for data output; `begin` and `end` count `unit`s."""

    kind: str
    unit: str
    begin: float = 0
    end: float = float("inf")
    arguments: Mapping[str, object] = field(default_factory=dict)
    converted: bool = False


@dataclass(frozen=True, eq=False)
class Course:
    """One hyper-parameter over a whole run.

    `values(steps, initial)` gives it at any steps. Between two neighbours of `breaks` it is smooth, or moves in
    `stairs`; that is all a plot needs to be exact. `settings` says where it comes from.
    """

    values: Callable[[Steps, float], Values]
    breaks: Steps
    stairs: tuple[Stairs, ...] = ()
    marks: tuple[Mark, ...] = ()
    settings: tuple[Setting, ...] = ()


Rule: TypeAlias = Callable[[Clock], Course]
"""What sets one hyper-parameter: given the length of the run, its course."""


@dataclass(frozen=True)
class Schedule:
    """What sets the hyper-parameters of every parameter group.

    `rules` is by hyper-parameter; one without a rule keeps its initial value. `notes` are sentences for the reader of
    the plot: what the source says that no curve shows.
    """

    groups: tuple[Group, ...]
    rules: Mapping[str, Rule] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.groups:
            raise ValueError("a schedule needs at least one parameter group")
