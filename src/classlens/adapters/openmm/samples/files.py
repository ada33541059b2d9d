"""Datasets of picture files: folders of classes, annotation lists, ImageNet and Pascal VOC."""

import os
import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from classlens.adapters.openmm.class_names import names_of
from classlens.adapters.openmm.samples.annotations import decoded, read_annotations
from classlens.adapters.openmm.samples.archives import archived
from classlens.adapters.openmm.samples.listing import Listing, split_of, text
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
SHOWN, LOOKED_AT = 5, 200
"""So many names are listed, and so many are compared letter by letter: that takes a while."""


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


def misnamed(folders: Mapping[int, str], names: Sequence[str]) -> Iterator[str]:
    """What looks like a slip in the names of classes, given the folder of each.

    Names may be translations, so that only those count which are another folder's, and those which nearly agree.
    """
    places = {plain(name): number for number, name in reversed(list(enumerate(names)))}
    pairs = [(folder, names[number], number) for number, folder in folders.items() if 0 <= number < len(names)]
    other = [pair for pair in pairs if plain(pair[0]) != plain(pair[1])]
    moved = [pair for pair in other if plain(pair[0]) in places]
    if moved:
        folder, name, number = moved[0]
        more = f" and {len(moved) - 1} more" if len(moved) > 1 else ""
        yield (
            f"class names in another order than the folders: class {number} is the folder {folder!r}, "
            f"but it is called {name!r}{more}"
        )
    rest = [pair for pair in other if pair not in moved] if len(moved) < LOOKED_AT else []
    mostly = 2 * len(other) <= len(pairs)
    near = [f"{name!r} for {folder!r}" for folder, name, _ in rest[:LOOKED_AT] if mostly or alike(folder, name)]
    if near:
        more = f" and {len(near) - SHOWN} more" if len(near) > SHOWN else ""
        yield f"class names that differ from their folders: {', '.join(near[:SHOWN])}{more}"


def plain(name: str) -> str:
    """A name without what is written in one way or another: capitals, blanks, hyphens."""
    return re.sub(r"[\W_]", "", name).casefold()


def alike(folder: str, name: str) -> bool:
    """Whether one may be the other misspelt."""
    from difflib import SequenceMatcher  # needed for few datasets, and not light

    return SequenceMatcher(None, plain(folder), plain(name)).ratio() > 0.75


def annotated(path: str, folder: str, classes: Classes, *, labelled: bool = True) -> Listing:
    """The samples of an annotation list, whose paths start at `folder`."""
    found = read_annotations(path, classes=classes, labelled=labelled, folder=folder)

    start = SEPARATOR.join(inside(folder)) if is_archive(folder) else ""

    def sample(index: int) -> Sample:
        name = found.names[index]
        return Sample(start + name if start else joined(folder, name), found.labels[index])

    one_of_each = dict(zip(found.labels, found.names, strict=True)) if classes else {}
    folders = {label[0]: Path(name).parent.name for label, name in one_of_each.items() if len(label) == 1}
    by_class = len(set(folders.values())) == len(folders) > 1
    warnings = found.warnings + tuple(misnamed(folders, classes or ()) if by_class else ())
    return Listing(len(found.names), sample, classes or found.classes, warnings=warnings)


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
