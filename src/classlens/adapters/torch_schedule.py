"""Schedulers of torch, timm and transformers as a schedule: the user's objects are read, never advanced.

Step 0 of the schedule is where the scheduler is: what follows are the values of stepping on from there. Where torch's
rule has a closed form of its own it is used; a `LambdaLR` (all schedules of transformers are one) and schedulers of timm
are asked at the steps that are drawn; anything else, and several that act on each other, are stepped as copies.

Those of one optimizer move its values one after the other: after a step those that count steps, at the end of an epoch
those that count epochs, each kind in the order of the list; those that wait for a metric come last, as validation does.
Nobody knows a metric before training, so copies are stepped with one that always improves and others with one that
never does; what both agree on is certain.
"""

from __future__ import annotations

import copy
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from math import inf, isinf
from types import CellType
from typing import Any, TypeAlias

import numpy as np
import torch
from torch.optim import Optimizer, lr_scheduler

from classlens.errors import ConfigError
from classlens.schedule import shapes
from classlens.schedule.schedule import (
    Clock,
    Group,
    Length,
    MetricDependent,
    Rule,
    Schedule,
    Setting,
    Stairs,
    Steps,
    Trajectory,
    Unit,
    Values,
    distinct,
    elementwise,
    follow_function,
)
from classlens.sharing import unwarned
from classlens.user_code import users_code

Thing: TypeAlias = Any  # a scheduler: those of torch, timm and transformers have no type in common
FOREVER = 10**15
FIRST = np.zeros(1, np.int64)

BY_STEP = {"OneCycleLR", "CyclicLR"}
"""Schedulers of torch that are made to be stepped after every batch; the others are stepped after every epoch."""

FOR_METRICS = {"ReduceLROnPlateau", "GreedyLR", "PlateauLRScheduler"}


@dataclass(frozen=True, eq=False)
class Stepping:
    """A scheduler, and that it is stepped after every `frequency` steps or epochs."""

    scheduler: Thing
    every: Unit
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
    def rule(self) -> Thing:
        """What decides; timm wraps the plateau of torch."""
        return getattr(self.scheduler, "lr_scheduler", self.scheduler)

    @property
    def waits_for_metric(self) -> bool:
        return any(kind.__name__ in FOR_METRICS for kind in type(self.scheduler).__mro__)

    def is_due(self, tick: int, epoch: int) -> bool:
        """Whether it is stepped at the end of a tick, if an epoch has so many; batches count anew in every epoch."""
        by_step = self.every == "step"
        return (tick % epoch + 1 if by_step else (tick + 1) / epoch) % self.frequency == 0


def made_for(scheduler: Thing) -> Unit:
    """What a scheduler, or one of those inside it, is stepped after in the loops that its authors show."""
    functions = (getattr(one, "func", one) for one in getattr(scheduler, "lr_lambdas", ()))
    by_step = any(str(getattr(one, "__module__", "")).startswith("transformers.") for one in functions)
    by_step |= type(scheduler).__name__ in BY_STEP or "step" in map(made_for, members_of(scheduler))
    return "step" if by_step else "epoch"


def members_of(scheduler: Thing) -> list[Thing]:
    return list(getattr(scheduler, "_schedulers", ()))


LENGTHS = ("total_steps", "T_max", "max_epochs", "max_steps", "num_training_steps")
"""Under which names schedulers, and the functions of LambdaLR, keep the length of the run that they are made for."""


def length_of(scheduler: Thing) -> tuple[int, str] | None:
    """How many calls of `step()` a scheduler is made for, and where it says so; None where it does not.

    A cosine falls for T_max calls and rises again, so a run is as long as that. A wave that restarts, steps, milestones
    and a warm-up alone say nothing.
    """
    name = type(scheduler).__name__
    if is_timm(scheduler):
        cycles = getattr(scheduler, "get_cycle_length", None)
        total = cycles() if cycles is not None else getattr(scheduler, "t_initial", None)
        return None if total is None else (int(total), f"{name}(t_initial={scheduler.t_initial})")
    lengths = [length_of(member) for member in members_of(scheduler)]
    if lengths and hasattr(scheduler, "_milestones"):
        start, last = ([0, *scheduler._milestones])[-1], lengths[-1]
        return None if last is None else (start + last[0], f"{name} of {start} + {last[1]}")
    if lengths:
        return max(filter(None, lengths), default=None)
    if name == "PolynomialLR":
        return int(scheduler.total_iters), f"{name}(total_iters={scheduler.total_iters})"
    values: Mapping[str, Any] = vars(scheduler)
    for function in values.get("lr_lambdas", ()):
        values = {**closure_of(function), **getattr(function, "keywords", {})}
        name = getattr(getattr(function, "func", function), "__name__", "").strip("_").removesuffix("_lr_lambda")
        if {"num_warmup_steps", "num_stable_steps", "num_decay_steps"} <= values.keys():
            parts = [values[f"num_{part}_steps"] for part in ("warmup", "stable", "decay")]
            return sum(parts), f"{name}({' + '.join(map(str, parts))} steps)"
    key = next((key for key in LENGTHS if isinstance(values.get(key), int) and values[key] > 0), None)
    return None if key is None else (values[key], f"{name}({key}={values[key]})")


