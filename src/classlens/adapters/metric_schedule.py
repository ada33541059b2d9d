"""Schedulers that wait for a metric: torch's and timm's plateaus, transformers' GreedyLR, which raises rates as well.

Nobody knows the metric before training, so a copy is stepped with one that always improves and another with one that
never does; what both agree on is certain.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classlens.errors import ConfigError
from classlens.schedule.clock import Clock
from classlens.schedule.sampled import sampled
from classlens.schedule.schedule import Course, Rule, Setting, Undecided, distinct

Thing: TypeAlias = Any
"""A scheduler, of any of the three packages."""

Rates: TypeAlias = NDArray[np.float64]
"""Ticks x groups."""

MOST_TICKS = 3_000_000
KINDS = {"ReduceLROnPlateau", "GreedyLR", "PlateauLRScheduler"}


def waits_for_metric(scheduler: Thing) -> bool:
    """Whether a scheduler is stepped with a metric."""
    return any(kind.__name__ in KINDS for kind in type(scheduler).__mro__)


@dataclass(frozen=True)
class Bounds:
    """Every rate of every group if the metric always improves, and if it never does."""

    best: Rates
    worst: Rates


def rule_in(scheduler: Thing) -> Thing:
    """The rule that looks at the metric: timm's scheduler holds one of torch's."""
    return getattr(scheduler, "lr_scheduler", scheduler)


def rules_of(scheduler: Thing, copied: Callable[[Thing], Thing], every: str) -> dict[int, dict[str, Rule]]:
    """One rule a group; `every` is what a metric arrives after, "step" or "epoch". timm's know epochs only."""
    by_epoch = every == "epoch" or type(scheduler).__name__ == "PlateauLRScheduler"
    words = {"type": type(scheduler).__name__, "patience": rule_in(scheduler).patience}
    setting = Setting("Plateau", "epoch" if by_epoch else "step", arguments=words)

    @cache
    def bounds(ticks: int) -> Bounds:
        return Bounds(*(stepped(copied(scheduler), ticks, improves=improves) for improves in (True, False)))

    def rule(index: int, clock: Clock) -> Course:
        width = (clock.steps_per_epoch or clock.steps) if by_epoch else 1
        return course_of(bounds(-(-clock.steps // width)), index, clock, width, setting)

    return {index: {"lr": partial(rule, index)} for index in range(len(scheduler.optimizer.param_groups))}


def stepped(twin: Thing, ticks: int, *, improves: bool) -> Rates:
    """The rates before each metric arrives.

    Raises:
        ConfigError: there are too many.
    """
    if ticks > MOST_TICKS:
        raise ConfigError(
            f"{type(twin).__name__} has no closed form, and {ticks:,} calls of its step() take too long",
            hint=f"up to {MOST_TICKS:,} are followed; draw a shorter run",
        )
    inner, groups = rule_in(twin), twin.optimizer.param_groups
    rates = np.empty((ticks, len(groups)))
    for tick in range(ticks):
        rates[tick] = [float(group["lr"]) for group in groups]
        if improves:
            inner.best = inf if inner.mode == "min" else -inf  # whatever comes is better, for any threshold
        if inner is twin:
            twin.step(0.0)
        else:
            twin.step(tick + 1, 0.0)
    return rates


def course_of(bounds: Bounds, index: int, clock: Clock, width: int, setting: Setting) -> Course:
    """The course of one group between its bounds."""
    best, worst = bounds.best[:, index], bounds.worst[:, index]
    known, low = (sampled(values.__getitem__, clock, width=width) for values in (best, worst))
    apart = np.flatnonzero(best != worst)
    if not apart.size:
        return replace(known, settings=(setting,))
    first = int(apart[0]) * width
    jumps = np.flatnonzero(np.diff(worst)[:100_000])[:1024] + 1
    breaks = distinct(np.concatenate([known.breaks, low.breaks, jumps * width, [first]]))
    return replace(known, breaks=breaks, settings=(setting,), undecided=Undecided(first, low.values))
