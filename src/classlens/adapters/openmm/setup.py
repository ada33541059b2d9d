"""One neutral model of a training setup, whichever generation of OpenMMLab wrote it.

The words are those of 1.x (mmpretrain): `mmcls_0x.py` turns 0.x (mmcls) configs into them. Schedules are the exception:
the two generations mean different curves, so each keeps its own words here and its own rules in `schedules.py`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

from classlens.adapters.openmm import mmcls_0x
from classlens.config import Config
from classlens.config.settings import Settings
from classlens.dataset.conventions import SPLITS
from classlens.errors import ConfigError, near_names, short_repr


@dataclass(frozen=True)
class Split:
    """One split: what is read, what is done to it, and how it is batched.

    `dataset` is the config's dict in 1.x words, pipeline included; wrappers (ConcatDataset, RepeatDataset, ...) keep
    their nested form. `places` tells where the stages of a pipeline are written, by the key of its dataset: nothing
    for the outermost, `dataset` or `datasets.1` for one inside a wrapper, and so on.
    """

    dataset: Settings
    batch_size: int | None = None
    drop_last: bool = False
    sampler: Settings = field(default_factory=dict)
    loader: Settings = field(default_factory=dict)
    places: Callable[[str], Sequence[str]] = field(default=lambda key: (), compare=False)

    @property
    def pipeline(self) -> tuple[Settings, ...]:
        """The dataset's own pipeline, or that of the first dataset inside a wrapper."""
        dataset = self.dataset
        while isinstance(inner := dataset.get("dataset") or next(iter(dataset.get("datasets") or ()), None), Mapping):
            dataset = inner
        return tuple(dataset.get("pipeline") or ())


NO_DATASET: Settings = {}


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
    """Everything that Classlens reads out of one config file; `where` tells the place that set a dotted key.

    `training` is the train split even where it has no dataset, for its batches; `splits` are those that have one.

    `preprocessing` is the normalisation that follows the pipeline: mean and std in 0..255, in the order that the
    network sees, and `to_rgb`, without which that is BGR. `batch_augments` are Mixup and the like, with their `probs`.
    `randomness` is how generators are seeded; `tells_epoch` says that the sampler hears of every new epoch.
    """

    path: Path
    generation: Literal["0.x", "1.x"]
    model: Settings | None = None
    splits: Mapping[str, Split] = field(default_factory=dict)
    training: Split = field(default_factory=lambda: Split(NO_DATASET))
    preprocessing: Settings = field(default_factory=dict)
    batch_augments: Settings = field(default_factory=dict)
    optimization: Optimization = field(default_factory=Optimization)
    classes: tuple[str, ...] | None = None
    hooks: tuple[Settings, ...] = ()
    load_from: str | None = None
    imports: tuple[str, ...] = ()
    randomness: Settings = field(default_factory=dict)
    tells_epoch: bool = True
    may_lack_imports: bool = False
    where: Callable[[str], str] = field(default=lambda key: "", compare=False)


MOST_SCHEDULERS = 1000
OLD_KEYS = frozenset({"data", "lr_config", "optimizer", "optimizer_config", "runner", "total_epochs"})
NEW_KEYS = frozenset({"train_dataloader", "val_dataloader", "test_dataloader", "optim_wrapper", "param_scheduler"})
OLD_SECTIONS = ("model", "data", "optimizer", "optimizer_config", "runner", "lr_config", "momentum_config")
NEW_SECTIONS = (
    *("model", "data_preprocessor", "train_dataloader", "val_dataloader", "test_dataloader"),
    *("optim_wrapper", "train_cfg", "auto_scale_lr"),
)
"""What is a dict in a config of each generation, if it is there at all."""


