"""In which order a network knows the classes, judged by its answers: named causes first, then the likeliest one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classlens.intervals import tail

Array = np.ndarray[Any, np.dtype[Any]]

RARE = 1e-3  # how likely chance alone may be to favour an order, all that were tried taken together
CLEAR = 0.2  # by how much the recall of the classes that an order moves must grow
HALF = 0.5  # the recall that classes must come to, moved or not, where an order moves few of them
MOST = 0.7  # the share of these classes that must gain
PLAIN = 0.9  # a named cause is taken if it explains this share of what the likeliest assignment does
NAMELESS = "the classes are in another order that has no name, as os.listdir or a set gives them"
NEVER = "the data have a class that the network never saw:"
NOBODY = -1  # stands for an answer that the network cannot give


@dataclass(frozen=True, eq=False)
class Order:
    """The answer that would be right for each label, why that may be, and how many orders were tried to come to it."""

    cause: str
    answers: Array
    tried: int = 1


@dataclass(frozen=True, eq=False)
class Verdict:
    """An order that fits far better than the labels, the share that is right under it, and the numbers that say so."""

    order: Order
    share: float
    numbers: Mapping[str, float]  # "p" is the chance by McNemar's exact one-sided test, times the orders tried


def judge_order(labels: Array, answers: Array, heads: int, names: Sequence[str] | None) -> Verdict | None:
    """The best order of classes, if it beats the one of the labels by far more than chance; None if that is right."""
    classes = max(int(labels.max()) + 1, len(names or ()))

    def confusion(among: Array | slice) -> Array:
        pairs = labels[among] * heads + answers[among]
        return np.bincount(pairs, minlength=classes * heads).reshape(classes, heads)

    orders = list(named_orders(confusion(slice(None)), names))
    tried = sum(order.tried for order in orders) + 1
    verdicts = [verdict for order in orders if (verdict := weigh(order, labels, answers, tried))]
    turns = np.empty(len(labels), np.int64)  # the first, second, third picture of each class go to different halves
    by_class = np.argsort(labels, kind="stable")
    turns[by_class] = np.arange(len(labels)) - np.searchsorted(labels[by_class], labels[by_class])
    half = turns % 2 == 0
    free = weigh(Order(NAMELESS, likeliest_assignment(confusion(half))), labels[~half], answers[~half], tried)
    best = max(verdicts, key=lambda verdict: verdict.share, default=None)
    return best if best is not None and (free is None or best.share >= PLAIN * free.share) else free


def weigh(order: Order, labels: Array, answers: Array, tried: int) -> Verdict | None:
    """What an order does for the pictures; None unless it is clearly better than the labels as they are."""
    right, before = answers == order.answers[labels], answers == labels
    better, worse = int((right & ~before).sum()), int((before & ~right).sum())
    chance = min(1.0, tried * tail(better, better + worse))
    here = np.unique(labels)
    among = [labels == label for label in here if order.answers[label] != label]
    if chance > RARE or not among:
        return None
    # A network that gives one answer to everything is right about one class under any order: each counts alike.
    recalls, old = (np.array([hits[one].mean() for one in among]) for hits in (right, before))
    stay = [right[labels == label].mean() for label in here if order.answers[label] == label]
    if len(stay) > len(among) and min(recalls.mean(), np.mean(stay)) < HALF:  # only who knows most can mix up a few
        return None
    telling = (recalls != old) | (np.array([one.sum() for one in among]) > 4)
    gaining = int((recalls > old)[telling].sum())
    if recalls.mean() < old.mean() + CLEAR or gaining < max(2, MOST * telling.sum()):
        return None
    shares = {"right as labelled": float(before.mean()), "right in that order": float(right.mean())}
    counts = {"right only in that order": better, "right only as labelled": worse, "p": chance}
    return Verdict(order, float(right.mean()), {"pictures": len(labels), **shares, **counts})


def natural(name: str) -> list[tuple[bool, int, str]]:
    """Numbers in a name count as numbers: class2 before class10."""
    return [(part.isdigit(), int(part) if part.isdigit() else 0, part) for part in re.split(r"(\d+)", name.casefold())]


def bare(name: str) -> str:
    """A name without accents or case, as most languages sort it."""
    return "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one)).casefold()


SORTINGS: Mapping[str, Callable[[str], Any]] = {
    "letter by letter (class10 before class2)": lambda name: name,
    "whatever their case": str.casefold,
    "with composed letters (Unicode NFC)": lambda name: unicodedata.normalize("NFC", name),
    "with decomposed letters (Unicode NFD)": lambda name: unicodedata.normalize("NFD", name),
    "naturally (class2 before class10)": natural,
    "as a dictionary does, without accents": bare,
}
"""How lists of classes are sorted by those who list folders: torchvision and OpenMMLab, timm, file managers, macOS."""


def named_orders(confusion: Array, names: Sequence[str] | None) -> Iterator[Order]:
    """The orders that have a cause with a name."""
    classes, heads = confusion.shape
    places = np.arange(classes)
    known: set[bytes] = {places.tobytes()}
    for how, key in SORTINGS.items() if names and len(set(names)) == classes else ():
        for words, reverse in ((how, False), (f"{how}, backwards", True)):
            ranks = np.empty(classes, np.int64)
            ranks[sorted(range(classes), key=lambda place: key(names[place]), reverse=reverse)] = places  # type: ignore[index]
            if ranks.tobytes() not in known:
                known.add(ranks.tobytes())
                cause = f"the network was trained with the classes sorted {words}, the data list them otherwise"
                yield Order(cause, ranks)
    for offset, (cause, turned) in OFFSETS.items():
        moved = places + offset
        yield Order(cause, np.where((moved >= 0) & (moved < heads), moved, NOBODY))
        if classes == heads:
            yield Order(f"the classes are counted from 1, and the {turned}", moved % heads)
    if classes == heads:
        yield Order("the classes are in the opposite order", places[::-1].copy())
    yield from missing_class(confusion, names)
    yield exchanged_pair(confusion, names)


OFFSETS = {
    1: ("the network has a class in front that the data lack, most often `background`: its answers are one higher", "last of the data is the network's first"),
    -1: ("the labels count from 1, or have a class in front that the network lacks: its answers are one lower", "first of the data is the network's last"),
}  # fmt: skip


def missing_class(confusion: Array, names: Sequence[str] | None) -> Iterator[Order]:
    """Labels that are shifted from one class on: a folder is missing among the data, or was when the network learnt."""
    classes, heads = confusion.shape
    places = np.arange(classes)
    wide = np.pad(confusion, ((0, 0), (1, classes + 1)))  # nobody gives an answer beside those of the head
    same = np.append(0, np.cumsum(wide[places, places + 1]))  # right answers to the labels below each
    for shift, cause in ((1, "the data lack a class that the network knows: in front of"), (-1, NEVER)):
        later = wide[places, places + 1 + shift]
        right = same[:-1] + np.cumsum(later[::-1])[::-1] - (later if shift < 0 else 0)
        first = int(np.argmax(right[1:])) + 1 if classes > 1 else 0  # shifted from the first on is an offset
        moved = places + shift * (places >= first)
        moved[moved >= heads] = NOBODY
        if shift < 0:
            moved[first] = NOBODY
        name = f", {names[first]!r}" if names else ""
        yield Order(f"{cause} class {first}{name}; all labels from there on are shifted by one", moved, tried=classes)


def exchanged_pair(confusion: Array, names: Sequence[str] | None) -> Order:
    """The two classes that gain most from being exchanged."""
    size = min(confusion.shape)
    square = confusion[:size, :size].astype(np.int64)
    own = np.diag(square)
    gain = square + square.T - own[:, None] - own[None, :]
    gain[np.tril_indices(size)] = np.iinfo(np.int64).min
    one, other = divmod(int(gain.argmax()), size)
    answers = np.arange(len(confusion))
    answers[[one, other]] = other, one
    pair = f"{names[one]!r} and {names[other]!r}" if names else f"{one} and {other}"
    cause = f"the classes {pair} are exchanged, as by two lines or folders that were mixed up"
    return Order(cause, answers, tried=max(1, size * (size - 1) // 2))


def likeliest_assignment(confusion: Array) -> Array:
    """One answer for each label, none twice: the most frequent pair of label and answer first, then the next."""
    # The best assignment wherever a label has one answer in most of its pictures, and at once there for 1,000 of them.
    answers = np.full(len(confusion), NOBODY)
    labels, given = np.nonzero(confusion)
    for place in np.argsort(-confusion[labels, given], kind="stable").tolist():
        if answers[labels[place]] == NOBODY and given[place] not in answers:
            answers[labels[place]] = given[place]
    return answers
