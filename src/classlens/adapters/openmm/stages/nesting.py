"""Stages made of stages: one of several, all or none, and several views of one picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.state import State
from classlens.adapters.openmm.stages.transform import Setting, arguments
from classlens.dataset.dataset import Outcome, Stage
from classlens.errors import ConfigError

Build = Callable[[Sequence[Settings], str], tuple[Stage, ...]]


def as_list(transforms: Setting) -> Sequence[Settings]:
    """One transform or several."""
    return [transforms] if isinstance(transforms, Mapping) else list(transforms)


def run(stages: Sequence[Stage], state: State, random: np.random.Generator) -> Outcome:
    """Several stages as one; what each drew is kept under its name."""
    drawn: dict[str, object] = {}
    for position, stage in enumerate(stages):
        outcome = stage.apply(state, random)
        state = outcome.state
        if outcome.drawn:
            drawn[f"{position + 1} {stage.name}"] = outcome.drawn
        elif not drawn.get(stage.name):
            drawn[stage.name] = ""
    return Outcome(state, drawn)


def foreign(groups: Sequence[Sequence[Stage]]) -> bool:
    """Whether any of the nested stages draws from global generators."""
    return any(stage.draws_globally for group in groups for stage in group)


def compose(settings: Settings, where: str, build: Build) -> Stage:
    """All of the nested stages, one after the other."""
    inner = build(as_list(settings["transforms"]), f"{where}: Compose")
    return Stage("Compose", partial(run, inner), arguments(settings), draws_globally=foreign([inner]))


def random_apply(settings: Settings, where: str, build: Build) -> Stage:
    """All of the nested stages with a probability, else none."""
    inner = build(as_list(settings["transforms"]), f"{where}: RandomApply")
    chance = float(settings.get("prob", 0.5))

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if random.random() >= chance:
            return Outcome(state, {"applied": "no"}, "not drawn")
        outcome = run(inner, state, random)
        return Outcome(outcome.state, {"applied": "yes", **outcome.drawn})

    return Stage("RandomApply", apply, arguments(settings), draws_globally=foreign([inner]))


def random_choice(settings: Settings, where: str, build: Build) -> Stage:
    """One of several pipelines, evenly or by given probabilities.

    Raises:
        ConfigError: the probabilities do not match the pipelines.
    """
    options = [build(as_list(one), f"{where}: RandomChoice") for one in settings["transforms"]]
    weights = settings.get("prob")
    if weights is not None and (len(weights) != len(options) or abs(sum(weights) - 1) > 1e-6):
        raise ConfigError(f"{where}: RandomChoice: {len(options)} pipelines, but prob is {list(weights)}")

    def apply(state: State, random: np.random.Generator) -> Outcome:
        choice = int(random.choice(len(options), p=weights))
        outcome = run(options[choice], state, random)
        return Outcome(outcome.state, {"chosen": f"{choice + 1} of {len(options)}", **outcome.drawn})

    return Stage("RandomChoice", apply, arguments(settings), draws_globally=foreign(options))


def multi_view(settings: Settings, where: str, build: Build) -> Stage:
    """Several pictures of one sample, each by its own pipeline and draw."""
    pipelines = [build(as_list(one), f"{where}: MultiView") for one in settings["transforms"]]
    counts = settings["num_views"]
    counts = [counts] if isinstance(counts, int) else list(counts)
    if len(counts) != len(pipelines):
        raise ConfigError(f"{where}: MultiView: {len(pipelines)} pipelines, but num_views is {counts}")
    views = [pipeline for pipeline, count in zip(pipelines, counts, strict=True) for _ in range(count)]

    def apply(state: State, random: np.random.Generator) -> Outcome:
        outcomes = [run(pipeline, state, random) for pipeline in views]
        drawn = {f"view {number + 1}": outcome.drawn for number, outcome in enumerate(outcomes)}
        return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), drawn)

    return Stage("MultiView", apply, arguments(settings), draws_globally=foreign(pipelines))
