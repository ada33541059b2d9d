"""The rows of an audit: one for every picture, in files of Parquet that pandas, polars and DuckDB read as they are.

    for rows in read_rows("out/audit", ["label", "predicted", "features"]):
        rows["features"]  # float16, pictures x features

They lie in `rows/part-00000.parquet`, ..., in the order of the dataset. A picture that cannot be read, or
that the network cannot be asked about, is a row with an `error`, whose other columns are null.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import BytesIO
from os import PathLike, fspath
from typing import Any

import cv2
import numpy as np

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.errors import DataError, MissingDependency, NotFound, first_line

try:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq
except ModuleNotFoundError as error:
    raise MissingDependency("pyarrow", extra="audit") from error

FOLDER = "rows"
Array = np.ndarray[Any, np.dtype[Any]]

PLAIN = ["index", "label", "predicted", "probability", "loss", "correct"]
"""Columns of which a file says the least and the largest value, so that readers can pass over it."""

TOP = 5  # classes whose probabilities a row keeps beside all logits


@dataclass(frozen=True)
class Column:
    """A column: its type, and what it says."""

    type: pa.DataType
    says: str


COLUMNS: Mapping[str, Column] = {
    "index": Column(pa.int64(), "number of the picture in the dataset, from 0"),
    "path": Column(pa.string(), "its file, where it has one"),
    "error": Column(pa.string(), "why there is no answer; null for a good row"),
    "height": Column(pa.int32(), "pixels of the picture as read"),
    "width": Column(pa.int32(), "pixels of the picture as read"),
    "label": Column(pa.int32(), "number of its class among the network's; null if it has none, or several"),
    "predicted": Column(pa.int32(), "number of the class with the highest score"),
    "probability": Column(pa.float32(), "that of the predicted class"),
    "label_probability": Column(pa.float32(), "that of the label"),
    "loss": Column(pa.float32(), "minus the logarithm of the label's probability, in nats"),
    "correct": Column(pa.bool_(), "whether the label is predicted"),
    "top": Column(pa.list_(pa.int32()), "the five classes with the highest scores, the highest first"),
    "top_probability": Column(pa.list_(pa.float32()), "their probabilities"),
    "logits": Column(pa.list_(pa.float16()), "the score of every class"),
    "features": Column(pa.list_(pa.float16()), "what the last layer of the network reads"),
}
"""The columns that every audit has."""

FLIPS: Mapping[str, Column] = {
    "flipped_predicted": Column(pa.int32(), "the class predicted for the mirrored picture"),
    "flipped_label_probability": Column(pa.float32(), "the probability of the label for the mirrored picture"),
}
"""Those of an audit with `--flips`."""

MAP: Mapping[str, Column] = {
    "": Column(pa.list_(pa.float16()), "the map of the predicted class, row by row, divided by `scale`: in -1..1"),
    "_scale": Column(pa.float32(), "its largest absolute value, in the method's own unit"),
    "_height": Column(pa.int32(), "its rows"),
    "_width": Column(pa.int32(), "its columns"),
    "_border": Column(pa.float32(), "share of the positive evidence in the outer eighth of each side; 0.44 if even"),
    "_centre": Column(pa.float32(), "share in the middle half of both sides; 0.25 if even"),
    "_entropy": Column(pa.float32(), "how far it is spread: 0 in one place, 1 everywhere alike"),
    "_area": Column(pa.float32(), "share of places with at least half of the highest evidence"),
}
"""Those of map 0, as `map_0`, `map_0_scale`, ...; `maps` of the manifest names its method and layer."""


def schema_of(manifest: Manifest) -> pa.Schema:
    """The columns of the rows of an audit, with what each says in its metadata."""
    columns = {**COLUMNS, **(FLIPS if manifest.flips else {})}
    for number, of_map in enumerate(manifest.maps):
        about = f" ({of_map.method} at {of_map.layer})"
        columns |= {f"map_{number}{key}": Column(one.type, one.says + about) for key, one in MAP.items()}
    return pa.schema([pa.field(name, one.type, metadata={"says": one.says}) for name, one in columns.items()])


def shard_name(shard: int) -> str:
    return f"part-{shard:05}.parquet"


def table_of(manifest: Manifest, rows: Sequence[Mapping[str, Any]]) -> pa.Table:
    """Rows as a table; what a row lacks is null."""
    schema = schema_of(manifest)
    columns = [column_of([row.get(one.name) for row in rows], one.type) for one in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def write_shard(place: Place, shard: int, table: pa.Table) -> None:
    place.write(f"{FOLDER}/{shard_name(shard)}", encode_table(table.combine_chunks(), statistics=PLAIN))


def encode_table(table: pa.Table, *, statistics: bool | list[str] = True) -> bytes:
    """A table as a file of Parquet; the same rows are the same bytes."""
    content = BytesIO()
    pq.write_table(table, content, compression="zstd", write_statistics=statistics)
    return content.getvalue()


def column_of(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """Values as a column; lists are numpy arrays, which are not taken apart."""
    if not pa.types.is_list(kind):
        return pa.array(values, kind)
    lengths = [0 if one is None else len(one) for one in values]
    ends = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    known = [np.asarray(one, kind.value_type.to_pandas_dtype()) for one in values if one is not None]
    flat = np.concatenate(known) if known else np.empty(0, kind.value_type.to_pandas_dtype())
    missing = pa.array([one is None for one in values], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(flat, kind.value_type), mask=missing)


def read_shard(place: Place, shard: int, columns: Sequence[str] | None = None) -> pa.Table:
    """The rows of a shard.

    Raises:
        DataError: the file is missing or damaged.
    """
    name = f"{FOLDER}/{shard_name(shard)}"
    try:
        with place.open(name) as file:
            return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowException) as error:
        hint = "run the same `classlens audit` again: it makes what is missing"
        raise DataError(f"cannot read {place / name}: {first_line(error)}", hint=hint) from error


def is_whole(place: Place, manifest: Manifest, shard: int) -> bool:
    """Whether a shard is there with all its rows; a power cut can leave a file of noughts."""
    try:
        with place.open(f"{FOLDER}/{shard_name(shard)}") as file:
            return bool(pq.read_metadata(file).num_rows == len(manifest.rows_of(shard)))
    except (OSError, pa.ArrowException):
        return False


def read_rows(
    folder: str | PathLike[str], columns: Sequence[str] | None = None, *, bad: bool = False
) -> Iterator[dict[str, Array]]:
    """The rows of an audit as arrays by column, a shard at a time, so that memory stays small; `index` is always there.

    Lists become arrays of two dimensions, maps of three: pictures x height x width. A missing number is -1 among whole
    numbers and NaN among others, a missing truth False. Rows with an error are left out; with `bad` only they are read.

    Raises:
        NotFound: there is no such column.
        DataError: there is no audit, or a shard is missing.
    """
    place = Place(fspath(folder))
    manifest = read_manifest(place)
    known = schema_of(manifest).names
    wanted = list(dict.fromkeys(["index", *(known if columns is None else columns)]))
    if missing := next((one for one in wanted if one not in known), None):
        raise NotFound("column", missing, known, where=place.address)
    sizes = [f"map_{at}{side}" for at in range(len(manifest.maps)) for side in ("_height", "_width")]
    for shard in range(manifest.shards):
        maps = [one for one in sizes if one.rpartition("_")[0] in wanted]
        table = read_shard(place, shard, list(dict.fromkeys([*wanted, "error", *maps])))
        is_good = np.asarray(table["error"].is_null())
        table = table.filter(pa.array(is_good != bad))
        if table.num_rows:
            yield {name: array_of_column(manifest, table, name) for name in wanted}


def read_whole(folder: str | PathLike[str], columns: Sequence[str]) -> dict[str, Array]:
    """The good rows of all shards at once, for columns of which a picture has few numbers."""
    manifest = read_manifest(Place(fspath(folder)))
    empty = schema_of(manifest).empty_table()
    parts = list(read_rows(folder, columns)) or [
        {name: array_of_column(manifest, empty, name) for name in ["index", *columns]}
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def rows_by_index(place: Place, manifest: Manifest, indices: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Whole rows of a few pictures, as Python's values; only the shards in which they lie are read."""
    by_shard: dict[int, list[int]] = {}
    for index in indices:
        by_shard.setdefault(manifest.find_row(index)[0], []).append(index)
    rows: dict[int, dict[str, Any]] = {}
    for shard, some in by_shard.items():
        table = read_shard(place, shard)
        rows |= {row["index"]: row for row in table.filter(pc.is_in(table["index"], pa.array(some))).to_pylist()}
    return rows


