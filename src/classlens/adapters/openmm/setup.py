"""One neutral model of a training setup, whichever generation of OpenMMLab wrote it.

The words are those of 1.x (mmpretrain): `bridge.py` turns 0.x (mmcls) configs into them. Schedules are the exception:
the two generations mean different curves, so each keeps its own words here and its own rules in `schedule.py`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

Settings = Mapping[str, Any]
"""A `dict(type=..., ...)` of a config, read only."""


def nowhere(key: str) -> str:
    """The place of a key in a config whose lines are not known."""
    return ""


@dataclass(frozen=True)
class Split:
    """One split: what is read, what is done to it, and how it is batched.

    `dataset` is the config's dict in 1.x words, pipeline included; wrappers (ConcatDataset, RepeatDataset, ...) keep
    their nested form. `places` tells where the stages of every pipeline are written, under the dataset's own key:
    nothing for the outermost, `dataset` or `datasets.1` for one inside a wrapper, and so on.
    """

    dataset: Settings
    batch_size: int | None = None
    drop_last: bool = False
    sampler: Settings = field(default_factory=dict)
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def pipeline(self) -> tuple[Settings, ...]:
        """The dataset's own pipeline, or that of the first dataset inside a wrapper."""
        return pipeline_of(self.dataset)


def inside(dataset: Settings) -> dict[str, Settings]:
    """The datasets inside a wrapper, under the key that leads to each."""
    found = {f"datasets.{number}": one for number, one in enumerate(dataset.get("datasets") or ())}
    if "dataset" in dataset:
        found["dataset"] = dataset["dataset"]
    return {key: one for key, one in found.items() if isinstance(one, Mapping)}


def pipeline_of(dataset: Settings) -> tuple[Settings, ...]:
    """The dataset's own pipeline, or that of the first dataset inside a wrapper."""
    inner = next(iter(inside(dataset).values()), None)
    return pipeline_of(inner) if inner is not None else tuple(dataset.get("pipeline") or ())


def with_pipeline(dataset: Settings, pipeline: Sequence[Settings]) -> Settings:
    """The dataset with another pipeline, in every dataset inside it."""
    if "datasets" in dataset:
        return {**dataset, "datasets": [with_pipeline(one, pipeline) for one in dataset["datasets"]]}
    if "dataset" in dataset:
        return {**dataset, "dataset": with_pipeline(dataset["dataset"], pipeline)}
    return {**dataset, "pipeline": tuple(pipeline)}


@dataclass(frozen=True)
class Preprocessing:
    """The normalisation that follows the pipeline: mean and std in 0..255, in the order the network sees.

    `to_rgb` says that the loader's BGR is flipped to RGB first; without it the network sees BGR.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    to_rgb: bool = False


@dataclass(frozen=True)
class BatchAugments:
    """Mixup, CutMix and the like: each with its probability; what is left over leaves the batch as it is."""

    augments: tuple[Settings, ...] = ()
    probabilities: tuple[float, ...] = ()


@dataclass(frozen=True)
class Optimization:
    """Optimizer, parameter groups and schedule, with the length of the run in epochs or in steps.

    1.x gives `param_scheduler`, 0.x gives `lr_config` and `momentum_config`; the others are None. Metrics arrive from
    the epoch (or step) `validation[0]` on, at every multiple of `validation[1]`.
    """

    optimizer: Settings | None = None
    paramwise: Settings = field(default_factory=dict)
    constructor: str | None = None
    accumulation: int = 1
    epochs: int | None = None
    steps: int | None = None
    param_scheduler: tuple[Settings, ...] | None = None
    lr_config: Settings | None = None
    momentum_config: Settings | None = None
    validation: tuple[int, int] = (1, 1)
    base_batch_size: int | None = None
    auto_scale: bool = False


@dataclass(frozen=True)
class Setup:
    """Everything that Classlens reads out of one config file; `where` tells the place that set a dotted key."""

    path: Path
    generation: Literal["0.x", "1.x"]
    model: Settings | None
    splits: Mapping[str, Split]
    preprocessing: Preprocessing
    batch_augments: BatchAugments
    optimization: Optimization
    classes: tuple[str, ...] | None = None
    hooks: tuple[Settings, ...] = ()
    load_from: str | None = None
    imports: tuple[str, ...] = ()
    where: Callable[[str], str] = field(default=nowhere, compare=False)
