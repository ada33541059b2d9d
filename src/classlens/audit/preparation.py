"""From a source to what an audit needs: its subject, its questions, and the manifest that says what both are."""

from __future__ import annotations

import platform
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import cv2
import numpy as np
import PIL
import pyarrow as pa
import torch

from classlens import __version__
from classlens.audit.fed import Read
from classlens.audit.manifest import Manifest
from classlens.audit.measure import Questions, ask_questions, map_columns
from classlens.audit.subject import digest_feed, digest_list, digest_weights, open_subject
from classlens.audit.wishes import AuditOptions, Recipe
from classlens.cam.classifier import Classifier, placement_of
from classlens.cam.cost import affordable_batch_size
from classlens.cam.layers import find_layers
from classlens.dataset.dataset import Dataset

LARGEST_BATCH = {"cpu": 32, "cuda": 128}
BUDGET = {"cpu": 1_000, "cuda": 8_000}
"""Pictures of a batch where nobody says how many, halved until a pass is estimated to take no more than so many MB.

Both are fixed, and not what a machine has: another machine must be able to go on with the same batches.
"""

ROWS, FEWEST, MOST = 512, 16, 1000
"""Rows of a file; but a small dataset has at least so many files, to share the work, and a large one no more than so many."""

PACKAGES = (torch, np, PIL, cv2, pa)
"""Whose versions numbers and files depend on."""


def prepare_audit(
    recipe: Recipe, dataset: Dataset, classifier: Classifier, options: AuditOptions, *, read: Read | None = None
) -> tuple[Questions, Manifest]:
    """The questions to a network about a split, and what both are; `read` gives the pictures, else this process does.

    Raises:
        NotFound: there is no such method or layer.
        ModelError: the network cannot be asked.
        DataError: there are no pictures.
    """
    subject = open_subject(dataset, classifier, device=options.device, read=read, seed=options.seed)
    classifier = subject.classifier
    device, batch_size = placement_of(classifier.module)[0], options.batch_size
    if batch_size is None:
        largest, budget = (of.get(device.type, of["cuda"]) for of in (LARGEST_BATCH, BUDGET))
        batch_size = affordable_batch_size(classifier, largest, budget, find_layers(classifier, options.layers))
    questions = ask_questions(subject, options.methods, options.layers, batch_size, flips=options.flips)
    maps, feature_count = map_columns(questions)
    count, output = min(options.number or dataset.length, dataset.length), subject.output
    manifest = Manifest(
        **{name: getattr(recipe, name) for name in ("target", "data", "checkpoint", "overrides")},
        phase=options.phase,
        length=dataset.length,
        pictures=count,
        rows_per_shard=choose_rows(count, batch_size),
        batch_size=batch_size,
        size=classifier.size,
        classes=output.names or None,
        class_count=output.count,
        output=output.kind,
        maps=maps,
        features=f"input of {questions.head.name}",
        feature_count=feature_count,
        flips=options.flips,
        seed=options.seed,
        device=describe_device(device),
        digests={},
        versions={"classlens": __version__, "python": platform.python_version()}
        | {one.__name__: one.__version__ for one in PACKAGES},
    )
    digests = {
        "weights": digest_weights(classifier),
        "list": digest_list(subject, manifest.indices),
        "config": digest_file(recipe.target),
        "feed": digest_feed(classifier),
    }
    return questions, replace(manifest, digests=digests)


def choose_rows(pictures: int, batch_size: int) -> int:
    """How many rows share a file: whole batches."""
    rows = max(min(ROWS, pictures / FEWEST), pictures / MOST)
    return max(1, round(rows / batch_size)) * batch_size


def describe_device(device: torch.device) -> str:
    """What computes: another kind of it rounds differently."""
    if device.type == "cuda":
        return f"cuda: {torch.cuda.get_device_name(device)}"
    return f"{device.type}: {platform.machine()}, {torch.backends.cpu.get_cpu_capability()}"


def digest_file(target: str) -> str:
    """SHA-256 of the file that an address begins with or consists of, as in `py:train.py:net`; empty if there is none."""
    words = target.split(":")
    names = [":".join(words[start:end]) for start in (0, 1) for end in range(len(words), start, -1)]
    file = next((Path(name) for name in names if name and Path(name).is_file()), None)
    return sha256(file.read_bytes()).hexdigest() if file else ""
