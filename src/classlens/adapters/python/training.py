"""The user's optimizer and scheduler as a schedule: which object it is read off, and what its steps are counted in."""

import inspect
from collections.abc import Mapping
from typing import Literal

from classlens.adapters.python.kinds import Thing, is_dataset, is_module, is_transform
from classlens.errors import ConfigError
from classlens.schedule.schedule import Schedule

BY_STEP = {"OneCycleLR", "CyclicLR"}
"""Schedulers of torch that are made to be stepped after every batch; the others are stepped after every epoch."""


def schedule_of(optimizer: Thing, scheduler: Thing, interval: str | None = None, *, frequency: int = 1) -> Schedule:
    """The schedule of a scheduler, or of an optimizer without one.

    `interval` is what the training loop calls `scheduler.step()` after, "step" or "epoch", or every so many of them;
    if it is not said, it is what the scheduler is made for.

    Raises:
        ConfigError: `interval` is something else, or the scheduler is of an unknown kind.
    """
    from classlens.adapters.torch_schedule import scheduled, unscheduled

    if interval not in (None, "step", "epoch"):
        raise ConfigError(f"interval is 'step' or 'epoch', not {interval!r}")
    if scheduler is None:
        return unscheduled(optimizer)
    every: Thing = made_for(scheduler) if interval is None else interval
    return scheduled(scheduler, every=every, frequency=frequency)


def made_for(scheduler: Thing) -> Literal["step", "epoch"]:
    """What a scheduler is stepped after in the loops that its authors show."""
    lambdas = getattr(scheduler, "lr_lambdas", ())
    functions = (getattr(one, "func", one) for one in lambdas)
    ours = any(str(getattr(one, "__module__", "")).startswith("transformers.") for one in functions)
    return "step" if ours or type(scheduler).__name__ in BY_STEP else "epoch"


def flat(key: str, given: Thing) -> list[tuple[str, Thing]]:
    """The members of nested dicts, lists and tuples, each with the key that it stands under.

    A list of transforms or functions is one thing: a pipeline.
    """
    if isinstance(given, Mapping):
        return [pair for name, value in given.items() for pair in flat(str(name), value)]
    if isinstance(given, list) and given and all(map(is_step, given)):
        return [(key, given)]
    if isinstance(given, (list, tuple)):
        return [pair for value in given for pair in flat(key, value)]
    return [(key, given)]


def is_step(thing: Thing) -> bool:
    """A transform of any framework, or something callable that could be one."""
    other = inspect.isclass(thing) or is_module(thing) or is_dataset(thing)
    return is_transform(thing) or (callable(thing) and not other)
