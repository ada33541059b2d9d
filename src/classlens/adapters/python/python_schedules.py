"""Schedules in the user's objects: optimizers with their schedulers, Lightning modules, functions of the position.

A scheduler is bare, or in a dict as Lightning has it: {"scheduler": scheduler, "interval": "step", "frequency": 2}.

Functions are as fastai writes them: f(position in the run, 0..1) -> value, or one value per group. `{"lr": f,
"momentum": g}` names them; a `ParamScheduler` of fastai, and what its `combined_cos`, `SchedCos` and `combine_scheds`
return, are known by themselves. With `interval` "step" or "epoch" the function is given that number.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np

from classlens.adapters import RunLength
from classlens.adapters.python.kinds import ACCELERATED, OPTIMIZER, Thing, bases_of, is_scheduler
from classlens.errors import ConfigError, describe_error
from classlens.schedule.schedule import (
    Accumulation,
    Clock,
    Group,
    Rule,
    Schedule,
    Trajectory,
    Values,
    called_at_updates,
    elementwise,
    follow_function,
)
from classlens.user_code import users_code


def schedule_of_optimizers(
    optimizers: Sequence[Thing], schedulers: Sequence[Thing], interval: str | None = None, *, frequency: int = 1
) -> Schedule:
    """The schedule of all optimizers, each with the schedulers that are made for it; several have groups of their own.

    Where a scheduler does not say it itself, `interval` and `frequency` are what it is stepped after, and how often.
    """
    from classlens.adapters.torch_schedule import Stepping, made_for, members_of, schedule_alone, schedule_together

    wrapped = [one for one in schedulers if ACCELERATED in bases_of(one)]
    if wrapped:
        bare = [{"scheduler": one.scheduler, "interval": "step"} if one in wrapped else one for one in schedulers]
        return step_like_accelerate(schedule_of_optimizers(optimizers, bare, interval, frequency=frequency), wrapped[0])
    steppings: dict[int, Stepping] = {}
    for settings in map(configuration_of, schedulers):
        inside, often = settings["scheduler"], settings.get("frequency", frequency)
        for one in inside if isinstance(inside, (list, tuple)) else [inside]:
            steppings[id(one)] = Stepping(one, settings.get("interval", interval) or made_for(one), often)
    for each in list(steppings.values()):
        for member in members_of(each.scheduler):  # is stepped by the one around it
            steppings.pop(id(member), None)
    owners = {id(one.param_groups): one for one in optimizers}
    by_owner: dict[int, list[Stepping]] = {place: [] for place in owners}
    for each in steppings.values():
        # What wraps an optimizer shares its groups.
        place = id(getattr(each.scheduler.optimizer, "param_groups", None))
        by_owner.setdefault(place, []).append(each)
    parts = [schedule_together(those) if those else schedule_alone(owners[place]) for place, those in by_owner.items()]
    if len(parts) == 1:
        return parts[0]
    groups = (
        replace(group, name=f"optimizer {place}, {group.name}", rules={**part.rules, **group.rules})
        for place, part in enumerate(parts)
        for group in part.groups
    )
    notes = (f"optimizer {place}: {note}" for place, part in enumerate(parts) for note in part.notes)
    length = next((part.length for part in parts if part.length is not None), None)
    return Schedule(tuple(groups), notes=tuple(notes), length=length)


def step_like_accelerate(schedule: Schedule, scheduler: Thing) -> Schedule:
    """The schedule as accelerate's wrapper steps it: at updates only, and, unless it splits batches, once for each process.

    OneCycleLR, which knows its `total_steps`, is not stepped any more after them.
    """
    if not scheduler.step_with_optimizer:
        return schedule
    state, most = scheduler.gradient_state, getattr(scheduler.scheduler, "total_steps", None)
    summed = Accumulation(state.num_steps, flushes=bool(state.sync_with_dataloader))
    often, end = (lambda clock: 1 if scheduler.split_batches else clock.gpus), None if most is None else most - 1
    groups = tuple(
        replace(group, rules={name: called_at_updates(rule, often, end) for name, rule in group.rules.items()})
        for group in schedule.groups
    )
    rules = {name: called_at_updates(rule, often, end) for name, rule in schedule.rules.items()}
    times = "once" if scheduler.split_batches else "once for each process (--ngpus N)"
    notes = (*schedule.notes, f"accelerate steps the scheduler {times} at every update of the optimizer")
    if summed.batches > 1:
        notes = (*notes, f"gradients of {summed.batches} steps are summed before each update")
    length = schedule.length and replace(schedule.length, count=schedule.length.count * summed.batches)
    return replace(schedule, groups=groups, rules=rules, notes=notes, length=length, accumulation=summed)


def configuration_of(scheduler: Thing) -> Mapping[str, Thing]:
    return scheduler if isinstance(scheduler, Mapping) else {"scheduler": scheduler}


LENGTHS_OF_TRAINERS = 5  # what a trainer is asked for that nobody knows if nobody says how long the run is


class StandInTrainer:
    """What a Lightning module may ask of its trainer before training: the length of the run, in one process, plain.

    A class, because it answers what it is asked for, and notes it.
    """

    def __init__(self, run: RunLength, data_module: Thing, name: str) -> None:
        self.name = name
        self.asked: list[str] = []
        epochs, batches, steps = run.epochs, run.steps_per_epoch, run.steps
        max_epochs = -1 if epochs is None and steps is not None else epochs
        total = None if epochs is None or batches is None else epochs * batches
        lengths = {
            "max_epochs": max_epochs,
            "max_steps": steps or (None if epochs is None else -1),
            "num_training_batches": batches,
            "estimated_stepping_batches": steps or total,
            "train_dataloader": None if batches is None else range(batches),  # it is asked for its length
        }
        values: dict[str, Thing] = {
            "accumulate_grad_batches": 1,
            "current_epoch": 0,
            "global_step": 0,
            "num_nodes": 1,
            "global_rank": 0,
        }
        values |= {"local_rank": 0, "limit_train_batches": 1.0, "check_val_every_n_epoch": 1, "val_check_interval": 1.0}
        values |= {"world_size": run.gpus, "num_devices": run.gpus, "min_epochs": None, "min_steps": None}
        values |= {"is_global_zero": True, "training": True, "fast_dev_run": False, "overfit_batches": 0.0}
        values |= {"datamodule": data_module, "logger": None, "loggers": [], "callbacks": [], "callback_metrics": {}}
        loop = SimpleNamespace(
            setup_data=lambda: self.asked.append("estimated_stepping_batches"), max_epochs=max_epochs
        )
        self.values = {**values, **lengths, "fit_loop": loop}
        self.unknown = {name for name, value in lengths.items() if value is None}

    def __getattr__(self, name: str) -> Thing:
        if name not in self.values:
            raise AttributeError(f"the stand-in for the trainer has no {name!r}")
        if name in self.unknown:
            hint = "say --epochs N --epoch-length N, in steps of the optimizer"
            raise ConfigError(f"{self.name} asks for trainer.{name}, and nothing says how long the run is", hint=hint)
        self.asked.append(name)
        return self.values[name]


@contextmanager
def lend_trainer(module: Thing, trainer: StandInTrainer) -> Iterator[None]:
    """Let a module of Lightning that has no trainer ask a stand-in, if anything is known of the run."""
    is_lent = getattr(module, "_trainer", True) is None and len(trainer.unknown) < LENGTHS_OF_TRAINERS
    if is_lent:
        module.trainer = trainer
    try:
        yield
    finally:
        if is_lent:
            module.trainer = None


def schedule_of_module(module: Thing, run: RunLength, data_module: Thing) -> Schedule:
    """The schedule that Lightning's `configure_optimizers` asks for, with notes where its habit may not be what is meant."""
    from classlens.adapters.torch_schedule import made_for

    name = f"{type(module).__name__}.configure_optimizers"
    trainer = StandInTrainer(run, data_module, name)
    with lend_trainer(module, trainer):
        optimizers, schedulers = call_configure_optimizers(module, name)
    automatic = getattr(module, "automatic_optimization", True)
    notes = ["what it asks of its trainer is answered for this run, without accumulation"] if trainer.asked else []
    batches, counting = "num_training_batches", "estimated_stepping_batches"  # the latter loads the data
    if batches in trainer.asked and counting not in trainer.asked[: trainer.asked.index(batches)]:
        notes.append(f"Lightning answers {batches} with inf until the data are set up: ask for {counting} before it")
    for settings in schedulers:
        scheduler: Thing = settings.get("scheduler")
        kind = type(scheduler).__name__
        if not is_scheduler(scheduler):
            hint = "several are [optimizer], [scheduler, scheduler]"
            raise ConfigError(f"{name} gives a {kind} where Lightning takes one scheduler", hint=hint)
        if all(scheduler.optimizer is not optimizer for optimizer in optimizers):
            raise ConfigError(f"{name}: {kind} is made for an optimizer that is not returned")
        if automatic and kind == "ReduceLROnPlateau" and not settings.get("monitor"):
            hint = 'say "monitor": "val_loss" beside the scheduler'
            raise ConfigError(f"{name}: {kind} needs a metric to look at", hint=hint)
        if automatic and made_for(scheduler) == "step" and settings.get("interval", "epoch") == "epoch":
            notes.append(f'{kind} is made for steps, and Lightning steps it once an epoch: say "interval": "step"')
    if schedulers and not automatic:
        notes += ["optimization is manual: the module's own code steps the schedulers, after epochs if it says nothing"]
    schedule = schedule_of_optimizers(optimizers, schedulers, "epoch")
    return replace(schedule, notes=(*schedule.notes, *notes))