def read_setup(config: Mapping[str, Any], path: Path) -> Setup:
    """The training setup that `config`, read from `path`, describes."""
    is_old = bool(OLD_KEYS & config.keys()) and not NEW_KEYS & config.keys()
    for key in OLD_SECTIONS if is_old else NEW_SECTIONS:
        if not isinstance(config.get(key), Mapping | None):
            raise ConfigError(
                f"{place(config, key) or path}: `{key}` is of type {type(config[key]).__name__}, not dict",
                hint=f"write {key} = dict(...)",
            )
    written = {name: read_split(config, path, name, is_old=is_old) for name in SPLITS}
    splits = {name: split for name, split in written.items() if split.dataset is not NO_DATASET}
    model = config.get("model") or {}
    preprocessing = model.get("data_preprocessor") or config.get("data_preprocessor")
    if preprocessing is None:  # 0.x has a stage for it
        stages = next((splits[name].pipeline for name in ("test", "val", "train") if name in splits), ())
        preprocessing = next(({"to_rgb": True, **stage} for stage in stages if stage.get("type") == "Normalize"), {})
    mixing = model.get("train_cfg") or {}
    mixing = mixing if mixing.get("augments") else preprocessing.get("batch_augments") or {}
    # A file of class names is left to the dataset.
    candidates = ((split.dataset.get("metainfo") or {}).get("classes") for split in splits.values())
    classes = next((names for names in candidates if isinstance(names, list | tuple)), None)
    custom = config.get("custom_imports") or {}
    imports = custom.get("imports") or ()
    return Setup(
        path=path,
        generation="0.x" if is_old else "1.x",
        model=config.get("model"),
        splits=splits,
        training=written["train"],
        preprocessing=preprocessing,
        batch_augments=mmcls_0x.translate_batch_augments(mixing) if is_old else mixing,
        optimization=old_optimization(config) if is_old else new_optimization(config, path),
        classes=None if classes is None else tuple(map(str, classes)),
        hooks=tuple(hook for hook in config.get("custom_hooks") or () if isinstance(hook, Mapping)),
        load_from=config.get("load_from"),
        imports=(imports,) if isinstance(imports, str) else tuple(map(str, imports)),
        randomness=config.get("randomness") or {},
        tells_epoch=(config.get("default_hooks") or {}).get("sampler_seed", True) is not None,
        may_lack_imports=bool(custom.get("allow_failed_imports", False)),
        where=partial(place, config),
    )


def place(config: Mapping[str, Any], key: str) -> str:
    """Where a dotted key was set, as `file.py:12`, seen from the working directory; nothing if it is not known."""
    file, colon, line = config.where(key).rpartition(":") if isinstance(config, Config) else ("", "", "")
    if not colon:
        return ""
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line}"


def read_split(config: Mapping[str, Any], path: Path, name: str, *, is_old: bool) -> Split:
    """A split: a dataloader in 1.x; in 0.x one dict holds all, with settings of the loaders beside the datasets."""
    data = config.get("data") or {}
    if is_old:
        key, dataset = f"data.{name}", data.get(name)
        loader = {**data, **(data.get(f"{name}_dataloader") or {})}
    else:
        loader = config.get(f"{name}_dataloader") or {}
        key, dataset = f"{name}_dataloader.dataset", loader.get("dataset")
    original = dataset
    if is_old and isinstance(dataset, list | tuple):
        dataset = {"type": "ConcatDataset", "datasets": list(dataset)}
    if not isinstance(dataset, Mapping | None):
        where = place(config, key) or path
        raise ConfigError(f"{where}: `{key}` is of type {type(dataset).__name__}, not dict")
    if dataset is None:
        dataset = NO_DATASET
    elif is_old:
        dataset = mmcls_0x.translate_dataset(dataset, tested=name != "train")
    return Split(
        dataset=dataset,
        batch_size=loader.get("samples_per_gpu" if is_old else "batch_size"),
        drop_last=bool(loader.get("drop_last", False)),
        sampler=loader.get("sampler") or {},
        loader={**loader, "num_workers": loader.get("workers_per_gpu")} if is_old else loader,
        places=partial(stage_places, config, key, original),
    )


def stage_places(config: Mapping[str, Any], start: str, dataset: Any, key: str) -> list[str]:  # noqa: ANN401
    """Where the stages of a dataset are written that is found inside `dataset`, itself written at `start`, by `key`.

    Stages that the bridge folds have no place.
    """
    way = key.split(".") if key else []
    way = way[1:] if isinstance(dataset, list | tuple) else way  # in 0.x a list may stand for the wrapper
    for step in way:
        dataset = dataset[int(step) if step.isdigit() else step]
    start = ".".join((start, *way, "pipeline"))
    return [
        place(config, f"{start}.{index}")
        for index, stage in enumerate(dataset.get("pipeline") or ())
        if not (isinstance(stage, Mapping) and stage.get("type") in mmcls_0x.FOLDED)
    ]


