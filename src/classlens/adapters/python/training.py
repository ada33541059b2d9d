"""The user's optimizer and scheduler as a schedule: which object it is read off, and what its steps are counted in."""

from collections.abc import Mapping
from typing import Literal

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.errors import ConfigError
from classlens.schedule.schedule import Schedule

BY_STEP = {"OneCycleLR", "CyclicLR"}
"""Schedulers of torch that are made to be stepped after every batch; the others are stepped after every epoch."""


def schedule_of(optimizer: Thing, scheduler: Thing, interval: str | None = None) -> Schedule:
    """The schedule of a scheduler, or of an optimizer without one.

    `interval` is what the training loop calls `scheduler.step()` after, "step" or "epoch"; if it is not said, it is
    what the scheduler is made for.

    Raises:
        ConfigError: `interval` is something else, or the scheduler is of an unknown kind.
    """
    from classlens.adapters.torch_schedule import scheduled, unscheduled

    if interval not in (None, "step", "epoch"):
        raise ConfigError(f"interval is 'step' or 'epoch', not {interval!r}")
    if scheduler is None:
        return unscheduled(optimizer)
    return scheduled(scheduler, every=made_for(scheduler) if interval is None else interval)  # type: ignore[arg-type]


def made_for(scheduler: Thing) -> Literal["step", "epoch"]:
    """What a scheduler is stepped after in the loops that its authors show."""
    lambdas = getattr(scheduler, "lr_lambdas", ())
    functions = (getattr(one, "func", one) for one in lambdas)
    ours = any(str(getattr(one, "__module__", "")).startswith("transformers.") for one in functions)
    return "step" if ours or type(scheduler).__name__ in BY_STEP else "epoch"


def configured(module: Thing) -> Mapping[str, Thing]:
    """What `configure_optimizers` of a Lightning module returns, in any of its forms, as a dict of its parts.

    With several optimizers the first one is taken.

    Raises:
        ConfigError: it needs a trainer, or returns no optimizer.
    """
    name = type(module).__name__
    try:
        given = module.configure_optimizers()
    except (RuntimeError, AttributeError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(
            f"{name}.configure_optimizers cannot be called outside training: {reason}",
            hint="let py: point at a function that returns (optimizer, scheduler)",
        ) from error
    found: dict[str, Thing] = {}
    for key, part in flat("", given):
        kind = "optimizer" if kinds.is_optimizer(part) else "scheduler" if kinds.is_scheduler(part) else key
        found.setdefault(kind, part)
    if "optimizer" not in found:
        raise ConfigError(f"{name}.configure_optimizers returns no optimizer")
    return found


def flat(key: str, given: Thing) -> list[tuple[str, Thing]]:
    """The members of nested dicts, lists and tuples, each with the key that it stands under."""
    if isinstance(given, Mapping):
        return [pair for name, value in given.items() for pair in flat(str(name), value)]
    if isinstance(given, (list, tuple)):
        return [pair for value in given for pair in flat(key, value)]
    return [(key, given)]
