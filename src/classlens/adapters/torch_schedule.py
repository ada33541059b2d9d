"""Schedulers of torch as a schedule: the user's objects are read, never advanced.

Where torch's rule has a closed form of its own it is used; a `LambdaLR` (all schedules of transformers are one) is
asked at the steps that are drawn; anything else is stepped as a copy, on an optimizer with one tiny weight a group.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping
from functools import cache, partial
from typing import Any, Literal

import numpy as np
import torch
from torch.optim import Optimizer, lr_scheduler

from classlens.adapters import metric_schedule, timm_schedule
from classlens.adapters.running import users_code
from classlens.errors import ConfigError
from classlens.schedule import shapes
from classlens.schedule.chain import Link, chain
from classlens.schedule.clock import Clock
from classlens.schedule.sampled import each, sampled
from classlens.schedule.schedule import Course, Group, Mark, Rule, Schedule, Setting, Steps, Values
from classlens.sharing import unwarned

Every = Literal["step", "epoch"]
FOREVER = 10**15
MOST_MARKS = 24
"""Decays of one rule that are marked."""

MOST_TICKS = 3_000_000
"""How often a copy may be stepped: some ten seconds."""


def scheduled(scheduler: Any, *, every: Every = "epoch", frequency: int = 1) -> Schedule:  # noqa: ANN401 - torch's and timm's have no common type
    """The schedule of a scheduler object of torch, timm or transformers.

    Args:
        every: what the user's loop calls `scheduler.step()` after. Schedulers of timm know it themselves.
        frequency: after how many of these it does so.

    Raises:
        ConfigError: it is no scheduler.
    """
    if metric_schedule.waits_for_metric(scheduler):
        return Schedule(groups_of(scheduler.optimizer, metric_schedule.rules_of(scheduler, copied, every)))
    if timm_schedule.is_timm(scheduler):
        return timm_schedule.scheduled(scheduler, groups_of(scheduler.optimizer, {}))
    if not isinstance(scheduler, lr_scheduler.LRScheduler):
        raise ConfigError(f"a {type(scheduler).__name__} is no scheduler of torch, timm or transformers")
    links = links_of(scheduler, every) if frequency == 1 else None
    if links is not None:
        rule = partial(chain, links, settings=tuple(settings_of(each, every) for each in parts_of(scheduler)))
        return Schedule(groups_of(scheduler.optimizer, {}), {"lr": rule})
    if type(scheduler) is lr_scheduler.LambdaLR:
        return Schedule(groups_of(scheduler.optimizer, lambda_rules(scheduler, every, frequency)))
    return Schedule(groups_of(scheduler.optimizer, stepped_rules(scheduler, every, frequency)))


def unscheduled(optimizer: Optimizer) -> Schedule:
    """The schedule of an optimizer alone: every value stays as it starts."""
    return Schedule(groups_of(optimizer, {}), notes=("there is no scheduler: every value stays as it starts",))


def groups_of(optimizer: Optimizer, rules: Mapping[int, Mapping[str, Rule]]) -> tuple[Group, ...]:
    """The optimizer's groups with their sizes, and the rules of each by its place."""
    several = len(optimizer.param_groups) > 1
    return tuple(
        Group(
            str(group.get("name", f"group {index}" if several else "all parameters")),
            initial_values(group),
            len(group["params"]),
            sum(parameter.numel() for parameter in group["params"]),
            rules.get(index, {}),
        )
        for index, group in enumerate(optimizer.param_groups)
    )


def initial_values(group: Mapping[str, Any]) -> dict[str, float]:
    """What a group starts with: before any scheduler touched it."""
    values = {"lr": float(group.get("initial_lr", group["lr"]))}
    if "momentum" in group or "betas" in group:
        values["momentum"] = momentum_of(group)
    if "weight_decay" in group:
        values["weight_decay"] = float(group["weight_decay"])
    return values


def momentum_of(group: Mapping[str, Any]) -> float:
    """A group's momentum, or Adam's first beta."""
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


def shape_of(scheduler: Any) -> shapes.Shape | None:  # noqa: ANN401 - the attributes below have no types in torch
    """The closed form of one of torch's rules; None for rules that have none here."""
    kind = type(scheduler)
    if kind is lr_scheduler.StepLR:
        return shapes.Step(scheduler.step_size, scheduler.gamma)
    if kind is lr_scheduler.MultiStepLR:
        return shapes.MultiStep(tuple(float(each) for each in scheduler.milestones.elements()), scheduler.gamma)
    if kind is lr_scheduler.ConstantLR:
        return shapes.Constant(scheduler.factor, scheduler.total_iters)
    if kind is lr_scheduler.LinearLR:
        return shapes.Linear(scheduler.start_factor, scheduler.end_factor, scheduler.total_iters)
    if kind is lr_scheduler.ExponentialLR:
        return shapes.Exponential(scheduler.gamma)
    if kind is lr_scheduler.PolynomialLR:
        return shapes.Polynomial(scheduler.power, 0.0, scheduler.total_iters)
    if kind is lr_scheduler.CosineAnnealingLR:
        return shapes.Cosine(scheduler.T_max, scheduler.eta_min)
    return None


def parts_of(scheduler: Any) -> list[Any]:  # noqa: ANN401 - ChainedScheduler keeps them in a private list
    """The members of a ChainedScheduler, or the scheduler itself."""
    return list(scheduler._schedulers) if type(scheduler) is lr_scheduler.ChainedScheduler else [scheduler]


