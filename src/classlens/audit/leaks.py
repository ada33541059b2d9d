"""Leaks: pictures of a split that are also in another one, and what the accuracy is without them.

The network proposes: for each picture the few of the other split that it tells apart least. The pictures decide, see
`dataset/near_duplicates.py`, because to a good network all pictures of an easy class are alike. Tiny ones have little to
compare: there a copy must be far nearer than all others that are proposed, and must not be alone. Where the pictures of the other split cannot
be read, pairs count that the network tells apart by next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial

import numpy as np

from classlens.audit.answers import EXAMPLES, Answer, Facts, Inquiry
from classlens.audit.manifest import read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, read_rows, read_whole
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import BAD_SAMPLE
from classlens.dataset.near_duplicates import TINY, find_pairs, small_copy, stand_out
from classlens.errors import DataError, count_of
from classlens.intervals import share_of

NUMBERS = 256  # of a picture that are compared; more are projected on so many
NEAREST = 5  # pictures of the other split that are looked at
PAIRS = 5_000  # that are looked at, those first that are alike most for their surroundings
RARE = 0.002  # so few tiny pictures that stand out are chance: ones written alike
HARDLY = 0.02  # of the usual distance of nearest pictures within a split: the pictures need not be seen for that
BLOCK = 2048


def answer_leaks(inquiry: Inquiry) -> Answer:
    """Pair the pictures of the audit with those of the other one, and count the accuracy with and without the pairs."""
    here, there = inquiry.manifest, read_manifest(Place(inquiry.other or ""))
    if here.digests.get("weights") != there.digests.get("weights"):
        hint = "audit both splits with one network"
        raise DataError(f"{inquiry.folder} and {inquiry.other} are audits by different networks", hint=hint)
    index, features, correct, label = read_whole(inquiry.folder, ["features", "correct", "label"]).values()
    if not len(index):
        return Answer("leaks", "no picture could be read", is_trouble=False)
    project = projection_of(features)
    own = project(features)
    within, _ = nearest_across(own, inquiry.folder, project)
    usual = float(np.median(1 - within[:, 1]))  # the first is the picture itself
    cosines, partners = nearest_across(own, inquiry.other or "", project)
    distance = (1 - cosines) / max(usual, 1e-6)
    order = np.argsort(distance, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(index[at // NEAREST]), int(partners.ravel()[at]), float(distance.ravel()[at])) for at in order]
    pairs = [pair for pair in pairs if pair[1] >= 0]
    others, notes = inquiry.training, tuple[str, ...]()
    if inquiry.subject and others and there.phase == "train" and others.length == there.length:
        found = confirm(inquiry, others, pairs, dict(zip(index.tolist(), partners.tolist(), strict=True)))
    else:
        found = [one for one in pairs if one[2] < HARDLY]
        notes = ("pictures were not compared, only what the network makes of them",)
    leaked = np.isin(index, [one[0] for one in found])
    known = label >= 0
    shares = [share_of(int((correct & which).sum()), int(which.sum())) for which in (known, known & ~leaked)]
    verdict = f"no picture of {here.phase} is also in {there.phase}"
    if found:
        leaks = count_of(int(leaked.sum()), "picture")
        verdict = f"{leaks} of {len(index):,} of {here.phase} are also in {there.phase}: "
        verdict += f"accuracy {shares[0].value:.2%} with them, {shares[1].value:.2%} without"
    sample = inquiry.subject.dataset.sample if inquiry.subject else None
    table: tuple[Facts, ...] = tuple(
        {"index": one, "path": (sample(one).path or "") if sample else "", "other": other, "distance": round(apart, 4)}
        for one, other, apart in found
    )
    return Answer("leaks", verdict, bool(found), table, tuple(dict.fromkeys(one[0] for one in found[:EXAMPLES])), notes)


NearPair = tuple[int, int, float]  # a picture, one of the other split, and how far the network tells them apart
Project = Callable[[Array], Array]  # features of pictures, to fewer numbers around their mean, of length 1


def projection_of(features: Array) -> Project:
    """What makes fewer numbers of features, distances staying as they are nearly.

    Source: Johnson & Lindenstrauss, 1984.
    """
    width, middle = features.shape[1], features.mean(axis=0, dtype=np.float64)
    compact = np.eye(width)
    if width > NUMBERS:
        compact = np.random.default_rng(0).normal(size=(width, NUMBERS)) / NUMBERS**0.5

    def project(features: Array) -> Array:
        numbers = (features - middle) @ compact
        return np.asarray(numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9), np.float32)

    return project


def nearest_across(own: Array, other: str, project: Project) -> tuple[Array, Array]:
    """The cosines and indices of the pictures of an audit that are nearest to each, read shard by shard."""
    best, partners = np.full((len(own), NEAREST), -1.0, np.float32), np.full((len(own), NEAREST), -1)
    for rows in read_rows(other, ["features"]):
        theirs = project(rows["features"])
        for start in range(0, len(own), BLOCK):
            part = slice(start, start + BLOCK)
            cosines = np.concatenate([best[part], own[part] @ theirs.T], axis=1)
            others = np.broadcast_to(rows["index"], (len(own[part]), len(theirs)))
            indices = np.concatenate([partners[part], others], axis=1)
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
            best[part], partners[part] = (np.take_along_axis(one, order, axis=1) for one in (cosines, indices))
    return best, partners


def confirm(
    inquiry: Inquiry, others: Dataset, pairs: Sequence[NearPair], near: Mapping[int, Sequence[int]]
) -> list[NearPair]:
    """The pairs whose pictures are the same; `near` are the numbers of all that are proposed for a picture."""
    here, there = (cache(partial(look_at, dataset)) for dataset in (inquiry.asked.dataset, others))

    @cache
    def copies_of(one: int) -> list[int]:
        proposed = {number: look[0] for number in near[one] if (look := there(number))}
        return stand_out(look[0], proposed) if (look := here(one)) else []

    same, likely = list[NearPair](), list[NearPair]()
    for done, pair in enumerate(pairs, start=1):
        both = [look for look in (here(pair[0]), there(pair[1])) if look]
        if len(both) == 2:
            copies, tiny = zip(*both, strict=True)
            if any(find_pairs(copies, tiny)):
                same.append(pair)
            elif all(tiny) and pair[1] in copies_of(pair[0]):
                likely.append(pair)
        inquiry.progress("pairs", done, len(pairs))
    return sorted([*same, *likely], key=lambda pair: pair[2]) if len(likely) > RARE * len(near) else same


def look_at(dataset: Dataset, index: int) -> tuple[Array, bool] | None:
    """A small grey copy of a picture, and whether it is tiny; None where there is none or it cannot be read."""
    try:
        image = dataset.to_image(dataset.load(index))
    except BAD_SAMPLE:
        return None
    return small_copy(image.pixels), min(image.size) < TINY
