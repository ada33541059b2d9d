"""The datasets of OpenMMLab configs, without OpenMMLab: from one split's settings to a `Dataset`.

Opening lists file names and decodes nothing; the pipeline is built at once, so that a wrong setting is reported
before the first picture.
"""

from collections.abc import Callable, Mapping, Sequence

from classlens.adapters.openmm.samples.arrays import CIFAR10, DIGITS, FASHION, cifar, mnist
from classlens.adapters.openmm.samples.files import VOC_CLASSES, cub, custom, imagenet, voc
from classlens.adapters.openmm.samples.listing import Listing
from classlens.adapters.openmm.samples.wrappers import WRAPPERS
from classlens.adapters.openmm.setup import Settings, Split
from classlens.adapters.openmm.stages import build_stages, look
from classlens.adapters.openmm.stages.loading import LoadImageFromFile, loader_of
from classlens.adapters.openmm.stages.state import State
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
    "ImageNet21k": imagenet,
    "CIFAR10": cifar,
    "CIFAR100": cifar,
    "MNIST": mnist,
    "FashionMNIST": mnist,
    "CUB": cub,
    "VOC": voc,
}


def open_split(split: Split, *, name: str, classes: Classes, trusted: bool = False) -> Dataset:
    """The samples and stages of one split; `trusted` allows transforms that are not native.

    Raises:
        ConfigError: the dataset, a transform or a setting is unknown.
        DataError: the data is not there, or is not what the dataset should be.
    """
    where = f"{name} dataset"
    stages = build_stages(split.pipeline, where=f"{name} pipeline", trusted=trusted, places=split.places)
    loader = loader_of(split.pipeline, f"{name} pipeline")
    listing = open_listing(split.dataset, classes, where)

    def load(index: int) -> State:
        pixels = listing.pixels(index)
        path = listing.sample(index).path
        if pixels is not None or path is None:
            return State(pixels, listing.encoding, path)
        return (loader or LoadImageFromFile()).state(listing.read(index), path)

    return Dataset(
        name=name,
        length=listing.length,
        load=load,
        stages=stages,
        look=look,
        sample=listing.sample,
        classes=listing.classes,
        loader="LoadImageFromFile" if loader else "original",
        remarks=lambda state: state.remarks,
        warnings=listing.warnings,
    )


def count(split: Split) -> int:
    """How many samples a split has, without decoding one.

    Raises:
        ConfigError: the dataset is unknown.
        DataError: the data is not there.
    """
    return open_listing(split.dataset, None, "train dataset").length


def open_listing(settings: Settings, classes: Classes, where: str) -> Listing:
    """The samples of a dataset or of a dataset around datasets.

    Raises:
        ConfigError: there is no such dataset.
        DataError: the data is not there.
    """
    settings = named(settings)
    kind = str(settings.get("type"))
    if kind in WRAPPERS:
        return WRAPPERS[kind](settings, lambda one: open_listing(one, classes, where), where)
    if kind not in KINDS:
        hint = suggestion(kind, [*KINDS, *WRAPPERS])
        raise ConfigError(f"{where}: no dataset named {kind!r}", hint=hint)
    return KINDS[kind](settings, class_names(settings, where) or classes, where)


KNOWN_NAMES: Mapping[str, tuple[str, ...]] = {
    "CIFAR10": CIFAR10,
    "FashionMNIST": FASHION,
    "MNIST": DIGITS,
    "VOC": VOC_CLASSES,
}
"""The classes of datasets that have one set of them, whatever their files say."""


def names_without_data(settings: Settings, where: str) -> Classes:
    """The class names that hold without the data: those of the settings or the dataset's own; None for others.

    Raises:
        DataError: a file of names is not there.
    """
    settings = named(settings)
    return class_names(settings, where) or KNOWN_NAMES.get(str(settings.get("type")))


def class_names(settings: Settings, where: str) -> Classes:
    """The class names that a dataset's settings give: in `metainfo`, in `classes`, or in a file named there."""
    given = (settings.get("metainfo") or {}).get("classes") or settings.get("classes")
    if isinstance(given, str):
        lines = read_bytes(given).decode("utf-8-sig").splitlines()
        return tuple(line.strip() for line in lines if line.strip())
    if given is None or isinstance(given, Sequence):
        return tuple(map(str, given)) if given else None
    raise ConfigError(f"{where}: classes is a list of names or the path of one, not {given!r}")
