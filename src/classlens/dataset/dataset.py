"""The record that the browser reads: samples, and the stages that change them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from classlens.image import Image

State: TypeAlias = Any
"""Whatever the framework passes between its transforms; classlens never looks inside, only `Dataset.look` does."""

Drawn: TypeAlias = Mapping[str, object]
"""What a stage drew at random: a crop box, flip yes or no, a magnitude."""


@dataclass(frozen=True)
class Outcome:
    """The sample after a stage, and what the stage drew to make it."""

    state: State
    drawn: Drawn = field(default_factory=dict)


@dataclass(frozen=True)
class Stage:
    """One transform of the pipeline, by the name its framework gives it.

    `apply` gets a generator of its own for this sample and stage; frameworks that draw from global generators ignore
    it, because `trace` seeds those too. `settings` are the stage's arguments as configured.
    """

    name: str
    apply: Callable[[State, np.random.Generator], Outcome]
    settings: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Sample:
    """What is known of one sample without decoding it: its file, and its label or labels."""

    path: str | None = None
    labels: tuple[int, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset, with its pipeline laid open.

    `load` reads sample `index` as the framework's first stage gets it; `look` turns any state along the pipeline into
    a picture for human eyes.
    """

    name: str
    length: int
    load: Callable[[int], State]
    stages: tuple[Stage, ...]
    look: Callable[[State], Image]
    sample: Callable[[int], Sample] = lambda index: Sample()
    classes: tuple[str, ...] | None = None
