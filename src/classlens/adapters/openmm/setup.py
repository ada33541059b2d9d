"""One neutral model of a training setup, whichever generation of OpenMMLab wrote it.

The words are those of 1.x (mmpretrain): `mmcls_0x.py` turns 0.x (mmcls) configs into them. Schedules are the exception:
the two generations mean different curves, so each keeps its own words here and its own rules in `schedules.py`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from classlens.adapters.openmm import mmcls_0x
from classlens.config import Config
from classlens.config.settings import Settings
from classlens.dataset.conventions import SPLITS
from classlens.errors import ConfigError


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
        dataset = self.dataset
        while (inner := next(iter(wrapped_datasets(dataset).values()), None)) is not None:
            dataset = inner
        return tuple(dataset.get("pipeline") or ())


def wrapped_datasets(dataset: Settings) -> dict[str, Settings]:
    """The datasets inside a wrapper, under the key that leads to each."""
    wrapped = {f"datasets.{number}": one for number, one in enumerate(dataset.get("datasets") or ())}
    if "dataset" in dataset:
        wrapped["dataset"] = dataset["dataset"]
    return {key: one for key, one in wrapped.items() if isinstance(one, Mapping)}


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
    may_lack_imports: bool = False
    where: Callable[[str], str] = field(default=lambda key: "", compare=False)


OLD_KEYS = frozenset({"data", "lr_config", "optimizer", "optimizer_config", "runner", "total_epochs"})
NEW_KEYS = frozenset({"train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper", "param_scheduler"})


def read_setup(config: Mapping[str, Any], path: Path) -> Setup:
    """The training setup that `config`, read from `path`, describes.

    Raises:
        ConfigError: a section is not of the form that its generation gives it.
    """
    is_old = bool(OLD_KEYS & config.keys()) and not NEW_KEYS & config.keys()
    splits = old_splits(config, path) if is_old else new_splits(config, path)
    # A file of class names is left to the dataset.
    listed = ((split.dataset.get("metainfo") or {}).get("classes") for split in splits.values())
    classes = next((names for names in listed if isinstance(names, list | tuple)), None)
    custom = config.get("custom_imports") or {}
    imports = custom.get("imports") or ()
    return Setup(
        path=path,
        generation="0.x" if is_old else "1.x",
        model=section(config, "model", path),
        splits=splits,
        preprocessing=preprocessing(config, splits, path),
        batch_augments=batch_augments(config, is_old=is_old),
        optimization=old_optimization(config, path) if is_old else new_optimization(config, path),
        classes=None if classes is None else tuple(map(str, classes)),
        hooks=tuple(hook for hook in config.get("custom_hooks") or () if isinstance(hook, Mapping)),
        load_from=config.get("load_from"),
        imports=(imports,) if isinstance(imports, str) else tuple(map(str, imports)),
        may_lack_imports=bool(custom.get("allow_failed_imports", False)),
        where=partial(place, config),
    )


def place(config: Mapping[str, Any], key: str) -> str:
    """Where a dotted key was set, as `file.py:12`, seen from the working directory; nothing if it is not known."""
    if not isinstance(config, Config):
        return ""
    file, colon, line = config.where(key).rpartition(":")
    if not colon:
        return ""
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"


def section(config: Mapping[str, Any], key: str, path: Path) -> Settings | None:
    """The dict under `key`; None where the config has none."""
    value = config.get(key)
    if value is None or isinstance(value, Mapping):
        return value
    raise ConfigError(
        f"{place(config, key) or path}: `{key}` is of type {type(value).__name__}, not dict",
        hint=f"write {key} = dict(...)",
    )


def new_splits(config: Mapping[str, Any], path: Path) -> dict[str, Split]:
    """The splits of 1.x: one dataloader each."""
    splits = {}
    for name in SPLITS:
        loader = section(config, f"{name}_dataloader", path)
        dataset = section(loader, "dataset", path) if loader else None
        if loader is None or dataset is None:
            continue
        splits[name] = Split(
            dataset=dataset,
            batch_size=loader.get("batch_size"),
            drop_last=bool(loader.get("drop_last", False)),
            sampler=loader.get("sampler") or {},
            places=places(config, f"{name}_dataloader.dataset", dataset),
        )
    return splits


@dataclass(frozen=True)
class Lines(Sequence[str]):
    """Where each of some keys is written; looked up only when somebody asks, because that parses files again."""

    config: Mapping[str, Any] = field(repr=False, compare=False)
    keys: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.keys)

    def __getitem__(self, index: Any) -> Any:  # noqa: ANN401 - as a tuple has it: a place, or several for a slice
        return place(self.config, self.keys[index]) if isinstance(index, int) else replace(self, keys=self.keys[index])


def places(config: Mapping[str, Any], key: str, dataset: Settings, without: str = "") -> dict[str, Sequence[str]]:
    """Where the stages of a dataset and of those inside it are written; stages that the bridge folds have no place.

    `without` is the start of inner keys that the config does not write: 0.x may have a list instead of a wrapper.
    """
    keys = tuple(
        f"{key}.pipeline.{index}"
        for index, stage in enumerate(dataset.get("pipeline") or ())
        if not (isinstance(stage, Mapping) and stage.get("type") in mmcls_0x.FOLDED)
    )
    result: dict[str, Sequence[str]] = {"": Lines(config, keys)}
    for part, inner in wrapped_datasets(dataset).items():
        deeper = places(config, f"{key}.{part.removeprefix(without)}", inner)
        result |= {f"{part}.{below}".rstrip("."): lines for below, lines in deeper.items()}
    return result


def old_splits(config: Mapping[str, Any], path: Path) -> dict[str, Split]:
    """The splits of 0.x: one dict for all, with the loaders' settings beside the datasets."""
    data = section(config, "data", path) or {}
    splits = {}
    for name in SPLITS:
        dataset = data.get(name)
        if dataset is None:
            continue
        listed = "" if isinstance(dataset, Mapping) else "datasets."
        if isinstance(dataset, list | tuple):
            dataset = {"type": "ConcatDataset", "datasets": list(dataset)}
        if not isinstance(dataset, Mapping):
            raise ConfigError(f"{path}: `data.{name}` is of type {type(dataset).__name__}, not dict")
        loader = {**data, **(data.get(f"{name}_dataloader") or {})}
        splits[name] = Split(
            dataset=mmcls_0x.translate_dataset(dataset, tested=name != "train"),
            batch_size=loader.get("samples_per_gpu"),
            drop_last=bool(loader.get("drop_last", False)),
            sampler=loader.get("sampler") or {},
            places=places(config, f"data.{name}", dataset, without=listed),
        )
    return splits