def array_of_column(manifest: Manifest, table: pa.Table, name: str) -> Array:
    """A column as an array, see `read_rows`."""
    column = table[name].combine_chunks()
    column = column.chunk(0) if isinstance(column, pa.ChunkedArray) else column
    kind = column.type
    if pa.types.is_list(kind):
        is_map = name.startswith("map_")
        return stacked(table, column, manifest.maps[int(name.removeprefix("map_"))].shape if is_map else None, name)
    if pa.types.is_string(kind):
        return np.array([one or "" for one in column.to_pylist()], object)
    if pa.types.is_boolean(kind):
        return np.asarray(column.fill_null(False))
    fill = -1 if pa.types.is_integer(kind) else float("nan")
    return np.asarray(column.fill_null(fill))


def stacked(table: pa.Table, column: pa.ListArray, shape: tuple[int, int] | None, name: str) -> Array:
    """Lists of one length as a matrix, maps as pictures x height x width; maps of other sizes are brought to the usual."""
    lengths = np.asarray(column.value_lengths().fill_null(0))
    values = np.asarray(column.flatten())
    if shape is None:
        width = int(lengths.max(initial=0))
        matrix = np.full((len(lengths), width), np.nan if values.dtype.kind == "f" else -1, values.dtype)
        matrix[np.arange(width) < lengths[:, None]] = values
        return matrix
    heights, widths = (np.asarray(table[f"{name}{side}"].fill_null(0)) for side in ("_height", "_width"))
    if (heights == shape[0]).all() and (widths == shape[1]).all():
        return values.reshape(-1, *shape)
    maps = np.full((len(lengths), *shape), np.nan, np.float16)
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for row, (height, width) in enumerate(zip(heights.tolist(), widths.tolist(), strict=True)):
        if height:
            one = values[starts[row] : starts[row + 1]].reshape(height, width).astype(np.float32)
            maps[row] = cv2.resize(one, shape[::-1], interpolation=cv2.INTER_AREA)
    return maps


def shares_of(maps: Array) -> Array:
    """Maps as shares of their positive evidence, which add up to one."""
    positive = np.maximum(maps.astype(np.float64), 0)
    total = positive.sum(axis=(1, 2), keepdims=True)
    return np.asarray(positive / np.where(total, total, 1))
