"""Which samples of a dataset have a class or a name: a million of them are searched without an object for each.

Labels and names are put into columns once, in the background. A search goes through one long text.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from classlens.dataset.dataset import Dataset, Label

Rows: TypeAlias = "np.ndarray[tuple[int], np.dtype[np.int32]]"

SEARCHED = 1 << 20  # bytes of the text that are compared at once
AT_ONCE = 2000  # samples between two moments in which other threads have their turn


@dataclass(frozen=True, eq=False)
class RowIndex:
    """The samples of a dataset in columns.

    `labels` are places in `names`, the classes; those of one sample follow each other, and `owners` are the samples that
    they belong to. `text` holds the name of each sample's file, in small letters, between line feeds, and `ends` the
    places of these.
    """

    names: tuple[str, ...]
    labels: Rows
    owners: Rows
    text: bytes = field(repr=False)
    ends: Rows = field(repr=False)

    @property
    def counts(self) -> list[int]:
        """How many samples there are of each class."""
        counts: list[int] = np.bincount(self.labels, minlength=len(self.names)).tolist()
        return counts

    def of_class(self, place: int) -> Rows:
        return np.asarray(self.owners[self.labels == place])

    def filter(self, words: str, place: int) -> Rows:
        """The samples of a class (-1: of any) that a search finds; every one without words."""
        if not words:
            return self.of_class(place)
        rows = self.search(words)
        return rows if place < 0 else np.intersect1d(rows, self.of_class(place))

    def search(self, words: str) -> Rows:
        """The samples whose file, or one of whose classes, has these letters in its name."""
        wanted = words.casefold()
        chosen = np.zeros(len(self.ends), bool)
        starts = find_all(np.frombuffer(self.text, np.uint8), wanted.encode("utf-8", "surrogatepass"))
        chosen[np.searchsorted(self.ends, starts)] = True
        of_class = np.array([wanted in name.casefold() for name in self.names], bool)
        if of_class.any():
            chosen[self.owners[of_class[self.labels]]] = True
        return np.flatnonzero(chosen).astype(np.int32)


def find_all(text: np.ndarray[tuple[int], np.dtype[np.uint8]], letters: bytes) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Where the letters are in a text, however often; an object for each place would cost ten times as much."""
    places = [np.zeros(0, np.int64)]
    for start in range(0, len(text), SEARCHED):
        part = text[start : start + SEARCHED + len(letters) - 1]
        fits = part[: len(part) - len(letters) + 1] == letters[0]
        for offset, letter in enumerate(letters[1:], start=1):
            fits &= part[offset : offset + len(fits)] == letter
        places.append(np.flatnonzero(fits) + start)
    return np.concatenate(places)


def index_rows(dataset: Dataset, go_on: Callable[[], bool]) -> RowIndex:
    """Look at the label and the file of every sample, as long as that is wanted."""
    known: dict[Label, int] = {number: number for number in range(len(dataset.classes or ()))}
    labels, owners, text = array("i"), array("i"), bytearray()
    for start in range(0, dataset.length, AT_ONCE):
        files = []
        for index in range(start, min(start + AT_ONCE, dataset.length)):
            sample = dataset.sample(index)
            for label in sample.labels:
                labels.append(known.setdefault(label, len(known)))
                owners.append(index)
            files.append(os.path.basename(sample.path or "").replace("\n", " ").casefold())  # noqa: PTH119
        text += "\n".join([*files, ""]).encode("utf-8", "surrogatepass")
        if not go_on():
            break
    ends = np.flatnonzero(np.frombuffer(text, np.uint8) == ord("\n"))
    order = sorted(known, key=lambda label: (isinstance(label, str), label))  # labels without names come as they come
    place_of = np.argsort([known[label] for label in order]).astype(np.min_scalar_type(len(order)))
    names = tuple(map(dataset.class_name, order))
    return RowIndex(
        names, place_of[np.asarray(labels, np.int32)], np.asarray(owners, np.int32), bytes(text), ends.astype(np.int32)
    )
