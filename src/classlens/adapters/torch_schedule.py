"""Schedulers of torch as a schedule: the user's objects are read, never advanced.

Step 0 of the schedule is where the scheduler is: what follows are the values of stepping on from there. Where torch's
rule has a closed form of its own it is used; a `LambdaLR` (all schedules of transformers are one) is asked at the steps
that are drawn; anything else, and several that act on each other, are stepped as copies.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.optim import Optimizer, lr_scheduler

from classlens.adapters import timm_schedule
from classlens.adapters.stepping import Every, Stepping, Thing, epoch_of, made_for, members_of, rules_of
from classlens.errors import ConfigError
from classlens.schedule import shapes
from classlens.schedule.chain import Link, chain, elementwise, sampled
from classlens.schedule.schedule import Clock, Group, Mark, Rule, Schedule, Setting, Steps, Trajectory, Values
from classlens.user_code import users_code

FOREVER = 10**15
FIRST = np.zeros(1, np.int64)
MOST_MARKS = 24
"""Decays of one rule that are marked."""


def scheduled(scheduler: Thing, *, every: Every | None = None, frequency: int = 1) -> Schedule:
    """The schedule of a scheduler object of torch, timm or transformers, from where the scheduler is.

    Args:
        every: what the user's loop calls `scheduler.step()` after; by default what the scheduler is made for.
            Schedulers of timm know it themselves.
        frequency: after how many of these it does so.

    Raises:
        ConfigError: it is no scheduler.
    """
    return scheduled_together([Stepping(scheduler, every or made_for(scheduler), frequency)])


def scheduled_together(steppings: Sequence[Stepping]) -> Schedule:
    """The schedule of the schedulers of one optimizer, which act on each other's values.

    Raises:
        ConfigError: one is no scheduler, or another one would undo what it does.
    """
    for each in steppings:
        if not (
            each.waits_for_metric
            or timm_schedule.is_timm(each.scheduler)
            or isinstance(each.scheduler, lr_scheduler.LRScheduler)
        ):
            raise ConfigError(f"a {each.name} is no scheduler of torch, timm or transformers")
    optimizer, alone = steppings[0].scheduler.optimizer, len(steppings) == 1
    timm = next((each for each in steppings if timm_schedule.is_timm(each.scheduler)), None)
    if timm is not None and not alone:
        raise ConfigError(
            f"{' and '.join(each.name for each in steppings)} set the rates of one optimizer, and what {timm.name} of "
            "timm sets undoes what others did",
            hint="give one of them, or let torch's SequentialLR or ChainedScheduler combine schedulers of torch",
        )
    if timm is not None and not timm.waits_for_metric:
        rules, notes = timm_schedule.rules_of(timm.scheduler)
        return Schedule(groups_of(optimizer, dict(enumerate(rules))), notes=notes)
    if (swa := next((each for each in steppings if each.name == "SWALR"), None)) is not None and not alone:
        raise ConfigError(
            f"{swa.name} takes over from {' and '.join(each.name for each in steppings if each is not swa)}, and only "
            "your loop says when",
            hint="let SequentialLR say it: SequentialLR(optimizer, [scheduler, SWALR(...)], milestones=[75])",
        )
    notes = notes_of(steppings)
    if (links := links_of(steppings, optimizer)) is not None:
        settings = tuple(settings_of(part, each.every) for each in steppings for part in parts_of(each.scheduler))
        rule = partial(chain, links, settings=settings)
        return Schedule(groups_of(optimizer, {}), {"lr": rule}, notes)
    if alone and type(steppings[0].scheduler) is lr_scheduler.LambdaLR:
        return Schedule(groups_of(optimizer, lambda_rules(steppings[0])), notes=notes)
    if timm is not None:
        steppings = [replace(timm, every="epoch")]  # timm's plateau knows epochs only
    return Schedule(groups_of(optimizer, rules_of(steppings, copy_schedulers, values_of)), notes=notes)


def notes_of(steppings: Sequence[Stepping]) -> tuple[str, ...]:
    """Which schedulers act together, and which do not start with the run."""
    resumed = tuple(
        f"{each.name} is at {each.every} {each.behind:,} already: its values go on from there"
        for each in steppings
        if each.behind > 0
    )
    if len(steppings) == 1:
        return resumed
    return (f"one optimizer is scheduled by {' and '.join(map(str, steppings))}", *resumed)


def unscheduled(optimizer: Optimizer) -> Schedule:
    """The schedule of an optimizer alone: every value stays as it is."""
    pairs = zip(groups_of(optimizer, {}), optimizer.param_groups, strict=True)
    groups = tuple(replace(group, initial=values_of(values)) for group, values in pairs)
    return Schedule(groups, notes=("there is no scheduler: every value stays as it starts",))


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
    return {**values_of(group), "lr": float(group.get("initial_lr", group["lr"]))}


def values_of(group: Mapping[str, Any]) -> dict[str, float]:
    """What is in force in a group."""
    values = {"lr": float(group["lr"])}
    if "momentum" in group or "betas" in group:
        values["momentum"] = float(group["momentum"] if "momentum" in group else group["betas"][0])
    if "weight_decay" in group:
        values["weight_decay"] = float(group["weight_decay"])
    return values


def closed_form(scheduler: Thing) -> tuple[shapes.Shape, tuple[Mark, ...]] | None:
    """One of torch's rules, and where it decays, or is over if it is a warm-up.

    None for rules that have no closed form here, and for settings that make none.
    """
    kind = type(scheduler)
    if kind is lr_scheduler.StepLR and scheduler.step_size >= 1 and scheduler.step_size == int(scheduler.step_size):
        marks = tuple(Mark(int(scheduler.step_size * k), "step") for k in range(1, MOST_MARKS + 1))
        return shapes.Step(int(scheduler.step_size), scheduler.gamma), marks
    if kind is lr_scheduler.MultiStepLR:
        marks = tuple(Mark(int(step), "milestone") for step in sorted(scheduler.milestones)[:MOST_MARKS])
        milestones = tuple(float(each) for each in scheduler.milestones.elements())
        return shapes.MultiStep(milestones, scheduler.gamma), marks
    if (kind is lr_scheduler.ConstantLR and scheduler.factor > 0) or kind is lr_scheduler.LinearLR:
        end, start = scheduler.total_iters, getattr(scheduler, "start_factor", getattr(scheduler, "factor", 1.0))
        marks = (Mark(int(end), "warm-up ends"),) if start < 1 else ()
        if kind is lr_scheduler.LinearLR:
            return shapes.Linear(start, scheduler.end_factor, end), marks
        return shapes.Constant(start, end), marks
    if kind is lr_scheduler.ExponentialLR:
        return shapes.Exponential(scheduler.gamma), ()
    if kind is lr_scheduler.PolynomialLR and scheduler.power >= 0:
        return shapes.Polynomial(scheduler.power, 0.0, scheduler.total_iters), ()
    if kind is lr_scheduler.CosineAnnealingLR and scheduler.T_max > 0:
        return shapes.Cosine(scheduler.T_max, scheduler.eta_min), ()
    return None


def parts_of(scheduler: Thing) -> list[Thing]:
    return members_of(scheduler) if type(scheduler) is lr_scheduler.ChainedScheduler else [scheduler]


def links_of(steppings: Sequence[Stepping], optimizer: Optimizer) -> list[Link] | None:
    """The chain of fresh schedulers in closed form; None if it has none, or the rates are not those of its start."""
    links = []
    for each in steppings:
        for part in parts_of(each.scheduler):
            form = closed_form(part)
            if form is None or part.last_epoch != 0 or each.frequency > 1:
                return None
            links.append(Link(form[0], 0, FOREVER, each.every, marks=form[1]))
    start = chain(links, Clock.of_steps(1))
    for group in optimizer.param_groups:
        # Another scheduler may have been made before or between these, or the rate may have been changed since.
        if not np.isclose(start.values(FIRST, initial_values(group)["lr"]), float(group["lr"]), rtol=1e-9, atol=0):
            return None
    return links


def settings_of(scheduler: Thing, every: Every) -> Setting:
    """A scheduler in the words of the checks."""
    kind = type(scheduler).__name__
    plain = {
        name: value for name, value in vars(scheduler).items() if isinstance(value, int | float) and name[0] != "_"
    }
    return Setting(kind.removesuffix("LR"), every, 0, FOREVER, {**plain, "type": kind, "where": "torch"})


def lambda_rules(stepping: Stepping) -> dict[int, dict[str, Rule]]:
    """One rule a group: its initial rate times its function, which is asked at the drawn steps only."""
    scheduler = stepping.scheduler

    def rule(now: float, base: float, function: Callable[[int], float], clock: Clock) -> Trajectory:
        def value(tick: int) -> float:
            if tick == 0:
                return now
            count = scheduler.last_epoch + tick
            with users_code(f"the function of LambdaLR, called with {count},"):
                return base * function(count)

        return trajectory_of_calls(elementwise(value), stepping, clock)

    rates = [float(group["lr"]) for group in scheduler.optimizer.param_groups]
    groups = zip(rates, map(float, scheduler.base_lrs), scheduler.lr_lambdas, strict=True)
    return {index: {"lr": partial(rule, *settings)} for index, settings in enumerate(groups)}


def trajectory_of_calls(function: Callable[[Steps], Values], stepping: Stepping, clock: Clock) -> Trajectory:
    """The course of a function of the calls of `scheduler.step()`; Lightning counts batches anew in every epoch."""
    epoch, frequency = epoch_of(clock), stepping.frequency
    if stepping.every == "epoch":
        return sampled(function, clock, width=frequency * epoch)
    if frequency == 1:
        return sampled(function, clock)
    return sampled(lambda steps: function(steps // epoch * (epoch // frequency) + steps % epoch // frequency), clock)


def copy_schedulers(schedulers: Sequence[Thing]) -> list[Thing]:
    """Copies that share no state with the user's schedulers, and no memory with the user's model."""
    known: dict[int, Any] = {}
    for scheduler in schedulers:
        optimizer = scheduler.optimizer
        known |= {
            id(parameter): torch.nn.Parameter(torch.zeros(1))
            for group in optimizer.param_groups
            for parameter in group["params"]
        }
        known[id(optimizer.state)] = defaultdict(dict)
    return copy.deepcopy(list(schedulers), known)
