"""Stages made of stages: all of them in a row, with a probability, one of several pipelines, or several views."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeAlias

import numpy as np

from classlens.adapters.openmm.stages.rules import is_number
from classlens.adapters.openmm.stages.transform import arguments, check_settings
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.state import State
from classlens.errors import ConfigError

Build: TypeAlias = Callable[[Sequence[Settings], str], tuple[Stage, ...]]
"""Makes stages of the settings of a pipeline."""

Pipelines: TypeAlias = Sequence[Sequence[Stage]]
Apply: TypeAlias = Callable[[State, np.random.Generator], Outcome]


def nested_stage(settings: Settings, where: str, build: Build) -> Stage:
    """One of `NESTED` as a stage; some have one pipeline, some a list of them, and each may be a single transform."""
    name = str(settings["type"])
    place, (known, required, listed, make) = f"{where}: {name}", NESTED[name]
    check_settings(settings, known, required, where)
    options = settings["transforms"]
    if listed and (not isinstance(options, (list, tuple)) or not options):
        raise ConfigError(f"{place}: transforms is a list of pipelines, not {options!r}")
    pipelines = []
    for option in options if listed else [options]:
        rows = [option] if isinstance(option, Mapping) else option
        if not isinstance(rows, (list, tuple)):
            raise ConfigError(f"{place}: transforms are dicts, not {rows!r}")
        pipelines.append(build(rows, place))
    draws_globally = any(stage.draws_globally for pipeline in pipelines for stage in pipeline)
    return Stage(name, make(settings, pipelines, place), arguments(settings), draws_globally=draws_globally)


def run(stages: Sequence[Stage], state: State, random: np.random.Generator) -> Outcome:
    """Several stages as one; what each drew is kept under its name."""
    params: dict[str, object] = {}
    for position, stage in enumerate(stages):
        outcome = stage.apply(state, random)
        state = outcome.state
        if outcome.params:
            params[f"{position + 1} {stage.name}"] = outcome.params
        elif not params.get(stage.name):
            params[stage.name] = ""
    return Outcome(state, params)


def compose(settings: Settings, pipelines: Pipelines, place: str) -> Apply:
    return partial(run, pipelines[0])


def random_apply(settings: Settings, pipelines: Pipelines, place: str) -> Apply:
    """The pipeline with a probability, else nothing."""
    chance = settings.get("prob", 0.5)
    if not is_number(chance) or not 0 <= chance <= 1:
        raise ConfigError(f"{place}: prob must lie in [0, 1], not {chance!r}")

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if random.random() >= chance:
            return Outcome(state, {"applied": "no"}, "not drawn")
        outcome = run(pipelines[0], state, random)
        return Outcome(outcome.state, {"applied": "yes", **outcome.params})

    return apply


def random_choice(settings: Settings, pipelines: Pipelines, place: str) -> Apply:
    """One of the pipelines, evenly or by probabilities, floats that add up to exactly 1."""
    weights, count = settings.get("prob"), len(pipelines)
    if weights is not None:
        numbers = weights if isinstance(weights, (list, tuple)) else ()
        if len(numbers) != count or not all(isinstance(one, float) and one >= 0 for one in numbers):
            raise ConfigError(f"{place}: {count} pipelines need as many floats for prob, not {weights!r}")
        if sum(numbers) != 1:
            raise ConfigError(
                f"{place}: {count} pipelines whose prob adds up to {sum(numbers)}, not exactly to 1",
                hint="write one of them as 1 minus the others",
            )

    def apply(state: State, random: np.random.Generator) -> Outcome:
        choice = int(random.choice(count, p=weights))
        outcome = run(pipelines[choice], state, random)
        return Outcome(outcome.state, {"chosen": f"{choice + 1} of {count}", **outcome.params})

    return apply


def multi_view(settings: Settings, pipelines: Pipelines, place: str) -> Apply:
    """Several pictures of one sample: as many by each pipeline as `num_views` says."""
    counts = settings["num_views"]
    counts = [counts] if isinstance(counts, int) else counts
    whole = isinstance(counts, list) and all(isinstance(one, int) and one >= 0 for one in counts)
    if not whole or len(counts) != len(pipelines) or not sum(counts):
        raise ConfigError(f"{place}: {len(pipelines)} pipelines, but num_views is {counts!r}")
    views = [pipeline for pipeline, count in zip(pipelines, counts, strict=True) for _ in range(count)]

    def apply(state: State, random: np.random.Generator) -> Outcome:
        outcomes = [run(pipeline, state, random) for pipeline in views]
        params = {f"view {number + 1}": outcome.params for number, outcome in enumerate(outcomes)}
        return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), params)

    return apply


Make: TypeAlias = Callable[[Settings, Pipelines, str], Apply]
NESTED: Mapping[str, tuple[Sequence[str], Sequence[str], bool, Make]] = {
    "Compose": (("transforms",), ("transforms",), False, compose),
    "RandomApply": (("transforms", "prob"), ("transforms",), False, random_apply),
    "RandomChoice": (("transforms", "prob"), ("transforms",), True, random_choice),
    "MultiView": (("transforms", "num_views"), ("transforms", "num_views"), True, multi_view),
}
"""The settings that a stage has and must have, whether it has several pipelines, and what it does with them."""
