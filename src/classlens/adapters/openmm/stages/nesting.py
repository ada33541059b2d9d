"""Stages made of stages: one of several, all or none, and several views of one picture."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.state import State
from classlens.adapters.openmm.stages.transform import Setting, arguments, check_settings, is_number
from classlens.dataset.dataset import Outcome, Stage
from classlens.errors import ConfigError

Build = Callable[[Sequence[Settings], str], tuple[Stage, ...]]


def as_list(transforms: Setting, where: str) -> Sequence[Settings]:
    """One transform or several.

    Raises:
        ConfigError: it is something else.
    """
    if isinstance(transforms, Mapping):
        return [transforms]
    if not isinstance(transforms, (list, tuple)):
        raise ConfigError(f"{where}: transforms are dicts, not {transforms!r}")
    return transforms


def alternatives(settings: Settings, where: str, build: Build) -> list[tuple[Stage, ...]]:
    """Several pipelines, of one transform or more each.

    Raises:
        ConfigError: there are none.
    """
    place = f"{where}: {settings['type']}"
    options = settings["transforms"]
    if not isinstance(options, (list, tuple)) or not options:
        raise ConfigError(f"{place}: transforms is a list of pipelines, not {options!r}")
    return [build(as_list(one, place), place) for one in options]


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
    check_settings(settings, ("transforms",), ("transforms",), where)
    inner = build(as_list(settings["transforms"], where), f"{where}: Compose")
    return Stage("Compose", partial(run, inner), arguments(settings), draws_globally=foreign([inner]))


def random_apply(settings: Settings, where: str, build: Build) -> Stage:
    """All of the nested stages with a probability, else none.

    Raises:
        ConfigError: a setting is missing, unknown or makes no sense.
    """
    check_settings(settings, ("transforms", "prob"), ("transforms",), where)
    inner = build(as_list(settings["transforms"], where), f"{where}: RandomApply")
    chance = settings.get("prob", 0.5)
    if not is_number(chance) or not 0 <= chance <= 1:
        raise ConfigError(f"{where}: RandomApply: prob must lie in [0, 1], not {chance!r}")

    def apply(state: State, random: np.random.Generator) -> Outcome:
        if random.random() >= chance:
            return Outcome(state, {"applied": "no"}, "not drawn")
        outcome = run(inner, state, random)
        return Outcome(outcome.state, {"applied": "yes", **outcome.drawn})

    return Stage("RandomApply", apply, arguments(settings), draws_globally=foreign([inner]))


def random_choice(settings: Settings, where: str, build: Build) -> Stage:
    """One of several pipelines, evenly or by given probabilities.

    Raises:
        ConfigError: the probabilities are no floats that add up to exactly 1, or do not match the pipelines.
    """
    check_settings(settings, ("transforms", "prob"), ("transforms",), where)
    options = alternatives(settings, where, build)
    weights = settings.get("prob")
    if weights is not None:
        numbers = weights if isinstance(weights, (list, tuple)) else ()
        if len(numbers) != len(options) or not all(isinstance(one, float) and one >= 0 for one in numbers):
            raise ConfigError(
                f"{where}: RandomChoice: {len(options)} pipelines need as many floats for prob, not {weights!r}"
            )
        if sum(numbers) != 1:
            raise ConfigError(
                f"{where}: RandomChoice: {len(options)} pipelines whose prob adds up to {sum(numbers)}, not exactly to 1",
                hint="write one of them as 1 minus the others",
            )

    def apply(state: State, random: np.random.Generator) -> Outcome:
        choice = int(random.choice(len(options), p=weights))
        outcome = run(options[choice], state, random)
        return Outcome(outcome.state, {"chosen": f"{choice + 1} of {len(options)}", **outcome.drawn})

    return Stage("RandomChoice", apply, arguments(settings), draws_globally=foreign(options))


def multi_view(settings: Settings, where: str, build: Build) -> Stage:
    """Several pictures of one sample, each by its own pipeline and draw.

    Raises:
        ConfigError: there are not as many numbers of views as pipelines, or no views.
    """
    check_settings(settings, ("transforms", "num_views"), ("transforms", "num_views"), where)
    pipelines = alternatives(settings, where, build)
    counts = settings["num_views"]
    counts = [counts] if isinstance(counts, int) else counts
    whole = isinstance(counts, list) and all(isinstance(one, int) and one >= 0 for one in counts)
    if not whole or len(counts) != len(pipelines) or not sum(counts):
        raise ConfigError(f"{where}: MultiView: {len(pipelines)} pipelines, but num_views is {counts!r}")
    views = [pipeline for pipeline, count in zip(pipelines, counts, strict=True) for _ in range(count)]

    def apply(state: State, random: np.random.Generator) -> Outcome:
        outcomes = [run(pipeline, state, random) for pipeline in views]
        drawn = {f"view {number + 1}": outcome.drawn for number, outcome in enumerate(outcomes)}
        return Outcome(replace(state, views=tuple(outcome.state for outcome in outcomes)), drawn)

    return Stage("MultiView", apply, arguments(settings), draws_globally=foreign(pipelines))
