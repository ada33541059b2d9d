"""Rows made again from what the manifest says, and compared bit by bit with those that are there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from classlens.audit.fed import Fed
from classlens.audit.manifest import Manifest
from classlens.audit.measure import Questions, Row, measure
from classlens.audit.place import Place
from classlens.audit.rows import read_shard, table_of
from classlens.errors import count_of
from classlens.printed import join_lines
from classlens.results import Drawable

NAMED = 10  # differences that are listed


@dataclass(frozen=True)
class Verification(Drawable):
    """What came of it: how many `rows` and `pictures` were made again, and what differs, a line each.

    `setup` says what is not as it was when the audit was made, such as the version of a package: it may be why.
    """

    folder: str
    rows: int
    pictures: int
    different: tuple[str, ...]
    setup: tuple[str, ...] = ()

    @property
    def is_equal(self) -> bool:
        return not self.different

    def text(self) -> str:
        """What differs, and in one line whether anything does."""
        more = len(self.different) - NAMED
        lines = [f"different: {one}" for one in self.different[:NAMED]] + ([f"and {more:,} more"] if more > 0 else [])
        lines += [f"not as it was: {one}" for one in self.setup]
        rows = f"{count_of(self.rows, 'row')} and " if self.rows else ""
        what = f"{rows}{count_of(self.pictures, 'picture')} made again"
        verdict = "all equal" if self.is_equal else f"{len(self.different):,} different"
        alone = "" if self.rows else "; rows are checked by giving the folder of the audit"
        return join_lines([*lines, f"{self.folder}: {what}, {verdict}{alone}"])


def verify_rows(
    questions: Questions, manifest: Manifest, place: Place, batches: list[tuple[int, int]]
) -> Iterator[tuple[int, list[str]]]:
    """Make batches again, each by its shard and its first row in that; gives for each its rows, and what differs."""
    for shard, start in sorted(batches):
        indices = manifest.rows_of(shard)[start : start + manifest.batch_size]
        again = table_of(manifest, measure(questions, list(questions.subject.read(indices))))
        yield len(indices), compare(read_shard(place, shard).slice(start, len(indices)), again)


def choose_batches(manifest: Manifest, share: float, seed: int | None) -> list[tuple[int, int]]:
    """Some of all batches, at least one, by chance; of all shards if there are enough."""
    starts = range(0, manifest.rows_per_shard, manifest.batch_size)
    batches = [(shard, one) for shard in range(manifest.shards) for one in starts if one < len(manifest.rows_of(shard))]
    count = min(len(batches), max(1, round(share * len(batches))))
    chosen = np.random.default_rng(seed).choice(len(batches), count, replace=False)
    return [batches[one] for one in chosen.tolist()]


def compare(there: pa.Table, again: pa.Table) -> list[str]:
    """A line for every row that differs, with the columns that do."""
    by_index: dict[int, list[str]] = {}
    for name in again.column_names:
        ours, theirs = again[name].combine_chunks(), there[name].combine_chunks()
        if not ours.equals(theirs):
            for index, one, other in zip(again["index"].to_pylist(), ours, theirs, strict=False):
                if not one.equals(other):
                    by_index.setdefault(index, []).append(name)
    if again.num_rows != there.num_rows:
        return [f"{there.num_rows} rows where {again.num_rows} should be"]
    return [f"picture {index}: {', '.join(names)}" for index, names in by_index.items()]


def measure_again(questions: Questions, manifest: Manifest, indices: Iterable[int]) -> Iterator[tuple[Fed, Row]]:
    """Some pictures, each in its slot of its batch, with their rows; those of one batch at once."""
    batches: dict[tuple[int, int], list[int]] = {}
    for index in sorted(indices):
        shard, row = manifest.find_row(index)
        batches.setdefault((shard, row - row % manifest.batch_size), []).append(index)
    for (shard, start), some in batches.items():
        numbers = manifest.rows_of(shard)[start : start + manifest.batch_size]
        fed = {one.index: one for one in questions.subject.read(some)}
        rows = {row["index"]: row for row in measure(questions, [fed.get(number) for number in numbers])}
        yield from ((fed[index], rows[index]) for index in some)
