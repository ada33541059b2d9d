"""Schedules that are functions, as fastai writes them: f(position in the run, 0..1) -> value, or one value per group.

`{"lr": f, "momentum": g}` names them; a `ParamScheduler` of fastai, and what its `combined_cos`, `SchedCos` and
`combine_scheds` return, are known by themselves. With `interval` "step" or "epoch" the function is given that number.
"""

from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from classlens.adapters.python.kinds import Thing
from classlens.errors import ConfigError
from classlens.schedule.schedule import Clock, Group, Rule, Schedule, Trajectory, Values, elementwise, follow_function
from classlens.user_code import users_code

NAMES: Mapping[str, str] = {
    "lr": "lr", "lrs": "lr", "mom": "momentum", "moms": "momentum", "momentum": "momentum",
    "wd": "weight_decay", "weight_decay": "weight_decay",
}  # fmt: skip
"""What the values are called, by the key that a function stands under."""

FASTAI = "fastai.callback.schedule"

Function = Callable[[float], Thing]


def find_functions(key: str, thing: Thing) -> Mapping[str, Function]:
    """The functions that an object stands for, by the value that they set; none if it is something else."""
    scheduled = getattr(thing, "scheds", None)
    if type(thing).__module__ == FASTAI and isinstance(scheduled, Mapping):
        return {NAMES.get(name, name): function for name, function in scheduled.items()}
    if not callable(thing):
        return {}
    fastai = FASTAI in (type(thing).__module__, getattr(thing, "__module__", ""))
    name = NAMES.get(key, "lr" if fastai else "")
    return {name: thing} if name else {}


def schedule_of(functions: Mapping[str, Function], interval: str | None) -> Schedule:
    """The schedule of the functions; where they give several values, each is that of one group.

    Raises:
        ConfigError: a function fails at the start of the run, gives no numbers, or more of them than another does.
    """
    first = {name: call_function(name, function, 0) for name, function in functions.items()}
    count = max(map(len, first.values()))
    if {len(values) for values in first.values()} - {1, count}:
        told = ", ".join(f"{name} {len(values)}" for name, values in first.items())
        raise ConfigError(f"the functions give different numbers of values: {told}")
    groups = []
    for index in range(count):
        rules: dict[str, Rule] = {
            name: partial(sample_trajectory, name, function, index if len(first[name]) > 1 else 0, interval)
            for name, function in functions.items()
        }
        initial = {name: float(values[index % len(values)]) for name, values in first.items()}
        groups.append(Group(f"group {index}" if count > 1 else "all parameters", initial, rules=rules))
    return Schedule(tuple(groups))


def sample_trajectory(name: str, function: Function, index: int, interval: str | None, clock: Clock) -> Trajectory:
    """One value of a function over the run."""
    width = (clock.steps_per_epoch or clock.steps) if interval == "epoch" else 1
    unit = 1 if interval else clock.steps

    def value(tick: int) -> float:
        return float(call_function(name, function, tick / unit if unit > 1 else tick)[index])

    return follow_function(elementwise(value), clock, width=width)


def call_function(name: str, function: Function, argument: float) -> Values:
    """What a function gives, as a row of numbers.

    Raises:
        ConfigError: it fails, or gives something else.
    """
    with users_code(f"the function for {name}, called with {argument:g},"):
        return np.atleast_1d(np.asarray(function(argument), np.float64))
