"""What rules look at: the parts of one source, each opened once, and its error raised again for all that ask for it."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from classlens.check.finding import Finding
from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Dataset
from classlens.dataset.selection import spread
from classlens.errors import ClasslensError, DataError, NotOffered, placed_errors
from classlens.image import Image
from classlens.schedule.replay import Curves, replay
from classlens.source import Source

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier, Layer
    from classlens.check.rule import Need

Thing = TypeVar("Thing")
Array = np.ndarray[Any, np.dtype[Any]]

UNREADABLE = (ClasslensError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)  # by a bad sample
PICTURES, BATCH = 300, 16  # labelled pictures that a network is shown, and how many at once


def made_once(make: Callable[[Inspection], Thing]) -> Callable[[Inspection], Thing]:
    """The same function, run once for each inspection, when it is first asked."""
    return lambda inspection: inspection.once(make.__name__, partial(make, inspection))


@dataclass(frozen=True, eq=False)
class Served:
    """A picture as read, as it was prepared for the network, and the numbers that the network gets."""

    read: Image
    prepared: Image
    numbers: Array
    path: str | None = None
    index: int = 0


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the network says about readable pictures with one label: their numbers, labels, and a row of logits each."""

    indices: Array
    labels: Array
    logits: Array

    @property
    def answers(self) -> Array:
        """The class that the network prefers for each picture."""
        return np.asarray(self.logits.argmax(axis=1))


