"""Schedules by name, without a config: `schedule:timm.cosine(lr=1e-3, epochs=300, steps_per_epoch=1252, ...)`.

The name says whose rule it is: `torch.StepLR` (torch.optim.lr_scheduler), `timm.cosine` (create_scheduler_v2) or
`hf.linear` (transformers.get_scheduler). Arguments are those of that package; lr, momentum, weight_decay, epochs,
steps_per_epoch, steps and every ("step" or "epoch") are for the run, and for the scheduler as well if it takes one of
that name. They are read as Python literals, and nothing is evaluated;
`torch.SequentialLR` and `torch.ChainedScheduler` take `schedulers=[LinearLR(total_iters=5), ...]`.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch.optim import lr_scheduler

from classlens.adapters import Options
from classlens.adapters.torch_schedule import schedule_of
from classlens.config.settings import Settings
from classlens.errors import ConfigError, NotFound
from classlens.schedule.schedule import Clock, Schedule
from classlens.sharing import unwarned
from classlens.source import Plan, Source
from classlens.user_code import users_code

RUN = ("lr", "momentum", "weight_decay", "epochs", "steps_per_epoch", "steps", "every")
LENGTHS = {
    "num_training_steps": "steps", "total_steps": "steps", "num_epochs": "epochs", "updates_per_epoch": "steps_per_epoch",
}  # fmt: skip
"""What a scheduler's own arguments say about the length of the run, where the run's do not."""

TIMM = ("cosine", "tanh", "step", "multistep", "poly", "wsd", "rsqrt", "constant", "plateau")
"""The names of create_scheduler_v2 that stand for a rule."""

EXAMPLE = "e.g. schedule:torch.StepLR(step_size=30, lr=0.1, epochs=90, steps_per_epoch=5005)"


@dataclass(frozen=True)
class Part:
    """A scheduler and its arguments; one inside another is written without a package: `LinearLR(total_iters=5)`."""

    name: str
    settings: Settings


def open_named(rest: str, options: Options) -> Source:
    """Offer the schedule that an address spells out."""
    try:
        call = ast.parse(rest, mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute) or call.args:
            raise ValueError("not a call of package.name with keywords")
        package, part = ast.unparse(call.func.value), read_call(call, call.func.attr)
    except (SyntaxError, ValueError) as error:
        raise ConfigError(f"schedule:{rest} cannot be read: {error}", hint=EXAMPLE) from error
    if package not in MAKERS:
        raise NotFound("package of schedules", package, MAKERS)
    settings = {key: value for key, value in part.settings.items() if key not in RUN}
    run = {key: value for key, value in part.settings.items() if key in RUN}
    # What is said of the run beside the address holds for the scheduler as well, or its curve would end early or late.
    beside = {name: value for name in LENGTHS.values() if (value := getattr(options.run, name)) is not None}
    run |= beside
    if "epochs" in beside and "steps" not in beside and "steps_per_epoch" in run:
        run.pop("steps", None)
    if "steps" not in run and not {"epochs", "steps_per_epoch"} <= set(run):
        run = {**{LENGTHS[key]: value for key, value in settings.items() if key in LENGTHS}, **run}
    counts = [run.get(name) for name in ("epochs", "steps_per_epoch", "steps")]
    try:
        if (odd := next((count for count in counts if not isinstance(count, int | None)), None)) is not None:
            raise ValueError(f"a run is counted in whole numbers, not {odd!r}")
        if run.get("every") not in (None, "step", "epoch"):
            raise ValueError(f"every is 'step' or 'epoch', not {run['every']!r}")
        epochs, epoch, steps = counts
        clock = Clock(epochs, epoch) if steps is None else Clock.of_steps(steps, epoch)
    except ValueError as error:
        hint = f"say steps=, or epochs= and steps_per_epoch=; {EXAMPLE}"
        raise ConfigError(f"schedule:{rest}: {error}", hint=hint) from error
    make = partial(MAKERS[package], Part(part.name, settings), run, clock)
    return Source(f"schedule:{rest}", open_schedule=make, plan=Plan(lambda size, gpus: clock))


def read_call(call: ast.Call, name: str) -> Part:
    return Part(name, {str(word.arg): read_literal(word.value) for word in call.keywords})


def read_literal(node: ast.expr) -> Any:  # noqa: ANN401 - any literal
    """A literal, or the schedulers of a SequentialLR or ChainedScheduler."""
    if isinstance(node, ast.List | ast.Tuple):
        return [read_literal(each) for each in node.elts]
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute) and not node.args:
        return read_call(node, node.func.id if isinstance(node.func, ast.Name) else node.func.attr)
    return ast.literal_eval(node)


def of_torch(part: Part, run: Settings, clock: Clock) -> Schedule:
    """A class of torch.optim.lr_scheduler, stepped after what it is made for unless `every` says otherwise."""
    scheduler = torch_scheduler(part, optimizer_of(run, part.settings), run)
    return schedule_of(scheduler, every=run.get("every", None if clock.by_epoch else "step"))


def torch_scheduler(part: Part, optimizer: torch.optim.Optimizer, run: Settings) -> Any:  # noqa: ANN401 - torch's plateau and chain are no LRScheduler
    """A scheduler of torch, with those inside it; each takes what is said of the run if it has an argument for it."""
    check_name("torch", part.name, [name for name in lr_scheduler.__all__ if name != "LRScheduler"])
    kind = getattr(lr_scheduler, part.name)
    takes = inspect.signature(kind).parameters
    length = {**run, "total_steps": run["steps"]} if "steps" in run else run
    settings = {**{name: value for name, value in length.items() if name in takes}, **part.settings}
    if "schedulers" in settings:
        parts = settings["schedulers"]
        if not isinstance(parts, list) or not all(isinstance(each, Part) for each in parts):
            raise ConfigError(
                f"{part.name}: schedulers is a list such as [LinearLR(total_iters=5), StepLR(step_size=30)]"
            )
        settings["schedulers"] = [torch_scheduler(each, optimizer, run) for each in parts]
    return build(part.name, kind, optimizer, settings)


def of_timm(part: Part, run: Settings, clock: Clock) -> Schedule:
    """A name of timm's create_scheduler_v2; rates move after epochs unless `every="step"`."""
    with users_code("schedule:timm"):
        from timm.scheduler import create_scheduler_v2
    check_name("timm", part.name, TIMM)
    by_step = run.get("every", "epoch" if clock.by_epoch else "step") == "step"
    length = {"num_epochs": clock.epochs or 1, "updates_per_epoch": clock.steps_per_epoch or clock.steps}
    settings = {"sched": part.name, **length, "step_on_epochs": not by_step, **part.settings}
    return schedule_of(build(part.name, create_scheduler_v2, optimizer_of(run, part.settings), settings)[0])


