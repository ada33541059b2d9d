"""The user's optimizers and schedulers as a schedule: which acts on which, and what their steps are counted in.

A scheduler is bare, or in a dict as Lightning has it: {"scheduler": scheduler, "interval": "step", "frequency": 2}.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

from classlens.adapters.python import kinds
from classlens.adapters.python.kinds import Thing, is_dataset, is_module, is_scheduler, is_transform
from classlens.errors import ConfigError, NotFound
from classlens.schedule.schedule import Schedule
from classlens.user_code import summary, users_code

CONFIGURATION = {"scheduler", "interval", "frequency", "monitor", "strict", "name", "reduce_on_plateau"}
"""The keys of a scheduler's dict. How a metric is called decides nothing here."""


def schedule_of(
    optimizers: Sequence[Thing], schedulers: Sequence[Thing], interval: str | None = None, *, frequency: int = 1
) -> Schedule:
    """The schedule of all optimizers, each with the schedulers that are made for it; several have groups of their own.

    `interval` is what the training loop calls `scheduler.step()` after, "step" or "epoch", where a scheduler does not
    say it itself, and `frequency` after how many of these; by default it is what the scheduler is made for.

    Raises:
        ConfigError: `interval` is something else, or schedulers are of an unknown kind or undo what others do.
    """
    from classlens.adapters.torch_schedule import Stepping, made_for, members_of, schedule_alone, schedule_together

    steppings: dict[int, Stepping] = {}
    for settings in map(configuration, schedulers):
        held, often = settings["scheduler"], settings.get("frequency", frequency)
        for one in held if isinstance(held, (list, tuple)) else [held]:
            steppings[id(one)] = Stepping(one, settings.get("interval", interval) or made_for(one), often)
    for each in list(steppings.values()):
        for member in members_of(each.scheduler):  # is stepped by the one around it
            steppings.pop(id(member), None)
    owners = {id(one.param_groups): one for one in optimizers}
    owned: dict[int, list[Stepping]] = {place: [] for place in owners}
    for each in steppings.values():
        # What wraps an optimizer shares its groups.
        place = id(getattr(each.scheduler.optimizer, "param_groups", None))
        owned.setdefault(place, []).append(each)
    parts = [schedule_together(those) if those else schedule_alone(owners[place]) for place, those in owned.items()]
    if len(parts) == 1:
        return parts[0]
    groups = (
        replace(group, name=f"optimizer {place}, {group.name}", rules={**part.rules, **group.rules})
        for place, part in enumerate(parts)
        for group in part.groups
    )
    return Schedule(
        tuple(groups),
        notes=tuple(f"optimizer {place}: {note}" for place, part in enumerate(parts) for note in part.notes),
    )


def configuration(scheduler: Thing) -> Mapping[str, Thing]:
    return scheduler if isinstance(scheduler, Mapping) else {"scheduler": scheduler}


def is_configuration(thing: Thing) -> bool:
    """Whether a dict is that of a scheduler, or of a list of them."""
    if not isinstance(thing, Mapping) or "scheduler" not in thing or set(thing) - CONFIGURATION:
        return False
    held = thing["scheduler"]
    return all(map(is_scheduler, held if isinstance(held, (list, tuple)) else [held]))


def flatten(key: str, given: Thing) -> list[tuple[str, Thing]]:
    """The members of nested dicts, lists and tuples, each with the key that it stands under.

    A list of transforms or functions is one thing: a pipeline. So is a scheduler with its interval.
    """
    if is_configuration(given):
        return [(key, given)]
    if isinstance(given, Mapping):
        return [pair for name, value in given.items() if name != "monitor" for pair in flatten(str(name), value)]
    if isinstance(given, list) and given and all(map(is_step, given)):
        return [(key, given)]
    if isinstance(given, (list, tuple)):
        return [pair for value in given for pair in flatten(key, value)]
    return [(key, given)]


def is_step(thing: Thing) -> bool:
    """A transform of any framework, or something callable that could be one."""
    other = inspect.isclass(thing) or is_module(thing) or is_dataset(thing)
    return is_transform(thing) or (callable(thing) and not other)


LOADERS: Mapping[str, tuple[str, Literal["fit", "test"]]] = {
    "train": ("train_dataloader", "fit"),
    "val": ("val_dataloader", "fit"),
    "test": ("test_dataloader", "test"),
}
"""Split -> the hook that gives its loader, and the stage that `setup` is called for before."""


def is_lightning(thing: Thing) -> bool:
    return kinds.is_module(thing) and callable(getattr(thing, "configure_optimizers", None))


def is_data_module(thing: Thing) -> bool:
    return callable(getattr(thing, "train_dataloader", None)) and not kinds.is_module(thing)


