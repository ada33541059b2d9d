"""Leaks: pictures of a split that are also in another one, and what the accuracy is without them.

The network proposes: for each picture the few of the other split that it tells apart least. The pictures decide, see
`dataset/near_duplicates.py`, because to a good network all pictures of an easy class are alike. Where the pictures of the
other split cannot be read, pairs count that the network tells apart by next to nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from classlens.audit.answers import Answer, Facts, Inquiry
from classlens.audit.intervals import share_of
from classlens.audit.manifest import read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array, read_rows
from classlens.dataset.dataset import Dataset
from classlens.dataset.decode import BAD_SAMPLE
from classlens.dataset.near_duplicates import TINY, find_pairs, small_copy
from classlens.errors import DataError, count_of

NUMBERS = 256  # of a picture that are compared; more are projected on so many
NEAREST = 3  # pictures of the other split that are looked at
PAIRS = 5_000  # that are looked at, those first that are alike most for their surroundings
HARDLY = 0.02  # of the usual distance of nearest pictures within a split: the pictures need not be seen for that
BLOCK = 2048
EXAMPLES = 24


def answer_leaks(inquiry: Inquiry) -> Answer:
    """Pair the pictures of the audit with those of the other one, and count the accuracy with and without the pairs."""
    here, there = inquiry.manifest, read_manifest(Place(inquiry.other or ""))
    if here.digests.get("weights") != there.digests.get("weights"):
        hint = "audit both splits with one network"
        raise DataError(f"{inquiry.folder} and {inquiry.other} are audits by different networks", hint=hint)
    index, features, correct, label = (
        np.concatenate([rows[name] for rows in read_rows(inquiry.folder, ["features", "correct", "label"])])
        for name in ("index", "features", "correct", "label")
    )
    compact, middle = projection(features)
    own = unit(features, compact, middle)
    within, _ = nearest_across(own, inquiry.folder, compact, middle)
    usual = float(np.median(1 - within[:, 1]))  # the first is the picture itself
    cosines, partners = nearest_across(own, inquiry.other or "", compact, middle)
    distance = (1 - cosines) / max(usual, 1e-6)
    order = np.argsort(distance, axis=None, kind="stable")[:PAIRS]
    pairs = [(int(index[at // NEAREST]), int(partners.ravel()[at]), float(distance.ravel()[at])) for at in order]
    pairs = [pair for pair in pairs if pair[1] >= 0]
    others = inquiry.training if inquiry.training and there.phase == "train" else None
    is_read = inquiry.subject is not None and others is not None and others.length == there.length
    found = list(confirm(inquiry, others, pairs)) if is_read and others else [one for one in pairs if one[2] < HARDLY]
    leaked = np.isin(index, [one[0] for one in found])
    known = label >= 0
    shares = [share_of(int((correct & which).sum()), int(which.sum())) for which in (known, known & ~leaked)]
    verdict = f"no picture of {here.phase} is also in {there.phase}"
    if found:
        verdict = (
            f"{count_of(int(leaked.sum()), 'picture')} of {len(index):,} of {here.phase} are also in {there.phase}"
        )
        verdict += f": accuracy {shares[0].value:.2%} with them, {shares[1].value:.2%} without"
    sample = inquiry.subject.dataset.sample if inquiry.subject else None
    table: tuple[Facts, ...] = tuple(
        {"index": one, "path": (sample(one).path or "") if sample else "", "other": other, "distance": round(apart, 4)}
        for one, other, apart in found
    )
    notes = () if is_read else ("pictures were not compared, only what the network makes of them",)
    return Answer("leaks", verdict, bool(found), table, tuple(dict.fromkeys(one[0] for one in found[:EXAMPLES])), notes)


def projection(features: Array) -> tuple[Array, Array]:
    """What makes fewer numbers of features, distances staying as they are nearly, and the mean that is taken off.

    Source: Johnson & Lindenstrauss, 1984.
    """
    width, middle = features.shape[1], features.mean(axis=0, dtype=np.float64)
    if width <= NUMBERS:
        return np.eye(width), middle
    return np.random.default_rng(0).normal(size=(width, NUMBERS)) / NUMBERS**0.5, middle


def unit(features: Array, compact: Array, middle: Array) -> Array:
    """Features around their mean, of length 1."""
    numbers = (features - middle) @ compact
    return np.asarray(numbers / np.maximum(np.linalg.norm(numbers, axis=1, keepdims=True), 1e-9), np.float32)


def nearest_across(own: Array, other: str, compact: Array, middle: Array) -> tuple[Array, Array]:
    """The cosines and indices of the pictures of an audit that are nearest to each, read shard by shard."""
    best, partners = np.full((len(own), NEAREST), -1.0, np.float32), np.full((len(own), NEAREST), -1)
    for rows in read_rows(other, ["features"]):
        theirs = unit(rows["features"], compact, middle)
        for start in range(0, len(own), BLOCK):
            part = slice(start, start + BLOCK)
            cosines = np.concatenate([best[part], own[part] @ theirs.T], axis=1)
            indices = np.concatenate(
                [partners[part], np.broadcast_to(rows["index"], (len(best[part]), len(theirs)))], 1
            )
            order = np.argsort(-cosines, axis=1, kind="stable")[:, :NEAREST]
            best[part], partners[part] = (np.take_along_axis(one, order, axis=1) for one in (cosines, indices))
    return best, partners


def confirm(inquiry: Inquiry, others: Dataset, pairs: list[tuple[int, int, float]]) -> Iterator[tuple[int, int, float]]:
    """The pairs whose pictures are the same."""
    own, copies = inquiry.asked.dataset, dict[tuple[bool, int], tuple[Array, bool] | None]()
    for done, (one, other, apart) in enumerate(pairs, start=1):
        looks = []
        for is_other, index, dataset in ((False, one, own), (True, other, others)):
            if (is_other, index) not in copies:
                copies[is_other, index] = look_at(dataset, index)
            looks.append(copies[is_other, index])
        both = [one for one in looks if one is not None]
        if len(both) == 2 and any(find_pairs([copy for copy, _ in both], [tiny for _, tiny in both])):
            yield one, other, apart
        if inquiry.progress:
            inquiry.progress("pairs", done, len(pairs))


def look_at(dataset: Dataset, index: int) -> tuple[Array, bool] | None:
    """A small grey copy of a picture, and whether it is tiny; None where it cannot be read."""
    try:
        image = dataset.to_image(dataset.load(index))
    except BAD_SAMPLE:
        return None
    return small_copy(image.pixels), min(image.size) < TINY
