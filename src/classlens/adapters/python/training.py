"""The user's optimizers and schedulers as a schedule: which acts on which, and what their steps are counted in.

A scheduler is bare, or in a dict as Lightning has it: {"scheduler": scheduler, "interval": "step", "frequency": 2}.
"""

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace

from classlens.adapters.python.kinds import Thing, is_dataset, is_module, is_scheduler, is_transform
from classlens.adapters.stepping import Stepping, made_for, members_of
from classlens.schedule.schedule import Group, Schedule

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
    from classlens.adapters.torch_schedule import scheduled_together, unscheduled

    steppings = {
        id(each.scheduler): each
        for given in schedulers
        for each in steppings_of(configuration(given), interval, frequency)
    }
    for each in list(steppings.values()):
        for member in members_of(each.scheduler):  # is stepped by the one around it
            steppings.pop(id(member), None)
    owners = {id(one.param_groups): one for one in optimizers}
    owned: dict[int, list[Stepping]] = {place: [] for place in owners}
    for each in steppings.values():
        # What wraps an optimizer shares its groups.
        place = id(getattr(each.scheduler.optimizer, "param_groups", None))
        owned.setdefault(place, []).append(each)
    parts = [scheduled_together(those) if those else unscheduled(owners[place]) for place, those in owned.items()]
    if len(parts) == 1:
        return parts[0]
    groups = (named(group, part, place) for place, part in enumerate(parts) for group in part.groups)
    return Schedule(
        tuple(groups),
        notes=tuple(f"optimizer {place}: {note}" for place, part in enumerate(parts) for note in part.notes),
    )


def named(group: Group, schedule: Schedule, place: int) -> Group:
    """A group of one of several optimizers, with the rules of its own schedule."""
    return replace(group, name=f"optimizer {place}, {group.name}", rules={**schedule.rules, **group.rules})


def configuration(scheduler: Thing) -> Mapping[str, Thing]:
    """A scheduler in the dict that Lightning calls its configuration."""
    return scheduler if isinstance(scheduler, Mapping) else {"scheduler": scheduler}


def steppings_of(given: Mapping[str, Thing], interval: str | None, frequency: int) -> list[Stepping]:
    """When the schedulers of a configuration are stepped."""
    held = given["scheduler"]
    return [
        Stepping(one, given.get("interval", interval) or made_for(one), given.get("frequency", frequency))
        for one in (held if isinstance(held, (list, tuple)) else [held])
    ]


def is_configuration(thing: Thing) -> bool:
    """Whether a dict is that of a scheduler, or of a list of them."""
    if not isinstance(thing, Mapping) or "scheduler" not in thing or set(thing) - CONFIGURATION:
        return False
    held = thing["scheduler"]
    return all(map(is_scheduler, held if isinstance(held, (list, tuple)) else [held]))


def flat(key: str, given: Thing) -> list[tuple[str, Thing]]:
    """The members of nested dicts, lists and tuples, each with the key that it stands under.

    A list of transforms or functions is one thing: a pipeline. So is a scheduler with its interval.
    """
    if is_configuration(given):
        return [(key, given)]
    if isinstance(given, Mapping):
        return [pair for name, value in given.items() if name != "monitor" for pair in flat(str(name), value)]
    if isinstance(given, list) and given and all(map(is_step, given)):
        return [(key, given)]
    if isinstance(given, (list, tuple)):
        return [pair for value in given for pair in flat(key, value)]
    return [(key, given)]


def is_step(thing: Thing) -> bool:
    """A transform of any framework, or something callable that could be one."""
    other = inspect.isclass(thing) or is_module(thing) or is_dataset(thing)
    return is_transform(thing) or (callable(thing) and not other)
