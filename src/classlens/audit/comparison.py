"""Two audits of the same pictures side by side: what a change of the network has won, what it has broken, where it looks now.

    classlens.compare("out/before", "out/after")

Pictures are paired one by one, so that few of them say much. Rows are read a shard at a time from both.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from heapq import nlargest
from os import PathLike, fspath
from typing import Any

import cv2
import numpy as np

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, read_rows, shares_of
from classlens.errors import DataError, count_of
from classlens.intervals import mcnemar, paired_gain
from classlens.results import Drawable

EXAMPLES = 24  # pictures that are right in the first audit and wrong in the second, of which a page shows the surest
COLUMNS = ("path", "label", "predicted", "probability")


@dataclass(frozen=True)
class Flip:
    """A picture that the first network has right and the second one wrong: its label, and what the second one says."""

    index: int
    path: str
    label: str
    predicted: str
    probability: float


@dataclass(frozen=True)
class ClassChange:
    """A class: its pictures, how many each network has right, and how many only one of them has."""

    name: str
    pictures: int
    right: tuple[int, int]
    lost: int
    won: int


@dataclass(frozen=True)
class MapChange:
    """How far the maps of some pictures moved, on average.

    `correlation` is Pearson's, of the positive evidence place by place. `elsewhere` is the share of the evidence that
    lies at another place than before, 0 to 1. `right` and `down` say where its centre went, in parts of the picture's
    sides, and `outward` how much more of it lies in the outer eighth of each side.
    """

    pictures: int
    correlation: float
    elsewhere: float
    right: float
    down: float
    outward: float


@dataclass(frozen=True)
class AuditComparison(Drawable):
    """Two audits side by side, over the `pictures` that both could read.

    `right` counts those of the `labelled` that each network has right, `lost` those that only the first has (negative
    flips), and `won` those that only the second has. `changed` counts other predictions, whether right or wrong.
    `maps` are those of "all", "same" and "changed" predictions; empty where an audit has no maps, or others.
    """

    first: str
    second: str
    pictures: int
    labelled: int
    right: tuple[int, int]
    lost: int
    won: int
    changed: int
    classes: tuple[ClassChange, ...] = ()
    flips: tuple[Flip, ...] = ()
    maps: Mapping[str, MapChange] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def p_value(self) -> float:
        """McNemar's: how probable so uneven a change is if both networks are equally good."""
        return mcnemar(self.lost, self.won)

    @property
    def gain(self) -> tuple[float, float, float]:
        """What the second network gains in accuracy, and the interval of that."""
        return paired_gain(self.lost, self.won, self.labelled)

    def as_data(self) -> dict[str, Any]:
        """Everything, as lists and numbers."""
        gain, low, high = self.gain
        shares = [right / self.labelled if self.labelled else None for right in self.right]
        return asdict(self) | {"accuracy": shares, "gain": gain, "gain_interval": [low, high], "p_value": self.p_value}


def compare(first: str | PathLike[str], second: str | PathLike[str]) -> AuditComparison:
    """Compare two audits of the same pictures, by their folders.

    Raises:
        DataError: one is no audit, or they are of different pictures or classes.
    """
    folders = fspath(first), fspath(second)
    one, other = (read_manifest(Place(folder)) for folder in folders)
    check_same_pictures(folders, (one, other))
    has_maps = bool(one.maps and other.maps) and one.maps[0].method == other.maps[0].method
    lacks_maps = not has_maps and (one.maps or other.maps)
    notes = ["maps are not compared: both audits need maps of one method"] if lacks_maps else []
    tally = PairTally(one.class_count)
    columns = [*COLUMNS, *(["map_0"] if has_maps else [])]
    for pair in pair_rows(*(read_rows(folder, columns) for folder in folders)):
        add_pair(tally, pair, one)
    return conclude_pairs(folders, one, tally, notes)


def check_same_pictures(folders: tuple[str, str], manifests: tuple[Manifest, Manifest]) -> None:
    """Refuse audits whose rows cannot be paired, and say what differs."""
    one, other = manifests
    if (one.classes, one.class_count) != (other.classes, other.class_count):
        names = [[manifest.class_name(number) for number in range(manifest.class_count)] for manifest in manifests]
        pairs = zip(*names, strict=False)
        at = next((at for at, (a, b) in enumerate(pairs) if a != b), min(map(len, names)))
        seen = [f"{len(known)} classes" + (f", {known[at]!r} at {at}" if at < len(known) else "") for known in names]
        message = f"the networks of {folders[0]} and {folders[1]} do not know the same classes: {seen[0]}; {seen[1]}"
        raise DataError(message, hint="compare networks whose scores have one order")
    if one.digests.get("list") != other.digests.get("list") or one.pictures != other.pictures:
        seen = [f"{count_of(manifest.pictures, 'picture')} of {manifest.phase} in {manifest.data or manifest.target}"
                for manifest in manifests]  # fmt: skip
        hint = "audit both networks with the same pictures, labels and --number"
        message = f"{folders[0]} and {folders[1]} are audits of different lists of pictures: {seen[0]}; {seen[1]}"
        raise DataError(message, hint=hint)


Rows = dict[str, Array]


