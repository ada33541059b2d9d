"""The datasets of OpenMMLab configs: their samples and pipelines, what wrappers make of them, and how batches are mixed.

In trusted configs there are also datasets of the user's own classes, and those of mmpretrain that are not native.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import ceil, sqrt
from typing import Any

import numpy as np

from classlens.adapters.openmm.dataset_kinds import KINDS
from classlens.adapters.openmm.setup import Setup, Split, names_of
from classlens.adapters.openmm.stages.build_stages import ALBUMENTATIONS, read_pipeline
from classlens.adapters.openmm.stages.foreign import build_own
from classlens.adapters.openmm.stages.rules import arguments, named
from classlens.config.settings import Settings
from classlens.dataset.annotations import stated_classes
from classlens.dataset.dataset import BatchPlan, Dataset, Mixing, Sample
from classlens.dataset.listing import AS_STORED, Classes, Listing, class_difference, combine, concatenate, to_dataset
from classlens.dataset.storage import read_bytes
from classlens.errors import ConfigError, count_of, short_repr, suggestion
from classlens.pipelines.copied_generators import compositions_are_copied

SETTINGS = (
    *("ann_file", "backend_args", "classes", "data_prefix", "data_root", "difficult_as_postive", "download"),
    *("extensions", "file_client_args", "filter_cfg", "image_class_labels_file", "image_set_path", "indices"),
    *("lazy_init", "max_refetch", "metainfo", "multi_label", "pipeline", "recursion_subdir", "serialize_data"),
    *("split", "test_mode", "train_test_split_file", "with_label"),
)
"""What any dataset may be told; training would stop at others."""


def open_split(
    split: Split,
    *,
    name: str,
    classes: Classes,
    trusted: Sequence[str] | None = None,
    key: str = "",
    has_stages: bool = True,
) -> Dataset:
    """The samples and stages of one split, or of the dataset that lies under `key` in the whole one.

    In a trusted config, `trusted` are the modules of the user's own types. Without `has_stages` no pipeline is built,
    which is enough to count samples.
    """
    settings, where = named(split.dataset), f"{name} dataset"
    kind = str(settings.get("type"))
    if kind in WRAPPERS:
        open_inner = partial(open_split, name=name, classes=classes, trusted=trusted, has_stages=has_stages)
        inner = inner_datasets(settings, where)
        parts = [open_inner(replace(split, dataset=one), key=f"{key}.{at}".strip(".")) for at, one in inner.items()]
        return replace(WRAPPERS[kind](parts, settings, where), settings=split.dataset)
    if kind not in KINDS and trusted is None:
        near, own = suggestion(kind, [*KINDS, *WRAPPERS]), "datasets of your own need --trust-config"
        raise ConfigError(
            f"{where}: no dataset named {short_repr(kind)}", hint=f"{near} {own}" if "mean" in near else own
        )
    pipeline = AS_STORED
    if has_stages:
        entries = tuple(split.dataset.get("pipeline") or ())
        at = f"{name} pipeline" + (f" of {key}" if key else "")
        pipeline = read_pipeline(entries, where=at, trusted=trusted, places=split.places(key))
    if kind in KINDS:
        listing = KINDS[kind](settings, class_names(settings, where) or classes, where)
        unknown = (one for one in arguments(settings) if one not in SETTINGS)
        slips = [f"{kind} has no setting {short_repr(one)}; {suggestion(one, SETTINGS)}" for one in unknown]
        listing = replace(listing, classes=listing.classes or names_of(kind), warnings=(*listing.warnings, *slips))
    else:
        listing = own_listing(split.dataset, trusted or (), where)
    dataset = to_dataset(listing, name, pipeline)
    if kind in KINDS and settings.get("indices") is not None:
        dataset = select_indices(dataset, settings["indices"], where)
    return replace(dataset, settings=split.dataset)


def class_names(settings: Settings, where: str) -> Classes:
    """The class names that a dataset's settings give: in `metainfo`, in `classes`, or in a file named there."""
    metainfo = settings.get("metainfo") or {}
    names = metainfo.get("classes") or settings.get("classes") or (stated_classes(metainfo) if metainfo else None)
    if isinstance(names, str):
        lines = read_bytes(names, "list").decode("utf-8-sig").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if names is None or isinstance(names, Sequence):
        return tuple(map(str, names)) if names else None
    raise ConfigError(f"{where}: classes is a list of names or the path of one, not {short_repr(names)}")


