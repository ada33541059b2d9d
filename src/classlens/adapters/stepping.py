"""Schedulers as a training loop steps them: when it does, and what copies of them set on the way.

Those of one optimizer move its values one after the other: after a step those that count steps, at the end of an epoch
those that count epochs, each kind in the order of the list; those that wait for a metric come last, as validation does.
Nobody knows a metric before training, so copies are stepped with one that always improves and others with one that
never does; what both agree on is certain.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf, isinf
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from classlens.adapters import timm_schedule
from classlens.errors import ConfigError
from classlens.schedule.chain import sampled
from classlens.schedule.schedule import Clock, MetricDependent, Rule, Setting, Stairs, Trajectory, Values, distinct
from classlens.sharing import unwarned
from classlens.user_code import users_code

Every = Literal["step", "epoch"]

Thing: TypeAlias = Any
"""A scheduler: those of torch, timm and transformers have no type in common."""

Record: TypeAlias = Mapping[str, NDArray[np.float64]]
"""Every value of every group before each tick: arrays of ticks x groups."""

MOST_TICKS = 3_000_000
"""How often copies may be stepped: some ten seconds."""

BY_STEP = {"OneCycleLR", "CyclicLR"}
"""Schedulers of torch that are made to be stepped after every batch; the others are stepped after every epoch."""

FOR_METRICS = {"ReduceLROnPlateau", "GreedyLR", "PlateauLRScheduler"}


@dataclass(frozen=True, eq=False)
class Stepping:
    """A scheduler, and that it is stepped after every `frequency` steps or epochs."""

    scheduler: Thing
    every: Every
    frequency: int = 1

    def __post_init__(self) -> None:
        if self.every not in ("step", "epoch"):
            raise ConfigError(f"{self.name}: interval is 'step' or 'epoch', not {self.every!r}")
        if not isinstance(self.frequency, int) or self.frequency < 1:
            raise ConfigError(f"{self.name}: frequency is a whole number of 1 or more, not {self.frequency!r}")

    def __str__(self) -> str:
        often = f"every {self.frequency} {self.every}s" if self.frequency > 1 else f"every {self.every}"
        return f"{self.name} after {often}"

    @property
    def name(self) -> str:
        return type(self.scheduler).__name__

    @property
    def behind(self) -> int:
        """How many steps or epochs the scheduler counts already; a ChainedScheduler leaves that to its members."""
        counters = [rule_in(self.scheduler), *members_of(self.scheduler)]
        return max(getattr(one, "last_epoch", 0) for one in counters)

    @property
    def waits_for_metric(self) -> bool:
        return any(kind.__name__ in FOR_METRICS for kind in type(self.scheduler).__mro__)

    def is_due(self, tick: int, epoch: int) -> bool:
        """Whether it is stepped at the end of a tick, if an epoch has so many; batches count anew in every epoch."""
        if self.every == "step":
            return (tick % epoch + 1) % self.frequency == 0
        return (tick + 1) % (epoch * self.frequency) == 0


def made_for(scheduler: Thing) -> Every:
    """What a scheduler, or one of those inside it, is stepped after in the loops that its authors show."""
    functions = (getattr(one, "func", one) for one in getattr(scheduler, "lr_lambdas", ()))
    by_step = any(str(getattr(one, "__module__", "")).startswith("transformers.") for one in functions)
    by_step |= type(scheduler).__name__ in BY_STEP or "step" in map(made_for, members_of(scheduler))
    return "step" if by_step else "epoch"


def members_of(scheduler: Thing) -> list[Thing]:
    return list(getattr(scheduler, "_schedulers", ()))


def epoch_of(clock: Clock) -> int:
    return clock.steps_per_epoch or clock.steps


def width_of(steppings: Sequence[Stepping], clock: Clock) -> int:
    return 1 if any(each.every == "step" for each in steppings) else epoch_of(clock)


def rules_of(
    steppings: Sequence[Stepping],
    copy_schedulers: Callable[[Sequence[Thing]], list[Thing]],
    values_of: Callable[[Mapping[str, Any]], Mapping[str, float]],
) -> dict[int, dict[str, Rule]]:
    """One rule for each group and value, all read off copies of the schedulers of one optimizer.

    Args:
        copy_schedulers: gives copies of schedulers that share one copy of their optimizer.
        values_of: gives the values that are in force in a group of the optimizer.
    """
    ordered = sorted(steppings, key=lambda each: (each.every == "epoch", each.waits_for_metric))

    def record(clock: Clock, *, improves: bool) -> Record:
        twins = copy_schedulers([each.scheduler for each in ordered])
        pairs = zip(ordered, twins, strict=True)
        return record_steps(
            [replace(each, scheduler=twin) for each, twin in pairs], values_of, clock, improves=improves
        )

    @cache
    def records(clock: Clock) -> tuple[Record, Record]:
        best = record(clock, improves=True)
        return best, record(clock, improves=False) if any(each.waits_for_metric for each in ordered) else best

    def rule(name: str, index: int, clock: Clock) -> Trajectory:
        best, worst = (values[name][:, index] for values in records(clock))
        trajectory = trajectory_of(best, worst, ordered, clock)
        return replace(trajectory, settings=tuple(map(setting_of, ordered))) if name == "lr" else trajectory

    groups = ordered[0].scheduler.optimizer.param_groups
    return {
        place: {name: partial(rule, name, place) for name in values_of(group)} for place, group in enumerate(groups)
    }


def record_steps(
    twins: Sequence[Stepping],
    values_of: Callable[[Mapping[str, Any]], Mapping[str, float]],
    clock: Clock,
    *,
    improves: bool,
) -> Record:
    """Every value of every group before each tick, set by schedulers that may be used up."""
    width = width_of(twins, clock)
    ticks, epoch = -(-clock.steps // width), epoch_of(clock) // width
    if ticks > MOST_TICKS:
        raise ConfigError(
            f"{twins[0].name} has no closed form here, and {ticks:,} calls of its step() take too long",
            hint=f"up to {MOST_TICKS:,} are followed; draw a shorter run",
        )
    groups = twins[0].scheduler.optimizer.param_groups
    names, calls = list(values_of(groups[0])), [(each, advance_of(each, improves=improves)) for each in twins]
    rows, tick, each = np.empty((ticks, len(groups), len(names))), 0, twins[0]
    try:
        # torch warns that no optimizer step came before, and none will
        with unwarned(), users_code(f"{' and '.join(each.name for each in twins)}.step()"):
            for tick in range(ticks):
                rows[tick] = [list(values_of(group).values()) for group in groups]
                for each, advance in calls:
                    if each.is_due(tick, epoch):
                        advance()
    except ConfigError as error:
        if not isinstance(error.__cause__, ValueError):
            raise
        if tick + 1 < ticks:  # a rule that is over with the run may refuse the step after it
            what = f"{each.name} stops after {tick + 1:,} {'steps' if width == 1 else 'epochs'}"
            raise ConfigError(f"{what}: {error.__cause__}", hint=f"it is stepped after every {each.every}") from error
    return {name: rows[:, :, place] for place, name in enumerate(names)}


def advance_of(each: Stepping, *, improves: bool) -> Callable[[], None]:
    """How a scheduler is stepped; one that waits for a metric gets it."""
    scheduler, rule = each.scheduler, rule_in(each.scheduler)
    if not each.waits_for_metric:
        advance: Callable[[], None] = scheduler.step
        return advance
    epochs = itertools.count(timm_schedule.epochs_of_plateau(scheduler) + 1) if rule is not scheduler else None
    worst = inf if rule.mode == "min" else -inf

    def advance_by_metric() -> None:
        if improves:
            rule.best = worst  # whatever comes is better, for any threshold
        metric = 0.0 if isinf(rule.best) else worst
        _ = scheduler.step(metric) if epochs is None else scheduler.step(next(epochs), metric)

    return advance_by_metric


def rule_in(scheduler: Thing) -> Thing:
    return getattr(scheduler, "lr_scheduler", scheduler)


def trajectory_of(best: Values, worst: Values, steppings: Sequence[Stepping], clock: Clock) -> Trajectory:
    """The course of one value of one group between its bounds, given before each tick."""
    width = width_of(steppings, clock)
    known, low = (sampled(values.__getitem__, clock, width=width) for values in (best, worst))
    sizes = {epoch_of(clock) * each.frequency for each in steppings if each.every == "epoch"} - {width}
    known = replace(known, stairs=(*known.stairs, *(Stairs(size, size, clock.steps) for size in sizes)))
    apart = np.flatnonzero(best != worst)
    if not apart.size:
        return known
    first = int(apart[0]) * width
    jumps = np.flatnonzero(np.diff(worst)[:100_000])[:1024] + 1
    breaks = distinct(np.concatenate([known.breaks, low.breaks, jumps * width, [first]]))
    return replace(known, breaks=breaks, undecided=MetricDependent(first, low.values))


def setting_of(each: Stepping) -> Setting:
    """A scheduler in the words of the checks; of one that is stepped they know only whether it waits for a metric."""
    words = {"type": each.name, "patience": rule_in(each.scheduler).patience} if each.waits_for_metric else {}
    return Setting("Plateau" if each.waits_for_metric else "Stepped", each.every, arguments=words)
