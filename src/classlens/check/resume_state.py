"""Where a checkpoint would let a run go on: its step, and the learning rates that it brings along.

Read as any checkpoint is, without running what is in it. Trainers keep this in different places: mmengine in `meta` and
`param_schedulers`, Lightning as `global_step` and `lr_schedulers`, timm as `epoch` beside its optimizer, transformers in
files beside each other, and scripts where they like.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import islice
from math import isfinite
from pathlib import Path
from typing import Any

from classlens.checkpoints.download import find_checkpoint
from classlens.errors import DataError, NotOffered
from classlens.files import read_regular
from classlens.schedule.replay import Curves, Mistake
from classlens.schedule.schedule import Mark

DEEP, MOST_PARTS = 4, 10_000  # how deep a state is looked for in a checkpoint, and in how many parts
STEPS = ("global_step", "iter", "step", "iteration", "num_updates", "current_step")
FILES = ("scheduler.pt", "scheduler.bin", "optimizer.pt", "optimizer.bin")


@dataclass(frozen=True)
class ResumeState:
    """What a checkpoint says of the run that it ends: finished steps or epochs, and the rate of each parameter group.

    `counter` is how often its scheduler was stepped.
    """

    path: Path
    step: int | None
    epoch: int | None
    rates: tuple[float, ...]
    counter: int | None = None


@dataclass(frozen=True)
class Jump:
    """What happens at a resume, in words, at which step, and the numbers of it."""

    what: str
    step: int
    numbers: Mapping[str, Any] = field(default_factory=dict)


def read_resume_state(address: str) -> ResumeState:
    """The state of training in a checkpoint, or in the folder of one as transformers writes it.

    Raises:
        DataError: there is no such checkpoint, or it cannot be read.
        NotOffered: it holds no state of training.
    """
    folder = Path(address)
    if folder.is_dir():
        return read_folder(folder)
    from classlens.checkpoints.load_checkpoint import unpickle  # which imports torch

    path = find_checkpoint(address)
    content = {} if path.suffix == ".safetensors" else unpickle(path, trust=False)
    return state_in(content if isinstance(content, Mapping) else {}, path)


def read_folder(folder: Path) -> ResumeState:
    """A folder with trainer_state.json, scheduler.pt and optimizer.pt, or the like."""
    from classlens.checkpoints.load_checkpoint import unpickle

    content = {name: unpickle(folder / name, trust=False) for name in FILES if (folder / name).is_file()}
    place = folder / "trainer_state.json"
    if place.is_file():
        try:
            content["trainer"] = json.loads(read_regular(place, "list"))
        except (ValueError, RecursionError, OSError) as error:
            raise DataError(f"{place} cannot be read: {error}") from error
    return state_in(content, folder)


def state_in(content: Mapping[Any, Any], path: Path) -> ResumeState:
    """The first counts and rates in a checkpoint; those of its scheduler come before those of its optimizer."""
    step: int | None = None
    epoch: int | None = None
    counter: int | None = None
    by_scheduler: list[float] = []
    by_optimizer: list[float] = []
    for part in parts_of(content):
        if "last_epoch" in part or "last_step" in part or "_last_lr" in part:
            latest = part.get("_last_lr", part.get("_last_value"))
            by_scheduler = by_scheduler or numbers_in(latest)
            counts = numbers_in([part.get("last_epoch", part.get("last_step"))])
            counter = int(counts[0]) if counter is None and counts else counter
        elif isinstance(groups := part.get("param_groups"), list):
            by_optimizer = by_optimizer or numbers_in([one.get("lr") for one in groups if isinstance(one, Mapping)])
        else:
            steps = next((part[key] for key in STEPS if is_count(part.get(key))), None)
            step = steps if step is None else step
            epoch = part["epoch"] if epoch is None and is_count(part.get("epoch")) else epoch
    rates = by_optimizer or by_scheduler  # what trains counts
    if (step is None and epoch is None and counter is None) or not rates:
        raise NotOffered(
            f"{path} holds no state of an optimizer or scheduler with a step", hint="it is made of weights"
        )
    return ResumeState(path, step, epoch, tuple(rates), counter)


def parts_of(content: Mapping[Any, Any]) -> Iterator[Mapping[Any, Any]]:
    """The mappings in a checkpoint, the outer first; what holds weights and moments is passed by."""

    def walk(parts: list[Mapping[Any, Any]], depth: int) -> Iterator[Mapping[Any, Any]]:
        yield from parts
        inner: list[Mapping[Any, Any]] = []
        for part in parts:
            for key, value in part.items():
                if key in ("state", "state_dict", "model", "log_history", "message_hub", "param_groups"):
                    continue
                values = value if isinstance(value, list | tuple) else [value]
                inner += [one for one in islice(values, MOST_PARTS) if isinstance(one, Mapping)]
        if inner and depth:
            yield from walk(inner, depth - 1)

    yield from islice(walk([content], DEEP), MOST_PARTS)


def numbers_in(values: object) -> list[float]:
    listed = values if isinstance(values, list | tuple) else []
    plain = [one.item() if getattr(one, "ndim", None) == 0 else one for one in listed]  # a tensor of one number
    return [float(one) for one in plain if isinstance(one, int | float) and isfinite(one)]


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15


def resume_step(state: ResumeState, curves: Curves) -> int:
    """The first step after the resume."""
    clock = curves.clock
    if state.step is not None:
        return state.step
    if state.epoch is not None:
        return (state.epoch + 1) * (clock.steps_per_epoch or 1)
    counter = state.counter or 0  # of a scheduler alone, which is stepped after epochs if there are as many
    return counter * (clock.steps_per_epoch or 1) if counter <= (clock.epochs or 0) else counter


def jump_of(state: ResumeState, curves: Curves) -> Jump | None:
    """How the rate of a checkpoint differs from the schedule where the run would go on; None if it does not, or is at its end.

    A checkpoint keeps the rate of the last step or, if the scheduler was stepped before it was written, of the next one.
    Scripts count finished steps or epochs, or give the number of the last one.
    """
    step, lines = resume_step(state, curves), curves.named("lr")
    if step >= curves.clock.steps:
        return None
    width = curves.clock.steps_per_epoch or 1 if state.step is None else 1
    near = {step - 1, step, step + 1, step - width, step - width - 1, *([] if state.step else [step + width])}
    near |= {state.counter} if state.step is None and state.epoch is None and state.counter is not None else set()
    places = [place for place in sorted(near) if 0 <= place < curves.clock.steps]
    one_each = len(state.rates) == len(lines)
    for number, rate in enumerate(state.rates):
        own = [lines[number]] if one_each else lines
        values = [float(value) for line in own for value in line.at(places)]
        if any(abs(value - rate) <= 1e-4 * abs(value) + 1e-9 for value in values):
            continue
        meant = float(own[0].at([step])[0])
        factor = f" ({meant / rate:.4g} times as much)" if rate else ""
        what = f"resumed at step {step:,}, the rate is {rate:.6g} in the checkpoint and {meant:.6g} in the schedule{factor}"
        what += "" if state.counter in (None, step) else f"; its scheduler was stepped {state.counter:,} times"
        return Jump(what, step, {"step": step, "checkpoint": rate, "schedule": meant, "group": number})
    return None


def mark_resume(curves: Curves, address: str) -> Curves:
    """The curves with a mark where a run would go on from a checkpoint, and the jump of its rate there, if it jumps."""
    state = read_resume_state(address)
    step, jump = resume_step(state, curves), jump_of(state, curves)
    if step >= curves.clock.steps:
        raise DataError(
            f"{state.path} is from step {step:,}, the run ends at {curves.clock.steps:,}",
            hint="nothing is left to train",
        )
    mark = Mark(step, f"resumed, from a rate of {state.rates[0]:.4g}")
    moved = {one.trajectory: replace(one.trajectory, marks=(*one.trajectory.marks, mark)) for one in curves}
    lines = tuple(replace(one, trajectory=moved[one.trajectory]) for one in curves)
    mistakes = () if jump is None else (Mistake("jump at resume", jump.what, step, name="lr"),)
    return replace(curves, curves=lines, mistakes=(*curves.mistakes, *mistakes))