def select_indices(dataset: Dataset, indices: object, where: str) -> Dataset:
    """The samples that the setting `indices` leaves: the first N, the last N for a negative one, or those listed."""
    every = range(dataset.length)
    if isinstance(indices, int):
        return select(dataset, every[:indices] if indices >= 0 else every[indices:])
    numbers = indices if isinstance(indices, Sequence) else "neither"
    valid = [one for one in numbers if isinstance(one, int) and -len(every) <= one < len(every)]
    if len(valid) < len(numbers):
        raise ConfigError(f"{where}: indices is a number or a list of sample numbers below {len(every)}")
    return select(dataset, [every[one] for one in valid])


def select(dataset: Dataset, indices: Sequence[int]) -> Dataset:
    return combine([dataset], len(indices), lambda index: (dataset, indices[index]))


def own_listing(settings: Settings, modules: Sequence[str], where: str) -> Listing:
    """A dataset of the user's own class: `get_data_info(index)` as OpenMMLab has it gives path and label."""
    dataset = build_own({**settings, "pipeline": ()}, "DATASETS", modules, where)
    if not hasattr(dataset, "get_data_info") or not hasattr(dataset, "__len__"):
        raise ConfigError(f"{where}: {settings['type']} has no get_data_info(index) and len()")

    def sample(index: int) -> Sample:
        info: Mapping[str, Any] = dataset.get_data_info(index)
        label = info.get("gt_label", ())
        labels = labels_in(label)
        trouble = f"no label: gt_label is {repr(label)[:40]}" if labels is None else ""
        return Sample(info.get("img_path"), labels or (), trouble)

    names = (getattr(dataset, "metainfo", None) or {}).get("classes")
    classes = tuple(map(str, names)) if names else None
    return Listing(len(dataset), sample, classes, picture=lambda index: dataset.get_data_info(index).get("img"))


def labels_in(label: Any) -> tuple[int, ...] | None:  # noqa: ANN401 - whatever the user's class gives
    """A number or several; of an array of zeros and ones, as 0.x has it, the places of the ones; None for all else."""
    values = label.tolist() if hasattr(label, "tolist") else label
    rows = list(values) if isinstance(values, list | tuple) else [values]
    if not all(isinstance(one, int) or (isinstance(one, float) and one.is_integer()) for one in rows):
        return None
    if values is not label and len(rows) > 1 and set(rows) <= {0, 1}:
        return tuple(place for place, on in enumerate(rows) if on)
    return tuple(map(int, rows))


LACKING: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "KFoldDataset": ("get_subset", ("ClassBalancedDataset", "ConcatDataset", "KFoldDataset", "RepeatDataset")),
    "ClassBalancedDataset": ("get_cat_ids", ("ConcatDataset", "RepeatDataset")),
}
"""Wrapper -> the method that it calls of what it wraps, and the wrappers that have none in 1.x."""


def inner_datasets(settings: Settings, where: str) -> dict[str, Settings]:
    """What a wrapper wraps, by the key that leads there; 0.x lets it be anything, which its bridge says."""
    kind = str(settings["type"])
    needed = {"ConcatDataset": ("datasets",), "RepeatDataset": ("dataset", "times")}.get(kind, ("dataset",))
    if absent := [key for key in needed if key not in settings]:
        raise ConfigError(f"{where}: {kind} needs the setting {short_repr(absent[0])}")
    if kind == "ConcatDataset":
        return {f"datasets.{number}": one for number, one in enumerate(settings["datasets"])}
    inside, (method, without) = settings["dataset"], LACKING.get(kind, ("", ()))
    name = str(named(inside).get("type")) if isinstance(inside, Mapping) else ""
    if name in without and not settings.get("around_any"):
        raise ConfigError(
            f"{where}: training stops here: {kind} around {name}, which has no {method}",
            hint=f"put {kind} inside {name}",
        )
    return {"dataset": inside}


def concatenate_alike(parts: Sequence[Dataset], settings: Settings, where: str) -> Dataset:
    """ConcatDataset: one after the other, each with its own pipeline, and all with the same class names.

    These may differ with `ignore_keys`, which 0.x implies.
    """
    if not parts:
        raise ConfigError(f"{where}: ConcatDataset has no datasets")
    whole, differ = concatenate(parts), class_difference(parts)
    if not differ:
        return whole
    keys = settings.get("ignore_keys") or ()
    if "classes" not in ([keys] if isinstance(keys, str) else keys):
        raise ConfigError(f"{where}: {differ}", hint="training refuses that too; give both the same metainfo.classes")
    return replace(whole, warnings=(*whole.warnings, f"{differ}: names of the first are shown"))