def closure_of(function: Thing) -> dict[str, Any]:
    """The variables that a function keeps from where it was made."""
    names, cells = (
        getattr(getattr(function, "__code__", None), "co_freevars", ()),
        getattr(function, "__closure__", None),
    )
    return {name: cell.cell_contents for name, cell in zip(names, cells or (), strict=True) if cell != CellType()}


def length_from(stepping: Stepping, behind: int) -> Length | None:
    """The length of the run from where the scheduler is, after so many calls."""
    total = length_of(stepping.scheduler)
    if total is None or total[0] <= behind:
        return None
    return Length((total[0] - behind) * stepping.frequency, stepping.every, total[1], holds=is_timm(stepping.scheduler))


def schedule_of(scheduler: Thing, *, every: Unit | None = None) -> Schedule:
    """The schedule of a scheduler object of torch, timm or transformers, from where the scheduler is.

    Args:
        every: what the user's loop calls `scheduler.step()` after; by default what the scheduler is made for.
            Schedulers of timm know it themselves.

    Raises:
        ConfigError: it is no scheduler.
    """
    return schedule_together([Stepping(scheduler, every or made_for(scheduler))])


def schedule_together(steppings: Sequence[Stepping]) -> Schedule:
    """The schedule of the schedulers of one optimizer, which act on each other's values."""
    for each in steppings:
        known = each.waits_for_metric or is_timm(each.scheduler) or isinstance(each.scheduler, lr_scheduler.LRScheduler)
        if not known:
            raise ConfigError(f"a {each.name} is no scheduler of torch, timm or transformers")
        if len(steppings) > 1 and (is_timm(each.scheduler) or each.name == "SWALR"):
            others = " and ".join(other.name for other in steppings if other is not each)
            raise ConfigError(
                f"{others} and {each.name} set the rates of one optimizer, and what {each.name} sets undoes the others",
                hint="give one of them, or let torch's SequentialLR(optimizer, [scheduler, SWALR(...)], [75]) say when",
            )
    scheduler, optimizer = steppings[0].scheduler, steppings[0].scheduler.optimizer
    if is_timm(scheduler):
        by_epoch = steppings[0].waits_for_metric or scheduler.t_in_epochs
        steppings = [Stepping(scheduler, "epoch" if by_epoch else "step")]
        if not steppings[0].waits_for_metric:
            return schedule_of_timm(steppings[0])
    # a ChainedScheduler leaves the count to its members
    counts = [
        max(getattr(one, "last_epoch", 0) for one in (each.rule, *members_of(each.scheduler))) for each in steppings
    ]
    notes = tuple(
        f"{each.name} is at {each.every} {behind:,} already: its values go on from there"
        for each, behind in zip(steppings, counts, strict=True)
        if behind > 0
    )
    if len(steppings) > 1:
        notes = (f"one optimizer is scheduled by {' and '.join(map(str, steppings))}", *notes)
    length = next(filter(None, map(length_from, steppings, counts)), None)
    if (rule := closed_rule(steppings, optimizer)) is not None:
        return Schedule(groups_of(optimizer), {"lr": rule}, notes, length=length)
    is_lambda = len(steppings) == 1 and type(scheduler) is lr_scheduler.LambdaLR
    rules = lambda_rules(steppings[0]) if is_lambda else stepped_rules(steppings)
    return Schedule(groups_of(optimizer, rules), notes=notes, length=length)


