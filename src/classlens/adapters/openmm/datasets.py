"""The datasets of OpenMMLab configs: the settings that they have, their samples and pipelines, and how batches are mixed."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from classlens.adapters.openmm.image_files import custom, imagenet, imagenet21k, voc
from classlens.adapters.openmm.published import PUBLISHED, cifar, mnist, published
from classlens.adapters.openmm.published_names import names_of
from classlens.adapters.openmm.setup import BatchAugments, Setup, Split, with_pipeline
from classlens.adapters.openmm.stages.build_stages import build_stages, is_native, loader_of, no_picture, not_packed
from classlens.adapters.openmm.stages.transform import arguments, named
from classlens.adapters.openmm.wrappers import WRAPPERS, own_listing, select
from classlens.config.settings import Settings
from classlens.dataset.annotations import stated_classes
from classlens.dataset.dataset import BatchPlan, Dataset, Mixing
from classlens.dataset.listing import AS_STORED, Classes, Listing, Pipeline, to_dataset
from classlens.dataset.storage import read_bytes
from classlens.errors import ConfigError, suggestion

KNOWN = (
    *("ann_file", "backend_args", "classes", "data_prefix", "data_root", "difficult_as_postive", "download"),
    *("extensions", "file_client_args", "filter_cfg", "image_class_labels_file", "image_set_path", "indices"),
    *("lazy_init", "max_refetch", "metainfo", "multi_label", "pipeline", "recursion_subdir", "serialize_data"),
    *("split", "test_mode", "train_test_split_file", "with_label"),
)


def unknown(settings: Settings) -> Iterator[str]:
    """One sentence per setting that no dataset has: a slip that training would stop at."""
    for key in arguments(settings):
        if key not in KNOWN:
            yield f"{settings['type']} has no setting {key!r}; {suggestion(key, KNOWN)}"


def select_indices(dataset: Dataset, indices: object, where: str) -> Dataset:
    """The samples that the setting `indices` leaves: the first N, the last N for a negative one, or those listed."""
    every = range(dataset.length)
    if isinstance(indices, int):
        return select(dataset, every[:indices] if indices >= 0 else every[indices:])
    listed = indices if isinstance(indices, Sequence) else "neither"
    numbers = [one for one in listed if isinstance(one, int) and -len(every) <= one < len(every)]
    if len(numbers) < len(listed):
        raise ConfigError(f"{where}: indices is a number or a list of sample numbers below {len(every)}")
    return select(dataset, [every[one] for one in numbers])


MIXINGS = ("Mixup", "CutMix", "ResizeMix")
DEFAULT_SIZE = 16


def mixing_of(settings: Settings, probability: float) -> Mixing:
    """One batch augmentation."""
    kind = str(named(settings).get("type"))
    if kind not in MIXINGS:
        raise ConfigError(f"no batch augmentation named {kind!r}", hint=suggestion(kind, MIXINGS))
    if not settings.get("alpha"):
        raise ConfigError(f"{kind} needs an alpha above 0")
    within = settings.get("cutmix_minmax")
    return Mixing(
        kind=kind,  # type: ignore[arg-type]
        alpha=float(settings["alpha"]),
        probability=probability,
        within=(float(within[0]), float(within[1])) if within else None,
        corrected=bool(settings.get("correct_lam", True)),
        low=float(settings.get("lam_min", 0.1)),
        high=float(settings.get("lam_max", 0.8)),
    )


KINDS: Mapping[str, Callable[[Settings, Classes, str], Listing]] = {
    **dict.fromkeys(("CustomDataset", "ImageFolder", "BaseDataset", "MultiLabelDataset", "Places205"), custom),
    **dict.fromkeys(("CIFAR10", "CIFAR100"), cifar),
    **dict.fromkeys(("MNIST", "FashionMNIST"), mnist),
    **dict.fromkeys(PUBLISHED, published),
    "ImageNet": imagenet,
    "ImageNet21k": imagenet21k,
    "VOC": voc,
}


@dataclass(frozen=True)
class Reading:
    """What is the same for all datasets of a split; without `stages`, pipelines are not built."""

    name: str
    classes: Classes = None
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trusted: Sequence[str] | None = None
    stages: bool = True


def open_split(split: Split, *, name: str, classes: Classes, trusted: Sequence[str] | None = None) -> Dataset:
    """The samples and stages of one split; in a trusted config, `trusted` are the modules of the user's own types.

    Raises:
        ConfigError: the dataset, a transform or a setting is unknown.
        DataError: the data is not there, or is not what the dataset should be.
    """
    dataset = build_dataset(split.dataset, Reading(name, classes, split.places, trusted))
    return replace(dataset, settings=split.dataset)


def count(split: Split) -> int:
    """How many samples a split has, without decoding one.

    Raises:
        ConfigError: the dataset is unknown.
        DataError: the data is not there.
    """
    return build_dataset(split.dataset, Reading("train", stages=False)).length


def build_dataset(settings: Settings, reading: Reading, key: str = "") -> Dataset:
    """A dataset, or a dataset around datasets; `key` leads to it from the outermost."""
    original, settings, where = settings, named(settings), f"{reading.name} dataset"
    kind = str(settings.get("type"))
    if kind in WRAPPERS:
        return WRAPPERS[kind](settings, lambda one, at: build_dataset(one, reading, f"{key}.{at}".strip(".")), where)
    if kind not in KINDS and reading.trusted is None:
        near = suggestion(kind, [*KINDS, *WRAPPERS])
        own = "datasets of your own need --trust-config"
        raise ConfigError(f"{where}: no dataset named {kind!r}", hint=f"{near} {own}" if "mean" in near else own)
    pipeline = build_pipeline(settings, reading, key) if reading.stages else AS_STORED
    if kind not in KINDS:
        return to_dataset(own_listing(original, reading.trusted or (), where), reading.name, pipeline)
    listing = KINDS[kind](settings, class_names(settings, where) or reading.classes, where)
    warnings = (*listing.warnings, *unknown(settings))
    listing = replace(listing, classes=listing.classes or names_of(kind), warnings=warnings)
    dataset = to_dataset(listing, reading.name, pipeline)
    indices = settings.get("indices")
    return dataset if indices is None else select_indices(dataset, indices, where)


def build_pipeline(settings: Settings, reading: Reading, key: str) -> Pipeline:
    """The pipeline of the dataset under `key`, with errors that say where it is written."""
    pipeline = tuple(settings.get("pipeline") or ())
    where = f"{reading.name} pipeline" + (f" of {key}" if key else "")
    stages = build_stages(pipeline, where=where, trusted=reading.trusted, places=reading.places.get(key, ()))
    own = {str(one["type"]) for one in map(named, pipeline) if not is_native(str(one["type"]))}
    stops = (no_picture(pipeline, own, in_memory=False), no_picture(pipeline, own, in_memory=True))
    return Pipeline(loader_of(pipeline, where), stages, stops, not_packed(pipeline, own))


def names_without_data(settings: Settings, where: str) -> Classes:
    """The class names that hold without the data: those of the settings or the dataset's own; None for others.

    Configs of ImageNet are also trained on part of it: how many classes there are is for the network to say.

    Raises:
        DataError: a file of names is not there.
    """
    settings = named(settings)
    kind = str(settings.get("type"))
    return class_names(settings, where) or (names_of(kind) if kind != "ImageNet" else None)


def class_names(settings: Settings, where: str) -> Classes:
    """The class names that a dataset's settings give: in `metainfo`, in `classes`, or in a file named there."""
    metainfo = settings.get("metainfo") or {}
    names = metainfo.get("classes") or settings.get("classes") or (stated_classes(metainfo) if metainfo else None)
    if isinstance(names, str):
        lines = read_bytes(names).decode("utf-8-sig").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if names is None or isinstance(names, Sequence):
        return tuple(map(str, names)) if names else None
    raise ConfigError(f"{where}: classes is a list of names or the path of one, not {names!r}")


