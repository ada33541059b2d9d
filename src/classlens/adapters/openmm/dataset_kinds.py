"""The kinds of datasets that OpenMMLab's configs name: folders, lists and published datasets with files of their own form.

Labels are upstream's. So are the class names, unless the dataset has a list of its own in its files. CIFAR's batches are
pickles: only arrays are taken from them, and nothing in them is run.
"""

import gzip
import hashlib
import math
import pickle
import re
import struct
import tarfile
import tempfile
import xml.etree.ElementTree as ET
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from classlens.adapters.openmm.setup import names_of
from classlens.checkpoints.check_records import STUMBLES, check_pickle
from classlens.config.settings import Settings, split_of, text
from classlens.dataset.annotations import list_annotations, read_text
from classlens.dataset.class_folders import find_misnamed, list_elsewhere, scan_folder
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Sample
from classlens.dataset.decode import Pixels
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.state import BGR
from classlens.dataset.storage import ADDRESS, exists, is_archive, join_path, read_bytes
from classlens.errors import ConfigError, DataError, MissingDependency, short_repr, suggestion
from classlens.files import check_size, limit, write_whole, writing
from classlens.image import Encoding

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What OpenMMLab takes for a picture: a folder holds as many samples for us as for training."""


def picture_folder(settings: Settings, where: str, *keys: str) -> str:
    """The folder of the data: `data_prefix` below `data_root`; it may be a text, or a dict with one of the keys."""
    prefix = settings.get("data_prefix") or ""
    if isinstance(prefix, Mapping):
        prefix = next((prefix[key] for key in keys if key in prefix), "") or ""
    return join_path(text(settings, "data_root", where), str(prefix))


def custom(settings: Settings, classes: Classes, where: str) -> Listing:
    """A folder of class folders, or an annotation list with `ann_file`.

    Class folders go under the names that the config or the dataset gives them, with a word where these do not fit.
    `classes` may be those of another split: they are not what training would stop at.
    """
    labelled, known = bool(settings.get("with_label", True)), names_of(settings["type"])
    folder = picture_folder(settings, where, "img_path", "root")
    if ann_file := text(settings, "ann_file", where):
        path = join_path(text(settings, "data_root", where), ann_file)
        return list_annotations(path, folder, classes or known, labelled=labelled)
    if not folder:
        raise ConfigError(f"{where}: one of data_root, data_prefix and ann_file must be given")
    if is_archive(folder) or ADDRESS in folder:
        listing = list_elsewhere([folder], flat=not labelled)
    elif Path(folder).exists():
        listing = scan_folder(folder, labelled=labelled, endings=settings.get("extensions") or ENDINGS).listing()
    else:
        hint = f"say where the data lies, e.g. --cfg-options {where.split()[0]}_dataloader.dataset.data_root=PATH"
        if folder.startswith("out/demo/"):
            hint = "`make demo` lays these pictures out; the target demo needs no such step"
        raise DataError(f"{where}: no such folder: {folder}", hint=hint)
    folders, warnings = listing.classes, listing.warnings
    is_own = bool(classes and (settings.get("classes") or settings.get("metainfo")))
    names = classes if is_own else known or classes
    if not folders or not names:
        names = names or folders
    elif len(names) == len(folders):
        warnings += tuple(find_misnamed(dict(enumerate(folders)), names))
    else:
        if is_own or known:
            owner = "in the config" if is_own else f"of {settings['type']}"
            warnings += (f"training stops here: {len(folders)} class folders, but {len(names)} class names {owner}",)
        names = names if is_own else folders
    return replace(listing, classes=names, warnings=warnings)


def imagenet(settings: Settings, classes: Classes, where: str) -> Listing:
    """ImageNet: `split` names the folder, and `meta/SPLIT.txt` is read where it exists. ImageNet21k has only train."""
    split, is_21k = text(settings, "split", where), settings["type"] == "ImageNet21k"
    if is_21k and settings.get("multi_label"):
        raise ConfigError(f"{where}: training stops at multi_label=True, which ImageNet21k does not support")
    if not split:
        return custom(settings, classes, where)
    split_of(settings, where, *(("train",) if is_21k else SPLITS))
    split_settings = {**settings, "data_prefix": settings.get("data_prefix") or split}
    if split == "test":
        split_settings["with_label"] = False
    ann_file = f"meta/{split}.txt"
    if not settings.get("ann_file") and exists(join_path(text(settings, "data_root", where), ann_file)):
        split_settings["ann_file"] = ann_file
    return custom(split_settings, classes, where)


def voc(settings: Settings, classes: Classes, where: str) -> Listing:
    """Pascal VOC: one XML file per picture names every object in it; difficult ones count for no label."""
    root = text(settings, "data_root", where)
    split = split_of(settings, where, "trainval", "train", "val", "test") if settings.get("split", True) else ""
    image_set = text(settings, "image_set_path", where) or f"ImageSets/Main/{split or 'trainval'}.txt"
    prefix = settings.get("data_prefix") or {"img_path": "JPEGImages", "ann_path": "Annotations"}
    prefix = {"img_path": prefix} if isinstance(prefix, str) else prefix
    pictures = join_path(root, str(prefix["img_path"]))
    notes = join_path(root, str(prefix["ann_path"])) if prefix.get("ann_path") else None
    numbers = [columns[0] for line in read_text(join_path(root, image_set)).splitlines() if (columns := line.split())]
    names = classes or names_of("VOC") or ()

    def sample(index: int) -> Sample:
        labels, trouble = objects(join_path(notes, f"{numbers[index]}.xml"), names) if notes else ((), "")
        return Sample(join_path(pictures, f"{numbers[index]}.jpg"), labels, trouble)

    return Listing(len(numbers), sample, names)


def objects(path: str, classes: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """The classes of the objects in one annotation, and what is wrong with it."""
    try:
        root = ET.fromstring(read_bytes(path))
    except (DataError, ET.ParseError) as error:
        reason = str(error) if isinstance(error, DataError) else f"{path}: {error}"
        return (), f"no label: {reason}"
    labels, unknown = set(), set()
    for node in root.iter("object"):
        name, difficult = node.findtext("name") or "", node.findtext("difficult") or "0"
        if name not in classes:
            unknown.add(name)
        elif difficult.strip() != "1":
            labels.add(classes.index(name))
    return tuple(sorted(labels)), f"no such class: {', '.join(sorted(unknown))}" if unknown else ""


Contents = tuple[str, Sequence[tuple[str, int | str]], Sequence[str] | None]
"""The folder of the pictures, the path of each below it with its label or the name of that, and the names of the classes
where the dataset's files hold them."""