@dataclass(frozen=True, eq=False)
class Inspection:
    """A source under inspection, and what the user said beside it.

    `samples` bounds the labelled pictures that the network is shown. `log` is what a training run wrote. `target` is how
    the user calls the source. `dataset_size`, counted if it is None, and `gpus` are those of training.
    """

    source: Source
    checkpoint: str | None = None
    samples: int = PICTURES
    log: Path | None = None
    target: str = ""
    dataset_size: int | None = None
    gpus: int = 1
    progress: Callable[[str, int, int], object] | None = None
    kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def once(self, name: str, make: Callable[[], Thing]) -> Thing:
        """What `make` returns, made when first asked for under this name; an error is kept, too, and raised again."""
        if name not in self.kept:
            try:
                self.kept[name] = make()
            except ClasslensError as error:
                self.kept[name] = error
        value: Thing = self.kept[name]
        if isinstance(value, ClasslensError):
            raise value
        return value

    def require(self, need: Need) -> None:
        """Raise NotOffered if there is no such part; it is not opened for that."""
        lacks = {
            "loader": "there is no loader of training samples" if self.source.open_loading is None else "",
            "checkpoint": "" if self.checkpoint else "no checkpoint is given",
            "log": "" if self.log else "no --log is given",
        }.get(need, "" if need == "labels" or need in self.source.parts else f"there is no {need}")
        if need == "labels" and not self.labelled:
            lacks = "its pictures have no class labels, or several each"
        if need == "loader" and not lacks and find_spec("torch") is None:
            lacks = "torch is not installed, which runs loaders"
        if lacks:
            raise NotOffered(lacks)

    def command(self, verb: str, *words: str) -> str:
        """A command about this source, with what the user said beside it."""
        target = [self.target or self.source.origin]
        said: dict[str, object] = {}
        if verb in ("check", "lr", "report"):
            said = {"--dataset-size": self.dataset_size, "--ngpus": self.gpus if self.gpus > 1 else None}
        if verb in ("check", "report"):
            target += [self.checkpoint] if self.checkpoint else []
            said |= {"--samples": self.samples if self.samples != PICTURES else None, "--log": self.log}
        options = [word for name, value in said.items() if value is not None for word in (name, str(value))]
        return shlex.join(["classlens", verb, *target, *words, *options])

    def split(self, name: str) -> Dataset:
        return self.once(f"split {name}", partial(self.source.dataset, name))

    def faults(self, *openers: Callable[[], object]) -> Iterator[Finding]:
        """The lines of the user's file from which these parts cannot be made."""
        for one in placed_errors(openers):
            yield Finding(str(one).removeprefix(f"{one.place}: "), one.place, cure=one.hint)

    @property
    @made_once
    def splits(self) -> Mapping[str, Dataset]:
        """The splits that can be opened and have samples, without those that are others under a second name."""
        splits: dict[str, Dataset] = {}
        for name in SPLITS:
            with suppress(ClasslensError):
                dataset = self.split(name)
                if dataset.length and not any(dataset.has_files_of(other) for other in splits.values()):
                    splits[name] = dataset
        if not splits and not self.split("train").length:
            raise DataError("the dataset has no samples")
        return splits

    @property
    def held_out(self) -> tuple[str, Dataset]:
        """The split on which a network is judged: val, else test, else train."""
        return next((name, self.splits[name]) for name in ("val", "test", "train") if name in self.splits)

    def place(self, split: str | None = None) -> str:
        """What a finding is about: the source, and a split of it, by default the one on which the network is judged."""
        return f"{self.source.origin}, {split or self.held_out[0]}"

    @property
    @made_once
    def labelled(self) -> Mapping[int, int]:
        """Up to `samples` pictures of that split, spread over its classes: the number of each, and its label."""
        dataset = self.held_out[1]
        labels = {index: dataset.label(index) for index in spread(dataset, self.samples, seed=0)}
        return {index: label for index, label in labels.items() if label is not None}

    @property
    @made_once
    def curves(self) -> Curves:
        """All that the schedule sets, over the whole run."""
        return replay(self.source.schedule(), self.source.clock(dataset_size=self.dataset_size, gpus=self.gpus))

    @property
    @made_once
    def classifier(self) -> Classifier:
        """The network with the weights of the checkpoint, or with the source's own."""
        return self.source.classifier(self.checkpoint)

    def serve(self, indices: Iterable[int]) -> Iterator[Served]:
        """Pictures of the split on which the network is judged, fed as the source says, without unreadable ones."""
        classifier, (_, dataset) = self.classifier, self.held_out
        for index in indices:
            try:
                read = dataset.to_image(dataset.load(index))
                prepared = classifier.prepare(read)
            except UNREADABLE:
                continue
            numbers = classifier.encoding.encode(prepared) if prepared.encoded is None else prepared.encoded
            yield Served(read, prepared, numbers, dataset.sample(index).path, index)

    @property
    @made_once
    def predictions(self) -> Predictions:
        """What the network says about the `labelled` pictures, each read once, fed as the source says."""
        chosen, indices, rows = list(self.labelled), list[int](), list[Array]()
        for start in range(0, len(chosen), BATCH):
            if self.progress:
                self.progress("pictures", start, len(chosen))
            if served := list(self.serve(chosen[start : start + BATCH])):
                indices += [one.index for one in served]
                rows.append(run(self.classifier, [one.numbers for one in served]))
        if not rows:
            raise DataError(f"none of {len(chosen)} pictures of {self.held_out[1].name} can be read")
        return Predictions(np.array(indices), np.array([self.labelled[one] for one in indices]), np.concatenate(rows))


def run(classifier: Classifier, numbers: Sequence[Array]) -> Array:
    """A row of logits for each picture, whatever their sizes."""
    import torch

    from classlens.cam.classifier import preserved  # which imports torch, too
    from classlens.cam.forward import logits_of

    rows: dict[int, Array] = {}
    with preserved(classifier.module), torch.no_grad():
        for shape in dict.fromkeys(one.shape for one in numbers):
            alike = [place for place, one in enumerate(numbers) if one.shape == shape]
            for start in range(0, len(alike), BATCH):
                chosen = alike[start : start + BATCH]
                batch = torch.from_numpy(np.stack([numbers[place] for place in chosen]).astype(np.float32))
                rows |= dict(zip(chosen, logits_of(classifier, batch).cpu().numpy(), strict=True))
    return np.stack([rows[place] for place in range(len(numbers))])


def layers_with(classifier: Classifier, what: str) -> list[Layer]:
    """Every layer that has a tensor of that name of its own."""
    from classlens.cam.classifier import layers_of

    return [one for one in layers_of(classifier) if hasattr(getattr(one.module, what, None), "isfinite")]


def spaced(length: int, most: int) -> list[int]:
    """At most so many numbers below `length`, evenly spaced."""
    return [round(place) for place in np.linspace(0, max(length - 1, 0), min(most, length)).tolist()]