def open_training(setup: Setup, split: Split, *, epoch: int | None, trusted: Sequence[str] | None) -> Dataset:
    """The training split as it is in `epoch`, counted from 1; None is the beginning.

    Raises:
        ConfigError: the recipe of that epoch says something unknown.
    """
    augments = setup.batch_augments
    for recipe in recipes(setup, epoch or 1) if setup.hooks else ():
        if "train_pipeline" in recipe:
            split = replace(split, dataset=with_pipeline(split.dataset, recipe["train_pipeline"]), places={})
        if "batch_augments" in recipe:
            augments = augments_of(recipe["batch_augments"])
    dataset = open_split(split, name="train", classes=setup.classes, trusted=trusted)
    try:
        pairs = zip(augments.augments, augments.probabilities, strict=True)
        mixings = tuple(mixing_of(settings, probability) for settings, probability in pairs)
    except ConfigError as error:  # single samples can be browsed all the same
        return replace(dataset, warnings=(*dataset.warnings, f"batches cannot be mixed: {error}"))
    return replace(dataset, batch=BatchPlan(split.batch_size or DEFAULT_SIZE, mixings))


def recipes(setup: Setup, epoch: int) -> list[Settings]:
    """What SwitchRecipeHook has changed up to an epoch, in the order of the epochs."""
    switches = [hook for hook in setup.hooks if named(hook).get("type") == "SwitchRecipeHook"]
    every = [recipe for hook in switches for recipe in hook.get("schedule", ())]
    for recipe in every:
        if not isinstance(recipe, Mapping) or not isinstance(recipe.get("action_epoch"), int):
            raise ConfigError(f"{setup.path}: a recipe of SwitchRecipeHook has no action_epoch")
    return sorted((one for one in every if one["action_epoch"] <= epoch), key=lambda one: int(one["action_epoch"]))


def augments_of(settings: Settings | None) -> BatchAugments:
    """The mixing of a recipe; None switches it off."""
    if not settings:
        return BatchAugments()
    augments = settings.get("augments") or ()
    rows = (augments,) if isinstance(augments, Mapping) else tuple(augments)
    equal = [1 / len(rows)] * len(rows)
    return BatchAugments(rows, tuple(float(chance) for chance in settings.get("probs") or equal))