def schedule_of_module(module: Thing) -> Schedule:
    """The schedule that `configure_optimizers` asks for, with remarks where Lightning's habit may not be what is meant.

    Raises:
        ConfigError: it needs a trainer, fails, or returns what Lightning does not take.
    """
    from classlens.adapters.torch_schedule import made_for

    name = f"{type(module).__name__}.configure_optimizers"
    optimizers, schedulers = call_configure_optimizers(module, name)
    by_itself = getattr(module, "automatic_optimization", True)
    for one in schedulers:
        check_scheduler(one, optimizers, name, by_itself=by_itself)
    schedule = schedule_of(optimizers, schedulers, "epoch")
    notes = [
        f'{type(one["scheduler"]).__name__} is made for steps, and Lightning steps it once an epoch: say "interval": "step"'
        for one in schedulers
        if made_for(one["scheduler"]) == "step" and one.get("interval", "epoch") == "epoch"
    ]
    if schedulers and not by_itself:
        notes = [
            "optimization is manual: the module's own code steps the schedulers, after epochs if nothing else is said"
        ]
    return replace(schedule, notes=(*schedule.notes, *notes))


def check_scheduler(given: Mapping[str, Thing], optimizers: Sequence[Thing], name: str, *, by_itself: bool) -> None:
    """Refuse a scheduler at which Lightning stops; `by_itself` says that Lightning steps it.

    Raises:
        ConfigError: it is one.
    """
    scheduler: Thing = given.get("scheduler")
    kind = type(scheduler).__name__
    if not kinds.is_scheduler(scheduler):
        raise ConfigError(
            f"{name} gives a {kind} where Lightning takes one scheduler",
            hint="several are [optimizer], [scheduler, scheduler]",
        )
    if all(scheduler.optimizer is not optimizer for optimizer in optimizers):
        raise ConfigError(f"{name}: {kind} is made for an optimizer that is not returned")
    if by_itself and kind == "ReduceLROnPlateau" and not given.get("monitor"):
        raise ConfigError(
            f"{name}: {kind} needs a metric to look at", hint='say "monitor": "val_loss" beside the scheduler'
        )


def call_configure_optimizers(module: Thing, name: str) -> tuple[list[Thing], list[Mapping[str, Thing]]]:
    """The optimizers and schedulers that `configure_optimizers` returns, in any of the forms that Lightning allows.

    Those are an optimizer, a list of them, a list of optimizers and one of schedulers, a dict with "optimizer" and
    "lr_scheduler", and a tuple of such dicts; a scheduler may itself be a dict with "interval" and "frequency".

    Raises:
        ConfigError: it needs a trainer, fails, or returns something else.
    """
    try:
        with users_code(name):
            given = module.configure_optimizers()
    except ConfigError as error:
        cause = error.__cause__
        if cause is None or "trainer" not in str(cause).casefold():
            raise
        raise ConfigError(
            f"{name} cannot be called outside training: {summary(cause)}",
            hint="let py: point at a function that returns (optimizer, scheduler)",
        ) from error
    optimizers, schedulers = split_returned(given)
    if not optimizers or not all(map(kinds.is_optimizer, optimizers)):
        what = type(given).__name__ + (
            f" of {describe_types(given)}" if isinstance(given, (list, tuple, Mapping)) else ""
        )
        raise ConfigError(
            f"{name} returns a {what}, and Lightning takes no such thing",
            hint='return {"optimizer": optimizer, "lr_scheduler": scheduler}, or [optimizer], [scheduler, ...]',
        )
    return optimizers, [configuration(one) for one in schedulers if one is not None]


def split_returned(given: Thing) -> tuple[list[Thing], list[Thing]]:
    """The optimizers and the schedulers in what was returned, without a look at what they are."""
    if isinstance(given, Mapping):
        scheduler, monitor = given.get("lr_scheduler"), given.get("monitor")
        bare = scheduler is not None and not isinstance(scheduler, Mapping)
        return [given.get("optimizer")], [{"scheduler": scheduler, "monitor": monitor} if bare else scheduler]
    if not isinstance(given, (list, tuple)):
        return [given], []
    if len(given) == 2 and isinstance(given[0], (list, tuple)):
        optimizers, schedulers = given
        return list(optimizers), list(schedulers) if isinstance(schedulers, (list, tuple)) else [schedulers]
    if all(isinstance(one, Mapping) for one in given):
        return [one.get("optimizer") for one in given], [one.get("lr_scheduler") for one in given]
    return list(given), []


def describe_types(given: Thing) -> str:
    members = given.values() if isinstance(given, Mapping) else given
    return ", ".join(type(one).__name__ for one in members) or "nothing"


def load_loader(module: Thing, split: str) -> Thing:
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