def of_transformers(part: Part, run: Settings, clock: Clock) -> Schedule:
    """A name of transformers.get_scheduler; it counts steps unless `every="epoch"`."""
    with users_code("schedule:hf"):
        from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, get_scheduler
    check_name("transformers", part.name, [str(getattr(each, "value", each)) for each in TYPE_TO_SCHEDULER_FUNCTION])
    every, takes = run.get("every"), inspect.signature(get_scheduler).parameters
    length = {"num_warmup_steps": 0, "num_training_steps": (clock.epochs or 1) if every == "epoch" else clock.steps}
    own = {key: value for key, value in part.settings.items() if key in takes}
    extra = {key: value for key, value in part.settings.items() if key not in takes}
    extra |= own.pop("scheduler_specific_kwargs", {})
    settings = {"name": part.name, **length, **own, "scheduler_specific_kwargs": extra}
    return schedule_of(build(part.name, get_scheduler, optimizer_of(run, part.settings), settings), every=every)


def optimizer_of(run: Settings, settings: Settings) -> torch.optim.Optimizer:
    """An optimizer of one weight that starts with the run's values."""
    values = {name: run[name] for name in ("momentum", "weight_decay") if name in run}
    with users_code("SGD refuses the values of the run"):
        optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=run.get("lr", 0.1), **values)
    if "last_epoch" in settings:
        optimizer.param_groups[0]["initial_lr"] = optimizer.param_groups[0]["lr"]  # asked for by what is resumed
    return optimizer


def check_name(package: str, name: str, known: Sequence[str]) -> None:
    if name not in known:
        raise NotFound(f"scheduler of {package}", name, known)


def build(name: str, make: Callable[..., Any], optimizer: torch.optim.Optimizer, settings: Settings) -> Any:  # noqa: ANN401
    # What a package warns of its own rule is not the reader's business.
    with unwarned(), users_code(f"{name} refuses its arguments"):
        return make(optimizer=optimizer, **settings)


MAKERS: Mapping[str, Callable[[Part, Settings, Clock], Schedule]] = {
    "torch": of_torch,
    "timm": of_timm,
    "hf": of_transformers,
}
