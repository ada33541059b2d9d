"""Shortcuts: classes that hang on a stamp in a corner, a frame or a tint, instead of what their pictures show.

Maps propose, the network decides. A region is proposed where the maps of a class, or of a group of its pictures that look
alike, show evidence, and those of other classes show hardly any: off the place where pictures usually show what they are
of. It is cut out of pictures of the class and put into pictures of others, whose own evidence stays. If these are taken
for the class then, and more often than after equally large pieces from random places, the region is the cause. A tint is
moved without the picture under it. What lies where every class shows itself cannot be told from the thing itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from classlens.audit.answers import Answer, Facts, Inquiry, predict, read_encoded
from classlens.audit.clusters import as_vectors, distances, k_means
from classlens.audit.rows import Array, read_whole, shares_of
from classlens.intervals import Share, difference_of, share_of

GROUPS = 3  # of pictures of one class that look alike: not all of them may have the stamp
FEW = 12  # pictures of a class, or a group, below which it is not looked at
USUAL = 0.8  # of the evidence for other classes lies in the usual place
LIFT, FLOOR = 2.0, 0.5  # evidence of a place: so many times that for others, and so many times an even share
SCREENED, SCREENING = 400, 24  # regions that are tried at all, those with the most evidence, on so few pictures
TURNED = 0.1  # of those must turn for a region to be tried on more
TRIALS = 128  # pictures that are tried then; they are others
CONFIDENCE = 0.99  # of intervals: a network of ten classes is asked a hundred times
MARGIN = 0.1  # by which more pictures must turn, for sure, than after random pieces
POOL = 320  # pictures of all classes that pieces are put into
TINTED, APART = 20, 0.5  # pictures of a class whose tint is looked at, and by how many spreads it must differ


@dataclass(frozen=True, eq=False)
class Region:
    """Where the evidence of a class lies, and that of others does not: places of the map. Without places it is a tint.

    `members` are the pictures whose maps say so, `share` is their part of the class, `evidence` how much lies there.
    """

    label: int
    cells: Array
    members: Array
    share: float
    evidence: float

    @property
    def place(self) -> str:
        """Where it is, in words."""
        return name_place(self.cells) if self.cells.any() else "its tint"


@dataclass(frozen=True, eq=False)
class RegionTrial:
    """How many pictures of other classes turned into the region's, and how many by random pieces of the same size."""

    region: Region
    turned: Share
    control: Share

    @property
    def apart(self) -> tuple[float, float]:
        """The interval of what both differ by."""
        return difference_of(self.turned, self.control)

    @property
    def is_cause(self) -> bool:
        return self.apart[0] > MARGIN


