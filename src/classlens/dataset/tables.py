"""Hugging Face datasets as they lie on disk: Parquet files, and the Arrow files of `save_to_disk`.

pyarrow is imported only here. A picture has the path `FILE::ROW`; rows are read a row group at a time, so that a
table is never in memory as a whole.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.storage import SEPARATOR, read_bytes
from classlens.errors import DataError, MissingDependency, first_line
from classlens.files import limit, open_regular

SUFFIXES = (".parquet", ".arrow")
KEPT, FEWEST = 256 * 1024**2, 4
"""So many bytes of row groups stay in memory, and at least so many groups."""

TEXTS = ("string", "large_string")
PICTURES, LABELS = ("image", "img", "picture", "jpg", "png"), ("label", "labels", "fine_label", "cls", "class")

Arrow: TypeAlias = Any  # an object of pyarrow


@dataclass(frozen=True)
class TableFile:
    """The first rows of its groups and how many rows there are, the bytes of the largest, and what reads a column."""

    schema: Arrow
    starts: Sequence[int]
    largest: int
    read: Callable[[int | None, str], Arrow]


@lru_cache(maxsize=256)
def open_table(path: str) -> TableFile:
    """A Parquet file, or an Arrow file, which is one group; it is mapped and takes no memory."""
    try:
        arrow = import_module("pyarrow")
        files = import_module("pyarrow.parquet" if path.endswith(".parquet") else "pyarrow.ipc")
    except ModuleNotFoundError as error:
        raise MissingDependency("pyarrow", extra="hfds") from error
    try:
        open_regular(path).close()
        if path.endswith(".parquet"):
            file = files.ParquetFile(path)
            groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
            return TableFile(
                file.schema_arrow,
                list(accumulate((group.num_rows for group in groups), initial=0)),
                max((group.total_byte_size for group in groups), default=0),
                lambda group, column: (
                    file.read(columns=[column]) if group is None else file.read_row_group(group, columns=[column])
                ).column(column),
            )
        source = arrow.memory_map(path)
        try:
            table = files.open_stream(source).read_all()
        except arrow.ArrowInvalid:
            table = files.open_file(source).read_all()
        return TableFile(table.schema, [0, table.num_rows], 0, lambda group, column: table.column(column))
    except (OSError, ValueError, arrow.ArrowException) as error:
        raise DataError(f"{path}: not a table: {first_line(error).lower()}") from error


def tables_below(folder: str) -> list[str]:
    """All tables below a folder that has some at the usual places; those of a cache are left out."""
    root = Path(folder)
    if not any(True for pattern in ("*.parquet", "*.arrow", "data/*.parquet") for _ in root.glob(pattern)):
        return []
    files = (one for suffix in SUFFIXES for one in root.glob(f"**/*{suffix}"))
    return sorted(str(one) for one in files if not one.name.startswith("cache-"))


def list_tables(paths: Sequence[str]) -> Listing:
    """The rows of tables of one form: labels are read at once, and groups of pictures kept as far as `KEPT` goes."""
    schema = open_table(paths[0]).schema
    picture = next((name for name in PICTURES if name in schema.names), None)
    label = next((name for name in LABELS if name in schema.names), None)
    if picture is None:
        raise DataError(f"{paths[0]}: no column named {', '.join(PICTURES)}; it has {', '.join(schema.names)}")
    groups = {path: open_table(path).starts for path in paths}
    starts = list(accumulate((groups[path][-1] for path in paths), initial=0))
    check_rows(starts[-1], paths[0])
    largest = max(1, *(open_table(path).largest for path in paths))

    @lru_cache(maxsize=max(FEWEST, KEPT // largest))
    def pictures_in(path: str, group: int) -> Arrow:
        return open_table(path).read(group, picture)

    @cache
    def labels_in(path: str) -> list[Any]:
        cells: list[Any] = open_table(path).read(None, label or "").to_pylist()
        return cells

    classes = names_in_schema(schema, label)
    if label and classes is None and str(schema.field(label).type) in TEXTS:
        classes = tuple(sorted({cell for path in paths for cell in labels_in(path) if cell}))
    numbers: dict[Any, int] = {name: number for number, name in enumerate(classes or ())}

    def sample(index: int) -> Sample:
        path, row = place(index)
        cell = labels_in(path)[row] if label else None
        cells = [numbers.get(one, one) for one in (cell if isinstance(cell, list) else [cell])]
        return Sample(f"{path}{SEPARATOR}{row}", tuple(one for one in cells if isinstance(one, int)))

    def place(index: int) -> tuple[str, int]:
        number = bisect_right(starts, index) - 1
        return paths[number], index - starts[number]

    def content(index: int) -> bytes:
        path, row = place(index)
        group = bisect_right(groups[path], row) - 1
        cell = pictures_in(path, group)[row - groups[path][group]].as_py()
        if isinstance(cell, Mapping):
            cell = read_bytes(cell["path"]) if cell.get("bytes") is None and cell.get("path") else cell.get("bytes")
        if not isinstance(cell, bytes) or not cell:
            raise DataError(f"{path}{SEPARATOR}{row}: no picture in column {picture!r}")
        return cell

    return Listing(starts[-1], sample, classes, picture=content)


def check_rows(rows: int, where: str) -> None:
    """Refuse a table that claims more rows than are read: their labels are in memory."""
    if not 0 <= rows <= limit("rows"):
        raise DataError(f"{where}: {rows:,} rows, the limit is {limit('rows'):,.0f}", hint=f"--limit rows={rows}")


def names_in_schema(schema: Arrow, label: str | None) -> Classes:
    """The names that `datasets` keeps in the schema for a column of class labels."""
    try:
        return tuple(map(str, json.loads(schema.metadata[b"huggingface"])["info"]["features"][label]["names"]))
    except (ValueError, KeyError, TypeError):
        return None
