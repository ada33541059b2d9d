"""Questions about an audited dataset that a table does not answer: which labels are wrong, which class is a shortcut's, ...

    answers(Inquiry("out/audit", subject), ["labels", "shortcuts"])

An `Inquiry` goes in, every question gives an `Answer`: a verdict, a table, and the pictures that show it. A verdict of
trouble rests on more than chance: each question says what it measured, and was tried on data without any.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classlens.audit.manifest import Manifest, read_manifest
from classlens.audit.place import Place
from classlens.audit.rows import Array
from classlens.audit.subject import Subject
from classlens.cam.classifier import encode_batch, placement_of, preserved
from classlens.cam.forward import logits_of
from classlens.dataset.dataset import Dataset
from classlens.errors import NotFound, NotOffered
from classlens.image import Image
from classlens.printed import json_text
from classlens.results import Drawable

NAME = "answers.json"
Facts = Mapping[str, str | int | float]  # what a row of a table says, by the names of its columns
BATCH = 32  # pictures that go through the network at once
EXAMPLES = 24  # pictures that show an answer, at most


@dataclass(frozen=True)
class Answer:
    """What came of a question: the verdict in a sentence, and whether that is trouble.

    The rows of the `table` have the same columns, the worst first. `examples` are indices of pictures to look at.
    """

    name: str
    verdict: str
    is_trouble: bool
    table: tuple[Facts, ...] = ()
    examples: tuple[int, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def question(self) -> str:
        return QUESTIONS[self.name].words


@dataclass(frozen=True, eq=False)
class Answers(Drawable):
    """The answers from the audit in a folder, and the pictures that show them, as fed, by their indices."""

    folder: str
    given: tuple[Answer, ...]
    shown: Mapping[int, Image]

    def as_data(self) -> list[dict[str, Any]]:
        """Everything but the pictures; this is `answers.json`."""
        return [{"question": one.question, **asdict(one)} for one in self.given]


@dataclass(frozen=True, eq=False)
class Inquiry:
    """What questions are answered from: the folder of an audit, and what it was made of where the network is asked again.

    `training` is the split with the augmentations, `other` the folder of an audit of another split.
    """

    folder: str
    subject: Subject | None = None
    training: Dataset | None = None
    other: str | None = None
    progress: Callable[[str, int, int], object] = lambda what, done, total: None

    @property
    def manifest(self) -> Manifest:
        return read_manifest(Place(self.folder))

    @property
    def asked(self) -> Subject:
        """The subject, for questions that need it."""
        if self.subject is None:
            raise NotOffered(f"{self.folder}: this question is put to the network, which is not there")
        return self.subject


@dataclass(frozen=True)
class Question:
    """A question in words, the function that answers it, and what of an inquiry it cannot do without."""

    words: str
    address: str
    needs: tuple[str, ...]


QUESTIONS: Mapping[str, Question] = {
    "labels": Question("Which labels are wrong?", "label_errors.answer_labels", ("subject",)),
    "shortcuts": Question("Does a class hang on a shortcut?", "shortcuts.answer_shortcuts", ("subject",)),
    "leaks": Question("Which pictures are also in the other split?", "leaks.answer_leaks", ("other",)),
    "cuts": Question(
        "Do augmentations cut the evidence away?", "lost_evidence.answer_cuts", ("subject", "training")
    ),
}  # fmt: skip


def answers(inquiry: Inquiry, names: Sequence[str] = ()) -> Answers:
    """Answer questions by their names, all that can be answered without any, and write them to `answers.json`.

    Raises:
        NotFound: there is no such question.
        NotOffered: a question that was named lacks what it needs.
    """
    for name in names:
        if name not in QUESTIONS:
            raise NotFound("question", name, QUESTIONS)
    given = []
    for name in names or QUESTIONS:
        question = QUESTIONS[name]
        lacks = [need for need in question.needs if getattr(inquiry, need) is None]
        if lacks and names:
            hint = "--against names the audit of the other split" if "other" in lacks else ""
            raise NotOffered(f"{name}: there is no {' and no '.join(lacks)}", hint=hint)
        if not lacks:
            module, _, function = question.address.partition(".")
            answer: Answer = getattr(import_module(f"classlens.audit.{module}"), function)(inquiry)
            given.append(answer)
    wanted = sorted({index for one in given for index in one.examples})
    fed = inquiry.subject.read(wanted) if inquiry.subject else ()
    shown = {one.index: replace(one.image, encoded=None) for one in fed if one.image is not None}
    result = Answers(inquiry.folder, tuple(given), shown)
    Place(inquiry.folder).write(NAME, json_text(result.as_data(), indent=1).encode())
    return result


def read_batches(inquiry: Inquiry, indices: Sequence[int], what: str = "") -> Iterator[tuple[list[int], Tensor]]:
    """Pictures as the network reads them, on its device, with their places in `indices`, batch by batch.

    Those that cannot be read, or have another size than usual, are left out. Progress is said of `what`.
    """
    subject = inquiry.asked
    classifier = subject.classifier
    device, usual = placement_of(classifier.module)[0], classifier.size
    waiting: list[tuple[int, Any]] = []
    for place, fed in enumerate(subject.read(indices)):
        if fed.image is not None and fed.image.size == usual:
            waiting.append((place, fed.image))
        if waiting and (len(waiting) == BATCH or place == len(indices) - 1):
            yield [at for at, _ in waiting], encode_batch(classifier, [image for _, image in waiting]).to(device)
            waiting = []
        if what:
            inquiry.progress(what, place + 1, len(indices))


def read_encoded(inquiry: Inquiry, indices: Sequence[int]) -> tuple[Array, Array]:
    """A few pictures in memory, encoded, with their indices; those that cannot be read are left out."""
    parts = [(places, batch.cpu().numpy()) for places, batch in read_batches(inquiry, indices)]
    known = np.array([indices[place] for places, _ in parts for place in places], np.int64)
    size = inquiry.asked.classifier.size
    return known, np.concatenate([batch for _, batch in parts]) if parts else np.empty((0, 3, *size), np.float32)


def predict(subject: Subject, pictures: Array) -> Array:
    """The number of the class that the network predicts for each encoded picture."""
    module, found = subject.classifier.module, []
    with preserved(module), torch.no_grad():
        for start in range(0, len(pictures), BATCH):
            batch = torch.from_numpy(pictures[start : start + BATCH]).to(placement_of(module)[0])
            found.append(logits_of(subject.classifier, batch).argmax(dim=1).cpu().numpy())
    return np.concatenate(found) if found else np.empty(0, np.int64)