def call_configure_optimizers(module: Thing, name: str) -> tuple[list[Thing], list[Mapping[str, Thing]]]:
    """The optimizers and schedulers that `configure_optimizers` returns, in any of the forms that Lightning allows.

    Those are an optimizer, a list of them, a list of optimizers and one of schedulers, a dict with "optimizer" and
    "lr_scheduler", and a tuple of such dicts; a scheduler may itself be a dict with "interval" and "frequency".
    """
    try:
        with users_code(name):
            returned = module.configure_optimizers()
    except ConfigError as error:
        cause = error.__cause__
        if cause is None or "trainer" not in str(cause).casefold():
            raise
        hint = "say --epochs N --epoch-length N, or let py: point at a function that returns (optimizer, scheduler)"
        raise ConfigError(f"{name} cannot be called outside training: {describe_error(cause)}", hint=hint) from error
    rows = list(returned) if isinstance(returned, (list, tuple)) else [returned]
    optimizers, schedulers = rows, []
    if len(rows) == 2 and isinstance(rows[0], (list, tuple)):
        optimizers = list(rows[0])
        schedulers = list(rows[1]) if isinstance(rows[1], (list, tuple)) else [rows[1]]
    elif all(isinstance(row, Mapping) for row in rows):
        optimizers = [row.get("optimizer") for row in rows]
        schedulers = [row.get("lr_scheduler") for row in rows]
        if isinstance(returned, Mapping) and "monitor" in returned and is_scheduler(schedulers[0]):
            schedulers = [{"scheduler": schedulers[0], "monitor": returned["monitor"]}]
    if not optimizers or not all(OPTIMIZER in bases_of(one) for one in optimizers):
        what = type(returned).__name__
        if isinstance(returned, (list, tuple, Mapping)):
            inside = returned.values() if isinstance(returned, Mapping) else returned
            what += f" of {', '.join(type(one).__name__ for one in inside) or 'nothing'}"
        hint = 'return {"optimizer": optimizer, "lr_scheduler": scheduler}, or [optimizer], [scheduler, ...]'
        raise ConfigError(f"{name} returns a {what}, and Lightning takes no such thing", hint=hint)
    return optimizers, [configuration_of(one) for one in schedulers if one is not None]