def schedule_alone(optimizer: Optimizer) -> Schedule:
    pairs = zip(groups_of(optimizer), optimizer.param_groups, strict=True)
    groups = tuple(replace(group, initial=values_of(values)) for group, values in pairs)
    return Schedule(groups, notes=("there is no scheduler: every value stays as it starts",))


def groups_of(optimizer: Optimizer, rules: Sequence[Mapping[str, Rule]] = ()) -> tuple[Group, ...]:
    several = len(optimizer.param_groups) > 1
    return tuple(
        Group(
            str(group.get("name", f"group {index}" if several else "all parameters")),
            {**values_of(group), "lr": float(group.get("initial_lr", group["lr"]))},
            len(group["params"]),
            sum(parameter.numel() for parameter in group["params"]),
            rules[index] if rules else {},
        )
        for index, group in enumerate(optimizer.param_groups)
    )


def values_of(group: Mapping[str, Any]) -> dict[str, float]:
    momentum = group["momentum"] if "momentum" in group else group.get("betas", [None])[0]
    values = {"lr": group["lr"], "momentum": momentum, "weight_decay": group.get("weight_decay")}
    return {name: float(value) for name, value in values.items() if value is not None}


CLOSED_FORMS: Mapping[type, Callable[[Thing], shapes.Shape]] = {
    lr_scheduler.StepLR: lambda one: shapes.step_decay(int(one.step_size), one.gamma),
    lr_scheduler.MultiStepLR: lambda one: shapes.multi_step(tuple(map(float, one.milestones.elements())), one.gamma),
    lr_scheduler.ConstantLR: lambda one: shapes.constant(one.factor, one.total_iters),
    lr_scheduler.LinearLR: lambda one: shapes.linear(one.start_factor, one.end_factor, one.total_iters),
    lr_scheduler.ExponentialLR: lambda one: shapes.exponential(one.gamma),
    lr_scheduler.PolynomialLR: lambda one: shapes.polynomial(one.power, 0.0, one.total_iters),
    lr_scheduler.CosineAnnealingLR: lambda one: shapes.cosine_annealing(one.T_max, one.eta_min),
}


def has_closed_form(scheduler: Thing) -> bool:
    """Whether it is one of torch's rules at its start, with settings at which the closed form is what torch does."""
    if type(scheduler) not in CLOSED_FORMS or scheduler.last_epoch != 0:
        return False
    size = getattr(scheduler, "step_size", 1)
    positive = min(size, getattr(scheduler, "factor", 1), getattr(scheduler, "T_max", 1)) > 0
    return positive and size == int(size) and getattr(scheduler, "power", 0) >= 0


def closed_rule(steppings: Sequence[Stepping], optimizer: Optimizer) -> Rule | None:
    """The chain of fresh schedulers in closed form; None if it has none, or the rates are not those of its start."""
    links, settings = [], []
    for each in steppings:
        is_chain = type(each.scheduler) is lr_scheduler.ChainedScheduler
        for part in members_of(each.scheduler) if is_chain else [each.scheduler]:
            if each.frequency > 1 or not has_closed_form(part):
                return None
            links.append(shapes.Link(CLOSED_FORMS[type(part)](part), 0, FOREVER, each.every))
            name, numbers = type(part).__name__, {key: value for key, value in vars(part).items() if key[0] != "_"}
            settings.append(Setting(name.removesuffix("LR"), f"torch {name}", each.every, 0, FOREVER, numbers))
    start = shapes.chain(links, Clock.of_steps(1))
    for group, values in zip(groups_of(optimizer), optimizer.param_groups, strict=True):
        # Another scheduler may have been made before or between these, or the rate may have been changed since.
        if not np.isclose(start.values(FIRST, group.initial["lr"]), float(values["lr"]), rtol=1e-9, atol=0):
            return None
    return partial(shapes.chain, links, settings=tuple(settings))