def repeat(parts: Sequence[Dataset], settings: Settings, where: str) -> Dataset:
    dataset = parts[0]
    return combine(parts, dataset.length * int(settings["times"]), lambda index: (dataset, index % dataset.length))


def balance_classes(parts: Sequence[Dataset], settings: Settings, where: str) -> Dataset:
    """ClassBalancedDataset: samples of rare classes come up to sqrt(threshold / frequency) times.

    Source: Gupta et al., LVIS, CVPR 2019, section 5 (repeat factor sampling).
    """
    (dataset,), threshold = parts, float(settings.get("oversample_thr", 0.0))
    labels = [set(dataset.sample(index).labels) for index in range(dataset.length)]
    counts = Counter(label for several in labels for label in several)
    factor = {label: max(1.0, sqrt(threshold * dataset.length / count)) for label, count in counts.items()}
    times = [ceil(max((factor[label] for label in several), default=1.0)) for several in labels]
    return select(dataset, [index for index, count in enumerate(times) for _ in range(count)])


def take_fold(parts: Sequence[Dataset], settings: Settings, where: str) -> Dataset:
    """KFoldDataset: all folds but one, or that one with `test_mode`; shuffled first with `seed`."""
    (dataset,), fold, folds = parts, int(settings.get("fold", 0)), int(settings.get("num_splits", 5))
    if folds < 1:
        raise ConfigError(f"{where}: num_splits is 1 or more, not {folds}")
    if not 0 <= fold < folds:
        note = f"KFoldDataset has no fold {fold} of {folds}: they count from 0"
        dataset = replace(dataset, warnings=(*dataset.warnings, note))
    order = list(range(dataset.length))
    if settings.get("seed") is not None:
        np.random.default_rng(settings["seed"]).shuffle(order)
    first, last = dataset.length * fold // folds, dataset.length * (fold + 1) // folds
    return select(dataset, order[first:last] if settings.get("test_mode") else order[:first] + order[last:])


WRAPPERS: Mapping[str, Callable[[Sequence[Dataset], Settings, str], Dataset]] = {
    "ConcatDataset": concatenate_alike,
    "RepeatDataset": repeat,
    "ClassBalancedDataset": balance_classes,
    "KFoldDataset": take_fold,
}

MIXINGS = ("Mixup", "CutMix", "ResizeMix")
DEFAULT_SIZE = 16


def open_training(setup: Setup, *, epoch: int | None, trusted: Sequence[str] | None) -> Dataset:
    """The training split as SwitchRecipeHook has changed it by `epoch`, counted from 1; None is the beginning."""
    split, augments = setup.splits["train"], setup.batch_augments
    switches = (hook for hook in setup.hooks if named(hook).get("type") == "SwitchRecipeHook")
    recipes = [recipe for hook in switches for recipe in hook.get("schedule", ())]
    if not all(isinstance(one, Mapping) and isinstance(one.get("action_epoch"), int) for one in recipes):
        raise ConfigError(f"{setup.path}: a recipe of SwitchRecipeHook has no action_epoch")
    for recipe in sorted(recipes, key=lambda one: int(one["action_epoch"])):
        if recipe["action_epoch"] > (epoch or 1):
            break
        if "train_pipeline" in recipe:
            settings = with_pipeline(split.dataset, recipe["train_pipeline"])
            split = replace(split, dataset=settings, places=lambda key: ())
        augments = recipe.get("batch_augments", augments) or {}  # None switches them off
    dataset = open_split(split, name="train", classes=setup.classes, trusted=trusted)
    if notes := repeated_draws(setup, dataset):
        remarks = dataset.remarks
        dataset = replace(dataset, remarks=lambda state: (*remarks(state), *notes))
    try:
        return replace(dataset, batch=BatchPlan(split.batch_size or DEFAULT_SIZE, mixings_of(augments)))
    except ConfigError as error:  # single samples can be browsed all the same
        return replace(dataset, warnings=(*dataset.warnings, f"batches cannot be mixed: {error}"))