def pair_rows(first: Iterator[Rows], second: Iterator[Rows]) -> Iterator[tuple[Rows, Rows]]:
    """The rows that both have, in their order, however each divides them into shards."""
    one, other = next(first, None), next(second, None)
    while one is not None and other is not None:
        _, here, there = np.intersect1d(one["index"], other["index"], assume_unique=True, return_indices=True)
        if len(here):
            yield ({name: column[here] for name, column in one.items()},
                   {name: column[there] for name, column in other.items()})  # fmt: skip
        if one["index"][-1] <= other["index"][-1]:
            one = next(first, None)
        else:
            other = next(second, None)


class PairTally:
    """Sums over pairs of rows: a class because it changes with every shard."""

    def __init__(self, classes: int) -> None:
        self.pictures = self.changed = 0
        self.counts = np.zeros((5, classes), np.int64)  # pictures, right before, right after, lost, won
        self.flips: list[tuple[float, int, Flip]] = []
        self.maps = np.zeros((2, 6))  # same and changed predictions: pictures, then the sums of what `MapChange` has


def add_pair(tally: PairTally, pair: tuple[Rows, Rows], manifest: Manifest) -> None:
    """Count the rows of one shard."""
    one, other = pair
    label, changed = one["label"], one["predicted"] != other["predicted"]
    known = (label >= 0) & (label < manifest.class_count)
    right = [known & (rows["predicted"] == label) for rows in pair]
    lost, won = right[0] & ~right[1], right[1] & ~right[0]
    tally.pictures += len(label)
    tally.changed += int(changed.sum())
    for row, which in enumerate((known, *right, lost, won)):
        tally.counts[row] += np.bincount(label[which], minlength=manifest.class_count)
    for at in np.flatnonzero(lost).tolist():
        names = manifest.class_name(int(label[at])), manifest.class_name(int(other["predicted"][at]))
        flip = Flip(int(one["index"][at]), str(one["path"][at]), *names, float(other["probability"][at]))
        tally.flips.append((flip.probability, -flip.index, flip))
    tally.flips = nlargest(EXAMPLES, tally.flips)
    if "map_0" in one:
        moved = map_changes(one["map_0"], other["map_0"])
        for row, which in enumerate((~changed, changed)):
            tally.maps[row] += moved[which & np.isfinite(moved).all(axis=1)].sum(axis=0)


def map_changes(before: Array, after: Array) -> Array:
    """A row for each picture: 1, and the numbers of `MapChange`; NaN where one of the maps is empty or even.

    Maps of two layers are compared in the fewer of their places.
    """
    height, width = (min(sides) for sides in zip(before.shape[1:], after.shape[1:], strict=True))
    shares = [shrink(shares_of(np.nan_to_num(maps)), height, width) for maps in (before, after)]
    one, other = (share.reshape(len(before), -1) for share in shares)
    apart = [share - share.mean(axis=1, keepdims=True) for share in (one, other)]
    lengths = np.sqrt((apart[0] ** 2).sum(axis=1) * (apart[1] ** 2).sum(axis=1))
    correlation = (apart[0] * apart[1]).sum(axis=1) / np.where(lengths > 0, lengths, np.nan)
    rows, columns = (np.arange(height) + 0.5) / height, (np.arange(width) + 0.5) / width
    outer = np.maximum(np.abs(rows - 0.5)[:, None], np.abs(columns - 0.5)) > 0.375  # the outer eighth at either end
    moved = shares[1] - shares[0]
    parts = (np.abs(moved).sum(axis=(1, 2)) / 2, moved.sum(axis=1) @ columns, moved.sum(axis=2) @ rows)
    return np.stack([np.ones(len(one)), correlation, *parts, moved[:, outer].sum(axis=1)], axis=1)


def shrink(maps: Array, height: int, width: int) -> Array:
    """Shares in fewer places, which still add up to one."""
    if maps.shape[1:] == (height, width):
        return maps
    smaller = np.stack([cv2.resize(one, (width, height), interpolation=cv2.INTER_AREA) for one in maps])
    return np.asarray(smaller * (maps.shape[1] * maps.shape[2] / (height * width)))


def conclude_pairs(
    folders: tuple[str, str], manifest: Manifest, tally: PairTally, notes: Sequence[str]
) -> AuditComparison:
    """The comparison of everything counted; classes that lost most stand first."""
    kinds = {"all": tally.maps.sum(axis=0), "same": tally.maps[0], "changed": tally.maps[1]}
    maps = {name: MapChange(int(sums[0]), *(sums[1:] / sums[0]).tolist()) for name, sums in kinds.items() if sums[0]}
    changes = [
        ClassChange(manifest.class_name(number), pictures, (before, after), lost, won)
        for number, (pictures, before, after, lost, won) in enumerate(tally.counts.T.tolist())
        if pictures
    ]
    labelled, before, after, lost, won = tally.counts.sum(axis=1).tolist()
    if missing := manifest.pictures - tally.pictures:
        notes = [*notes, f"{count_of(missing, 'picture')} could not be read in one of the audits, and are left out"]
    return AuditComparison(
        *folders,
        pictures=tally.pictures,
        labelled=labelled,
        right=(before, after),
        lost=lost,
        won=won,
        changed=tally.changed,
        classes=tuple(sorted(changes, key=lambda one: (one.won - one.lost, -one.lost))),
        flips=tuple(flip for _, _, flip in tally.flips),
        maps=maps,
        notes=tuple(notes),
    )
