"""Pictures without a config: class folders, a flat folder, an annotation list, an archive, shards, tables, an address."""

import os
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from classlens.adapters import Options
from classlens.dataset.addresses import is_remote
from classlens.dataset.annotations import annotated
from classlens.dataset.archives import inside, is_archive
from classlens.dataset.dataset import Dataset
from classlens.dataset.listing import (
    ALIASES,
    EVERY_EXTENSION,
    SPLIT_FOLDERS,
    Listing,
    behind,
    dataset_of,
    order_note,
    scan,
    split_among,
    without_splits,
)
from classlens.dataset.shards import archived
from classlens.dataset.tables import SUFFIXES, tabled, tables_in
from classlens.errors import DataError, NotFound
from classlens.source import Source

LISTS = (".txt", ".csv", ".tsv", ".json", ".jsonl")


def open_folder(path: str, options: Options) -> Source:
    """Offer the pictures at `path`; a folder with `train` and `val` in it has these splits, others have one.

    Raises:
        DataError: there is nothing at `path`.
    """
    if not is_remote(path) and not Path(path).exists() and not shards(path) and not Path(inside(path)[0]).exists():
        raise DataError(f"{path}: no such folder, list or archive")
    return Source(origin=f"folder:{path}", open_dataset=partial(open_split, path))


def open_split(path: str, name: str) -> Dataset:
    """The pictures of one split, without a pipeline.

    Raises:
        DataError: it holds no picture.
    """
    return dataset_of(listed(path, name), Path(path).name or path)


def listed(path: str, name: str) -> Listing:
    """The samples of whatever lies at `path`; of a folder with splits, those of the split.

    Raises:
        DataError: it is none of what can be listed.
        NotFound: it has other splits.
    """
    if is_archive(path):
        found = archived(shards(path) or [path], name)
    elif path.lower().endswith(LISTS) and not Path(path).is_dir():
        return saying(annotated(path, path.rpartition("/")[0] or ".", None), without_splits(path, name))
    elif Path(path).suffix in SUFFIXES:
        return saying(tabled([path]), without_splits(path, name))
    elif is_remote(path):
        found = behind(path, name)
    elif Path(path).is_file():
        raise DataError(
            f"{path}: neither a folder nor a list, an archive or a table", hint="give the folder it lies in"
        )
    else:
        return in_folder(path, name)
    return saying(found, order_note(found.classes or (), found.classes or ()))


def in_folder(path: str, name: str) -> Listing:
    """The samples of a folder: in its shards, its tables, its class folders, or simply in it.

    Raises:
        DataError: it holds none.
        NotFound: it has other splits.
    """
    folder = split_among(folders_in(path), name, path)
    root, said = (str(Path(path) / folder), ()) if folder else (path, without_splits(path, name))
    for files, read in ((sorted(map(str, Path(root).glob("*.tar"))), archived), (tables_of(root), tabled)):
        if files:
            chosen = files if folder else of_split(files, name, path)
            return saying(read(chosen), said if chosen == files else ())
    labelled = any(entry.is_dir() for entry in entries_of(root))
    found = scan(root, labelled=labelled, extensions=EVERY_EXTENSION)
    listing = Listing(len(found), found.sample, found.classes or None, warnings=found.warnings)
    filled = [name for name, pictures in zip(found.classes, found.names, strict=False) if pictures]
    return saying(listing, (*order_note(found.classes, filled), *said))


def saying(listing: Listing, words: Sequence[str]) -> Listing:
    return replace(listing, warnings=(*listing.warnings, *words))


def entries_of(folder: str) -> list[os.DirEntry[str]]:
    """What lies in a folder, without what is hidden.

    Raises:
        DataError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise DataError(f"{folder}: {(error.strerror or str(error)).lower()}") from error


def folders_in(path: str) -> dict[str, bool]:
    """The folders that may be those of splits, and beside them those with pictures, as `split_among` asks for them."""
    folders = [entry for entry in entries_of(path) if entry.is_dir()]
    found = {entry.name: is_deep(entry.path) for entry in folders if entry.name in ALIASES}
    if found and not any(found.values()):
        found |= {entry.name: False for entry in folders if entry.name not in ALIASES and not is_deep(entry.path)}
    return found


def is_deep(folder: str) -> bool:
    """Whether a folder holds no picture itself, or folders beside them."""
    entries = entries_of(folder)
    return not any(entry.name.lower().endswith(EVERY_EXTENSION) for entry in entries) or any(
        entry.is_dir() for entry in entries
    )


def of_split(files: list[str], name: str, where: str) -> list[str]:
    """The files that are named after a split, or all if none is named after any.

    Raises:
        NotFound: there are files of other splits only.
    """
    named = {
        split: [file for file in files if Path(file).name.startswith(SPLIT_FOLDERS[split])] for split in SPLIT_FOLDERS
    }
    present = {split: found for split, found in named.items() if found}
    if present and name not in present:
        raise NotFound("split", name, present, where=where)
    return present.get(name, files)


def tables_of(root: str) -> list[str]:
    """The tables of a Hugging Face dataset in a folder."""
    patterns = ("*.parquet", "*.arrow", "data/*.parquet")
    return tables_in(root) if any(found for pattern in patterns for found in Path(root).glob(pattern)) else []


def shards(path: str) -> list[str]:
    """The archives that a path names: one, or several by a pattern such as shard-*.tar."""
    if not is_archive(path) or is_remote(path):
        return []
    return sorted(str(found) for found in Path(path).parent.glob(Path(path).name))