def new_optimization(config: Mapping[str, Any], path: Path) -> Optimization:
    """Optimizer, schedule and length as 1.x writes them."""
    wrapper, loop, scaling = (config.get(key) or {} for key in ("optim_wrapper", "train_cfg", "auto_scale_lr"))
    schedulers = config.get("param_scheduler") or ()
    schedulers = (schedulers,) if isinstance(schedulers, Mapping) else tuple(schedulers)
    if len(schedulers) > MOST_SCHEDULERS:
        raise ConfigError(f"{place(config, 'param_scheduler') or path}: {len(schedulers):,} schedulers are too many")
    for entry in schedulers:
        if not isinstance(entry, Mapping) or "type" not in entry:
            raise ConfigError(
                f"{place(config, 'param_scheduler') or path}: `param_scheduler` holds {short_repr(entry, 60)}, which is no scheduler",
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


def old_optimization(config: Mapping[str, Any]) -> Optimization:
    optimizer, runner, hook = (dict(config.get(key) or {}) for key in ("optimizer", "runner", "optimizer_config"))
    paramwise, constructor = optimizer.pop("paramwise_cfg", None) or {}, optimizer.pop("constructor", None)
    return Optimization(
        optimizer=optimizer or None,
        paramwise=paramwise,
        constructor=constructor,
        accumulation=hook.get("cumulative_iters") or 1,
        epochs=runner.get("max_epochs", config.get("total_epochs")),
        steps=runner.get("max_iters"),
        lr_config=config.get("lr_config"),
        momentum_config=config.get("momentum_config"),
    )


@lru_cache(maxsize=4)
def names_of(dataset: str) -> tuple[str, ...] | None:
    """The classes of a dataset that has one set of them, whatever its files say, by the name of its type.

    The sources of the lists and their licences are in ATTRIBUTION.md.
    """
    file = Path(__file__).parent / "class_names" / f"{dataset.lower()}.txt"
    return tuple(file.read_text(encoding="utf-8").splitlines()) if file.is_file() else None


LOADER = """dataset sampler batch_sampler batch_size num_workers collate_fn drop_last pin_memory persistent_workers shuffle
    timeout worker_init_fn multiprocessing_context generator prefetch_factor pin_memory_device num_batch_per_epoch"""
KEYS_READ: Mapping[str, str] = {
    "": """model work_dir train_dataloader val_dataloader test_dataloader train_cfg val_cfg test_cfg auto_scale_lr
        optim_wrapper param_scheduler val_evaluator test_evaluator default_hooks custom_hooks data_preprocessor load_from
        resume launcher env_cfg log_processor log_level visualizer vis_backends default_scope randomness experiment_name
        custom_imports""",
    "train_cfg": "type by_epoch max_epochs max_iters val_begin val_interval dynamic_intervals",
    "optim_wrapper": "type optimizer paramwise_cfg constructor accumulative_counts clip_grad loss_scale dtype use_fp16",
    "auto_scale_lr": "enable base_batch_size",
    **dict.fromkeys((f"{split}_dataloader" for split in SPLITS), LOADER),
}
"""What mmengine reads in a config of 1.x, and in its parts; `mmengine.runner` names all of it."""


def unread_keys(config: Config) -> Iterator[str]:
    """Notes on lines of a config of 1.x that do nothing, or stop training, because of their name.

    Variables are written like settings, so a name is only noted if it nearly equals one that is read. A base's
    `pipeline=train_pipeline` was resolved there: set anew in another file, the variable changes no dataset.
    """
    for part, words in KEYS_READ.items():
        settings, known = config.get(part) if part else config, words.split()
        for key in settings if isinstance(settings, Mapping) else ():
            if key not in known and (near := near_names(str(key), known, most=1, alike=0.85)):
                dotted = f"{part}.{key}" if part else key
                yield f"{place(config, dotted)}: training knows no `{dotted}`; did you mean {near[0]}?"
    for split in SPLITS:
        name, top, used = f"{split}_pipeline", f"{split}_dataloader.dataset", dict[str, object]()
        inside = [(top, (config.get(f"{split}_dataloader") or {}).get("dataset"))]
        for way, dataset in inside:  # grows while it is gone through
            if isinstance(dataset, Mapping):
                used |= {f"{way}.pipeline": dataset["pipeline"]} if "pipeline" in dataset else {}
                inside.append((f"{way}.dataset", dataset.get("dataset")))
                inside += [(f"{way}.datasets.{index}", one) for index, one in enumerate(dataset.get("datasets") or ())]
        if used and isinstance(config.get(name), list) and config[name] not in used.values():
            written, *users = (config.where(way).rpartition(":")[0] for way in (name, *used))
            if written not in users:
                cure = f"{split}_dataloader = dict(dataset=dict(pipeline={name}))"
                yield f"{place(config, name)}: `{name}` is not what {top} uses, which has that of a base; {cure} sets it"