def preprocessing(config: Mapping[str, Any], splits: Mapping[str, Split], path: Path) -> Preprocessing:
    """The normalisation: a section of its own in 1.x, the Normalize stage of the test pipeline in 0.x."""
    model = section(config, "model", path) or {}
    settings = model.get("data_preprocessor") or section(config, "data_preprocessor", path)
    if settings is None:
        stages = next((splits[name].pipeline for name in ("test", "val", "train") if name in splits), ())
        normalize = next((stage for stage in stages if stage.get("type") == "Normalize"), None)
        settings = {"to_rgb": True, **normalize} if normalize else {}
    mean, std = (
        tuple(map(float, values)) if isinstance(values, Sequence) else None
        for values in (settings.get("mean"), settings.get("std"))
    )
    return Preprocessing(mean, std, to_rgb=bool(settings.get("to_rgb", False)))


def batch_augments(config: Mapping[str, Any], *, is_old: bool) -> BatchAugments:
    """Mixup and its kin. In 0.x each has its `prob`; in 1.x `probs` lies beside them, or all are equally likely."""
    model = config.get("model") or {}
    settings = model.get("train_cfg") or {}
    if not settings.get("augments"):
        inner = model.get("data_preprocessor") or config.get("data_preprocessor") or {}
        settings = inner.get("batch_augments") or {}
    augments = settings.get("augments") or []
    augments = [augments] if isinstance(augments, Mapping) else list(augments)
    if is_old:
        real = [augment for augment in augments if augment.get("type") != "Identity"]
        probabilities = tuple(float(augment.get("prob", 1.0)) for augment in real)
        return BatchAugments(tuple(mmcls_0x.translate_batch_augment(augment) for augment in real), probabilities)
    equal = [1 / max(len(augments), 1)] * len(augments)
    return BatchAugments(tuple(augments), tuple(map(float, settings.get("probs") or equal)))


def new_optimization(config: Mapping[str, Any], path: Path) -> Optimization:
    """Optimizer, schedule and length as 1.x writes them."""
    wrapper = section(config, "optim_wrapper", path) or {}
    loop = section(config, "train_cfg", path) or {}
    scaling = section(config, "auto_scale_lr", path) or {}
    schedulers = config.get("param_scheduler") or ()
    schedulers = (schedulers,) if isinstance(schedulers, Mapping) else tuple(schedulers)
    for entry in schedulers:
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise ConfigError(
                f"{place(config, 'param_scheduler') or path}: `param_scheduler` holds {entry!r:.60}, which is no scheduler",
                hint="write it as dict(type='CosineAnnealingLR', ...), or a list of those",
            )
    by_steps = str(loop.get("type", "")).endswith("IterBasedTrainLoop") or "max_epochs" not in loop
    return Optimization(
        optimizer=wrapper.get("optimizer"),
        paramwise=wrapper.get("paramwise_cfg") or {},
        constructor=wrapper.get("constructor"),
        accumulation=wrapper.get("accumulative_counts") or 1,
        epochs=None if by_steps else loop.get("max_epochs"),
        steps=loop.get("max_iters") if by_steps else None,
        param_scheduler=schedulers,
        validation=(loop.get("val_begin", 1), loop.get("val_interval", 1000 if by_steps else 1)),
        base_batch_size=scaling.get("base_batch_size"),
        auto_scale=bool(scaling.get("enable", False)),
    )


def old_optimization(config: Mapping[str, Any], path: Path) -> Optimization:
    """Optimizer, schedule and length as 0.x writes them."""
    optimizer = dict(section(config, "optimizer", path) or {})
    paramwise = optimizer.pop("paramwise_cfg", None) or {}
    constructor = optimizer.pop("constructor", None)
    runner = section(config, "runner", path) or {}
    hook = section(config, "optimizer_config", path) or {}
    return Optimization(
        optimizer=optimizer or None,
        paramwise=paramwise,
        constructor=constructor,
        accumulation=hook.get("cumulative_iters") or 1,
        epochs=runner.get("max_epochs", config.get("total_epochs")),
        steps=runner.get("max_iters"),
        lr_config=section(config, "lr_config", path),
        momentum_config=section(config, "momentum_config", path),
    )
