"""Pictures without a config: class folders, a flat folder, an annotation list, an archive, shards, tables, an address."""

from functools import partial
from pathlib import Path

from classlens.adapters import Options
from classlens.adapters.openmm.samples.archives import archived
from classlens.adapters.openmm.samples.files import annotated
from classlens.adapters.openmm.samples.listing import Listing, dataset_of
from classlens.adapters.openmm.samples.names import SPLIT_FOLDERS, behind
from classlens.adapters.openmm.samples.tables import SUFFIXES, tabled, tables_in
from classlens.dataset.archive import inside, is_archive
from classlens.dataset.dataset import Dataset
from classlens.dataset.folder import EVERY_EXTENSION, scan
from classlens.dataset.remote import is_remote
from classlens.errors import DataError
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
    """
    if is_archive(path):
        return archived(shards(path) or [path], name)
    if path.lower().endswith(LISTS) and not Path(path).is_dir():
        return annotated(path, path.rpartition("/")[0] or ".", None)
    if Path(path).suffix in SUFFIXES:
        return tabled([path])
    if is_remote(path):
        return behind(path, name)
    if Path(path).is_file():
        raise DataError(
            f"{path}: neither a folder nor a list, an archive or a table", hint="give the folder it lies in"
        )
    root = next((str(Path(path) / part) for part in SPLIT_FOLDERS[name] if (Path(path) / part).is_dir()), path)
    if tars := sorted(map(str, Path(root).glob("*.tar"))):
        return archived(tars)
    if tables := tables_of(root, name):
        return tabled(tables)
    folders = [entry for entry in Path(root).iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    found = scan(root, labelled=bool(folders), extensions=EVERY_EXTENSION)
    return Listing(len(found), found.sample, found.classes or None, warnings=found.warnings)


def tables_of(root: str, name: str) -> list[str]:
    """The tables of a Hugging Face dataset in a folder; with files named after the splits, those of the split."""
    patterns = ("*.parquet", "*.arrow", "data/*.parquet")
    if not any(found for pattern in patterns for found in Path(root).glob(pattern)):
        return []
    found = tables_in(root)
    of_split = [path for path in found if Path(path).name.startswith(SPLIT_FOLDERS[name])]
    return of_split or found


def shards(path: str) -> list[str]:
    """The archives that a path names: one, or several by a pattern such as shard-*.tar."""
    if not is_archive(path) or is_remote(path):
        return []
    return sorted(str(found) for found in Path(path).parent.glob(Path(path).name))
