"""What the datasets of OpenMMLab can be told, in either generation, and which samples `indices` leaves."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from classlens.adapters.openmm.array_files import cifar, mnist
from classlens.adapters.openmm.image_files import custom, imagenet, imagenet21k, voc
from classlens.adapters.openmm.published import (
    aircraft,
    caltech101,
    cars,
    cub,
    dtd,
    flowers102,
    food101,
    inshop,
    pets,
    sun397,
)
from classlens.adapters.openmm.published_names import names_of
from classlens.adapters.openmm.setup import BatchAugments, Setup, Split, with_pipeline
from classlens.adapters.openmm.stages.build_stages import build_stages, is_native, loader_of, no_picture, not_packed
from classlens.adapters.openmm.stages.transform import arguments, named
from classlens.adapters.openmm.wrappers import WRAPPERS, chosen, own_listing
from classlens.config.settings import Settings
from classlens.dataset.dataset import BatchPlan, Dataset, Mixing
from classlens.dataset.decode import read_bytes
from classlens.dataset.json_lists import stated_classes
from classlens.dataset.listing import Listing, Pipeline, dataset_of
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


def subset(listing: Listing, indices: object, where: str) -> Listing:
    """The samples that the setting `indices` leaves: the first N, the last N for a negative one, or those listed.

    Raises:
        ConfigError: it is no number and no list of numbers, or names a sample that does not exist.
    """
    if indices is None:
        return listing
    if isinstance(indices, int):
        kept: Sequence[int] = range(listing.length)[:indices] if indices >= 0 else range(listing.length)[indices:]
        return chosen(listing, kept)
    given = indices if isinstance(indices, Sequence) else "neither"
    numbers = [one for one in given if isinstance(one, int) and -listing.length <= one < listing.length]
    if len(numbers) < len(given):
        raise ConfigError(f"{where}: indices is a number or a list of sample numbers below {listing.length}")
    return chosen(listing, [one % listing.length for one in numbers])


MIXING_KINDS = {"Mixup": "Mixup", "CutMix": "CutMix", "ResizeMix": "ResizeMix"}
DEFAULT_SIZE = 16


def batch_plan(split: Split, augments: BatchAugments) -> BatchPlan:
    """How training batches the samples of a split.

    Raises:
        ConfigError: there is no such mixing, or it lacks its alpha.
    """
    pairs = zip(augments.augments, augments.probabilities, strict=True)
    mixings = tuple(mixing_of(settings, probability) for settings, probability in pairs)
    return BatchPlan(split.batch_size or DEFAULT_SIZE, mixings)


def mixing_of(settings: Settings, probability: float) -> Mixing:
    """One batch augmentation."""
    kind = str(named(settings).get("type"))
    if kind not in MIXING_KINDS:
        raise ConfigError(f"no batch augmentation named {kind!r}", hint=suggestion(kind, MIXING_KINDS))
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


Classes = tuple[str, ...] | None
KINDS: Mapping[str, Callable[[Settings, Classes, str], Listing]] = {
    "CustomDataset": custom,
    "ImageFolder": custom,
    "BaseDataset": custom,
    "MultiLabelDataset": custom,
    "ImageNet": imagenet,
    "ImageNet21k": imagenet21k,
    "CIFAR10": cifar,
    "CIFAR100": cifar,
    "MNIST": mnist,
    "FashionMNIST": mnist,
    "CUB": cub,
    "VOC": voc,
    "Places205": custom,
    "StanfordCars": cars,
    "Caltech101": caltech101,
    "DTD": dtd,
    "FGVCAircraft": aircraft,
    "Flowers102": flowers102,
    "Food101": food101,
    "InShop": inshop,
    "OxfordIIITPet": pets,
    "SUN397": sun397,
}


@dataclass(frozen=True)
class Reading:
    """What is the same for all datasets of a split; without `stages`, pipelines are not built."""

    name: str
    classes: Classes = None
    places: Mapping[str, Sequence[str]] = field(default_factory=dict)
    trusted: Sequence[str] | None = None
    stages: bool = True

    def pipeline(self, settings: Settings, key: str) -> Pipeline:
        """The pipeline of the dataset under `key`, with errors that say where it is written."""
        given = tuple(settings.get("pipeline") or ())
        where = f"{self.name} pipeline" + (f" of {key}" if key else "")
        places = self.places.get(key, ())
        stages = build_stages(given, where=where, trusted=self.trusted, places=places)
        own = {str(one["type"]) for one in map(named, given) if not is_native(str(one["type"]))}
        stops = (no_picture(given, own, in_memory=False), no_picture(given, own, in_memory=True))
        return Pipeline(loader_of(given, where), stages, stops, not_packed(given, own))


def open_split(split: Split, *, name: str, classes: Classes, trusted: Sequence[str] | None = None) -> Dataset:
    """The samples and stages of one split; in a trusted config, `trusted` are the modules of the user's own types.

    Raises:
        ConfigError: the dataset, a transform or a setting is unknown.
        DataError: the data is not there, or is not what the dataset should be.
    """
    listing = open_listing(split.dataset, Reading(name, classes, split.places, trusted))
    return replace(dataset_of(listing, name), settings=split.dataset)


def count(split: Split) -> int:
    """How many samples a split has, without decoding one.

    Raises:
        ConfigError: the dataset is unknown.
        DataError: the data is not there.
    """
    return open_listing(split.dataset, Reading("train", stages=False)).length


def open_listing(settings: Settings, reading: Reading, key: str = "") -> Listing:
    """The samples of a dataset or of a dataset around datasets; `key` leads to it from the outermost.

    Raises:
        ConfigError: there is no such dataset.
        DataError: the data is not there.
    """
    original, settings, where = settings, named(settings), f"{reading.name} dataset"
    kind = str(settings.get("type"))
    if kind in WRAPPERS:
        return WRAPPERS[kind](settings, lambda one, part: open_listing(one, reading, f"{key}.{part}".strip(".")), where)
    if kind not in KINDS and reading.trusted is None:
        near = suggestion(kind, [*KINDS, *WRAPPERS])
        own = "datasets of your own need --trust-config"
        raise ConfigError(f"{where}: no dataset named {kind!r}", hint=f"{near} {own}" if "mean" in near else own)
    pipeline = reading.pipeline(settings, key) if reading.stages else Pipeline()
    if kind not in KINDS:
        return replace(own_listing(original, reading.trusted or (), where), pipeline=pipeline)
    listing = KINDS[kind](settings, class_names(settings, where) or reading.classes, where)
    names = listing.classes or names_of(kind)
    listing = replace(listing, classes=names, pipeline=pipeline, warnings=(*listing.warnings, *unknown(settings)))
    return subset(listing, settings.get("indices"), where)


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
    given = metainfo.get("classes") or settings.get("classes") or stated_classes(metainfo)
    if isinstance(given, str):
        lines = read_bytes(given).decode("utf-8-sig").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if given is None or isinstance(given, Sequence):
        return tuple(map(str, given)) if given else None
    raise ConfigError(f"{where}: classes is a list of names or the path of one, not {given!r}")


def open_training(setup: Setup, split: Split, *, epoch: int | None, trusted: Sequence[str] | None) -> Dataset:
    """The training split as it is in `epoch`, counted from 1; None is the beginning.

    Raises:
        ConfigError: the recipe of that epoch says something unknown.
    """
    augments = setup.batch_augments
    for recipe in recipes(setup, epoch or 1):
        if "train_pipeline" in recipe:
            split = replace(split, dataset=with_pipeline(split.dataset, recipe["train_pipeline"]), places={})
        if "batch_augments" in recipe:
            augments = augments_of(recipe["batch_augments"])
    dataset = open_split(split, name="train", classes=setup.classes, trusted=trusted)
    try:
        return replace(dataset, batch=batch_plan(split, augments))
    except ConfigError as error:  # single samples can be browsed all the same
        return replace(dataset, warnings=(*dataset.warnings, f"batches cannot be mixed: {error}"))


def recipes(setup: Setup, epoch: int) -> list[Settings]:
    """What SwitchRecipeHook has changed up to an epoch, in the order of the epochs."""
    switches = [hook for hook in setup.hooks if named(hook).get("type") == "SwitchRecipeHook"]
    found = [recipe for hook in switches for recipe in hook.get("schedule", ())]
    for recipe in found:
        if not isinstance(recipe, Mapping) or not isinstance(recipe.get("action_epoch"), int):
            raise ConfigError(f"{setup.path}: a recipe of SwitchRecipeHook has no action_epoch")
    return sorted((one for one in found if one["action_epoch"] <= epoch), key=lambda one: int(one["action_epoch"]))


def augments_of(given: Settings | None) -> BatchAugments:
    """The mixing of a recipe; None switches it off."""
    if not given:
        return BatchAugments()
    augments = given.get("augments") or ()
    rows = (augments,) if isinstance(augments, Mapping) else tuple(augments)
    equal = [1 / len(rows)] * len(rows)
    return BatchAugments(rows, tuple(float(chance) for chance in given.get("probs") or equal))
