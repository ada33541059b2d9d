"""Maps that look alike: the places that a network looks at, over a whole dataset, in a few groups.

Centres are found on a sample, then every row goes to its nearest, a shard at a time. Maps count by where their evidence
lies, not by how much there is: as square roots of shares, whose distance is Hellinger's.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, read_rows, shares_of

CLUSTERS = "clusters.parquet"
COUNT = 8  # groups at most
SAMPLE = 20_000  # maps that centres are found on
ROUNDS, STARTS = 50, 4
EXAMPLES, FREQUENT = 4, 3  # pictures nearest to a centre, and classes, that are named


@dataclass(frozen=True, eq=False)
class Cluster:
    """Pictures whose first maps look alike: how many, the share of right ones among the labelled, their mean map.

    `classes` are the most frequent predictions with their counts, `examples` the pictures nearest to the centre.
    """

    number: int
    count: int
    accuracy: float | None
    map: Array
    classes: tuple[tuple[int, int], ...]
    examples: tuple[int, ...]


def find_clusters(place: Place) -> tuple[Cluster, ...]:
    """Group the first map of every row, the largest group first, and write the group of each row to `clusters.parquet`."""
    manifest = read_manifest(place)
    if not manifest.maps:
        return ()
    sample = sample_maps(place, manifest)
    if not len(sample):
        return ()
    centres = k_means(sample, min(COUNT, len(np.unique(sample, axis=0))), np.random.default_rng(manifest.seed))
    return assign(place, manifest, centres)


def sample_maps(place: Place, manifest: Manifest) -> Array:
    """Some of all maps, evenly spread, as vectors."""
    step = max(1, manifest.pictures // SAMPLE)
    parts, passed = [], 0
    for rows in read_rows(place.address, ["map_0"]):
        vectors = as_vectors(rows["map_0"][-passed % step :: step])
        passed += len(rows["index"])
        parts.append(vectors[vectors.any(axis=1)])
    return np.concatenate(parts) if parts else np.empty((0, 0))


def as_vectors(maps: Array) -> Array:
    return np.asarray(np.sqrt(shares_of(np.nan_to_num(maps))).reshape(len(maps), -1))


def k_means(vectors: Array, count: int, random: np.random.Generator) -> Array:
    """Centres by Lloyd's rounds from far-apart starts, the best of a few; sorted by how many vectors are theirs.

    Source: Arthur & Vassilvitskii, k-means++: the advantages of careful seeding, SODA 2007.
    """
    least, best = np.inf, vectors[:0]
    for _ in range(STARTS):
        centres = vectors[[int(random.integers(len(vectors)))]]
        while len(centres) < count:
            nearest = distances(vectors, centres).min(axis=1)
            total = nearest.sum()
            chosen = int(random.choice(len(vectors), p=nearest / total if total > 0 else None))
            centres = np.concatenate([centres, vectors[[chosen]]])
        for _ in range(ROUNDS):
            owner = distances(vectors, centres).argmin(axis=1)
            moved = np.stack([
                vectors[owner == at].mean(axis=0) if (owner == at).any() else centre for at, centre in enumerate(centres)
            ])  # fmt: skip
            if np.allclose(moved, centres):
                break
            centres = moved
        spread = distances(vectors, centres)
        if spread.min(axis=1).sum() < least:
            order = np.argsort(-np.bincount(spread.argmin(axis=1), minlength=len(centres)), kind="stable")
            least, best = spread.min(axis=1).sum(), centres[order]
    return best


def distances(vectors: Array, centres: Array) -> Array:
    """Squared, each vector to each centre."""
    squares = (vectors**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * vectors @ centres.T
    return np.asarray(np.maximum(squares, 0))


def assign(place: Place, manifest: Manifest, centres: Array) -> tuple[Cluster, ...]:
    """Every row to its nearest centre."""
    number = len(centres)
    counts, labelled, right = np.zeros((3, number), np.int64)
    sums, classes = np.zeros((number, *manifest.maps[0].shape)), [Counter[int]() for _ in range(number)]
    nearest: list[list[tuple[float, int]]] = [[] for _ in range(number)]
    schema, content = pa.schema([("index", pa.int64()), ("cluster", pa.int32())]), BytesIO()
    with pq.ParquetWriter(content, schema, compression="zstd") as writer:
        for rows in read_rows(place.address, ["label", "predicted", "correct", "map_0"]):
            vectors = as_vectors(rows["map_0"])
            far = distances(vectors, centres)
            owner = np.where(vectors.any(axis=1), far.argmin(axis=1), -1)  # an empty map looks like no other
            writer.write_table(pa.table([pa.array(rows["index"]), pa.array(owner, pa.int32())], schema=schema))
            for at in range(number):
                own = np.flatnonzero(owner == at)
                counts[at] += len(own)
                labelled[at] += (rows["label"][own] >= 0).sum()
                right[at] += rows["correct"][own].sum()
                sums[at] += shares_of(rows["map_0"][own]).sum(axis=0)
                classes[at].update(rows["predicted"][own].tolist())
                near = sorted(zip(far[own, at].tolist(), rows["index"][own].tolist(), strict=True))[:EXAMPLES]
                nearest[at] = sorted(nearest[at] + near)[:EXAMPLES]
    place.write(CLUSTERS, content.getvalue())
    return tuple(
        Cluster(
            at,
            int(counts[at]),
            float(right[at] / labelled[at]) if labelled[at] else None,
            sums[at] / counts[at],
            tuple(classes[at].most_common(FREQUENT)),
            tuple(index for _, index in nearest[at]),
        )
        for at in range(number)
        if counts[at]
    )