def links_of(scheduler: Any, every: Every) -> list[Link] | None:  # noqa: ANN401
    """The chain of a fresh scheduler in closed form; None if it has none, or has been stepped already."""
    found = [(part, shape_of(part)) for part in parts_of(scheduler)]
    if any(shape is None or part.last_epoch != 0 for part, shape in found):
        return None
    return [Link(shape, 0, FOREVER, every, marks=marks_of(part)) for part, shape in found if shape is not None]


def marks_of(scheduler: Any) -> tuple[Mark, ...]:  # noqa: ANN401
    """Where a rule decays, or where it is over if it is a warm-up."""
    kind = type(scheduler)
    if kind is lr_scheduler.MultiStepLR:
        return tuple(Mark(int(step), "milestone") for step in sorted(scheduler.milestones)[:MOST_MARKS])
    if kind is lr_scheduler.StepLR:
        return tuple(Mark(scheduler.step_size * k, "step") for k in range(1, MOST_MARKS + 1))
    if kind in {lr_scheduler.LinearLR, lr_scheduler.ConstantLR}:
        start = scheduler.start_factor if kind is lr_scheduler.LinearLR else scheduler.factor
        return (Mark(scheduler.total_iters, "warm-up ends"),) if start < 1 else ()
    return ()


def settings_of(scheduler: Any, every: Every) -> Setting:  # noqa: ANN401
    """A scheduler in the words of the checks."""
    kind = type(scheduler).__name__
    plain = {
        name: value for name, value in vars(scheduler).items() if isinstance(value, int | float) and name[0] != "_"
    }
    return Setting(kind.removesuffix("LR"), every, 0, FOREVER, {**plain, "type": kind, "where": "torch"})


def width_of(every: Every, frequency: int, clock: Clock) -> int:
    """Steps of the run for each call of `scheduler.step()`."""
    return frequency * (1 if every == "step" else clock.steps_per_epoch or clock.steps)


def counted(function: Callable[[Steps], Values], every: Every, frequency: int, clock: Clock) -> Course:
    """The course of a function of the calls of `scheduler.step()`; Lightning counts batches anew in every epoch."""
    epoch = clock.steps_per_epoch
    if every == "epoch" or frequency == 1 or epoch is None:
        return sampled(function, clock, width=width_of(every, frequency, clock))
    return sampled(lambda steps: function(steps // epoch * (epoch // frequency) + steps % epoch // frequency), clock)


def lambda_rules(scheduler: lr_scheduler.LambdaLR, every: Every, frequency: int) -> dict[int, dict[str, Rule]]:
    """One rule a group: its initial rate times its function."""

    def rule(base: float, function: Callable[[int], float], clock: Clock) -> Course:
        def value(tick: int) -> float:
            with users_code(f"the function of LambdaLR, called with {tick},"):
                return base * function(tick)

        return counted(each(value), every, frequency, clock)

    pairs = zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    return {index: {"lr": partial(rule, float(base), function)} for index, (base, function) in enumerate(pairs)}


def stepped_rules(scheduler: lr_scheduler.LRScheduler, every: Every, frequency: int) -> dict[int, dict[str, Rule]]:
    """One rule a group and value, all read off one pass over a copy."""

    @cache
    def record(ticks: int) -> Mapping[str, Any]:
        return stepped(scheduler, ticks)

    def rule(name: str, index: int, clock: Clock) -> Course:
        values = record(-(-clock.steps // width_of(every, frequency, clock)))[name][:, index]
        return counted(lambda ticks: values[ticks], every, frequency, clock)

    names = ["lr"] + ["momentum"] * any(
        "momentum" in initial_values(group) for group in scheduler.optimizer.param_groups
    )
    return {
        index: {name: partial(rule, name, index) for name in names}
        for index in range(len(scheduler.optimizer.param_groups))
    }


def stepped(scheduler: lr_scheduler.LRScheduler, ticks: int) -> dict[str, Any]:
    """Every value of every group before each call of `step()`: arrays of ticks x groups.

    Raises:
        ConfigError: there are too many calls, or the scheduler stops before the run does.
    """
    if ticks > MOST_TICKS:
        raise ConfigError(
            f"{type(scheduler).__name__} has no closed form here, and {ticks:,} calls of its step() take too long",
            hint=f"up to {MOST_TICKS:,} are followed; draw a shorter run",
        )
    twin = copied(scheduler)
    groups = twin.optimizer.param_groups
    found = {name: np.empty((ticks, len(groups))) for name in ("lr", "momentum")}
    with unwarned():  # torch warns that no optimizer step came before, and none will
        for tick in range(ticks):
            for index, group in enumerate(groups):
                found["lr"][tick, index] = group["lr"]
                found["momentum"][tick, index] = momentum_of(group) if "momentum" in initial_values(group) else 0.0
            try:
                twin.step()
            except ValueError as error:
                if tick + 1 < ticks:
                    raise ConfigError(f"{type(scheduler).__name__} stops after {tick + 1:,} steps: {error}") from error
    return found


def copied(scheduler: Any) -> Any:  # noqa: ANN401
    """A copy that shares no state with the user's scheduler, and no memory with the user's model."""
    optimizer = scheduler.optimizer
    known: dict[int, Any] = {
        id(parameter): torch.nn.Parameter(torch.zeros(1))
        for group in optimizer.param_groups
        for parameter in group["params"]
    }
    known[id(optimizer.state)] = defaultdict(dict)
    return copy.deepcopy(scheduler, known)
