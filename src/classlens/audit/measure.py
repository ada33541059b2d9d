"""One batch of pictures through the network: what becomes a row of each.

A row must not depend on who else is in its batch, on how many processes there are, or on whether another picture was bad:
so every picture has a fixed slot in a batch of a fixed size, empty slots hold zeros, and each process computes on one
thread of the CPU. Then the same picture goes through the same instructions, and its row is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from math import log
from typing import Any

import numpy as np
import torch
from torch import Tensor

from classlens.audit.fed import Fed
from classlens.audit.manifest import MapColumn
from classlens.audit.rows import TOP, Array, shares_of
from classlens.audit.subject import Subject
from classlens.cam.classifier import Layer, encode_batch, placement_of, preserved
from classlens.cam.evidence import Captured, observe, quickest_order
from classlens.cam.explain import ExplainJob, ExplainOptions, collect_evidence, make_map
from classlens.cam.forward import Objective, hook_layers, logits_of, noise, probabilities
from classlens.cam.layers import find_head, find_layers
from classlens.cam.methods import Method, find_method
from classlens.errors import ModelError

Row = dict[str, Any]

BORDER, CENTRE = 1 / 8, 1 / 4
"""How far the border reaches into a picture, as a share of its side; and how far from the sides the centre begins."""


@dataclass(frozen=True, eq=False)
class Questions:
    """What the network is asked about every picture: maps by methods at layers, and its answer to the mirrored picture.

    `head` is the layer whose input are the features. `order` is that of numbers in memory with which it is quickest.
    """

    subject: Subject
    methods: tuple[Method, ...]
    layers: tuple[Layer, ...]
    head: Layer
    batch_size: int
    flips: bool
    order: torch.memory_format

    @property
    def maps(self) -> list[tuple[Method, Layer]]:
        """The maps of a row: method by method, each at every layer, and only once where it lies at the input."""
        return [(one, layer) for one in self.methods for layer in self.layers[: 1 if one.at == "input" else None]]


def ask_questions(
    subject: Subject, methods: Sequence[str], layers: Sequence[str] | None, batch_size: int, *, flips: bool
) -> Questions:
    """The questions by the names of methods and layers.

    Raises:
        NotFound: there is no such method or layer.
        ModelError: a layer cannot be read as a map.
    """
    classifier = subject.classifier
    chosen = tuple({one.name: one for one in map(find_method, methods)}.values())
    where = find_layers(classifier, layers) if chosen else ()
    with preserved(classifier.module):
        order = quickest_order(classifier, noise(classifier))
    return Questions(subject, chosen, where, find_head(classifier), batch_size, flips, order)


def map_columns(questions: Questions) -> tuple[tuple[MapColumn, ...], int]:
    """The maps that rows will have, with their sizes for pictures of the usual size, and the number of features."""
    classifier = questions.subject.classifier
    _, _, features, maps = run_batch(questions, noise(classifier))
    pairs = zip(questions.maps, maps, strict=True)
    columns = tuple(
        MapColumn(method.name, "input" if method.at == "input" else layer.name, *one.shape[1:])
        for (method, layer), one in pairs
    )
    return columns, int(features.shape[1])


@contextmanager
def one_thread(device: torch.device) -> Iterator[None]:
    """Compute on one thread of the CPU: how sums are split over several would show in their last bits."""
    before = torch.get_num_threads()
    try:
        if device.type == "cpu":
            torch.set_num_threads(1)
        yield
    finally:
        torch.set_num_threads(before)


def measure(questions: Questions, fed: Sequence[Fed | None]) -> list[Row]:
    """A row for every picture of a batch, of which `None` stands for one that nobody asks about.

    Pictures of another size than usual go through the network alone. Where it cannot be asked about a batch, its
    pictures are asked about one by one, and the bad one is a row that says so.
    """
    size = questions.subject.classifier.size
    rows: dict[int, Row] = {one.index: facts_of(questions.subject, one) for one in fed if one}
    usual = [one if one and one.image and one.image.size == size else None for one in fed]
    slots = [*usual, *[None] * (questions.batch_size - len(usual))]
    try:
        ask_about(questions, slots, rows)
    except ModelError:
        for place, one in enumerate(slots):
            ask_alone(questions, [None] * place + [one] + [None] * (len(slots) - place - 1), rows)
    for one in fed:
        if one and one.image and one.image.size != size:
            ask_alone(questions, [one], rows)
    return list(rows.values())


def facts_of(subject: Subject, fed: Fed) -> Row:
    """What is known of a picture before the network is asked."""
    path = fed.path and fed.path.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    height, width = fed.size or (None, None)
    row: Row = {"index": fed.index, "path": path, "error": fed.error or None, "height": height, "width": width}
    return row | ({} if fed.error else {"label": subject.as_ours(fed.label)})


def ask_alone(questions: Questions, slots: Sequence[Fed | None], rows: Mapping[int, Row]) -> None:
    try:
        ask_about(questions, slots, rows)
    except ModelError as error:
        for one in slots:
            if one:
                rows[one.index] |= {"error": str(error), "label": None}


def ask_about(questions: Questions, slots: Sequence[Fed | None], rows: Mapping[int, Row]) -> None:
    """Fill the rows of the pictures in a batch."""
    subject = questions.subject
    asked = [(slot, one) for slot, one in enumerate(slots) if one]
    if not asked:
        return
    images = [one.image for _, one in asked if one.image]
    encoded = encode_batch(subject.classifier, images)
    batch = encoded[:1].repeat(len(slots), 1, 1, 1)  # an empty slot holds a copy: flat pictures give some networks NaN
    places = [slot for slot, _ in asked]
    batch[places] = encoded
    logits, mirrored, features, maps = run_batch(questions, batch)
    labels = [rows[one.index].get("label") for _, one in asked]
    answers = answers_of(questions, logits[places], labels)
    if mirrored is not None:
        of_mirrored = answers_of(questions, mirrored[places], labels)
        answers |= {f"flipped_{name}": of_mirrored[name] for name in ("predicted", "label_probability")}
    described = [describe_maps(one[places]) for one in maps]
    for at, (slot, one) in enumerate(asked):
        row = rows[one.index]
        row |= {name: values[at] for name, values in answers.items()}
        row |= {"logits": logits[slot].astype(np.float16), "features": features[slot]}
        for number, values in enumerate(described):
            row |= {f"map_{number}{name}": value[at] for name, value in values.items()}


def run_batch(questions: Questions, batch: Tensor) -> tuple[Array, Array | None, Array, list[Array]]:
    """Logits, those of the mirrored pictures, features in float16, and maps.

    All quick methods share one forward pass, and one backward pass that ends at the first layer.
    """
    classifier, head = questions.subject.classifier, questions.head
    kept: list[Tensor] = []

    def keep(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if entering is not None:
            kept.append(entering.detach())

    device = placement_of(classifier.module)[0]
    batch = batch.to(device).contiguous(memory_format=questions.order)
    with preserved(classifier.module), one_thread(device):
        with hook_layers([head], keep), nullcontext() if questions.methods else torch.no_grad():
            captured = observe(classifier, batch, questions.layers) if questions.methods else None
            scores = captured.logits if captured else None  # None only where nothing is asked for but logits
            scores = logits_of(classifier, batch) if scores is None else scores
        maps = make_maps(questions, batch, captured, scores) if captured else []
        logits, features = scores.detach().float().cpu().numpy(), pool(kept[-1], len(batch))
        mirrored = None
        if questions.flips:
            with torch.no_grad():
                flipped_batch = batch.flip(-1).contiguous(memory_format=questions.order)
                mirrored = logits_of(classifier, flipped_batch).float().cpu().numpy()
    return logits, mirrored, features, maps


def make_maps(questions: Questions, batch: Tensor, captured: Captured, scores: Tensor) -> list[Array]:
    """The maps of every picture's predicted class: pictures x height x width, in the method's own unit."""
    options = ExplainOptions(batch_size=questions.batch_size)
    job = ExplainJob(questions.subject.classifier, questions.methods, questions.layers, (), options)
    objective = Objective(scores.detach().argmax(dim=1))
    kinds = sorted({one.score for one in questions.methods})
    evidence = {kind: collect_evidence(job, batch, captured, objective, kind, keep=kind != kinds[-1]) for kind in kinds}
    places = {layer.name: place for place, layer in enumerate(questions.layers)}
    return [
        make_map(method, evidence[method.score][places[layer.name]], options)[0].cpu().numpy()
        for method, layer in questions.maps
    ]


def pool(entering: Tensor, pictures: int) -> Array:
    """What goes into the head, the mean over positions, as float16."""
    values = entering.float().reshape(pictures, -1, *entering.shape[1:]).mean(dim=1)
    if values.ndim == 4:
        values = values.mean(dim=(2, 3))
    elif values.ndim == 3:
        values = values.mean(dim=1)
    return np.asarray(values.clamp(-65504, 65504).cpu().numpy().astype(np.float16))


def answers_of(questions: Questions, logits: Array, labels: Sequence[int | None]) -> dict[str, Sequence[Any]]:
    """What the network answers, and how right that is, by the columns of rows."""
    scores = torch.from_numpy(logits)
    shares = probabilities(scores, questions.subject.output.kind)
    best = scores.topk(min(TOP, scores.shape[1]), dim=1)
    predicted, of_label = best.indices[:, 0].tolist(), label_shares(shares, labels)
    least = float(np.finfo(np.float32).tiny)  # of a probability, so that its logarithm is finite
    return {
        "predicted": predicted,
        "probability": shares.gather(1, best.indices[:, :1])[:, 0].tolist(),
        "label_probability": of_label,
        "loss": [None if one is None else -log(max(one, least)) for one in of_label],
        "correct": [None if label is None else label == at for label, at in zip(labels, predicted, strict=True)],
        "top": list(best.indices.numpy()),
        "top_probability": list(shares.gather(1, best.indices).numpy()),
    }


def label_shares(shares: Tensor, labels: Sequence[int | None]) -> list[float | None]:
    """The probability of every picture's label; None where it has none, or none that the network has."""
    count = shares.shape[1]
    pairs = zip(shares, labels, strict=True)
    return [None if label is None or not 0 <= label < count else float(row[label]) for row, label in pairs]


