"""Datasets of picture files: folders of classes, annotation lists, ImageNet and Pascal VOC."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from classlens.adapters.openmm.published_names import names_of
from classlens.config.settings import Settings, split_of, text
from classlens.dataset.addresses import exists, is_remote, joined
from classlens.dataset.annotations import annotated, decoded
from classlens.dataset.archives import is_archive
from classlens.dataset.class_folders import Classes, misnamed
from classlens.dataset.dataset import Sample
from classlens.dataset.decode import read_bytes
from classlens.dataset.listing import EXTENSIONS, Listing, behind, scan
from classlens.dataset.shards import archived
from classlens.errors import ConfigError, DataError, suggestion

SPLITS = ("train", "val", "test")


def custom(settings: Settings, classes: Classes, where: str) -> Listing:
    """A folder of class folders, or an annotation list with `ann_file`.

    Raises:
        DataError: the folder or list is missing or holds nothing.
    """
    labelled = bool(settings.get("with_label", True))
    folder = image_folder(settings, where)
    if text(settings, "ann_file", where):
        listed = joined(text(settings, "data_root", where), text(settings, "ann_file", where))
        return annotated(listed, folder, classes or names_of(settings["type"]), labelled=labelled)
    if not folder:
        raise ConfigError(f"{where}: one of data_root, data_prefix and ann_file must be given")
    if is_archive(folder) or is_remote(folder):
        listing = archived([folder], flat=not labelled) if is_archive(folder) else behind(folder, flat=not labelled)
        return called(listing, classes, settings)
    if not Path(folder).exists():
        hint = f"say where the data lies, e.g. --cfg-options {where.split()[0]}_dataloader.dataset.data_root=PATH"
        raise DataError(f"{where}: no such folder: {folder}", hint=hint)
    found = scan(folder, labelled=labelled, extensions=settings.get("extensions") or EXTENSIONS)
    listing = Listing(len(found), found.sample, found.classes if labelled else None, warnings=found.warnings)
    return called(listing, classes, settings)


def called(listing: Listing, classes: Classes, settings: Settings) -> Listing:
    """Class folders under the names that the config or the dataset gives them, with a word where these do not fit.

    `classes` may be those of another split: they are not what training would stop at.
    """
    folders, known = listing.classes, names_of(settings["type"])
    own = bool(classes and (settings.get("classes") or settings.get("metainfo")))
    names = classes if own else known or classes
    if not folders or not names:
        return replace(listing, classes=names or folders)
    if len(names) == len(folders):
        return replace(listing, classes=names, warnings=(*listing.warnings, *misnamed(dict(enumerate(folders)), names)))
    counted = f"{len(folders)} class folders, but {len(names)} class names"
    stops = (f"training stops here: {counted} {'in the config' if own else 'of ' + settings['type']}",)
    warnings = listing.warnings + (stops if own or known else ())
    return replace(listing, classes=names if own else folders, warnings=warnings)


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
    found = dict(settings)
    found["data_prefix"] = settings.get("data_prefix") or split
    if split == "test":
        found["with_label"] = False
    listed = os.path.join("meta", f"{split}.txt")  # noqa: PTH118
    if not found.get("ann_file") and exists(joined(text(settings, "data_root", where), listed)):
        found["ann_file"] = listed
    return custom(found, classes, where)


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
    pictures = joined(root, str(prefix["img_path"]))
    notes = joined(root, str(prefix["ann_path"])) if prefix.get("ann_path") else None
    numbers = [line.split()[0] for line in decoded(joined(root, image_set)).splitlines() if line.strip()]
    names = classes or names_of("VOC") or ()

    def found(index: int) -> tuple[tuple[int, ...], str]:
        return objects(joined(notes, f"{numbers[index]}.xml"), names) if notes else ((), "")

    def sample(index: int) -> Sample:
        return Sample(joined(pictures, f"{numbers[index]}.jpg"), found(index)[0])

    return Listing(len(numbers), sample, names, trouble=lambda index: found(index)[1])


def objects(path: str, classes: Sequence[str]) -> tuple[tuple[int, ...], str]:
    """The classes of the objects in one annotation, and what is wrong with it."""
    try:
        root = ET.fromstring(read_bytes(path))
    except (DataError, ET.ParseError) as error:
        reason = str(error) if isinstance(error, DataError) else f"{path}: {error}"
        return (), f"no label: {reason}"
    found, unknown = set(), set()
    for node in root.iter("object"):
        name, difficult = node.findtext("name") or "", node.findtext("difficult") or "0"
        if name not in classes:
            unknown.add(name)
        elif difficult.strip() != "1":
            found.add(classes.index(name))
    return tuple(sorted(found)), f"no such class: {', '.join(sorted(unknown))}" if unknown else ""


def image_folder(settings: Settings, where: str, default: str = "") -> str:
    """The folder of the pictures: `data_prefix` may be a text or a dict with `img_path`."""
    prefix = settings.get("data_prefix") or default
    if isinstance(prefix, Mapping):
        prefix = prefix.get("img_path", prefix.get("root", "")) or default
    return joined(text(settings, "data_root", where), str(prefix))


def data_root(settings: Settings, where: str) -> str:
    """The folder of a dataset that knows its own layout."""
    prefix = settings.get("data_prefix") or ""
    if isinstance(prefix, Mapping):
        prefix = prefix.get("root", "")
    return joined(text(settings, "data_root", where), str(prefix))
