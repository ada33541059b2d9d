"""Where a checkpoint would let a run go on: its step, and the learning rates that it brings along.

Read as any checkpoint is, without running what is in it. Trainers keep this in different places: mmengine in `meta` and
`param_schedulers`, Lightning as `global_step` and `lr_schedulers`, timm as `epoch` beside its optimizer, transformers in
files beside each other, and scripts where they like.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

from classlens.checkpoints.download import find_checkpoint
from classlens.errors import DataError, NotOffered
from classlens.files import read_regular
from classlens.logs.training_logs import is_count, is_number
from classlens.schedule.replay import Curves, Mistake
from classlens.schedule.schedule import Mark

DEEP, MOST_PARTS = 4, 10_000  # how deep a state is looked for in a checkpoint, and in how many parts
STEPS = ("global_step", "iter", "step", "iteration", "num_updates", "current_step")
COUNTERS, RATES = ("last_epoch", "last_step"), ("_last_lr", "_last_value")  # of a scheduler
FILES = ("scheduler.pt", "scheduler.bin", "optimizer.pt", "optimizer.bin")
PASSED_BY = (
    "state",
    "state_dict",
    "model",
    "log_history",
    "message_hub",
    "param_groups",
)  # weights, moments, and words


@dataclass(frozen=True)
class ResumeState:
    """What a checkpoint says of the run that it ends: finished steps or epochs, and the rate of each parameter group.

    `counter` is how often its scheduler was stepped.
    """

    path: Path
    step: int | None
    epoch: int | None
    counter: int | None
    rates: tuple[float, ...]


def read_resume_state(address: str) -> ResumeState:
    """The state of training in a checkpoint, or in the folder of one as transformers writes it.

    Raises:
        DataError: there is no such checkpoint, or it cannot be read.
        NotOffered: it holds no state of training.
    """
    from classlens.checkpoints.load_checkpoint import unpickle  # which imports torch

    if not (path := Path(address)).is_dir():
        path = find_checkpoint(address)
        whole = {} if path.suffix == ".safetensors" else unpickle(path, trust=False)
        return state_in(whole if isinstance(whole, Mapping) else {}, path)
    content: dict[str, Any] = {name: unpickle(path / name, trust=False) for name in FILES if (path / name).is_file()}
    if (place := path / "trainer_state.json").is_file():
        try:
            content["trainer"] = json.loads(read_regular(place, "list"))
        except (ValueError, RecursionError, OSError) as error:
            raise DataError(f"{place} cannot be read: {error}") from error
    return state_in(content, path)


def state_in(content: Mapping[Any, Any], path: Path) -> ResumeState:
    """The first counts and rates in a checkpoint; those of its optimizer, which trains, come before its scheduler's."""
    counts = defaultdict[str, list[Any]](list)
    for part in parts_of(content):
        if part.keys() & {*COUNTERS, "_last_lr"}:
            counts["scheduler"] += [numbers_in(next((part[key] for key in RATES if key in part), ()))]
            counts["counter"] += numbers_in([next((part[key] for key in COUNTERS if key in part), None)])
        elif isinstance(groups := part.get("param_groups"), list):
            counts["optimizer"] += [numbers_in([one.get("lr") for one in groups if isinstance(one, Mapping)])]
        else:
            counts["step"] += [part[key] for key in STEPS if is_whole(part.get(key))]
            counts["epoch"] += [part["epoch"]] if is_whole(part.get("epoch")) else []
    step, epoch, counter = (counts[name][0] if counts[name] else None for name in ("step", "epoch", "counter"))
    rates = next(filter(None, counts["optimizer"] + counts["scheduler"]), ())
    if not rates or step is epoch is counter is None:
        what = f"{path} holds no state of an optimizer or scheduler with a step"
        raise NotOffered(what, hint="it is made of weights")
    return ResumeState(path, step, epoch, None if counter is None else int(counter), tuple(rates))


