"""Published datasets with files of their own form: lists of birds, cars, pets, food and more; CIFAR and MNIST in arrays.

Labels are upstream's. So are the class names, unless the dataset has a list of its own in its files. CIFAR's batches are
pickles: only arrays are taken from them, and nothing in them is run.
"""

import gzip
import math
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from classlens.adapters.openmm.image_files import picture_folder
from classlens.adapters.openmm.published_names import names_of
from classlens.config.settings import Settings, split_of, text
from classlens.dataset.annotations import read_text
from classlens.dataset.dataset import Sample
from classlens.dataset.decode import Pixels
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.state import BGR
from classlens.dataset.storage import exists, join_path, read_bytes
from classlens.errors import DataError, MissingDependency, suggestion
from classlens.image import Encoding

Rows = Sequence[tuple[str, int]]
"""Paths below the folder of the pictures, each with its label."""

Contents = tuple[str, Rows, Sequence[str] | None]
"""The folder of the pictures, the samples in it, and the names of the classes where the dataset's files hold them."""

MATLAB_FORM = (KeyError, TypeError, IndexError, ValueError, AttributeError)
"""What comes of looking for a dataset's fields in another MATLAB file."""


def published(settings: Settings, classes: Classes, where: str) -> Listing:
    """A split of the published dataset that the settings name.

    Raises:
        ConfigError: it has no such split.
        DataError: one of its lists is missing, is not as published, or names no picture.
        MissingDependency: its lists are MATLAB files, and scipy is not installed.
    """
    read, splits = PUBLISHED[settings["type"]]
    root, split = text(settings, "data_root", where), split_of(settings, where, *splits)
    folder, rows, names = read(root, split, settings, where)
    if not rows:
        raise DataError(f"{where}: its lists name no picture")
    names = classes or names
    return Listing(
        len(rows),
        lambda index: Sample(join_path(folder, rows[index][0]), (rows[index][1],)),
        tuple(names) if names is not None else None,
    )


def table(path: str, *kinds: Callable[[str], Any], heading: int = 0) -> list[tuple[Any, ...]]:
    """The lines of a list below its heading, split at blanks into columns; the last takes the rest of the line.

    Raises:
        DataError: the list is missing, or a line has not these columns.
    """
    rows = []
    for number, line in enumerate(read_text(path).splitlines()[heading:], start=heading + 1):
        columns = line.strip().split(maxsplit=len(kinds) - 1)
        try:
            if columns:
                rows.append(tuple(kind(column) for kind, column in zip(kinds, columns, strict=True)))
        except ValueError as error:
            wanted = " ".join("NUMBER" if kind is int else "TEXT" for kind in kinds)
            raise DataError(f"{path}:{number}: not of the form {wanted}: {line.strip()[:60]!r}") from error
    return rows


def matlab(path: str) -> Mapping[str, Any]:
    """The variables of a MATLAB file."""
    try:
        loadmat = import_module("scipy.io").loadmat
    except ModuleNotFoundError as error:
        raise MissingDependency("scipy", extra="mat") from error
    try:
        variables: Mapping[str, Any] = loadmat(path, simplify_cells=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"{path}: not a MATLAB file: {str(error).splitlines()[0].lower()}") from error
    return variables


def numbering(names: Sequence[str], path: str) -> Callable[[str], int]:
    """Gives the number of a name, or says that the list at `path` does not hold it."""
    numbers = {name: number for number, name in enumerate(names)}

    def number_of(name: str) -> int:
        if name not in numbers:
            raise DataError(f"{path}: no class named {name!r}", hint=suggestion(name, names))
        return numbers[name]

    return number_of


def listed_names(path: str, settings: Settings) -> Sequence[str]:
    """The names that the dataset's own list gives to its classes, or where it is missing, those it is known to have."""
    known = names_of(settings["type"])
    return known if known and not exists(path) else [name for (name,) in table(path, str)]


def cub(root: str, split: str, settings: Settings, where: str) -> Contents:
    """CUB-200-2011: three lists with one number per picture, counted from 1. 0.x names each list in the config."""
    lists = {"ann_file": "images.txt", "image_class_labels_file": "image_class_labels.txt"}
    lists["train_test_split_file"] = "train_test_split.txt"
    names, labels, training = (
        dict(table(join_path(root, text(settings, key, where) or name), int, str if key == "ann_file" else int))
        for key, name in lists.items()
    )
    if not names.keys() == labels.keys() == training.keys():
        raise DataError(f"{where}: {', '.join(lists.values())} name different pictures")
    chosen = [number for number in names if (training[number] == 1) == (split == "train")]
    rows = [(names[number], labels[number] - 1) for number in chosen]
    return join_path(root, text(settings, "data_prefix", where) or "images"), rows, None