NAMES: Mapping[str, str] = {
    "lr": "lr", "lrs": "lr", "mom": "momentum", "moms": "momentum", "momentum": "momentum",
    "wd": "weight_decay", "weight_decay": "weight_decay",
}  # fmt: skip
"""What the values are called, by the key that a function stands under."""

FASTAI = "fastai.callback.schedule"

Function = Callable[[float], Thing]


def find_functions(key: str, thing: Thing) -> Mapping[str, Function]:
    """The functions that an object stands for, by the value that they set; none if it is something else."""
    inside = getattr(thing, "scheds", None)
    if type(thing).__module__ == FASTAI and isinstance(inside, Mapping):
        return {NAMES.get(name, name): function for name, function in inside.items()}
    fastai = FASTAI in (type(thing).__module__, getattr(thing, "__module__", ""))
    name = NAMES.get(key, "lr" if fastai else "")
    return {name: thing} if name and callable(thing) else {}


def schedule_of_functions(functions: Mapping[str, Function], interval: str | None) -> Schedule:
    """The schedule of the functions; where they give several values, each is that of one group."""
    first = {name: call_function(name, function, 0) for name, function in functions.items()}
    count = max(map(len, first.values()))
    if {len(values) for values in first.values()} - {1, count}:
        counts = ", ".join(f"{name} {len(values)}" for name, values in first.items())
        raise ConfigError(f"the functions give different numbers of values: {counts}")
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
    width = (clock.steps_per_epoch or clock.steps) if interval == "epoch" else 1

    def value(tick: int) -> float:
        return float(call_function(name, function, tick if interval else tick / clock.steps)[index])

    return follow_function(elementwise(value), clock, width=width)


def call_function(name: str, function: Function, argument: float) -> Values:
    with users_code(f"the function for {name}, called with {argument:g},"):
        return np.atleast_1d(np.asarray(function(argument), np.float64))