def parts_of(content: Mapping[Any, Any]) -> Sequence[Mapping[Any, Any]]:
    """The mappings in a checkpoint, the outer first; what holds weights and moments is passed by."""
    parts = layer = [content]
    for _ in range(DEEP):
        values = (value for part in layer for key, value in part.items() if key not in PASSED_BY)
        listed = (islice(value, MOST_PARTS) if isinstance(value, list | tuple) else [value] for value in values)
        layer = list(islice((one for some in listed for one in some if isinstance(one, Mapping)), MOST_PARTS))
        parts = parts + layer
    return parts[:MOST_PARTS]


def numbers_in(values: object) -> list[float]:
    listed = values if isinstance(values, list | tuple) else []
    plain = [one.item() if getattr(one, "ndim", None) == 0 else one for one in listed]  # a tensor of one number
    return [float(one) for one in plain if is_number(one)]


def is_whole(value: object) -> bool:
    return isinstance(value, int) and is_count(value)


def resume_step(state: ResumeState, curves: Curves) -> int:
    """The first step after the resume; a scheduler alone is stepped after epochs if there are as many."""
    width = curves.clock.steps_per_epoch or 1
    if state.step is not None:
        return state.step
    if state.epoch is not None:
        return (state.epoch + 1) * width
    return (state.counter or 0) * (width if (state.counter or 0) <= (curves.clock.epochs or 0) else 1)


def jump_of(state: ResumeState, curves: Curves) -> tuple[str, dict[str, float]] | None:
    """How the rate differs from the schedule where the run would go on, in words and numbers; None if not, or at its end.

    A checkpoint keeps the rate of the last step or, if the scheduler was stepped before it was written, of the next one.
    Scripts count finished steps or epochs, or give the number of the last one.
    """
    step, lines = resume_step(state, curves), curves.named("lr")
    if step >= curves.clock.steps:
        return None
    width = curves.clock.steps_per_epoch or 1 if state.step is None else 1
    near = {step - 1, step, step + 1, step - width, step - width - 1, step if state.step else step + width}
    near |= {state.counter} if state.step is state.epoch is None and state.counter is not None else set()
    places = [place for place in sorted(near) if 0 <= place < curves.clock.steps]
    for number, rate in enumerate(state.rates):
        own = [lines[number]] if len(state.rates) == len(lines) else lines
        values = [float(value) for line in own for value in line.at(places)]
        if any(abs(value - rate) <= 1e-4 * abs(value) + 1e-9 for value in values):
            continue
        meant = float(own[0].at([step])[0])
        factor = f" ({meant / rate:.4g} times as much)" if rate else ""
        what = f"resumed at step {step:,}, the rate is {rate:.6g} in the checkpoint and {meant:.6g} in the schedule{factor}"
        what += "" if state.counter in (None, step) else f"; its scheduler was stepped {state.counter:,} times"
        return what, {"step": step, "checkpoint": rate, "schedule": meant, "group": number}
    return None


def mark_resume(curves: Curves, address: str) -> Curves:
    """The curves with a mark where a run would go on from a checkpoint, and the jump of its rate there, if it jumps."""
    state = read_resume_state(address)
    step, jump = resume_step(state, curves), jump_of(state, curves)
    if step >= curves.clock.steps:
        what = f"{state.path} is from step {step:,}, the run ends at {curves.clock.steps:,}"
        raise DataError(what, hint="nothing is left to train")
    mark = Mark(step, f"resumed, from a rate of {state.rates[0]:.4g}")
    moved = {one.trajectory: replace(one.trajectory, marks=(*one.trajectory.marks, mark)) for one in curves}
    lines = tuple(replace(one, trajectory=moved[one.trajectory]) for one in curves)
    mistakes = () if jump is None else (Mistake("jump at resume", jump[0], step, name="lr"),)
    return replace(curves, curves=lines, mistakes=(*curves.mistakes, *mistakes))
