"""Pictures without a config: class folders, a flat folder, an annotation list, an archive, shards, tables, an address."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from classlens.adapters import Options
from classlens.dataset.annotations import LISTS, list_annotations
from classlens.dataset.class_folders import list_elsewhere, note_timm_order, scan_folder
from classlens.dataset.conventions import SPLIT_OF, files_of_split, is_picture_name, note_no_splits, split_among
from classlens.dataset.dataset import Dataset
from classlens.dataset.listing import Listing, to_dataset
from classlens.dataset.storage import ADDRESS, is_archive, reason_of, split_archive
from classlens.dataset.tables import SUFFIXES, list_tables, tables_below
from classlens.errors import DataError
from classlens.files import suggest_path
from classlens.source import Source


def open_folder(path: str, options: Options) -> Source:
    """Offer the pictures at `path`; a folder with `train` and `val` in it has these splits, others have one."""
    if not (ADDRESS in path or Path(path).exists() or archives_at(path) or Path(split_archive(path)[0]).exists()):
        raise DataError(f"{path}: no such folder, list or archive", hint=suggest_path(Path(path)))
    return Source(origin=f"folder:{path}", open_dataset=partial(open_split, path))


def open_split(path: str, split: str) -> Dataset:
    listing, notes = list_pictures(path, split)
    return to_dataset(replace(listing, warnings=(*listing.warnings, *notes)), Path(path).name or path)


def list_pictures(path: str, split: str) -> tuple[Listing, Sequence[str]]:
    """The samples of whatever lies at `path`, or of a split of it, and notes beside the warnings of the listing."""
    if is_archive(path) or (ADDRESS in path and not path.lower().endswith((*LISTS, *SUFFIXES))):
        listing = list_elsewhere(archives_at(path) or [path], split)
        return listing, note_timm_order(listing.classes or (), listing.classes or ())
    if path.lower().endswith(LISTS) and not Path(path).is_dir():
        return list_annotations(path, os.path.dirname(path) or "."), note_no_splits(path, split)  # noqa: PTH120
    if Path(path).suffix in SUFFIXES:
        return list_tables([path]), note_no_splits(path, split)
    if Path(path).is_file():
        hint = "give the folder it lies in"
        raise DataError(f"{path}: neither a folder nor a list, an archive or a table", hint=hint)
    inside = {entry.name: entry.path for entry in entries_of(path) if entry.is_dir()}
    splits = {name: is_deep(one) for name, one in inside.items() if name in SPLIT_OF}
    if splits and not any(splits.values()):  # they may be classes, if there are others with pictures beside them
        splits |= {name: False for name, one in inside.items() if name not in SPLIT_OF and not is_deep(one)}
    folder = split_among(splits, split, path)
    root, notes = (str(Path(path) / folder), ()) if folder else (path, note_no_splits(path, split))
    shards = sorted(map(str, Path(root).glob("*.tar")))
    for files, read in ((shards, list_elsewhere), (tables_below(root), list_tables)):
        if files:
            of_split = files if folder else files_of_split(files, split, path)
            return read(of_split), notes if of_split == files else ()
    folders = scan_folder(root, labelled=any(entry.is_dir() for entry in entries_of(root)))
    classes = tuple(filter(None, folders.pictures))
    with_pictures = tuple(name for name in classes if folders.pictures[name])
    return folders.listing(), (*note_timm_order(classes, with_pictures), *notes)


def entries_of(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: {reason_of(error)}") from error


def is_deep(folder: str) -> bool:
    """Whether a folder holds no picture itself, or folders beside them."""
    entries = entries_of(folder)
    return not any(is_picture_name(entry.name) for entry in entries) or any(entry.is_dir() for entry in entries)


def archives_at(path: str) -> list[str]:
    """The archives that a path names: one, or several by a pattern such as shard-*.tar."""
    if not is_archive(path) or ADDRESS in path:
        return []
    return sorted(map(str, Path(path).parent.glob(Path(path).name)))