PERSISTENT = {
    "1.x": "train_dataloader = dict(..., persistent_workers=True)",
    "0.x": "data = dict(..., persistent_workers=True)",
}
RESEED = (
    "worker_init_fn=dict(type='reseed') in train_dataloader, with a function (worker_id, num_workers, rank, seed) of that "
    "name in the registry FUNCTIONS, which calls torch.utils.data.get_worker_info().dataset.pipeline.transforms[{}].aug"
    ".set_random_seed(torch.initial_seed())"
)
"""How draws are renewed: those that mmengine seeds alike for every epoch, and those of compositions, which it does not seed."""


def places_of_copied(dataset: Dataset) -> list[int]:
    """The stages that are compositions with a generator of their own, which workers copy as it stands."""
    stages = dataset.pipeline(0) if dataset.length else dataset.stages
    places = [at for at, stage in enumerate(stages) if stage.name in ALBUMENTATIONS]
    return places if places and compositions_are_copied() else []


def repeated_draws(setup: Setup, dataset: Dataset) -> tuple[str, ...]:
    """What training will not draw as freely as a strip shows it, and the cure."""
    loader = setup.splits["train"].loader
    if not loader.get("num_workers") or loader.get("worker_init_fn") or not dataset.stages:
        return ()
    notes = [
        f"Albumentations draws the same in every worker of training, not freely as here; cure: {RESEED.format(at + 1)}"
        for at in places_of_copied(dataset)
    ]
    if not loader.get("persistent_workers", True):
        cure = PERSISTENT[setup.generation]
        notes.append(
            f"every epoch of training draws the same, not freely as here: its workers start anew; cure: {cure}"
        )
    return tuple(notes)


def native_only(dataset: Settings) -> Settings:
    """The dataset without the stages of other packages, in every dataset inside it: their imports take seconds."""
    inner: dict[str, Any] = {}
    if dataset.get("pipeline"):
        inner["pipeline"] = tuple(row for row in dataset["pipeline"] if not is_foreign(row))
    if isinstance(dataset.get("dataset"), Mapping):
        inner["dataset"] = native_only(dataset["dataset"])
    if "datasets" in dataset:
        inner["datasets"] = [native_only(one) if isinstance(one, Mapping) else one for one in dataset["datasets"]]
    return {**dataset, **inner}


def is_foreign(value: object) -> bool:
    """Whether a stage, or one inside it, is of another package."""
    if isinstance(value, Mapping):
        kind = str(value.get("type"))
        return kind in ALBUMENTATIONS or kind.startswith("torchvision/") or any(map(is_foreign, value.values()))
    return isinstance(value, list | tuple) and any(map(is_foreign, value))


def with_pipeline(dataset: Settings, pipeline: Sequence[Settings]) -> Settings:
    """The dataset with another pipeline, in every dataset inside it."""
    if "datasets" in dataset:
        return {**dataset, "datasets": [with_pipeline(one, pipeline) for one in dataset["datasets"]]}
    if "dataset" in dataset:
        return {**dataset, "dataset": with_pipeline(dataset["dataset"], pipeline)}
    return {**dataset, "pipeline": tuple(pipeline)}


def mixings_of(settings: Settings) -> tuple[Mixing, ...]:
    """Batch augmentations; where their `probs` are not said, all are equally likely."""
    augments = settings.get("augments") or ()
    augments = [augments] if isinstance(augments, Mapping) else augments
    chances = settings.get("probs") or [1 / max(len(augments), 1)] * len(augments)
    if len(chances) != len(augments):
        raise ConfigError(f"{len(chances)} probs for {count_of(len(augments), 'batch augmentation')}")
    mixings = []
    for one, chance in zip(map(named, augments), chances, strict=True):
        kind, within = str(one.get("type")), one.get("cutmix_minmax")
        if kind not in MIXINGS:
            raise ConfigError(f"no batch augmentation named {short_repr(kind)}", hint=suggestion(kind, MIXINGS))
        if not one.get("alpha"):
            raise ConfigError(f"{kind} needs an alpha above 0")
        mixings.append(
            Mixing(
                kind=kind,  # type: ignore[arg-type]
                alpha=float(one["alpha"]),
                probability=float(chance),
                within=(float(within[0]), float(within[1])) if within else None,
                corrected=bool(one.get("correct_lam", True)),
                low=float(one.get("lam_min", 0.1)),
                high=float(one.get("lam_max", 0.8)),
            )
        )
    return tuple(mixings)