def describe_maps(maps: Array) -> dict[str, Sequence[Any]]:
    """Maps as rows keep them, and how their positive evidence lies: see `rows.MAP`. Of an empty map nothing is said."""
    count, height, width = maps.shape
    positive = np.maximum(maps, 0).astype(np.float64)
    share = shares_of(maps)
    scale = np.abs(maps).max(axis=(1, 2))
    scaled = (maps / np.where(scale, scale, 1)[:, None, None]).astype(np.float16)
    logs = np.log(share, out=np.zeros_like(share), where=share > 0)
    highest = positive.max(axis=(1, 2), keepdims=True)
    values = {
        "_border": 1 - (share * inside(height, width, BORDER)).sum(axis=(1, 2)),
        "_centre": (share * inside(height, width, CENTRE)).sum(axis=(1, 2)),
        "_entropy": -(share * logs).sum(axis=(1, 2)) / max(np.log(height * width), 1e-9),
        "_area": ((positive >= highest / 2) & (positive > 0)).mean(axis=(1, 2)),
    }
    totals = positive.sum(axis=(1, 2)).tolist()
    known = {
        name: [float(one) if total else None for one, total in zip(column, totals, strict=True)]
        for name, column in values.items()
    }
    sizes = {"_height": [height] * count, "_width": [width] * count}
    return {"": scaled.reshape(count, -1), "_scale": scale.tolist(), **sizes, **known}


@cache
def inside(height: int, width: int, margin: float) -> Array:
    """How much of every place of a map lies further than `margin` from the sides of the picture: from 0 to 1."""

    def along(count: int) -> Array:
        edges = np.clip(np.arange(count + 1) / count, margin, 1 - margin)
        return np.diff(edges) * count

    return np.outer(along(height), along(width))
