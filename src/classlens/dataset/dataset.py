"""The record that the browser reads: samples, and the stages that change them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np

from classlens.errors import count_of
from classlens.image import Image

State: TypeAlias = Any
"""A sample between two stages: `state.State`, or whatever an adapter's own `load`, stages and `to_image` agree on."""

MaxSide: TypeAlias = Callable[[int], float]
"""How many pixels of a picture's longer side, given in pixels, are enough for looking at it."""

Params: TypeAlias = Mapping[str, object]  # what a stage sampled at random: a crop box, flip yes or no, a magnitude


@dataclass(frozen=True)
class Outcome:
    """The sample after a stage, the parameters it sampled for that, and why it left the sample alone if it did."""

    state: State
    params: Params = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Stage:
    """One transform of the pipeline, by the name its framework gives it, with its arguments as configured.

    `apply` gets a generator of its own for this sample and stage. Stages of frameworks that draw from the global
    generators ignore it and say so in `draws_globally`: `trace` then seeds those too.
    """

    name: str
    apply: Callable[[State, np.random.Generator], Outcome]
    settings: Mapping[str, object] = field(default_factory=dict)
    draws_globally: bool = True


Label: TypeAlias = int | str  # the number of a class, or a name where the dataset gives names


@dataclass(frozen=True)
class Sample:
    """What is known of one sample without decoding it: its file, its label or labels, and what is wrong with these."""

    path: str | None = None
    labels: tuple[Label, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Mixing:
    """One way of mixing the samples of a batch, and how often it is taken.

    `alpha` shapes the share's Beta distribution. `within` bounds a CutMix box by parts of the picture's sides instead;
    `corrected` makes the share follow the area really pasted. `low` and `high` bound a ResizeMix share.
    """

    kind: Literal["Mixup", "CutMix", "ResizeMix"]
    alpha: float
    probability: float = 1.0
    within: tuple[float, float] | None = None
    corrected: bool = True
    low: float = 0.1
    high: float = 0.8


Collated: TypeAlias = tuple[tuple[Image, ...], tuple[Mapping[str, float], ...]]
"""The pictures of a batch, and the share of every class in each."""


@dataclass(frozen=True)
class BatchPlan:
    """How training batches samples; what the probabilities leave over stays unmixed.

    `collate` makes a batch instead, where the user's own code does it: of the indices, their seeds and that of the
    batch. `collator` is the name of that code; without `collate` it is not run.
    """

    size: int
    mixings: tuple[Mixing, ...] = ()
    collate: Callable[[Sequence[int], Sequence[int], int], Collated] | None = None
    collator: str = ""


@dataclass(frozen=True)
class Dataset:
    """A split of a dataset, with its pipeline laid open.

    `load` reads sample `index` as the framework's first stage gives it, and `loader` is that stage's name; `to_image`
    turns any state along the pipeline into a picture for human eyes; `remarks` says what is unusual about a loaded
    file, e.g. an alpha channel that other loaders treat differently. `warnings` are about the dataset as a whole.
    Where samples have pipelines of their own, as in a concatenated dataset, `stages_of` tells them apart.
    `thumbnail`, where there is one, loads a `state.State` faster and in fewer pixels, if these are enough. `settings`
    are what the dataset was made of, as configured, where there is more to say than its stages do. Where the states are
    what frameworks pass on, and not OpenCV's arrays, it `takes_transforms` of any framework behind its stages.
    """

    name: str
    length: int
    load: Callable[[int], State]
    stages: tuple[Stage, ...]
    to_image: Callable[[State], Image]
    sample: Callable[[int], Sample] = lambda index: Sample()
    classes: tuple[str, ...] | None = None
    loader: str = "original"
    remarks: Callable[[State], tuple[str, ...]] = lambda state: ()
    warnings: tuple[str, ...] = ()
    batch: BatchPlan | None = None
    stages_of: Callable[[int], tuple[Stage, ...]] | None = None
    thumbnail: Callable[[int, MaxSide], State] | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    takes_transforms: bool = False

    def pipeline(self, index: int) -> tuple[Stage, ...]:
        return self.stages_of(index) if self.stages_of else self.stages

    def has_files_of(self, other: "Dataset") -> bool:
        """Whether both are the same files in the same order, as far as four of the samples say."""
        places = {0, self.length // 3, self.length // 2, self.length - 1}
        return self.length == other.length and all(
            self.sample(place).path == other.sample(place).path is not None for place in places
        )

    def __repr__(self) -> str:
        classes = "" if self.classes is None else f", {count_of(len(self.classes), 'class')}"
        stages = " > ".join([self.loader, *(stage.name for stage in self.stages)])
        return f"<Dataset {self.name}: {count_of(self.length, 'sample')}{classes}: {stages}>"

    def label(self, index: int) -> int | None:
        """The number of the one class of a sample; see `number_of`."""
        return self.number_of(self.sample(index))

    def number_of(self, sample: Sample) -> int | None:
        """The number of the one class of a sample; a label by name is looked up among the dataset's classes."""
        labels = sample.labels
        if len(labels) != 1:
            return None
        if isinstance(labels[0], int):
            return labels[0]
        return self.classes.index(labels[0]) if self.classes and labels[0] in self.classes else None

    def class_names(self, index: int) -> tuple[str, ...]:
        """The names of the labels of a sample."""
        return tuple(map(self.class_name, self.sample(index).labels))

    def class_name(self, label: Label) -> str:
        """The name of a label; one without a name is its number, marked where it has no class."""
        if self.classes is None or isinstance(label, str):
            return str(label)
        # one below 0 is never counted from the end: that would name the wrong class
        return self.classes[label] if 0 <= label < len(self.classes) else f"{label} (no such class)"
