"""Datasets of picture files: folders of classes, annotation lists, ImageNet and Pascal VOC."""

import os
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from classlens.adapters.openmm.class_names.imagenet import imagenet_names
from classlens.adapters.openmm.samples.annotations import decoded, read_annotations
from classlens.adapters.openmm.samples.archives import archived
from classlens.adapters.openmm.samples.listing import Listing, text
from classlens.adapters.openmm.samples.names import behind
from classlens.adapters.openmm.samples.places import image_folder, joined
from classlens.adapters.openmm.setup import Settings
from classlens.dataset.archive import SEPARATOR, inside, is_archive
from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EXTENSIONS, scan
from classlens.dataset.reading import read_bytes
from classlens.dataset.remote import exists, is_remote
from classlens.errors import ConfigError, DataError, suggestion

Classes = tuple[str, ...] | None
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
        return annotated(listed, folder, classes, labelled=labelled)
    if not folder:
        raise ConfigError(f"{where}: one of data_root, data_prefix and ann_file must be given")
    if is_archive(folder) or is_remote(folder):
        listing = archived([folder], flat=not labelled) if is_archive(folder) else behind(folder, flat=not labelled)
        return replace(listing, classes=classes or listing.classes)
    if not Path(folder).exists():
        hint = f"say where the data lies, e.g. --cfg-options {where.split()[0]}_dataloader.dataset.data_root=PATH"
        raise DataError(f"{where}: no such folder: {folder}", hint=hint)
    found = scan(folder, labelled=labelled, extensions=settings.get("extensions") or EXTENSIONS)
    warnings = found.warnings
    if labelled and classes and len(classes) != len(found.classes):
        warnings += (f"{len(found.classes)} class folders, but {len(classes)} class names in the config",)
    return Listing(len(found), found.sample, classes or (found.classes if labelled else None), warnings=warnings)


def annotated(path: str, folder: str, classes: Classes, *, labelled: bool = True) -> Listing:
    """The samples of an annotation list, whose paths start at `folder`."""
    found = read_annotations(path, classes=classes, labelled=labelled)

    start = SEPARATOR.join(inside(folder)) if is_archive(folder) else ""

    def sample(index: int) -> Sample:
        name = found.names[index]
        return Sample(start + name if start else joined(folder, name), found.labels[index])

    return Listing(len(found.names), sample, classes or found.classes, warnings=found.warnings)


def imagenet(settings: Settings, classes: Classes, where: str) -> Listing:
    """ImageNet and ImageNet21k: `split` names the folder, and `meta/SPLIT.txt` is read where it exists.

    The thousand names are those of ImageNet-1k; a folder with another number of classes names its own.

    Raises:
        ConfigError: there is no such split.
    """
    split = text(settings, "split", where)
    if not split:
        return with_imagenet_names(custom(settings, classes, where), settings, classes)
    if split not in SPLITS:
        raise ConfigError(f"{where}: the split is train, val or test, not {split!r}", hint=suggestion(split, SPLITS))
    found = dict(settings)
    found["data_prefix"] = settings.get("data_prefix") or split
    if split == "test":
        found["with_label"] = False
    listed = os.path.join("meta", f"{split}.txt")  # noqa: PTH118
    if not found.get("ann_file") and exists(joined(text(settings, "data_root", where), listed)):
        found["ann_file"] = listed
    return with_imagenet_names(custom(found, classes, where), settings, classes)


def with_imagenet_names(listing: Listing, settings: Settings, classes: Classes) -> Listing:
    """The listing with the names of ImageNet-1k, unless the config or the folder says otherwise."""
    if classes or settings["type"] != "ImageNet":
        return listing
    return replace(listing, classes=imagenet_names(len(listing.classes or range(1000))) or listing.classes)


VOC_CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)


def voc(settings: Settings, classes: Classes, where: str) -> Listing:
    """Pascal VOC: one XML file per picture names every object in it; difficult ones count for no label.

    Raises:
        DataError: the image set is missing.
    """
    root = text(settings, "data_root", where)
    split = text(settings, "split", where) or "trainval"
    image_set = text(settings, "image_set_path", where) or os.path.join("ImageSets", "Main", f"{split}.txt")  # noqa: PTH118
    prefix = settings.get("data_prefix") or {"img_path": "JPEGImages", "ann_path": "Annotations"}
    prefix = {"img_path": prefix} if isinstance(prefix, str) else prefix
    pictures = joined(root, str(prefix["img_path"]))
    notes = joined(root, str(prefix["ann_path"])) if prefix.get("ann_path") else None
    numbers = [line.split()[0] for line in decoded(joined(root, image_set)).splitlines() if line.strip()]
    names = classes or VOC_CLASSES

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
