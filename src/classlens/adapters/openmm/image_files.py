"""Datasets of picture files: folders of classes, annotation lists, ImageNet and Pascal VOC."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from classlens.adapters.openmm.published_names import names_of
from classlens.config.settings import Settings, split_of, text
from classlens.dataset.annotations import list_annotations, read_text
from classlens.dataset.class_folders import find_misnamed, list_elsewhere, scan_folder
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.storage import exists, is_archive, is_remote, join_path, read_bytes
from classlens.errors import ConfigError, DataError, suggestion

ENDINGS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif")
"""What OpenMMLab takes for a picture: a folder holds as many samples for us as for training."""


def custom(settings: Settings, classes: Classes, where: str) -> Listing:
    """A folder of class folders, or an annotation list with `ann_file`.

    Raises:
        DataError: the folder or list is missing or holds nothing.
    """
    labelled = bool(settings.get("with_label", True))
    folder = picture_folder(settings, where, "img_path", "root")
    if listed := text(settings, "ann_file", where):
        listed = join_path(text(settings, "data_root", where), listed)
        return list_annotations(listed, folder, classes or names_of(settings["type"]), labelled=labelled)
    if not folder:
        raise ConfigError(f"{where}: one of data_root, data_prefix and ann_file must be given")
    if is_archive(folder) or is_remote(folder):
        listing = list_elsewhere([folder], flat=not labelled)
    elif Path(folder).exists():
        listing = scan_folder(folder, labelled=labelled, endings=settings.get("extensions") or ENDINGS).listing()
    else:
        hint = f"say where the data lies, e.g. --cfg-options {where.split()[0]}_dataloader.dataset.data_root=PATH"
        raise DataError(f"{where}: no such folder: {folder}", hint=hint)
    return name_classes(listing, classes, settings)


def name_classes(listing: Listing, classes: Classes, settings: Settings) -> Listing:
    """Class folders under the names that the config or the dataset gives them, with a word where these do not fit.

    `classes` may be those of another split: they are not what training would stop at.
    """
    folders, known = listing.classes, names_of(settings["type"])
    own = bool(classes and (settings.get("classes") or settings.get("metainfo")))
    names = classes if own else known or classes
    warnings = listing.warnings
    if not folders or not names:
        names = names or folders
    elif len(names) == len(folders):
        warnings += tuple(find_misnamed(dict(enumerate(folders)), names))
    else:
        counts = f"{len(folders)} class folders, but {len(names)} class names"
        if own or known:
            warnings += (f"training stops here: {counts} {'in the config' if own else 'of ' + settings['type']}",)
        names = names if own else folders
    return replace(listing, classes=names, warnings=warnings)


def imagenet(settings: Settings, classes: Classes, where: str) -> Listing:
    """ImageNet: `split` names the folder, and `meta/SPLIT.txt` is read where it exists.

    Raises:
        ConfigError: there is no such split.
    """
    split = text(settings, "split", where)
    if not split:
        return custom(settings, classes, where)
    if split not in SPLITS:
        raise ConfigError(f"{where}: the split is train, val or test, not {split!r}", hint=suggestion(split, SPLITS))
    changed = {**settings, "data_prefix": settings.get("data_prefix") or split}
    if split == "test":
        changed["with_label"] = False
    listed = os.path.join("meta", f"{split}.txt")  # noqa: PTH118
    if not settings.get("ann_file") and exists(join_path(text(settings, "data_root", where), listed)):
        changed["ann_file"] = listed
    return custom(changed, classes, where)


def imagenet21k(settings: Settings, classes: Classes, where: str) -> Listing:
    """ImageNet21k: the same with no split but train, and no names.

    Raises:
        ConfigError: it is asked for something else.
    """
    if settings.get("multi_label"):
        raise ConfigError(f"{where}: training stops at multi_label=True, which ImageNet21k does not support")
    if settings.get("split"):
        split_of(settings, where, "train")
    return imagenet(settings, classes, where)


def voc(settings: Settings, classes: Classes, where: str) -> Listing:
    """Pascal VOC: one XML file per picture names every object in it; difficult ones count for no label.

    Raises:
        DataError: the image set is missing.
    """
    root = text(settings, "data_root", where)
    split = split_of(settings, where, "trainval", "train", "val", "test") if settings.get("split", True) else ""
    image_set = text(settings, "image_set_path", where) or f"ImageSets/Main/{split or 'trainval'}.txt"
    prefix = settings.get("data_prefix") or {"img_path": "JPEGImages", "ann_path": "Annotations"}
    prefix = {"img_path": prefix} if isinstance(prefix, str) else prefix
    pictures = join_path(root, str(prefix["img_path"]))
    notes = join_path(root, str(prefix["ann_path"])) if prefix.get("ann_path") else None
    numbers = [line.split()[0] for line in read_text(join_path(root, image_set)).splitlines() if line.strip()]
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


def picture_folder(settings: Settings, where: str, *keys: str) -> str:
    """The folder of the data: `data_prefix` below `data_root`; it may be a text, or a dict with one of the keys."""
    prefix = settings.get("data_prefix") or ""
    if isinstance(prefix, Mapping):
        prefix = next((prefix[key] for key in keys if key in prefix), "") or ""
    return join_path(text(settings, "data_root", where), str(prefix))
