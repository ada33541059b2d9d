"""Published datasets that bring lists of their own: birds, cars, aircraft, pets, flowers, food, textures, scenes, clothes.

Labels are upstream's. So are the class names, unless the dataset has a list of its own in its files.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from classlens.adapters.openmm.published_names import names_of
from classlens.config.settings import Settings, split_of, text
from classlens.dataset.annotations import read_text
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.storage import exists, join_path
from classlens.errors import DataError, MissingDependency, suggestion

Row = tuple[str, int]
"""A path below the folder of the pictures, and a label."""

MATLAB_FORM = (KeyError, TypeError, IndexError, ValueError)
"""What comes of looking for a dataset's fields in another MATLAB file."""


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
    """The variables of a MATLAB file.

    Raises:
        DataError: it is missing or damaged.
        MissingDependency: scipy is not installed.
    """
    try:
        loadmat = import_module("scipy.io").loadmat
    except ModuleNotFoundError as error:
        raise MissingDependency("scipy", extra="mat") from error
    try:
        found: Mapping[str, Any] = loadmat(path, simplify_cells=True)
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file") from error
    except (OSError, ValueError, TypeError, NotImplementedError) as error:
        raise DataError(f"{path}: not a MATLAB file: {str(error).splitlines()[0].lower()}") from error
    return found


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


def list_rows(folder: str, rows: Sequence[Row], classes: Sequence[str] | None, where: str) -> Listing:
    """Rows as a listing.

    Raises:
        DataError: there is none.
    """
    if not rows:
        raise DataError(f"{where}: its lists name no picture")
    names = tuple(classes) if classes is not None else None
    return Listing(len(rows), lambda index: Sample(join_path(folder, rows[index][0]), (rows[index][1],)), names)


def cub(settings: Settings, classes: Classes, where: str) -> Listing:
    """CUB-200-2011: three lists with one number per picture, counted from 1. 0.x names each list in the config."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "test")
    lists = {"ann_file": "images.txt", "image_class_labels_file": "image_class_labels.txt"}
    lists["train_test_split_file"] = "train_test_split.txt"
    names, labels, training = (
        dict(table(join_path(root, text(settings, key, where) or name), int, str if key == "ann_file" else int))
        for key, name in lists.items()
    )
    if not names.keys() == labels.keys() == training.keys():
        raise DataError(f"{where}: {', '.join(lists.values())} name different pictures")
    every = [(names[number], labels[number] - 1) for number in names]
    rows = [row for row, number in zip(every, names, strict=True) if (training[number] == 1) == (split == "train")]
    return list_rows(join_path(root, text(settings, "data_prefix", where) or "images"), rows, classes, where)


def caltech101(settings: Settings, classes: Classes, where: str) -> Listing:
    """Caltech-101, with OpenMMLab's lists of `path label` lines."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "test")
    rows = table(join_path(root, f"meta/{split}.txt"), str, int)
    return list_rows(join_path(root, "101_ObjectCategories"), [(name, label) for name, label in rows], classes, where)


def food101(settings: Settings, classes: Classes, where: str) -> Listing:
    """Food-101: the folder is the class, and `meta/classes.txt` numbers them."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "test")
    named, listed = join_path(root, "meta/classes.txt"), join_path(root, f"meta/{split}.txt")
    names = listed_names(named, settings)
    number_of = numbering(names, named)
    rows = [(f"{name}.jpg", number_of(name.partition("/")[0])) for (name,) in table(listed, str)]
    return list_rows(join_path(root, "images"), rows, classes or names, where)


def aircraft(settings: Settings, classes: Classes, where: str) -> Listing:
    """FGVC-Aircraft: one list per split with `number variant` lines."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "trainval", "train", "val", "test")
    named = join_path(root, "data/variants.txt")
    names = listed_names(named, settings)
    number_of = numbering(names, named)
    listed = table(join_path(root, f"data/images_variant_{split}.txt"), str, str)
    rows = [(f"{number}.jpg", number_of(variant)) for number, variant in listed]
    return list_rows(join_path(root, "data/images"), rows, classes or names, where)


