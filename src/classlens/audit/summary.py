"""What the rows of an audit say together, read a shard at a time.

Where pictures have labels: how often the network is right, class by class; what it takes for what; whether its
probabilities can be believed; its most confident mistakes. Of the maps: where the evidence lies when it is right, when it
is wrong, and for each class. Memory grows with the classes, not with the pictures.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nlargest
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, encode_table, read_rows, shares_of

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
        shape = manifest.maps[0].shape if manifest.maps else (0, 0)
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
        mean_map = self.maps[key] / count if count else None
        return MapGroup(int(self.count[key]), dict(zip(PLACES, means, strict=True)), mean_map)


@dataclass(eq=False)
class Tally:
    """What is counted while rows pass; it changes with every shard."""

    groups: Means
    predicted: Means
    bins: Array = field(default_factory=lambda: np.zeros((BINS, 3)))
    sums: Array = field(default_factory=lambda: np.zeros(2))
    pairs: Counter[tuple[int, int]] = field(default_factory=Counter)  # of label and prediction
    mistakes: list[tuple[float, int, ConfidentMistake]] = field(default_factory=list)


GROUPS = ("all", "right", "wrong", "unlabelled")


def summarise(place: Place) -> Summary:
    """Read all rows once, and write `classes.parquet` and `confusion.parquet`.

    Raises:
        DataError: there is no audit, or a shard is missing.
    """
    manifest = read_manifest(place)
    tally = Tally(Means(len(GROUPS), manifest), Means(manifest.class_count, manifest))
    names = ["path", "label", "predicted", "probability", "label_probability", "loss", "correct", "top"]
    names += ["map_0", *(f"map_0_{name}" for name in PLACES)] if manifest.maps else []
    for rows in read_rows(place.address, names):
        add_rows(tally, rows, manifest)
    bad: Counter[str] = Counter()
    for rows in read_rows(place.address, ["path", "error"], bad=True):
        pairs = zip(rows["path"], rows["error"], strict=True)
        bad.update(reason.removeprefix(f"{path}: ") for path, reason in pairs)  # few reasons, of however many pictures
    write_classes(place, manifest, tally)
    return conclude(manifest, tally, bad)


def add_rows(tally: Tally, rows: Mapping[str, Array], manifest: Manifest) -> None:
    """Count the rows of one shard."""
    labels, predicted, correct = rows["label"], rows["predicted"], rows["correct"]
    known = (labels >= 0) & (labels < manifest.class_count)
    tally.groups.add(np.zeros(len(labels), np.int64), rows)
    tally.groups.add(np.where(known, np.where(correct, 1, 2), 3), rows)
    tally.predicted.add(predicted, rows)
    tally.pairs.update(zip(labels[known].tolist(), predicted[known].tolist(), strict=True))
    probability = rows["probability"].astype(np.float64)[known]
    bins = np.minimum((probability * BINS).astype(np.int64), BINS - 1)
    np.add.at(tally.bins, bins, np.stack([np.ones(len(bins)), probability, correct[known]], axis=1))
    top = (rows["top"][known] == labels[known][:, None]).any(axis=1)
    tally.sums += [top.sum(), rows["loss"].astype(np.float64)[known].sum()]
    for at in np.flatnonzero(known & ~correct).tolist():
        mistake = ConfidentMistake(
            int(rows["index"][at]), str(rows["path"][at]), int(labels[at]), int(predicted[at]),
            float(rows["probability"][at]), float(rows["label_probability"][at]),
        )  # fmt: skip
        tally.mistakes.append((mistake.probability, -mistake.index, mistake))
    tally.mistakes = nlargest(MISTAKES, tally.mistakes)


def conclude(manifest: Manifest, tally: Tally, bad: Counter[str]) -> Summary:
    """The summary of everything counted."""
    labelled, good = tally.pairs.total(), int(tally.groups.count[0])
    confusions = Counter({pair: times for pair, times in tally.pairs.items() if pair[0] != pair[1]})
    counts = tally.bins[:, 0]
    bins = tuple(
        Bin(at / BINS, (at + 1) / BINS, int(count), *((confidence / count, right / count) if count else (None, None)))
        for at, (count, confidence, right) in enumerate(tally.bins.tolist())
    )
    gaps = np.abs(tally.bins[:, 1] - tally.bins[:, 2])  # the sums of a bin: their distance is already weighted
    of_all = (lambda value: float(value) / labelled) if labelled else (lambda value: None)
    return Summary(
        pictures=manifest.pictures,
        good=good,
        labelled=labelled,
        accuracy=of_all(labelled - confusions.total()),
        top5_accuracy=of_all(tally.sums[0]),
        loss=of_all(tally.sums[1]),
        calibration_error=of_all(gaps[counts > 0].sum()),
        bins=bins,
        confusions=tuple((*pair, times) for pair, times in confusions.most_common(CONFUSIONS)),
        mistakes=tuple(one for _, _, one in tally.mistakes),
        groups={name: tally.groups.group(key) for key, name in enumerate(GROUPS)},
        bad=dict(bad.most_common(REASONS)),
    )


def write_classes(place: Place, manifest: Manifest, tally: Tally) -> None:
    """Two tables: what is known of every class, and how often every pair of label and prediction comes."""
    numbers = range(manifest.class_count)
    groups, labelled = [tally.predicted.group(number) for number in numbers], Counter[int]()
    for (label, _), times in tally.pairs.items():
        labelled[label] += times
    columns: dict[str, Any] = {
        "class": pa.array(numbers, pa.int32()),
        "name": pa.array([manifest.class_name(number) for number in numbers]),
        "labelled": pa.array([labelled[number] for number in numbers], pa.int64()),
        "right": pa.array([tally.pairs[number, number] for number in numbers], pa.int64()),
        "predicted": pa.array([one.count for one in groups], pa.int64()),
    }
    if manifest.maps:
        columns |= {name: pa.array([one.places[name] for one in groups], pa.float32()) for name in PLACES}
        maps = [None if one.map is None else one.map.ravel().astype(np.float32) for one in groups]
        columns["mean_map"] = pa.array(maps, pa.list_(pa.float32()))
    pairs = sorted(tally.pairs.items())
    confusion = {
        "label": pa.array([label for (label, _), _ in pairs], pa.int32()),
        "predicted": pa.array([predicted for (_, predicted), _ in pairs], pa.int32()),
        "count": pa.array([times for _, times in pairs], pa.int64()),
    }
    for name, table in ((CLASSES, columns), (CONFUSION, confusion)):
        place.write(name, encode_table(pa.table(table)))


def read_classes(place: Place) -> tuple[dict[str, Any], ...]:
    """The rows of `classes.parquet`."""
    with place.open(CLASSES) as file:
        return tuple(pq.read_table(file).to_pylist())
