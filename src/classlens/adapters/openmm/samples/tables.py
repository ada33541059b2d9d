"""Hugging Face datasets as they lie on disk: Parquet files, and the Arrow files of `save_to_disk`.

pyarrow is imported only here. A picture has the path `FILE::ROW`; rows are read a row group at a time, so that a
table is never in memory as a whole.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

from classlens.adapters.openmm.samples.listing import Listing
from classlens.dataset.archive import SEPARATOR
from classlens.dataset.dataset import Sample
from classlens.dataset.reading import read_bytes
from classlens.errors import DataError, MissingDependency

SUFFIXES = (".parquet", ".arrow")
PICTURES, LABELS = ("image", "img", "picture", "jpg", "png"), ("label", "labels", "fine_label", "cls", "class")


def tables_in(path: str) -> list[str]:
    """The tables that a path names: a file, or all in a folder; those of a cache are left out."""
    place = Path(path)
    if place.is_file():
        return [path] if place.suffix in SUFFIXES else []
    found = [one for suffix in SUFFIXES for one in place.glob(f"**/*{suffix}") if not one.name.startswith("cache-")]
    return sorted(map(str, found)) if place.is_dir() else []


def arrow(name: str) -> Any:  # noqa: ANN401 - a module
    """A module of pyarrow.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return import_module(f"pyarrow.{name}")
    except ModuleNotFoundError as error:
        raise MissingDependency("pyarrow", extra="hfds") from error


@lru_cache(maxsize=64)
def opened(path: str) -> Any:  # noqa: ANN401 - a table of pyarrow
    """A Parquet file, or the whole of an Arrow file mapped into memory.

    Raises:
        DataError: it is damaged.
    """
    try:
        if path.endswith(".parquet"):
            return arrow("parquet").ParquetFile(path)
        source = import_module("pyarrow").memory_map(path)
        try:
            return arrow("ipc").open_stream(source).read_all()
        except import_module("pyarrow").ArrowInvalid:
            return arrow("ipc").open_file(source).read_all()
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: not a table: {str(error).splitlines()[0].lower()}") from error


@lru_cache(maxsize=4)
def row_group(path: str, number: int, columns: tuple[str, ...]) -> Any:  # noqa: ANN401 - a table of pyarrow
    """Some columns of one row group, or of an Arrow file."""
    table = opened(path)
    return table.read_row_group(number, columns=list(columns)) if path.endswith(".parquet") else table.select(columns)


def group_sizes(path: str) -> list[int]:
    """How many rows every row group has; an Arrow file is one group."""
    table = opened(path)
    if not path.endswith(".parquet"):
        return [table.num_rows]
    return [table.metadata.row_group(number).num_rows for number in range(table.metadata.num_row_groups)]


def value(path: str, row: int, column: str) -> object:
    """One cell."""
    starts = list(accumulate(group_sizes(path), initial=0))
    group = bisect_right(starts, row) - 1
    found: object = row_group(path, group, (column,)).column(column)[row - starts[group]].as_py()
    return found


def tabled(paths: Sequence[str]) -> Listing:
    """The rows of one table or of several of the same form.

    Raises:
        DataError: a table is damaged, or has no column of pictures.
        MissingDependency: pyarrow is not installed.
    """
    schema = schema_of(paths[0])
    picture = next((name for name in PICTURES if name in schema.names), None)
    label = next((name for name in LABELS if name in schema.names), None)
    if picture is None:
        raise DataError(f"{paths[0]}: no column named {', '.join(PICTURES)}; it has {', '.join(schema.names)}")
    starts = list(accumulate((sum(group_sizes(path)) for path in paths), initial=0))

    def place(index: int) -> tuple[str, int]:
        number = bisect_right(starts, index) - 1
        return paths[number], index - starts[number]

    def sample(index: int) -> Sample:
        path, row = place(index)
        labels = value(path, row, label) if label else None
        numbers = labels if isinstance(labels, list) else [labels]
        return Sample(f"{path}{SEPARATOR}{row}", tuple(one for one in numbers if isinstance(one, int)))

    def content(index: int) -> bytes:
        path, row = place(index)
        cell = value(path, row, picture)
        data = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if data is None and isinstance(cell, Mapping) and cell.get("path"):
            return read_bytes(cell["path"])
        if not isinstance(data, bytes) or not data:
            raise DataError(f"{path}{SEPARATOR}{row}: no picture in column {picture!r}")
        return data

    return Listing(starts[-1], sample, class_names(schema, label), content=content)


def schema_of(path: str) -> Any:  # noqa: ANN401 - a schema of pyarrow
    """The columns of a table, and what `datasets` noted about them."""
    table = opened(path)
    return table.schema_arrow if path.endswith(".parquet") else table.schema


def class_names(schema: Any, label: str | None) -> tuple[str, ...] | None:  # noqa: ANN401
    """The names that `datasets` keeps in the schema for a column of class labels."""
    notes = (schema.metadata or {}).get(b"huggingface")
    if not notes or label is None:
        return None
    try:
        names = json.loads(notes)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names))