def answer_shortcuts(inquiry: Inquiry) -> Answer:
    """Try what the maps propose, on few pictures and then on more, and name the best region of every class that turns them."""
    columns = ["label", "predicted", *(["map_0"] if inquiry.manifest.maps else [])]
    index, labels, predicted, *maps = read_whole(inquiry.folder, columns).values()
    if not len(index):
        return Answer("shortcuts", "no picture could be read", is_trouble=False)
    random, right = np.random.default_rng(inquiry.manifest.seed), np.flatnonzero(labels == predicted)
    regions = find_regions(maps[0], labels, predicted) if maps else []
    regions = sorted(regions, key=lambda one: -one.evidence)[:SCREENED]
    regions += find_tints(inquiry, index, labels, right, random)
    pool = random.permutation(right)[: 2 * POOL]
    known, pictures = read_encoded(inquiry, index[pool].tolist())
    of_pool = labels[np.searchsorted(index, known)]
    for size, what in ((SCREENING, "regions tried"), (TRIALS, "regions tried on more")):
        half = slice(0, len(known) // 2) if size == SCREENING else slice(len(known) // 2, None)
        trials = list[RegionTrial]()
        for done, region in enumerate(regions, start=1):
            others = pictures[half][of_pool[half] != region.label][:size]
            _, donors = read_encoded(inquiry, index[random.choice(region.members, size)].tolist())
            count = min(len(others), len(donors))
            trials.append(try_region(inquiry, region, donors[:count], others[:count], random))
            inquiry.progress(what, done, len(regions))
        regions = [one.region for one in trials if one.turned.value >= TURNED]
    return conclude_trials(inquiry, index, trials)


def conclude_trials(inquiry: Inquiry, index: Array, trials: Sequence[RegionTrial]) -> Answer:
    """The strongest trial of every class, causes first; of nearly equal ones that with the smallest region."""
    best: dict[int, RegionTrial] = {}
    for label in dict.fromkeys(trial.region.label for trial in trials):
        own = [trial for trial in trials if trial.region.label == label]
        highest = max(trial.apart[0] for trial in own)
        near = [trial for trial in own if trial.apart[0] >= (0.75 * highest if highest > 0 else highest)]
        best[label] = min(near, key=lambda trial: trial.region.cells.sum() or trial.region.cells.size)
    order = sorted(best.values(), key=lambda trial: -trial.apart[0])
    causes = [trial for trial in order if trial.is_cause]
    name = inquiry.manifest.class_name
    said = [
        f"class {name(one.region.label)} is recognised by {one.region.place}, which turns {one.turned} of other pictures into "
        f"it, random pieces {one.control.value:.0%}"
        for one in causes
    ]
    table: tuple[Facts, ...] = tuple(
        {"class": name(one.region.label), "place": one.region.place, "verdict": "shortcut" if one.is_cause else "no shortcut",
         "share of class": round(one.region.share, 3), "turned": round(one.turned.value, 3), "turned low": round(one.turned.low, 3),
         "turned high": round(one.turned.high, 3), "random": round(one.control.value, 3), "pictures": one.turned.trials}
        for one in order
    )  # fmt: skip
    shown = tuple(int(index[at]) for one in causes for at in one.region.members[:4])
    notes = ("what lies where all classes show themselves cannot be told from the thing itself",)
    verdict = "; ".join(said) or "no class hangs on a place or a tint"
    return Answer("shortcuts", verdict, bool(causes), table, shown, notes)


def find_tints(
    inquiry: Inquiry, index: Array, labels: Array, right: Array, random: np.random.Generator
) -> list[Region]:
    """Classes whose pictures have another tint than those of others, by more than pictures of one class differ."""
    shuffled = random.permutation(right)
    places = np.concatenate([shuffled[labels[shuffled] == one][:TINTED] for one in np.unique(labels[right])] or [right])
    known, pictures = read_encoded(inquiry, index[places].tolist())
    at, tints, regions = np.searchsorted(index, known), tints_of(pictures), list[Region]()
    for label in np.unique(labels[at]).tolist():
        own = labels[at] == label
        if FEW <= own.sum() < len(own):
            spread = max(float(tints[~own].std(axis=0).mean() + tints[own].std(axis=0).mean()), 1e-6)
            apart = float(np.abs(tints[own].mean(axis=0) - tints[~own].mean(axis=0)).max()) / spread
            regions += [Region(label, np.zeros((2, 2), bool), at[own], 1.0, apart)] if apart > APART else []
    return regions


def find_regions(maps: Array, labels: Array, predicted: Array) -> list[Region]:
    """What maps of predicted classes propose: for each class the region with the most evidence of every group."""
    shares = shares_of(np.nan_to_num(maps))
    there = (labels == predicted) & (shares.sum(axis=(1, 2)) > 0)
    counts = np.bincount(labels[there]) if there.any() else np.zeros(0, int)
    known = np.flatnonzero(counts >= FEW)
    means = {label: shares[there & (labels == label)].mean(axis=0) for label in known.tolist()}
    regions = []
    for label in means if len(means) > 1 else ():
        usual = np.median([mean for other, mean in means.items() if other != label], axis=0)
        own = np.flatnonzero(there & (labels == label))
        for members in groups_of(own, shares[own]):
            mean = shares[members].mean(axis=0)
            for part in parts_of(unusual_places(mean, usual), mean - usual):
                evidence = float(shares[members][:, part].sum(axis=1).mean())
                regions.append(Region(label, part, members, len(members) / len(own), evidence))
    return regions


def groups_of(own: Array, shares: Array) -> Iterator[Array]:
    """The pictures of a class, all together and in groups whose maps look alike."""
    yield own
    if len(own) >= 2 * FEW:
        vectors = as_vectors(shares)
        owner = distances(vectors, k_means(vectors, GROUPS, np.random.default_rng(0))).argmin(axis=1)
        yield from (own[owner == at] for at in range(GROUPS) if FEW <= (owner == at).sum() < len(own))


def unusual_places(mean: Array, usual: Array) -> Array:
    """Places with evidence off the usual place, and those beside them that lie off it, too."""
    order = np.argsort(-usual, axis=None)
    inside = np.cumsum(usual.ravel()[order]) - usual.ravel()[order] < USUAL * usual.sum()
    off = np.ones(usual.size, bool)
    off[order[inside]] = False
    off = off.reshape(usual.shape)
    hot = off & (mean > LIFT * usual) & (mean > FLOOR / usual.size)
    return np.asarray(off & (cv2.dilate(hot.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0))


def parts_of(cells: Array, excess: Array) -> list[Array]:
    """The places as a whole, those with most of the evidence, and the parts of both that hang together; each once."""
    if not cells.any():
        return []
    wholes = [cells, cells & (excess >= excess[cells].max() / 2)]
    parts = list(wholes)
    for whole in wholes:
        count, numbers = cv2.connectedComponents(whole.astype(np.uint8), connectivity=4)
        parts += [numbers == number for number in range(1, count)]
    return list({part.tobytes(): part for part in parts}.values())


def tints_of(pictures: Array) -> Array:
    """What the colours of pictures differ by from grey, on average: n x 3."""
    means = pictures.mean(axis=(2, 3), dtype=np.float64)
    return np.asarray(means - means.mean(axis=1, keepdims=True))


def try_region(
    inquiry: Inquiry, region: Region, donors: Array, others: Array, random: np.random.Generator
) -> RegionTrial:
    """Move the region from pictures of its class into others, and as often a random piece of the same size."""
    strangers = others[random.permutation(len(others))]
    pieces = move(region.cells, donors, others), move(roll(region.cells, random), strangers, others)
    turned = (int((predict(inquiry.asked, one) == region.label).sum()) for one in pieces)
    return RegionTrial(region, *(share_of(hits, len(others), CONFIDENCE) for hits in turned))


def roll(cells: Array, random: np.random.Generator) -> Array:
    """A piece of the same size at another place."""
    shift = np.unravel_index(int(random.integers(1, cells.size)), cells.shape)
    return np.roll(cells, shift, (0, 1))


def move(cells: Array, donors: Array, others: Array) -> Array:
    """Pictures with these places of donors; without places with their tint, which is moved without what it lies on."""
    if not cells.any():
        return np.asarray(others + (tints_of(donors) - tints_of(others))[:, :, None, None], others.dtype)
    height, width = others.shape[2:]
    mask = cv2.resize(cells.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST) > 0
    return np.where(mask, donors, others)


def name_place(cells: Array) -> str:
    """A region in words: a corner, an edge, the border or the background."""
    rows, columns = (np.flatnonzero(cells.any(axis=axis)) for axis in (1, 0))
    height, width = cells.shape
    down = "top" if rows[-1] < height / 2 else "bottom" if rows[0] >= height / 2 else ""
    along = "left" if columns[-1] < width / 2 else "right" if columns[0] >= width / 2 else ""
    if down and along:
        return f"its {down} {along} corner"
    if down or along:
        return f"its {down or along} edge"
    return "its border" if cells.mean() < 0.5 else "its background"