def published(settings: Settings, classes: Classes, where: str) -> Listing:
    """A split of the published dataset that the settings name."""
    read, splits = PUBLISHED[settings["type"]]
    root, split = text(settings, "data_root", where), split_of(settings, where, *splits)
    folder, rows, names = read(root, split, settings, where)
    if not rows:
        raise DataError(f"{where}: its lists name no picture")
    numbers = {name: number for number, name in enumerate(names or ())}
    if unknown := [label for _, label in rows if isinstance(label, str) and label not in numbers]:
        raise DataError(f"{where}: no class named {short_repr(unknown[0])}", hint=suggestion(unknown[0], numbers))
    labels = [numbers[label] if isinstance(label, str) else label for _, label in rows]
    names = classes or names
    return Listing(
        len(rows),
        lambda index: Sample(join_path(folder, rows[index][0]), (labels[index],)),
        None if names is None else tuple(names),
    )


def table(path: str, *kinds: Callable[[str], Any], heading: int = 0) -> list[tuple[Any, ...]]:
    """The lines of a list below its heading, split at blanks into columns; the last takes the rest of the line."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines()[heading:], start=heading + 1):
        columns = line.strip().split(maxsplit=len(kinds) - 1)
        try:
            if columns:
                rows.append(tuple(kind(column) for kind, column in zip(kinds, columns, strict=True)))
        except ValueError as error:
            form = " ".join("NUMBER" if kind is int else "TEXT" for kind in kinds)
            raise DataError(f"{path}:{number}: not of the form {form}: {short_repr(line.strip()[:60])}") from error
    return rows


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
    of_split = [number for number in names if (training[number] == 1) == (split == "train")]
    rows = [(names[number], labels[number] - 1) for number in of_split]
    return join_path(root, text(settings, "data_prefix", where) or "images"), rows, None


def caltech101(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Caltech-101, with OpenMMLab's lists of `path label` lines."""
    return join_path(root, "101_ObjectCategories"), table(join_path(root, f"meta/{split}.txt"), str, int), None


