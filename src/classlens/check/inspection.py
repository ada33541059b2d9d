"""What rules look at: the parts of one source, each opened once, when the first rule asks for it.

A part that cannot be opened raises the same error for every rule that needs it, and is not tried again.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from classlens.dataset.conventions import SPLITS
from classlens.dataset.dataset import Dataset
from classlens.dataset.selection import spread
from classlens.errors import ClasslensError, DataError, NotOffered
from classlens.image import Image
from classlens.schedule.replay import Curves, replay
from classlens.source import Source

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier
    from classlens.check.rule import Need

Thing = TypeVar("Thing")
Array = np.ndarray[Any, np.dtype[Any]]

UNREADABLE = (ClasslensError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What loading a bad sample raises."""

PICTURES = 300
"""How many labelled pictures a network is shown."""

BATCH = 16


@dataclass(frozen=True, eq=False)
class Predictions:
    """What the network says about labelled pictures of one split: their numbers and labels, and a row of logits each.

    A label is the number of a class; pictures without a single one, or unreadable, are not among them.
    """

    split: str
    indices: Array
    labels: Array
    logits: Array

    @property
    def answers(self) -> Array:
        """The class that the network prefers for each picture."""
        return np.asarray(self.logits.argmax(axis=1))

    @property
    def accuracy(self) -> float:
        """The share of pictures whose label is the answer."""
        return float((self.answers == self.labels).mean())


@dataclass(frozen=True, eq=False)
class Inspection:
    """A source under inspection, and what the user said beside it.

    `samples` bounds the labelled pictures that the network is shown. `log` is what a training run wrote. `target` is how
    the user calls the source. `dataset_size` and `gpus` are those of training; without the former the dataset is
    counted. Whatever is opened or computed is kept in `kept`.
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
        if need in ("schedule", "dataset", "classifier") and need not in self.source.parts:
            raise NotOffered(f"there is no {need}")
        if need == "loader" and self.source.open_loading is None:
            raise NotOffered("there is no loader of training samples")
        if need == "loader" and find_spec("torch") is None:
            raise NotOffered("torch is not installed, which runs loaders")
        if need == "labels" and not self.labelled:
            raise NotOffered("its pictures have no class labels, or several each")
        if need in ("checkpoint", "log") and getattr(self, need) is None:
            raise NotOffered("no checkpoint is given" if need == "checkpoint" else "no --log is given")

    def command(self, verb: str, *words: str) -> str:
        """A command about this source, with what the user said beside it."""
        target = [self.target or self.source.origin]
        said: dict[str, object] = {}
        if verb in ("check", "lr"):
            said = {"--dataset-size": self.dataset_size, "--ngpus": self.gpus if self.gpus > 1 else None}
        if verb == "check":
            target += [self.checkpoint] if self.checkpoint else []
            said |= {"--samples": self.samples if self.samples != PICTURES else None, "--log": self.log}
        options = [word for name, value in said.items() if value is not None for word in (name, str(value))]
        return shlex.join(["classlens", verb, *target, *words, *options])

    @property
    def splits(self) -> Mapping[str, Dataset]:
        """The splits that can be opened and have samples, without those that are others under a second name."""
        return self.once("splits", self.open_splits)

    def open_splits(self) -> dict[str, Dataset]:
        """Every split that is there; if there is none, the error of the one for training."""
        splits: dict[str, Dataset] = {}
        for name in SPLITS:
            with suppress(ClasslensError):
                dataset = self.source.dataset(name)
                if dataset.length and not any(dataset.has_files_of(other) for other in splits.values()):
                    splits[name] = dataset
        if not splits and not self.source.dataset("train").length:
            raise DataError("the dataset has no samples")
        return splits

    @property
    def held_out(self) -> tuple[str, Dataset]:
        """The split on which a network is judged: val, else test, else train."""
        return next((name, self.splits[name]) for name in ("val", "test", "train") if name in self.splits)

    @property
    def labelled(self) -> Sequence[tuple[int, int]]:
        """Up to `samples` pictures of that split, spread over its classes: the number of each, and its label."""

        def choose() -> list[tuple[int, int]]:
            _, dataset = self.held_out
            chosen = [(index, dataset.label(index)) for index in spread(dataset, self.samples, seed=0)]
            return [(index, label) for index, label in chosen if label is not None]

        return self.once("labelled", choose)

    @property
    def curves(self) -> Curves:
        """All that the schedule sets, over the whole run."""

        def lay_out() -> Curves:
            return replay(self.source.schedule(), self.source.clock(dataset_size=self.dataset_size, gpus=self.gpus))

        return self.once("curves", lay_out)

    @property
    def classifier(self) -> Classifier:
        """The network with the weights of the checkpoint, or with the source's own."""
        return self.once("classifier", lambda: self.source.classifier(self.checkpoint))

    @property
    def predictions(self) -> Predictions:
        """What the network says about the `labelled` pictures, fed as the source says."""
        return self.once("predictions", self.predict)

    def predict(self) -> Predictions:
        """Read every labelled picture once, and run the network in batches."""
        import torch

        from classlens.cam.classifier import encode_batch, preserved  # which imports torch
        from classlens.cam.forward import logits_of

        classifier, (split, dataset) = self.classifier, self.held_out
        indices: list[int] = []
        labels: list[int] = []
        rows: list[Array] = []

        def run(batch: list[Image]) -> None:
            with preserved(classifier.module), torch.no_grad():
                rows.extend(logits_of(classifier, encode_batch(classifier, batch)).numpy())

        waiting: list[Image] = []
        for done, (index, label) in enumerate(self.labelled):
            if self.progress:
                self.progress("pictures", done, len(self.labelled))
            try:
                picture = classifier.prepare(dataset.to_image(dataset.load(index)))
            except UNREADABLE:
                continue
            if waiting and (len(waiting) == BATCH or waiting[0].size != picture.size):
                run(waiting)
                waiting = []
            waiting.append(picture)
            indices.append(index)
            labels.append(label)
        if not waiting:
            raise DataError(f"none of {len(self.labelled)} pictures of {dataset.name} can be read")
        run(waiting)
        return Predictions(split, np.array(indices), np.array(labels), np.stack(rows))