def pets(settings: Settings, classes: Classes, where: str) -> Listing:
    """Oxford-IIIT Pet: `name class species breed` lines."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "trainval", "test")
    listed = table(join_path(root, f"annotations/{split}.txt"), str, int, str)
    return list_rows(
        join_path(root, "images"), [(f"{name}.jpg", label - 1) for name, label, _ in listed], classes, where
    )


def sun397(settings: Settings, classes: Classes, where: str) -> Listing:
    """SUN397: the first partition of ten; a class may lie two folders deep."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "test")
    named, part = join_path(root, "Partitions/ClassName.txt"), "Training" if split == "train" else "Testing"
    names = [re.sub(r"^/?./", "", name).replace("/", "_") for name in listed_names(named, settings)]
    number_of = numbering(names, named)
    listed = [name.strip("/") for (name,) in table(join_path(root, f"Partitions/{part}_01.txt"), str)]
    rows = [(name, number_of("_".join(name.split("/")[1:-1]))) for name in listed]
    return list_rows(join_path(root, "SUN397"), rows, classes or names, where)


def inshop(settings: Settings, classes: Classes, where: str) -> Listing:
    """DeepFashion In-shop: `path item split` lines below two lines of heading; an item is a class, of its own split."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "query", "gallery")
    listed = join_path(root, text(settings, "ann_file", where) or "Eval/list_eval_partition.txt")
    rows = [(name, item) for name, item, part in table(listed, str, str, str, heading=2) if part == split]
    items = list(dict.fromkeys(item for _, item in rows))
    number_of = numbering(items, listed)
    folder = join_path(root, text(settings, "data_prefix", where) or "Img")
    return list_rows(folder, [(name, number_of(item)) for name, item in rows], classes or items, where)


def dtd(settings: Settings, classes: Classes, where: str) -> Listing:
    """Describable Textures: `imdb/imdb.mat` holds names, classes and splits."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "trainval", "train", "val", "test")
    path, wanted = (
        join_path(root, "imdb/imdb.mat"),
        {"train": (1,), "val": (2,), "trainval": (1, 2), "test": (3,)}[split],
    )
    try:
        found = matlab(path)["images"]
        every = [(str(name), int(label) - 1) for name, label in zip(found["name"], found["class"], strict=True)]
        rows = [row for row, part in zip(every, found["set"], strict=True) if part in wanted]
    except MATLAB_FORM as error:
        raise DataError(f"{path}: not the annotations of DTD") from error
    return list_rows(join_path(root, "images"), rows, classes, where)


def flowers102(settings: Settings, classes: Classes, where: str) -> Listing:
    """Oxford 102 Flowers: labels in one MATLAB file, the numbers of every split in another; no names."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "trainval", "train", "val", "test")
    keys = {"train": ("trnid",), "val": ("valid",), "test": ("tstid",), "trainval": ("trnid", "valid")}[split]
    labels, numbers = matlab(join_path(root, "imagelabels.mat")), matlab(join_path(root, "setid.mat"))
    try:
        chosen = [int(number) for key in keys for number in numbers[key]]
        rows = [(f"image_{number:05d}.jpg", int(labels["labels"][number - 1]) - 1) for number in chosen]
    except MATLAB_FORM as error:
        raise DataError(f"{root}: not the annotations of Flowers102") from error
    return list_rows(join_path(root, "jpg"), rows, classes, where)


def cars(settings: Settings, classes: Classes, where: str) -> Listing:
    """Stanford Cars: one MATLAB file for both splits, or the devkit with one for each."""
    root, split = text(settings, "data_root", where), split_of(settings, where, "train", "test")
    path, folder = join_path(root, "cars_annos.mat"), root
    if not Path(path).exists():
        listed = "cars_train_annos" if split == "train" else "cars_test_annos_withlabels"
        path, folder = join_path(root, f"devkit/{listed}.mat"), join_path(root, f"cars_{split}")
    try:
        found = [
            one for one in matlab(path)["annotations"] if bool(one.get("test", split == "test")) == (split == "test")
        ]
        key = "relative_im_path" if found and "relative_im_path" in found[0] else "fname"
        rows = [(str(one[key]), int(one["class"]) - 1) for one in found]
    except (*MATLAB_FORM, AttributeError) as error:
        raise DataError(f"{path}: not the annotations of Stanford Cars") from error
    return list_rows(folder, rows, classes, where)
