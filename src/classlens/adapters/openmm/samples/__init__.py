"""The datasets of OpenMMLab configs, without OpenMMLab: from one split's settings to a `Dataset`.

Opening lists file names and decodes nothing; the pipeline is built at once, so that a wrong setting is reported
before the first picture.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from classlens.adapters.openmm.class_names import names_of
from classlens.adapters.openmm.samples.arrays import cifar, mnist
from classlens.adapters.openmm.samples.files import custom, imagenet, imagenet21k, voc
from classlens.adapters.openmm.samples.json_lists import stated_classes
from classlens.adapters.openmm.samples.listing import Listing, Pipeline, dataset_of
from classlens.adapters.openmm.samples.own import own_listing
from classlens.adapters.openmm.samples.published import (
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
from classlens.adapters.openmm.samples.settings import subset, unknown
from classlens.adapters.openmm.samples.wrappers import WRAPPERS
from classlens.adapters.openmm.setup import Settings, Split
from classlens.adapters.openmm.stages import build_stages, is_native
from classlens.adapters.openmm.stages.flow import no_picture, not_packed
from classlens.adapters.openmm.stages.loading import loader_of
from classlens.adapters.openmm.stages.transform import named
from classlens.dataset.dataset import Dataset
from classlens.dataset.reading import read_bytes
from classlens.errors import ConfigError, suggestion

__all__ = ["count", "names_without_data", "open_split"]

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