def caltech101(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Caltech-101, with OpenMMLab's lists of `path label` lines."""
    rows = table(join_path(root, f"meta/{split}.txt"), str, int)
    return join_path(root, "101_ObjectCategories"), [(name, label) for name, label in rows], None


def food101(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Food-101: the folder is the class, and `meta/classes.txt` numbers them."""
    path = join_path(root, "meta/classes.txt")
    names = listed_names(path, settings)
    number_of = numbering(names, path)
    listed = table(join_path(root, f"meta/{split}.txt"), str)
    return join_path(root, "images"), [(f"{name}.jpg", number_of(name.partition("/")[0])) for (name,) in listed], names


def aircraft(root: str, split: str, settings: Settings, where: str) -> Contents:
    """FGVC-Aircraft: one list per split with `number variant` lines."""
    path = join_path(root, "data/variants.txt")
    names = listed_names(path, settings)
    number_of = numbering(names, path)
    listed = table(join_path(root, f"data/images_variant_{split}.txt"), str, str)
    return join_path(root, "data/images"), [(f"{number}.jpg", number_of(variant)) for number, variant in listed], names


def pets(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Oxford-IIIT Pet: `name class species breed` lines."""
    listed = table(join_path(root, f"annotations/{split}.txt"), str, int, str)
    return join_path(root, "images"), [(f"{name}.jpg", label - 1) for name, label, _ in listed], None


def sun397(root: str, split: str, settings: Settings, where: str) -> Contents:
    """SUN397: the first partition of ten; a class may lie two folders deep."""
    path, part = join_path(root, "Partitions/ClassName.txt"), "Training" if split == "train" else "Testing"
    names = [re.sub(r"^/?./", "", name).replace("/", "_") for name in listed_names(path, settings)]
    number_of = numbering(names, path)
    listed = [name.strip("/") for (name,) in table(join_path(root, f"Partitions/{part}_01.txt"), str)]
    rows = [(name, number_of("_".join(name.split("/")[1:-1]))) for name in listed]
    return join_path(root, "SUN397"), rows, names


def inshop(root: str, split: str, settings: Settings, where: str) -> Contents:
    """DeepFashion In-shop: `path item split` lines below two lines of heading; an item is a class, of its own split."""
    path = join_path(root, text(settings, "ann_file", where) or "Eval/list_eval_partition.txt")
    listed = [(name, item) for name, item, part in table(path, str, str, str, heading=2) if part == split]
    items = list(dict.fromkeys(item for _, item in listed))
    number_of = numbering(items, path)
    folder = join_path(root, text(settings, "data_prefix", where) or "Img")
    return folder, [(name, number_of(item)) for name, item in listed], items


def dtd(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Describable Textures: `imdb/imdb.mat` holds names, classes and splits."""
    path, wanted = (
        join_path(root, "imdb/imdb.mat"),
        {"train": (1,), "val": (2,), "trainval": (1, 2), "test": (3,)}[split],
    )
    try:
        images = matlab(path)["images"]
        columns = zip(images["name"], images["class"], images["set"], strict=True)
        rows = [(str(name), int(label) - 1) for name, label, part in columns if part in wanted]
    except MATLAB_FORM as error:
        raise DataError(f"{path}: not the annotations of DTD") from error
    return join_path(root, "images"), rows, None


def flowers102(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Oxford 102 Flowers: labels in one MATLAB file, the numbers of every split in another; no names."""
    keys = {"train": ("trnid",), "val": ("valid",), "test": ("tstid",), "trainval": ("trnid", "valid")}[split]
    labels, numbers = matlab(join_path(root, "imagelabels.mat")), matlab(join_path(root, "setid.mat"))
    try:
        chosen = [int(number) for key in keys for number in numbers[key]]
        rows = [(f"image_{number:05d}.jpg", int(labels["labels"][number - 1]) - 1) for number in chosen]
    except MATLAB_FORM as error:
        raise DataError(f"{root}: not the annotations of Flowers102") from error
    return join_path(root, "jpg"), rows, None


def cars(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Stanford Cars: one MATLAB file for both splits, or the devkit with one for each."""
    path, folder, testing = join_path(root, "cars_annos.mat"), root, split == "test"
    if not Path(path).exists():
        listed = "cars_test_annos_withlabels" if testing else "cars_train_annos"
        path, folder = join_path(root, f"devkit/{listed}.mat"), join_path(root, f"cars_{split}")
    try:
        entries = [one for one in matlab(path)["annotations"] if bool(one.get("test", testing)) == testing]
        key = "relative_im_path" if entries and "relative_im_path" in entries[0] else "fname"
        rows = [(str(one[key]), int(one["class"]) - 1) for one in entries]
    except MATLAB_FORM as error:
        raise DataError(f"{path}: not the annotations of Stanford Cars") from error
    return folder, rows, None


ARRAY_PARTS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What a pickled array is made of."""


class ArraysOnly(pickle.Unpickler):
    """An unpickler that knows arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the signature of pickle
        """Refuse everything that is no part of an array."""
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def unpickle(path: str) -> Mapping[str, Any]:
    """The content of a CIFAR batch.

    Raises:
        DataError: it is missing, damaged, or more than arrays.
    """
    try:
        content = ArraysOnly(BytesIO(read_bytes(path)), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError, ImportError) as error:
        raise DataError(f"{path}: not a batch of CIFAR: {error}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: not a batch of CIFAR")
    return content


def cifar(settings: Settings, classes: Classes, where: str) -> Listing:
    """CIFAR-10 and CIFAR-100 as published for Python. Their arrays are RGB, and the configs treat them so.

    Raises:
        ConfigError: there is no such split.
        DataError: a batch is missing or damaged.
    """
    ten = settings["type"] == "CIFAR10"
    folder = join_path(picture_folder(settings, where, "root"), "cifar-10-batches-py" if ten else "cifar-100-python")
    training = split_of(settings, where, "train", "test") == "train"
    if ten:
        batches = [f"data_batch_{number}" for number in range(1, 6)] if training else ["test_batch"]
    else:
        batches = ["train" if training else "test"]
    contents = [unpickle(join_path(folder, batch)) for batch in batches]
    try:
        pictures = np.vstack([batch["data"] for batch in contents]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = [int(label) for batch in contents for label in batch.get("labels") or batch["fine_labels"]]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{folder}: not the batches of {settings['type']}: {error}") from error
    return in_memory(pictures, labels, classes, Encoding("RGB"))


def mnist(settings: Settings, classes: Classes, where: str) -> Listing:
    """MNIST and FashionMNIST: one file of pictures, one of labels, packed or not.

    Raises:
        ConfigError: there is no such split.
        DataError: a file is missing or damaged.
    """
    folder = picture_folder(settings, where, "root")
    training = split_of(settings, where, "train", "test") == "train" and not settings.get("test_mode", False)
    prefix = "train" if training else "t10k"
    pictures = idx_array(join_path(folder, f"{prefix}-images-idx3-ubyte"))
    labels = idx_array(join_path(folder, f"{prefix}-labels-idx1-ubyte"))
    if pictures.ndim != 3 or len(pictures) != len(labels):
        raise DataError(f"{folder}: {len(pictures)} pictures, but {len(labels)} labels")
    return in_memory(pictures, [int(label) for label in labels], classes, BGR)


def idx_array(path: str) -> Pixels:
    """An array in the IDX format of MNIST: a magic number, the sizes, the bytes."""
    packed = not Path(path).is_file() and Path(f"{path}.gz").is_file()
    data = read_bytes(f"{path}.gz" if packed else path)
    try:
        data = gzip.decompress(data) if packed else data
    except (OSError, EOFError) as error:
        raise DataError(f"{path}.gz: damaged archive: {error}") from error
    dimensions = data[3] if len(data) > 4 else 0
    shape = tuple(int(size) for size in np.frombuffer(data[4 : 4 + 4 * dimensions], ">u4"))
    start = 4 + 4 * dimensions
    if data[:3] != b"\x00\x00\x08" or not 1 <= dimensions <= 3 or len(data) - start != math.prod(shape):
        raise DataError(f"{path}: not an IDX file of bytes, or cut short")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def in_memory(pictures: Pixels, labels: list[int], classes: Classes, encoding: Encoding) -> Listing:
    """Arrays as a listing; a picture is copied when it is taken, so that nobody changes the dataset."""
    if len(pictures) != len(labels):
        raise DataError(f"{len(pictures)} pictures, but {len(labels)} labels")
    return Listing(
        length=len(labels),
        sample=lambda index: Sample(None, (labels[index],)),
        classes=classes,
        picture=lambda index: np.ascontiguousarray(pictures[index]).copy(),
        encoding=encoding,
    )


PUBLISHED: Mapping[str, tuple[Callable[[str, str, Settings, str], Contents], Sequence[str]]] = {
    "CUB": (cub, ("train", "test")),
    "StanfordCars": (cars, ("train", "test")),
    "Caltech101": (caltech101, ("train", "test")),
    "DTD": (dtd, ("trainval", "train", "val", "test")),
    "FGVCAircraft": (aircraft, ("trainval", "train", "val", "test")),
    "Flowers102": (flowers102, ("trainval", "train", "val", "test")),
    "Food101": (food101, ("train", "test")),
    "InShop": (inshop, ("train", "query", "gallery")),
    "OxfordIIITPet": (pets, ("trainval", "test")),
    "SUN397": (sun397, ("train", "test")),
}
"""What reads each dataset, and its splits, the default first."""
