"""Schedulers of timm as a schedule: they hold no state, so they are asked at the steps that are drawn.

timm's training loop calls `step(epoch + 1)` after an epoch and `step_update(updates)` after an update; before the
first call the rates are those that the constructor set. A scheduler does not know how often it was called: where the
values of its optimizer are not those of a start, the first call that gives them is looked for. No import of timm is
needed to read its objects.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import partial
from itertools import takewhile
from typing import Any, TypeAlias

from classlens.errors import ConfigError
from classlens.schedule.chain import elementwise, sampled
from classlens.schedule.schedule import Clock, Rule, Trajectory

Thing: TypeAlias = Any
"""A scheduler of timm, which is not imported here."""

MOST_CALLS = 1_000_000
"""So many calls are looked through for the values of an optimizer: some three seconds."""


def is_timm(scheduler: Thing) -> bool:
    return hasattr(scheduler, "t_in_epochs") and hasattr(scheduler, "_get_lr")


def rules_of(scheduler: Thing) -> tuple[list[dict[str, Rule]], tuple[str, ...]]:
    """The rules of each group of a scheduler's optimizer, from where the scheduler is; and what is to be said of that.

    Raises:
        ConfigError: the values of its optimizer are none that it sets.
    """
    start, notes = position(scheduler)
    field, count = scheduler.param_group_field, len(scheduler.optimizer.param_groups)
    return [{field: partial(trajectory_of, scheduler, index, start)} for index in range(count)], notes


def trajectory_of(scheduler: Thing, index: int, start: int, clock: Clock) -> Trajectory:
    """The values of one group, `start` calls after the first."""
    now = current(scheduler)[index]

    def value(tick: int) -> float:
        return values_at(scheduler, start + tick)[index] if tick else now

    width = clock.steps_per_epoch or clock.steps if scheduler.t_in_epochs else 1
    return sampled(elementwise(value), clock, width=width)


def current(scheduler: Thing) -> list[float]:
    return [float(group[scheduler.param_group_field]) for group in scheduler.optimizer.param_groups]


def scaled(scheduler: Thing, values: Sequence[float]) -> list[float]:
    """Values of a scheduler as it writes them into the groups: layer-wise decay scales each."""
    pairs = zip(scheduler.optimizer.param_groups, values, strict=False)
    return [float(value * group.get("lr_scale", 1.0)) for group, value in pairs]


def values_at(scheduler: Thing, call: int) -> list[float]:
    return scaled(scheduler, scheduler._add_noise(scheduler._get_lr(call), call))


def starts(scheduler: Thing) -> list[list[float]]:
    """What the constructor can have set: the first of a warm-up, else the values of the optimizer, scaled or not."""
    if getattr(scheduler, "warmup_t", 0):
        return [scaled(scheduler, [scheduler.warmup_lr_init] * len(scheduler.base_values))]
    return [list(map(float, scheduler.base_values)), scaled(scheduler, scheduler.base_values)]


def position(scheduler: Thing) -> tuple[int, tuple[str, ...]]:
    """How many calls a scheduler has behind it, and what is to be said about that."""
    now = current(scheduler)
    if now in starts(scheduler) or now == values_at(scheduler, 0):
        return 0, ()
    alone = copy.copy(scheduler)  # its first group will do to find the place
    for name in ("base_values", "warmup_steps"):
        setattr(alone, name, getattr(scheduler, name, [])[:1])
    fits = (call for call in range(1, MOST_CALLS) if values_at(alone, call) == now[:1])
    name, unit = type(scheduler).__name__, "epoch" if scheduler.t_in_epochs else "step"
    start = next((call for call in fits if values_at(scheduler, call) == now), None)
    if start is None:
        raise ConfigError(
            f"{name}: the {scheduler.param_group_field} {now[0]:g} of its optimizer is none that it sets",
            hint="make it anew; timm's schedulers do not know where they are",
        )
    flat = sum(1 for _ in takewhile(lambda call: values_at(alone, call) == now[:1], range(start + 1, start + 1000)))
    until = f" (or up to {flat} {unit}s later: it does not move there, and keeps no count)" if flat else ""
    return start, (f"{name} is at {unit} {start:,} already{until}: its values go on from there",)


def epochs_of_plateau(scheduler: Thing) -> int:
    """How many epochs a PlateauLRScheduler has behind it; of its warm-up it keeps no count."""
    if scheduler.lr_scheduler.last_epoch > 0:
        return int(scheduler.warmup_t + scheduler.lr_scheduler.last_epoch)
    now = current(scheduler)
    if now in starts(scheduler):
        return 0
    warm = (
        epoch
        for epoch in range(1, scheduler.warmup_t + 1)
        if scaled(scheduler, [scheduler.warmup_lr_init + epoch * step for step in scheduler.warmup_steps]) == now
    )
    return next(warm, 0)
