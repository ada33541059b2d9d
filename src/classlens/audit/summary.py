"""What the rows of an audit say together, read a shard at a time.

Where pictures have labels: how often the network is right, class by class; what it takes for what; whether its
probabilities can be believed; its most confident mistakes. Of the maps: where the evidence lies when it is right, when it
is wrong, and for each class. Memory grows with the classes, not with the pictures.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, read_rows

BINS = 15  # of probabilities, as in Guo et al.
MISTAKES = 24  # that are shown
CONFUSIONS = 20  # pairs of classes that are listed
REASONS = 10  # why pictures are bad
CLASSES, CONFUSION = "classes.parquet", "confusion.parquet"
PLACES = ("border", "centre", "entropy", "area")


@dataclass(frozen=True)
class Bin:
    """Pictures whose predicted class has a probability in a range: how many, their mean probability, and how many are right."""

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


@dataclass(frozen=True)
class ConfidentMistake:
    """A picture that the network takes for another class than its label says."""

    index: int
    path: str
    label: int
    predicted: int
    probability: float
    label_probability: float


@dataclass(frozen=True, eq=False)
class MapGroup:
    """Pictures of one kind: how many, and where the evidence of their first map lies, on average; None without maps."""

    count: int
    places: Mapping[str, float | None]
    map: Array | None


@dataclass(frozen=True, eq=False)
class Summary:
    """What all rows say.

    `accuracy`, `top5_accuracy`, `loss` and `calibration_error` are over the `labelled` pictures, None without any.
    `calibration_error` is the expected one: the mean distance between probability and share of right answers over bins,
    by their counts (Guo et al., On calibration of modern neural networks, ICML 2017, eq. 3). `confusions` are pairs of
    label and prediction with their counts. `groups` are "all", "right", "wrong" and "unlabelled". `bad` are reasons
    with their counts.
    """

    pictures: int
    good: int
    labelled: int
    accuracy: float | None
    top5_accuracy: float | None
    loss: float | None
    calibration_error: float | None
    bins: tuple[Bin, ...]
    confusions: tuple[tuple[int, int, int], ...]
    mistakes: tuple[ConfidentMistake, ...]
    groups: Mapping[str, MapGroup]
    bad: Mapping[str, int]


class Means:
    """Sums over pictures by key: a class because it changes with every shard. Maps count as where their evidence lies."""

    def __init__(self, keys: int, manifest: Manifest) -> None:
        shape = (manifest.maps[0].height, manifest.maps[0].width) if manifest.maps else (0, 0)
        self.count, self.with_map = np.zeros(keys, np.int64), np.zeros(keys, np.int64)
        self.places, self.maps = np.zeros((keys, len(PLACES))), np.zeros((keys, *shape))

    def add(self, keys: Array, rows: Mapping[str, Array]) -> None:
        """Count pictures under their keys."""
        np.add.at(self.count, keys, 1)
        if "map_0" in rows:
            values = np.stack([rows[f"map_0_{name}"] for name in PLACES], axis=1)
            there = np.isfinite(values).all(axis=1)
            np.add.at(self.with_map, keys[there], 1)
            np.add.at(self.places, keys[there], values[there])
            np.add.at(self.maps, keys[there], shares_of(rows["map_0"][there]))

    def group(self, key: int) -> MapGroup:
        """The means of one key."""
        count = int(self.with_map[key])
        means = (self.places[key] / count).tolist() if count else [None] * len(PLACES)
        return MapGroup(
            int(self.count[key]), dict(zip(PLACES, means, strict=True)), self.maps[key] / count if count else None
        )


def shares_of(maps: Array) -> Array:
    """Maps as shares of their positive evidence, which add up to one."""
    positive = np.maximum(maps.astype(np.float64), 0)
    total = positive.sum(axis=(1, 2), keepdims=True)
    return np.asarray(positive / np.where(total, total, 1))


@dataclass(eq=False)
class Tally:
    """What is counted while rows pass; it changes with every shard."""

    groups: Means
    predicted: Means
    labels: Array
    right: Array
    bins: Array = field(default_factory=lambda: np.zeros((BINS, 3)))
    sums: Array = field(default_factory=lambda: np.zeros(2))
    confusions: Counter[tuple[int, int]] = field(default_factory=Counter)
    mistakes: list[tuple[float, int, ConfidentMistake]] = field(default_factory=list)


GROUPS = ("all", "right", "wrong", "unlabelled")


def summarise(place: Place) -> Summary:
    """Read all rows once, and write `classes.parquet` and `confusion.parquet`.

    Raises:
        DataError: there is no audit, or a shard is missing.
    """
    manifest = read_manifest(place)
    count = manifest.class_count
    tally = Tally(Means(len(GROUPS), manifest), Means(count, manifest), *np.zeros((2, count), np.int64))
    names = ["path", "label", "predicted", "probability", "label_probability", "loss", "correct", "top"]
    names += ["map_0", *(f"map_0_{name}" for name in PLACES)] if manifest.maps else []
    for rows in read_rows(place.address, names):
        add_rows(tally, rows)
    bad: Counter[str] = Counter()
    for rows in read_rows(place.address, ["path", "error"], bad=True):
        pairs = zip(rows["path"], rows["error"], strict=True)
        bad.update(reason.removeprefix(f"{path}: ") for path, reason in pairs)  # few reasons, of however many pictures
    write_classes(place, manifest, tally)
    return conclude(manifest, tally, bad)


def add_rows(tally: Tally, rows: Mapping[str, Array]) -> None:
    """Count the rows of one shard."""
    labels, predicted, correct = rows["label"], rows["predicted"], rows["correct"]
    known = (labels >= 0) & (labels < len(tally.labels))
    everyone = np.zeros(len(labels), np.int64)
    kind = np.where(known, np.where(correct, 1, 2), 3)
    tally.groups.add(everyone, rows)
    tally.groups.add(kind, rows)
    tally.predicted.add(predicted, rows)
    np.add.at(tally.labels, labels[known], 1)
    np.add.at(tally.right, labels[known & correct], 1)
    probability = rows["probability"].astype(np.float64)[known]
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    np.add.at(tally.bins, bins, np.stack([np.ones(len(bins)), probability, correct[known]], axis=1))
    top = (rows["top"][known] == labels[known][:, None]).any(axis=1)
    tally.sums += [top.sum(), rows["loss"].astype(np.float64)[known].sum()]
    for at in np.flatnonzero(known & ~correct).tolist():
        tally.confusions[int(labels[at]), int(predicted[at])] += 1
        mistake = ConfidentMistake(
            int(rows["index"][at]), str(rows["path"][at]), int(labels[at]), int(predicted[at]),
            float(rows["probability"][at]), float(rows["label_probability"][at]),
        )  # fmt: skip
        push = heapq.heappush if len(tally.mistakes) < MISTAKES else heapq.heappushpop
        push(tally.mistakes, (mistake.probability, -mistake.index, mistake))


def conclude(manifest: Manifest, tally: Tally, bad: Counter[str]) -> Summary:
    """The summary of everything counted."""
    labelled, good = int(tally.labels.sum()), int(tally.groups.count[0])
    counts = tally.bins[:, 0]
    bins = tuple(
        Bin(at / BINS, (at + 1) / BINS, int(count), *((confidence / count, right / count) if count else (None, None)))
        for at, (count, confidence, right) in enumerate(tally.bins.tolist())
    )
    gaps = np.abs(tally.bins[:, 1] - tally.bins[:, 2])  # the sums of a bin: their distance is already weighted
    of_all = (lambda value: float(value) / labelled) if labelled else (lambda value: None)
    mistakes = tuple(one for _, _, one in sorted(tally.mistakes, key=lambda one: one[:2], reverse=True))
    return Summary(
        pictures=manifest.pictures,
        good=good,
        labelled=labelled,
        accuracy=of_all(tally.right.sum()),
        top5_accuracy=of_all(tally.sums[0]),
        loss=of_all(tally.sums[1]),
        calibration_error=of_all(gaps[counts > 0].sum()),
        bins=bins,
        confusions=tuple((*pair, count) for pair, count in tally.confusions.most_common(CONFUSIONS)),
        mistakes=mistakes,
        groups={name: tally.groups.group(key) for key, name in enumerate(GROUPS)},
        bad=dict(bad.most_common(REASONS)),
    )


def write_classes(place: Place, manifest: Manifest, tally: Tally) -> None:
    """Two tables: what is known of every class, and how often every pair of label and prediction comes."""
    groups = [tally.predicted.group(number) for number in range(manifest.class_count)]
    columns: dict[str, Any] = {
        "class": pa.array(range(manifest.class_count), pa.int32()),
        "name": pa.array([manifest.class_name(number) for number in range(manifest.class_count)]),
        "labelled": pa.array(tally.labels),
        "right": pa.array(tally.right),
        "predicted": pa.array([one.count for one in groups], pa.int64()),
    }
    if manifest.maps:
        columns |= {name: pa.array([one.places[name] for one in groups], pa.float32()) for name in PLACES}
        maps = [None if one.map is None else one.map.ravel().astype(np.float32) for one in groups]
        columns["mean_map"] = pa.array(maps, pa.list_(pa.float32()))
    pairs = dict(tally.confusions) | {(at, at): int(count) for at, count in enumerate(tally.right) if count}
    labels, predicted = zip(*sorted(pairs), strict=True) if pairs else ((), ())
    confusion = {
        "label": pa.array(labels, pa.int32()),
        "predicted": pa.array(predicted, pa.int32()),
        "count": pa.array([pairs[pair] for pair in sorted(pairs)], pa.int64()),
    }
    for name, table in ((CLASSES, columns), (CONFUSION, confusion)):
        content = BytesIO()
        pq.write_table(pa.table(table), content, compression="zstd")
        place.write(name, content.getvalue())


def read_classes(place: Place) -> tuple[dict[str, Any], ...]:
    """The rows of `classes.parquet`."""
    with place.open(CLASSES) as file:
        return tuple(pq.read_table(file).to_pylist())
