"""Rows by the shard: which are missing, and how one is made.

A shard is a file of consecutive rows. It is made from its number alone, by whoever is asked, and takes its name when it is
whole. So a run that was killed goes on with the shards that are missing, and nothing else has to be remembered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa

from classlens.audit.manifest import NAME, Manifest, read_manifest, write_manifest
from classlens.audit.measure import Questions, Row, measure
from classlens.audit.place import Place
from classlens.audit.rows import FOLDER, PLAIN, encode_table, is_whole, read_shard, shard_name, table_of
from classlens.errors import DataError

NAMED = 3  # differences that an error names


@dataclass(frozen=True)
class Portion:
    """A shard to make: all of it, or of one that is there the rows of the pictures that are `asked` about again."""

    shard: int
    asked: frozenset[int] | None = None

    def indices(self, manifest: Manifest) -> list[int]:
        """The pictures to ask about."""
        rows = manifest.rows_of(self.shard)
        return rows if self.asked is None else [one for one in rows if one in self.asked]


def begin(place: Place, manifest: Manifest) -> None:
    """Write the manifest, or see that the one that is there is the same.

    Raises:
        DataError: the folder holds an audit of something else; says what differs.
    """
    place.check()
    if place.read(NAME) is None:
        if any(one.endswith(".parquet") for one in place.names(FOLDER)):
            raise DataError(f"{place.address} holds rows, but no {NAME}", hint="choose another folder")
        write_manifest(place, manifest)
        return
    if lines := manifest.differences(read_manifest(place)):
        more = f"; and {len(lines) - NAMED} more" if len(lines) > NAMED else ""
        what = f"{place.address} holds an audit of another setup: {'; '.join(lines[:NAMED])}{more}"
        raise DataError(what, hint="choose another --output, or remove that folder")


def find_missing(place: Place, manifest: Manifest) -> list[int]:
    """The shards that are not there, or not whole."""
    there = place.names(FOLDER)
    shards = range(manifest.shards)
    return [one for one in shards if shard_name(one) not in there or not is_whole(place, manifest, one)]


def find_failed(place: Place, manifest: Manifest) -> list[int]:
    """The shards with a row that has an error."""
    shards = sorted({*range(manifest.shards)} - {*find_missing(place, manifest)})
    return [one for one in shards if portion_of(place, manifest, one).asked]


def portion_of(place: Place, manifest: Manifest, shard: int) -> Portion:
    """All of a missing shard; of one that is there the rows that failed."""
    if not is_whole(place, manifest, shard):
        return Portion(shard)
    table = read_shard(place, shard, ["index", "error"])
    return Portion(shard, frozenset(table.filter(table["error"].is_valid())["index"].to_pylist()))


def make_shards(
    questions: Questions, manifest: Manifest, place: Place, portions: Sequence[Portion]
) -> Iterator[tuple[int, pa.Table]]:
    """Shards one after the other: how many rows of each are new, and all of them.

    All are made from one stream of pictures, so that decoders run on from each to the next.
    """
    stream = questions.subject.read(chain.from_iterable(one.indices(manifest) for one in portions))
    for one in portions:
        rows, answers = manifest.rows_of(one.shard), list[Row]()
        for start in range(0, len(rows), manifest.batch_size):
            batch = rows[start : start + manifest.batch_size]
            is_asked = [one.asked is None or index in one.asked for index in batch]
            answers += measure(questions, [next(stream) if asked else None for asked in is_asked])
        table = table_of(manifest, answers)
        if one.asked is not None:
            there = read_shard(place, one.shard)
            kept = there.filter(there["error"].is_null()).cast(table.schema)
            table = pa.concat_tables([kept, table]).sort_by("index")
        yield len(answers), table


def make_sample(questions: Questions, manifest: Manifest) -> tuple[int, int]:
    """Ask about a few batches from all over the dataset: how many pictures those are, and the bytes of their rows."""
    shards = sorted({0, manifest.shards // 2, manifest.shards - 1})
    parts = [manifest.rows_of(one)[: manifest.batch_size] for one in shards]
    measure(questions, [None, *questions.subject.read(parts[0][:1])])  # the first pass makes plans for all
    rows = [row for part in parts for row in measure(questions, list(questions.subject.read(part)))]
    return len(rows), len(encode_table(table_of(manifest, rows), statistics=PLAIN))