def lambda_rules(stepping: Stepping) -> list[dict[str, Rule]]:
    """One rule a group: its initial rate times its function."""
    scheduler = stepping.scheduler

    def rate(base: float, function: Callable[[int], float], tick: int) -> float:
        count = scheduler.last_epoch + tick
        with users_code(f"the function of LambdaLR, called with {count},"):
            return base * function(count)

    groups = zip(scheduler.optimizer.param_groups, scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    return [
        {"lr": partial(trajectory_of_calls, float(group["lr"]), partial(rate, float(base), function), stepping)}
        for group, base, function in groups
    ]


def trajectory_of_calls(now: float, later: Callable[[int], float], stepping: Stepping, clock: Clock) -> Trajectory:
    """The course of a value that is `later(n)` after n calls of `scheduler.step()`; it is asked at drawn steps only."""
    function = elementwise(lambda tick: later(tick) if tick else now)
    epoch, frequency = epoch_of(clock), stepping.frequency
    if stepping.every == "epoch":
        return follow_function(function, clock, width=frequency * epoch)

    def by_step(steps: Steps) -> Values:
        return function(steps // epoch * (epoch // frequency) + steps % epoch // frequency)

    return follow_function(by_step, clock)  # Lightning counts batches anew in every epoch


def epoch_of(clock: Clock) -> int:
    return clock.steps_per_epoch or clock.steps


MOST_TICKS = 3_000_000  # how often copies may be stepped: some ten seconds


def stepped_rules(steppings: Sequence[Stepping]) -> list[dict[str, Rule]]:
    """The rules of each group, all read off copies of the schedulers of one optimizer."""
    ordered = sorted(steppings, key=lambda each: (each.every == "epoch", each.waits_for_metric))
    waits = any(each.waits_for_metric for each in ordered)
    settings = tuple(
        Setting("Plateau" if each.waits_for_metric else "Stepped", each.name, each.every, arguments=vars(each.rule))
        for each in ordered
    )

    @cache
    def records(clock: Clock) -> list[dict[str, np.ndarray]]:
        return [record_steps(ordered, clock, improves=improves) for improves in ((True, False) if waits else (True,))]

    def rule(name: str, index: int, clock: Clock) -> Trajectory:
        width, epoch = width_of(ordered, clock), epoch_of(clock)
        best, *worst = (record[name][:, index] for record in records(clock))
        course = follow_function(best.__getitem__, clock, width=width)
        sizes = {epoch * each.frequency for each in ordered if each.every == "epoch"} - {width}
        stairs = (*course.stairs, *(Stairs(size, size, clock.steps) for size in sizes))
        course = replace(course, stairs=stairs, settings=settings if name == "lr" else ())
        if not worst or (best == worst[0]).all():
            return course
        low, first = follow_function(worst[0].__getitem__, clock, width=width), int(np.argmax(best != worst[0])) * width
        jumps = np.flatnonzero(np.diff(worst[0])[:100_000])[:1024] + 1
        breaks = distinct(np.concatenate([course.breaks, low.breaks, jumps * width, [first]]))
        return replace(course, breaks=breaks, undecided=MetricDependent(first, low.values))

    groups = ordered[0].scheduler.optimizer.param_groups
    return [{name: partial(rule, name, place) for name in values_of(group)} for place, group in enumerate(groups)]


def width_of(steppings: Sequence[Stepping], clock: Clock) -> int:
    """Steps between two ticks, at whose ends something may be stepped."""
    return 1 if any(each.every == "step" for each in steppings) else epoch_of(clock)


def record_steps(steppings: Sequence[Stepping], clock: Clock, *, improves: bool) -> dict[str, np.ndarray]:
    """Every value of every group before each tick, set by copies of schedulers: arrays of ticks x groups."""
    width = width_of(steppings, clock)
    ticks, epoch = -(-clock.steps // width), epoch_of(clock) // width
    if ticks > MOST_TICKS:
        raise ConfigError(
            f"{steppings[0].name} has no closed form here, and {ticks:,} calls of its step() take too long",
            hint=f"up to {MOST_TICKS:,} are followed; draw a shorter run",
        )
    copies = zip(steppings, copy_schedulers([each.scheduler for each in steppings]), strict=True)
    twins = [replace(each, scheduler=twin) for each, twin in copies]
    calls = [(each, advance_of(each, improves=improves)) for each in twins]
    groups = twins[0].scheduler.optimizer.param_groups
    names, tick, each = list(values_of(groups[0])), 0, twins[0]
    rows = np.empty((ticks, len(groups), len(names)))
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


def copy_schedulers(schedulers: Sequence[Thing]) -> list[Thing]:
    """Copies with one copy of their optimizer, that share no state with the user's, and no memory with the model."""
    known: dict[int, Any] = {}
    for optimizer in (scheduler.optimizer for scheduler in schedulers):
        for group in optimizer.param_groups:
            known |= {id(parameter): torch.nn.Parameter(torch.zeros(1)) for parameter in group["params"]}
        known[id(optimizer.state)] = defaultdict(dict)
    return copy.deepcopy(list(schedulers), known)


def advance_of(each: Stepping, *, improves: bool) -> Callable[[], object]:
    """How a scheduler is stepped; one that waits for a metric gets it."""
    scheduler, rule = each.scheduler, each.rule
    if not each.waits_for_metric:
        return partial(scheduler.step)
    worst = inf if rule.mode == "min" else -inf
    calls = (calls_of_timm(scheduler, scheduler.warmup_t + 1) or 0) if is_timm(scheduler) else None
    epochs = None if calls is None else itertools.count(calls + 1)

    def advance_by_metric() -> None:
        if improves:
            rule.best = worst  # whatever comes is better, for any threshold
        metric = 0.0 if isinf(rule.best) else worst
        scheduler.step(*([metric] if epochs is None else [next(epochs), metric]))

    return advance_by_metric


# timm's training loop calls `step(epoch + 1)` after an epoch and `step_update(updates)` after an update; before the first
# call the rates are those that the constructor set. Its schedulers hold no state and do not know how often they were
# called: where the values of the optimizer are not those of a start, the first call that gives them is looked for. No
# import of timm is needed to read its objects.

MOST_CALLS = 1_000_000  # so many calls are looked through for the values of an optimizer: some seconds


def is_timm(scheduler: Thing) -> bool:
    return hasattr(scheduler, "t_in_epochs") and hasattr(scheduler, "_get_lr")


def schedule_of_timm(stepping: Stepping) -> Schedule:
    """The schedule of a scheduler of timm, from where it is."""
    scheduler, unit, field = stepping.scheduler, stepping.every, stepping.scheduler.param_group_field
    now, start, notes = timm_now(scheduler), calls_of_timm(scheduler, MOST_CALLS), tuple[str, ...]()
    if start is None:
        raise ConfigError(
            f"{stepping.name}: the {field} {now[0]:g} of its optimizer is none that it sets",
            hint="make it anew; timm's schedulers do not know where they are",
        )
    if start > 0:
        later = range(start + 1, start + 1000)
        flat = sum(1 for _ in itertools.takewhile(lambda call: timm_values(scheduler, call) == now, later))
        until = f" (or up to {flat} {unit}s later: it does not move there, and keeps no count)" if flat else ""
        notes = (f"{stepping.name} is at {unit} {start:,} already{until}: its values go on from there",)

    def later_value(index: int, tick: int) -> float:
        return timm_values(scheduler, start + tick)[index]

    rules = [
        {field: partial(trajectory_of_calls, value, partial(later_value, index), stepping)}
        for index, value in enumerate(now)
    ]
    return Schedule(groups_of(scheduler.optimizer, rules), notes=notes, length=length_from(stepping, start))


def timm_now(scheduler: Thing) -> list[float]:
    return [float(group[scheduler.param_group_field]) for group in scheduler.optimizer.param_groups]


def calls_of_timm(scheduler: Thing, most: int) -> int | None:
    """How many calls a scheduler has behind it, up to so many; None if the values of its optimizer are none it sets."""
    now, plateau = timm_now(scheduler), getattr(scheduler, "lr_scheduler", None)
    if plateau is not None and plateau.last_epoch > 0:
        return int(scheduler.warmup_t + plateau.last_epoch)  # of its warm-up it keeps no count
    start = [scheduler.warmup_lr_init] * len(now) if getattr(scheduler, "warmup_t", 0) else scheduler.base_values
    if now in (list(map(float, start)), scale_by_layer(scheduler, start)):
        return 0
    return next((call for call in range(most) if timm_values(scheduler, call) == now), None)


def timm_values(scheduler: Thing, call: int) -> list[float]:
    """What a scheduler writes into the groups at a call; a plateau does so in its warm-up."""
    if hasattr(scheduler, "lr_scheduler"):
        return scale_by_layer(scheduler, [scheduler.warmup_lr_init + call * step for step in scheduler.warmup_steps])
    return scale_by_layer(scheduler, scheduler._add_noise(scheduler._get_lr(call), call))


def scale_by_layer(scheduler: Thing, values: Sequence[float]) -> list[float]:
    pairs = zip(scheduler.optimizer.param_groups, values, strict=False)
    return [float(value * group.get("lr_scale", 1.0)) for group, value in pairs]
