"""Hugging Face datasets as they lie on disk: Parquet files, and the Arrow files of `save_to_disk`.

pyarrow is imported only here. A picture has the path `FILE::ROW`; rows are read a row group at a time, so that a
table is never in memory as a whole.
"""

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from functools import cache, lru_cache
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any

from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Listing
from classlens.dataset.storage import SEPARATOR, read_bytes
from classlens.errors import DataError, MissingDependency

SUFFIXES = (".parquet", ".arrow")
KEPT, FEWEST, MOST = 256 * 1024**2, 4, 4096
"""So many bytes of row groups stay in memory, and at least and at most so many groups."""

TEXTS = ("string", "large_string")
PICTURES, LABELS = ("image", "img", "picture", "jpg", "png"), ("label", "labels", "fine_label", "cls", "class")


def tables_below(folder: str) -> list[str]:
    """All tables below a folder that has some at the usual places; those of a cache are left out."""
    root = Path(folder)
    if not any(True for pattern in ("*.parquet", "*.arrow", "data/*.parquet") for _ in root.glob(pattern)):
        return []
    files = (one for suffix in SUFFIXES for one in root.glob(f"**/*{suffix}"))
    return sorted(str(one) for one in files if not one.name.startswith("cache-"))


def arrow(name: str) -> Any:  # noqa: ANN401 - a module
    """A module of pyarrow.

    Raises:
        MissingDependency: it is not installed.
    """
    try:
        return import_module(f"pyarrow.{name}")
    except ModuleNotFoundError as error:
        raise MissingDependency("pyarrow", extra="hfds") from error


@lru_cache(maxsize=256)
def open_table(path: str) -> Any:  # noqa: ANN401 - a table of pyarrow
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


def row_group(path: str, number: int, column: str) -> Any:  # noqa: ANN401 - a column of pyarrow
    """A column of one row group, or of an Arrow file."""
    table = open_table(path)
    return (table.read_row_group(number, columns=[column]) if path.endswith(".parquet") else table).column(column)


def group_starts(path: str) -> list[int]:
    """The row with which every row group begins, and how many rows there are; an Arrow file is one group."""
    table = open_table(path)
    if not path.endswith(".parquet"):
        return [0, table.num_rows]
    sizes = [table.metadata.row_group(number).num_rows for number in range(table.metadata.num_row_groups)]
    return list(accumulate(sizes, initial=0))


def largest_group(path: str) -> int:
    """How many bytes the largest row group takes in memory; those of an Arrow file are mapped and take none."""
    if not path.endswith(".parquet"):
        return 0
    metadata = open_table(path).metadata
    return max((metadata.row_group(number).total_byte_size for number in range(metadata.num_row_groups)), default=0)


def whole_column(path: str, column: str) -> list[Any]:
    """All cells of a column that is small, as that of the labels."""
    table = open_table(path)
    cells: list[Any] = (table.read(columns=[column]) if path.endswith(".parquet") else table).column(column).to_pylist()
    return cells


def list_tables(paths: Sequence[str]) -> Listing:
    """The rows of one table or of several of the same form.

    The labels of a table are read at once; row groups of pictures are kept as far as `KEPT` goes, so that rows may be
    asked for in any order.

    Raises:
        DataError: a table is damaged, or has no column of pictures.
        MissingDependency: pyarrow is not installed.
    """
    schema = schema_of(paths[0])
    picture = next((name for name in PICTURES if name in schema.names), None)
    label = next((name for name in LABELS if name in schema.names), None)
    if picture is None:
        raise DataError(f"{paths[0]}: no column named {', '.join(PICTURES)}; it has {', '.join(schema.names)}")
    groups = {path: group_starts(path) for path in paths}
    starts = list(accumulate((groups[path][-1] for path in paths), initial=0))
    kept = KEPT // max(1, *map(largest_group, paths))
    group = lru_cache(maxsize=max(FEWEST, min(kept, MOST)))(row_group)
    labels_in = cache(whole_column)
    classes = names_in_schema(schema, label)
    if label and classes is None and str(schema.field(label).type) in TEXTS:
        classes = tuple(sorted({cell for path in paths for cell in labels_in(path, label) if cell}))
    numbers: dict[Any, int] = {name: number for number, name in enumerate(classes or ())}

    def place(index: int) -> tuple[str, int]:
        number = bisect_right(starts, index) - 1
        return paths[number], index - starts[number]

    def sample(index: int) -> Sample:
        path, row = place(index)
        cell = labels_in(path, label)[row] if label else None
        cells = [numbers.get(one, one) for one in (cell if isinstance(cell, list) else [cell])]
        return Sample(f"{path}{SEPARATOR}{row}", tuple(one for one in cells if isinstance(one, int)))

    def content(index: int) -> bytes:
        path, row = place(index)
        number = bisect_right(groups[path], row) - 1
        cell = group(path, number, picture)[row - groups[path][number]].as_py()
        data = cell.get("bytes") if isinstance(cell, Mapping) else cell
        if data is None and isinstance(cell, Mapping) and cell.get("path"):
            return read_bytes(cell["path"])
        if not isinstance(data, bytes) or not data:
            raise DataError(f"{path}{SEPARATOR}{row}: no picture in column {picture!r}")
        return data

    return Listing(starts[-1], sample, classes, picture=content)


def schema_of(path: str) -> Any:  # noqa: ANN401 - a schema of pyarrow
    """The columns of a table, and what `datasets` noted about them."""
    table = open_table(path)
    return table.schema_arrow if path.endswith(".parquet") else table.schema


def names_in_schema(schema: Any, label: str | None) -> tuple[str, ...] | None:  # noqa: ANN401
    """The names that `datasets` keeps in the schema for a column of class labels."""
    notes = (schema.metadata or {}).get(b"huggingface")
    if not notes or label is None:
        return None
    try:
        names = json.loads(notes)["info"]["features"][label]["names"]
    except (ValueError, KeyError, TypeError):
        return None
    return tuple(map(str, names))
