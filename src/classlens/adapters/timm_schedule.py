"""Schedulers of timm as a schedule: they hold no state, so they are asked at the steps that are drawn.

timm's training loop calls `step(epoch + 1)` after an epoch and `step_update(updates)` after an update; before the
first call the rates are those that the constructor set. No import of timm is needed to read its objects.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeAlias

from classlens.schedule.clock import Clock
from classlens.schedule.sampled import each, sampled
from classlens.schedule.schedule import Course, Group, Schedule

Thing: TypeAlias = Any
"""A scheduler of timm, which is not imported here."""


def is_timm(scheduler: Thing) -> bool:
    """Whether an object is one of timm's schedulers."""
    return hasattr(scheduler, "t_in_epochs") and hasattr(scheduler, "_get_lr")


def scheduled(scheduler: Thing, groups: Sequence[Group]) -> Schedule:
    """The schedule of one of timm's schedulers over the groups of its optimizer."""
    return Schedule(
        tuple(
            replace(group, rules={scheduler.param_group_field: partial(course_of, scheduler, index)})
            for index, group in enumerate(groups)
        )
    )


def course_of(scheduler: Thing, index: int, clock: Clock) -> Course:
    """The course of one group."""
    group = scheduler.optimizer.param_groups[index]
    scale = group.get("lr_scale", 1.0)

    def value(tick: int) -> float:
        if tick == 0:
            return float(group[scheduler.param_group_field])
        values = scheduler._add_noise(scheduler._get_lr(tick), tick)
        return float(values[index] * scale)

    width = clock.steps_per_epoch or clock.steps if scheduler.t_in_epochs else 1
    return sampled(each(value), clock, width=width)
