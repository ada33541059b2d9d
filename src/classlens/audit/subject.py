"""What is audited: the pictures of a split, a network, and labels as the network numbers classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from itertools import chain

import numpy as np
import torch

from classlens.audit.fed import Read, feed
from classlens.cam.classifier import Classifier, encode_batch, place, preserved
from classlens.cam.forward import OUTPUTS, Output, logits_of, noise
from classlens.dataset.conventions import numbers_by_name
from classlens.dataset.dataset import Dataset
from classlens.errors import DataError, join_first
from classlens.image import Image

TRIED = 8  # pictures until one can be read
LOOKED_AT = 16  # pictures that are no files, to know the list again


@dataclass(frozen=True, eq=False)
class Subject:
    """A split and a network. `read` gives pictures as fed; `labels` has the network's number for each of the dataset's.

    `notes` are what the user should know about how labels and classes were matched.
    """

    dataset: Dataset
    classifier: Classifier
    read: Read
    labels: Mapping[int, int] | None = None
    notes: tuple[str, ...] = ()
    seed: int = 0

    @property
    def output(self) -> Output:
        """What the network's scores are, see `cam.forward`."""
        return OUTPUTS[self.classifier]

    def as_ours(self, label: int | None) -> int | None:
        """The network's number for a class of the dataset; None for no class, and for one that the network lacks."""
        return label if self.labels is None or label is None else self.labels.get(label)


def open_subject(
    dataset: Dataset, classifier: Classifier, *, device: str = "cpu", read: Read | None = None, seed: int = 0
) -> Subject:
    """A subject from its parts; the network goes to the device, and is asked once what its scores are.

    That question is always the same noise: how logits are read must not depend on which picture comes first. The usual
    size of pictures is that of the first one that can be read.
    """
    if not dataset.length:
        raise DataError(f"the dataset {dataset.name} has no samples")
    place(classifier.module, device)
    read = read or partial(map, partial(feed, dataset, classifier.prepare, seed))  # in this process, one by one
    first = next((one.image for one in read(range(min(TRIED, dataset.length))) if one.image), None)
    classifier = replace(classifier, size=first.size) if first else classifier
    with preserved(classifier.module), torch.no_grad():
        logits_of(classifier, noise(classifier))
    labels, notes = match_labels(dataset, OUTPUTS[classifier])
    return Subject(dataset, classifier, read, labels, (*classifier.notes, *notes), seed)


def match_labels(dataset: Dataset, output: Output) -> tuple[dict[int, int] | None, tuple[str, ...]]:
    """The network's number for each of the dataset's classes, None where they are the same; and what is to be said."""
    ours = dataset.classes
    if ours is None or list(ours) == list(output.names):
        return None, ()
    known = numbers_by_name(output.names)
    named = {number: known[key] for number, name in enumerate(ours) for key in numbers_by_name([name]) if key in known}
    if len(ours) == output.count and all(number == there for number, there in named.items()):
        return None, ()  # the same classes, some spelled otherwise
    missing = [name for number, name in enumerate(ours) if number not in named]
    if not missing:
        return named, ()
    what = f"{len(missing)} of {len(ours)} classes of the pictures are none of the network's: {join_first(missing)}"
    return named, (f"{what}; their pictures count as unlabelled",)


def digest_weights(classifier: Classifier) -> str:
    """SHA-256 of everything the network has learnt, by name: the same weights from another file are the same."""
    digest = sha256()
    parts = chain(classifier.module.named_parameters(), classifier.module.named_buffers())
    for name, tensor in sorted(parts, key=lambda pair: pair[0]):
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def digest_list(subject: Subject, indices: Sequence[int]) -> str:
    """SHA-256 of the paths and labels of pictures; of some of them where they are no files.

    Those may have to be loaded before their labels are known.
    """
    digest = sha256(f"{len(indices)}\n".encode())
    is_listed = subject.dataset.sample(indices[0]).path is not None
    for index in indices if is_listed else indices[:: max(1, len(indices) // LOOKED_AT)]:
        path = subject.dataset.sample(index).path
        digest.update(f"{path!r} {subject.as_ours(subject.dataset.label(index))}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def digest_feed(classifier: Classifier) -> str:
    """SHA-256 of what the network is fed of a test picture: it tells whether a test pipeline is as it was."""
    side = np.arange(320, dtype=np.uint16)
    waves = [side[:, None] * 3 + side * factor for factor in (1, 5, 11)]
    picture = classifier.prepare(Image(np.stack([(one % 256).astype(np.uint8) for one in waves], axis=-1)))
    return sha256(encode_batch(classifier, [picture]).numpy().tobytes()).hexdigest()