def food101(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Food-101: the folder is the class, and `meta/classes.txt` numbers them."""
    lines = table(join_path(root, f"meta/{split}.txt"), str)
    rows = [(f"{name}.jpg", name.partition("/")[0]) for (name,) in lines]
    return join_path(root, "images"), rows, listed_names(join_path(root, "meta/classes.txt"), settings)


def aircraft(root: str, split: str, settings: Settings, where: str) -> Contents:
    """FGVC-Aircraft: one list per split with `number variant` lines."""
    lines = table(join_path(root, f"data/images_variant_{split}.txt"), str, str)
    rows = [(f"{number}.jpg", variant) for number, variant in lines]
    return join_path(root, "data/images"), rows, listed_names(join_path(root, "data/variants.txt"), settings)


def pets(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Oxford-IIIT Pet: `name class species breed` lines."""
    lines = table(join_path(root, f"annotations/{split}.txt"), str, int, str)
    return join_path(root, "images"), [(f"{name}.jpg", label - 1) for name, label, _ in lines], None


def sun397(root: str, split: str, settings: Settings, where: str) -> Contents:
    """SUN397: the first partition of ten; a class may lie two folders deep."""
    names = listed_names(join_path(root, "Partitions/ClassName.txt"), settings)
    lines = table(join_path(root, f"Partitions/{'Training' if split == 'train' else 'Testing'}_01.txt"), str)
    paths = [name.strip("/") for (name,) in lines]
    rows = [(path, "_".join(path.split("/")[1:-1])) for path in paths]
    return join_path(root, "SUN397"), rows, [re.sub(r"^/?./", "", name).replace("/", "_") for name in names]


def inshop(root: str, split: str, settings: Settings, where: str) -> Contents:
    """DeepFashion In-shop: `path item split` lines below two lines of heading; an item is a class, of its own split."""
    path = join_path(root, text(settings, "ann_file", where) or "Eval/list_eval_partition.txt")
    rows = [(name, item) for name, item, part in table(path, str, str, str, heading=2) if part == split]
    folder = join_path(root, text(settings, "data_prefix", where) or "Img")
    return folder, rows, list(dict.fromkeys(item for _, item in rows))


@contextmanager
def matlab(path: str) -> Iterator[Mapping[str, Any]]:
    """The variables of a MATLAB file, in which the annotations of a dataset are looked for."""
    try:
        loadmat = import_module("scipy.io").loadmat
    except ModuleNotFoundError as error:
        raise MissingDependency("scipy", extra="mat") from error
    try:
        variables = loadmat(BytesIO(read_bytes(path, "list")), simplify_cells=True)
    except (OSError, ValueError, TypeError, NotImplementedError, MemoryError, OverflowError) as error:
        raise DataError(f"{path}: not a MATLAB file: {str(error).splitlines()[0].lower()}") from error
    try:
        yield variables
    except (KeyError, TypeError, IndexError, ValueError, AttributeError) as error:  # it holds something else
        raise DataError(f"{path}: not the annotations as they were published") from error


def dtd(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Describable Textures: `imdb/imdb.mat` holds names, classes and splits."""
    parts = {"train": (1,), "val": (2,), "trainval": (1, 2), "test": (3,)}[split]
    with matlab(join_path(root, "imdb/imdb.mat")) as variables:
        images = variables["images"]
        columns = zip(images["name"], images["class"], images["set"], strict=True)
        rows = [(str(name), int(label) - 1) for name, label, part in columns if part in parts]
    return join_path(root, "images"), rows, None


def flowers102(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Oxford 102 Flowers: labels in one MATLAB file, the numbers of every split in another; no names."""
    keys = {"train": ("trnid",), "val": ("valid",), "test": ("tstid",), "trainval": ("trnid", "valid")}[split]
    with matlab(join_path(root, "imagelabels.mat")) as labels, matlab(join_path(root, "setid.mat")) as numbers:
        of_split = [int(number) for key in keys for number in numbers[key]]
        rows = [(f"image_{number:05d}.jpg", int(labels["labels"][number - 1]) - 1) for number in of_split]
    return join_path(root, "jpg"), rows, None


def cars(root: str, split: str, settings: Settings, where: str) -> Contents:
    """Stanford Cars: one MATLAB file for both splits, or the devkit with one for each."""
    path, folder, testing = join_path(root, "cars_annos.mat"), root, split == "test"
    if not exists(path):
        annotations = "cars_test_annos_withlabels" if testing else "cars_train_annos"
        path, folder = join_path(root, f"devkit/{annotations}.mat"), join_path(root, f"cars_{split}")
    with matlab(path) as variables:
        entries = [one for one in variables["annotations"] if bool(one.get("test", testing)) == testing]
        key = "relative_im_path" if entries and "relative_im_path" in entries[0] else "fname"
        rows = [(str(one[key]), int(one["class"]) - 1) for one in entries]
    return folder, rows, None


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


def cifar(settings: Settings, classes: Classes, where: str) -> Listing:
    """CIFAR-10 and CIFAR-100 as published for Python. Their arrays are RGB, and the configs treat them so."""
    split, folder = split_of(settings, where, "train", "test"), picture_folder(settings, where, "root")
    if settings["type"] == "CIFAR10":
        folder = join_path(folder, "cifar-10-batches-py")
        batches = [f"data_batch_{number}" for number in range(1, 6)] if split == "train" else ["test_batch"]
    else:
        folder, batches = join_path(folder, "cifar-100-python"), [split]
    fetch_missing(settings, Path(folder).parent, join_path(folder, batches[0]))
    files = [read_bytes(join_path(folder, batch), "list") for batch in batches]
    try:
        for file in files:
            check_pickle(file)
        contents = [ArraysOnly(BytesIO(file), encoding="latin1").load() for file in files]
        pictures = np.vstack([batch["data"] for batch in contents]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = [int(label) for batch in contents for label in batch.get("labels") or batch["fine_labels"]]
    except (*STUMBLES, DataError) as error:
        raise DataError(f"{folder}: not the batches of {settings['type']}: {error}") from error
    return in_memory(pictures, labels, classes, Encoding("RGB"))


def mnist(settings: Settings, classes: Classes, where: str) -> Listing:
    """MNIST and FashionMNIST: one file of pictures, one of labels, packed or not."""
    folder = picture_folder(settings, where, "root")
    training = split_of(settings, where, "train", "test") == "train" and not settings.get("test_mode", False)
    prefix = "train" if training else "t10k"
    fetch_missing(
        settings, Path(folder), *(join_path(folder, f"{prefix}-images-idx3-ubyte{end}") for end in ("", ".gz"))
    )
    pictures = idx_array(join_path(folder, f"{prefix}-images-idx3-ubyte"), dimensions=3)
    labels = idx_array(join_path(folder, f"{prefix}-labels-idx1-ubyte"), dimensions=1)
    return in_memory(pictures, labels.tolist(), classes, BGR)


def fetch_missing(settings: Settings, folder: Path, *files: str) -> None:
    """Fetch a published dataset if none of the files is there and the config says so."""
    if settings.get("download") is True and not any(map(exists, files)):
        fetch_published(settings["type"], folder)


CIFAR = "https://www.cs.toronto.edu/~kriz/"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"

RELEASED: Mapping[str, Sequence[tuple[str, str]]] = {
    "CIFAR10": [(f"{CIFAR}cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a")],
    "CIFAR100": [(f"{CIFAR}cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85")],
    "MNIST": [
        (f"{MNIST}train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        (f"{MNIST}train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        (f"{MNIST}t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        (f"{MNIST}t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
    "FashionMNIST": [
        (f"{FASHION}train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        (f"{FASHION}train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        (f"{FASHION}t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        (f"{FASHION}t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
}
"""The address of every file of a dataset, and the MD5 under which it was published; MNIST's are torchvision's mirror."""


def fetch_published(kind: str, folder: Path) -> None:
    """Put the files of a dataset into `folder`, from the cache where they were fetched before, as upstream does.

    The names in the folder are upstream's, so that either program finds what the other has fetched.

    Raises:
        DataError: a file cannot be fetched, is another one than was published, or cannot be written.
    """
    from classlens.checkpoints.download import download  # needed seldom

    for address, digest in RELEASED[kind]:
        path = download(address)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != digest:
                path.unlink()
                raise DataError(
                    f"{address} is not the file that was published: its md5 is not {digest}", hint="run again"
                )
        if path.suffixes[-2:] == [".tar", ".gz"]:
            unpack(path, folder)
        else:
            write_whole(folder / path.name, path.read_bytes())


def unpack(archive: Path, folder: Path) -> None:
    """Unpack beside its place and move what is in it there in one go, so that nobody sees half of it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as scratch:
            with tarfile.open(archive) as members:
                members.extractall(scratch, filter="data")
            for path in Path(scratch).iterdir():
                path.rename(folder / path.name)


def idx_array(path: str, *, dimensions: int) -> Pixels:
    """An array in the IDX format of MNIST: a magic number, the sizes, the bytes."""
    is_packed = not Path(path).is_file() and Path(f"{path}.gz").is_file()
    data = read_bytes(f"{path}.gz" if is_packed else path, "list")
    try:
        if is_packed:
            data = gzip.GzipFile(fileobj=BytesIO(data)).read(int(limit("list")) + 1)
            check_size(len(data), "list", path)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}.gz: damaged archive: {error}") from error
    start = 4 + 4 * dimensions
    shape = struct.unpack_from(f">{dimensions}I", data, 4) if len(data) >= start else ()
    if data[:4] != bytes((0, 0, 8, dimensions)) or len(data) - start != math.prod(shape):
        raise DataError(f"{path}: not an IDX file of bytes, or cut short")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def in_memory(pictures: Pixels, labels: list[int], classes: Classes, encoding: Encoding) -> Listing:
    """Arrays as a listing; a picture is copied when it is taken, so that nobody changes the dataset."""
    if len(pictures) != len(labels):
        raise DataError(f"{len(pictures)} pictures, but {len(labels)} labels")

    def sample(index: int) -> Sample:
        return Sample(None, (labels[index],))

    return Listing(len(labels), sample, classes, picture=lambda index: pictures[index].copy(), encoding=encoding)


KINDS: Mapping[str, Callable[[Settings, Classes, str], Listing]] = {
    **dict.fromkeys(("CustomDataset", "ImageFolder", "BaseDataset", "MultiLabelDataset", "Places205"), custom),
    **dict.fromkeys(("CIFAR10", "CIFAR100"), cifar),
    **dict.fromkeys(("MNIST", "FashionMNIST"), mnist),
    **dict.fromkeys(PUBLISHED, published),
    **dict.fromkeys(("ImageNet", "ImageNet21k"), imagenet),
    "VOC": voc,
}
"""Dataset -> what lists its samples, given its settings, class names that are known otherwise, and where it stands."""
