"""What Lightning's modules and data modules bring with them: optimizers with their schedulers, and loaders.

The package itself is never imported: a module is whatever has `configure_optimizers`, a data module whatever has
`train_dataloader` and is no network.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing
from classlens.adapters.python.training import BY_STEP, schedule_of
from classlens.adapters.running import said, users_code
from classlens.errors import ConfigError, NotFound
from classlens.schedule.schedule import Group, Schedule

LOADERS: Mapping[str, tuple[str, Literal["fit", "test"]]] = {
    "train": ("train_dataloader", "fit"),
    "val": ("val_dataloader", "fit"),
    "test": ("test_dataloader", "test"),
}
"""Split -> the hook that gives its loader, and the stage that `setup` is called for before."""


def is_lightning(thing: Thing) -> bool:
    """A Lightning module, or anything else that brings its own optimizers."""
    return kinds.is_module(thing) and callable(getattr(thing, "configure_optimizers", None))


def is_data_module(thing: Thing) -> bool:
    """A Lightning data module, or anything else that gives loaders when asked."""
    return callable(getattr(thing, "train_dataloader", None)) and not kinds.is_module(thing)


@dataclass(frozen=True)
class Configured:
    """One optimizer and its scheduler; Lightning steps it after every `frequency` of `interval`s."""

    optimizer: Thing
    scheduler: Thing = None
    interval: Literal["step", "epoch"] = "epoch"
    frequency: int = 1


def schedule_of_module(module: Thing) -> Schedule:
    """The schedule that `configure_optimizers` asks for; with several optimizers, the groups of all of them.

    Raises:
        ConfigError: it needs a trainer, fails, or returns no optimizer.
    """
    parts = list(map(schedule_of_one, configured(module)))
    if len(parts) == 1:
        return parts[0]
    groups = (named(group, part, place) for place, part in enumerate(parts) for group in part.groups)
    return Schedule(tuple(groups), notes=tuple(dict.fromkeys(note for part in parts for note in part.notes)))


def schedule_of_one(one: Configured) -> Schedule:
    """The schedule of one optimizer, with a remark where Lightning's habit is not what its scheduler is made for."""
    schedule = schedule_of(one.optimizer, one.scheduler, one.interval, frequency=one.frequency)
    kind = type(one.scheduler).__name__
    if kind not in BY_STEP or one.interval == "step":
        return schedule
    note = f'{kind} is made for steps, and Lightning steps it once an epoch: say "interval": "step"'
    return replace(schedule, notes=(*schedule.notes, note))


def named(group: Group, schedule: Schedule, place: int) -> Group:
    """A group of one of several optimizers, with the rules of its own schedule."""
    return replace(group, name=f"optimizer {place}, {group.name}", rules={**schedule.rules, **group.rules})


def configured(module: Thing) -> list[Configured]:
    """What `configure_optimizers` returns, in any of the forms that Lightning allows.

    Those are an optimizer, a list of them, a list of optimizers and one of schedulers, a dict with "optimizer" and
    "lr_scheduler", and a tuple of such dicts; a scheduler may itself be a dict with "interval" and "frequency".

    Raises:
        ConfigError: it needs a trainer, fails, or returns no optimizer.
    """
    name = f"{type(module).__name__}.configure_optimizers"
    try:
        with users_code(name):
            given = module.configure_optimizers()
    except ConfigError as error:
        cause = error.__cause__
        if cause is None or "trainer" not in str(cause).casefold():
            raise
        raise ConfigError(
            f"{name} cannot be called outside training: {said(cause)}",
            hint="let py: point at a function that returns (optimizer, scheduler)",
        ) from error
    found = list(pairs(given))
    if not found:
        raise ConfigError(f"{name} returns no optimizer")
    return found


def pairs(given: Thing) -> Sequence[Configured]:
    """The optimizers in what was returned, each with its scheduler."""
    if kinds.is_optimizer(given):
        return [Configured(given)]
    if isinstance(given, Mapping):
        return [with_scheduler(given["optimizer"], given.get("lr_scheduler"))] if "optimizer" in given else []
    if not isinstance(given, (list, tuple)):
        return []
    if len(given) == 2 and isinstance(given[0], (list, tuple)):
        optimizers, given_schedulers = given
        schedulers = given_schedulers if isinstance(given_schedulers, (list, tuple)) else [given_schedulers]
        by_optimizer = {id(wrapped(one)["scheduler"].optimizer): one for one in schedulers}
        return [with_scheduler(one, by_optimizer.get(id(one))) for one in optimizers]
    return [pair for part in given for pair in pairs(part)]


def with_scheduler(optimizer: Thing, scheduler: Thing) -> Configured:
    """An optimizer with its scheduler, bare or in a dict that says when it is stepped."""
    if scheduler is None:
        return Configured(optimizer)
    told = wrapped(scheduler)
    return Configured(optimizer, told["scheduler"], told.get("interval", "epoch"), told.get("frequency", 1))


def wrapped(scheduler: Thing) -> Mapping[str, Thing]:
    """A scheduler in the dict that Lightning calls its configuration."""
    return scheduler if isinstance(scheduler, Mapping) else {"scheduler": scheduler}


def loader_of(module: Thing, split: str) -> Thing:
    """The loader of a split, after `setup`; nothing is downloaded, as `prepare_data` is not called.

    Raises:
        NotFound: the data module has no such split.
        ConfigError: its code fails, or gives no single loader.
    """
    name = type(module).__name__
    hook, stage = LOADERS[split]
    with users_code(f"{name}.setup({stage!r})"):
        module.setup(stage)
    try:
        with users_code(f"{name}.{hook}"):
            loader = getattr(module, hook)()
    except ConfigError as error:
        if "must be implemented" not in str(error.__cause__):
            raise
        raise NotFound("split", split, [other for other in LOADERS if other != split], where=name) from error
    if isinstance(loader, (list, tuple)) and len(loader) == 1:
        (loader,) = loader
    if not kinds.is_loader(loader):
        raise ConfigError(f"{name}.{hook} gives a {type(loader).__name__}, not one DataLoader")
    return loader
