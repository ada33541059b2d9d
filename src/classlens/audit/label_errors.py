"""Wrong labels, found by one checkpoint, also among the pictures that it was trained on.

A network that has learnt its labels by heart agrees with the wrong ones, too. But it does so for these very pixels: moved
a little, the picture is again what it shows; and before the last layers it still lies among its like. So the votes of the
nearest other pictures and the answers to moved and mirrored ones are added up. A view counts only where the network is
used to it: mirrored digits are other digits. Labels that are far behind another class are doubtful.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classlens.audit.answers import EXAMPLES, Answer, Facts, Inquiry, read_batches
from classlens.audit.rows import Array, read_whole
from classlens.cam.classifier import preserved
from classlens.cam.evidence import observe
from classlens.cam.forward import logits_of, probabilities
from classlens.cam.layers import find_layers
from classlens.errors import count_of
from classlens.intervals import share_of

NEIGHBOURS, SHARPNESS = 20, 10.0  # that vote, the nearer the more: by the exponential of their cosine, so many times
NUMBERS = 2048  # at most, that are kept of a picture: channels of the layer times places
BANK = 20_000  # pictures at most that vote
BLOCK = 1024
STEP = 1 / 28  # of the picture's side, by which it is moved
AGREES = 0.5  # of all predictions must stay as they are in a view, or it does not count
DOUBT = 0.2  # by which another class must be ahead of the label; 1 is the most
FIRM = 0.75  # of how far a class is believed where it is the label: so firmly another class must be believed
LIMIT = 0.01  # of all labels may be doubtful for sure: a few are odd in clean data, too


def answer_labels(inquiry: Inquiry) -> Answer:
    """Look at every labelled picture in a handful of views, and name the labels that neither those nor its like confirm."""
    subject, manifest = inquiry.asked, inquiry.manifest
    index, label = read_whole(inquiry.folder, ["label"]).values()
    known = (label >= 0) & (label < manifest.class_count)
    index, label = index[known], label[known]
    places, features, shares = look(inquiry, index.tolist())
    if len(places) <= NEIGHBOURS:
        return Answer("labels", f"{count_of(len(places), 'labelled picture')}: too few to say", is_trouble=False)
    index, label = index[places], label[places]
    belief = believe(features, shares, label)
    margin = margins(belief, label)
    doubtful = find_doubtful(belief, label)
    name, sample = manifest.class_name, subject.dataset.sample
    table: tuple[Facts, ...] = tuple(
        {"index": int(index[at]), "path": sample(int(index[at])).path or "", "label": name(int(label[at])),
         "suggested": name(int(belief[at].argmax())), "doubt": round(float(-margin[at]), 3)}
        for at in doubtful
    )  # fmt: skip
    share = share_of(len(table), len(label))
    doubtful_share = f"{len(table):,} of {count_of(len(label), 'label')} are doubtful: {share}"
    verdict = doubtful_share if table else "no label is doubtful"
    return Answer("labels", verdict, share.low > LIMIT, table, tuple(int(index[at]) for at in doubtful[:EXAMPLES]))


def find_doubtful(belief: Array, labels: Array) -> list[int]:
    """The pictures whose label is far behind a class that is believed as firmly as it usually is, the worst first.

    Source of the second condition: Northcutt et al., Confident learning, JAIR 70, 2021, eq. 2.
    """
    margin, best, classes = margins(belief, labels), belief.argmax(axis=1), range(belief.shape[1])
    usual = np.array([belief[labels == one, one].mean() if (labels == one).any() else 1 for one in classes])
    doubtful = (margin < -DOUBT) & (belief.max(axis=1) >= FIRM * usual[best])
    return [at for at in np.argsort(margin, kind="stable").tolist() if doubtful[at]]


def look(inquiry: Inquiry, indices: Sequence[int]) -> tuple[Array, Array, Array]:
    """The places of the pictures that could be read, numbers of each before the last layers, and probabilities.

    These are pictures x views x classes; the first view is the picture as it is.
    """
    subject, manifest = inquiry.asked, inquiry.manifest
    classifier, kind = subject.classifier, subject.output.kind
    layers = find_layers(classifier, [manifest.maps[0].layer] if manifest.maps else None)
    places, features, shares = list[int](), list[Array](), list[Array]()
    for read, batch in read_batches(inquiry, indices, "labelled pictures"):
        with preserved(classifier.module), torch.no_grad():
            captured = observe(classifier, batch, layers, stop=True)
            grid = captured.layouts[0].grid(captured.outputs[0].detach()).float()
            logits = [logits_of(classifier, view) for view in views_of(batch)]
        side = max(1, int((NUMBERS / grid.shape[1]) ** 0.5))
        grid = F.adaptive_avg_pool2d(grid, (min(side, grid.shape[2]), min(side, grid.shape[3]))).flatten(1)
        places += read
        features.append(grid.cpu().numpy().astype(np.float32))
        shares.append(torch.stack([probabilities(one.float(), kind) for one in logits], dim=1).cpu().numpy())
    if not places:
        return (np.empty(0, int),) * 3
    return np.array(places, int), np.concatenate(features), np.concatenate(shares)


def views_of(batch: Tensor) -> Iterator[Tensor]:
    """The pictures as they are, moved a little towards each corner, and mirrored; what comes in is their edge again."""
    yield batch
    height, width = batch.shape[2:]
    rows, columns = max(1, round(height * STEP)), max(1, round(width * STEP))
    padded = F.pad(batch, (columns, columns, rows, rows), mode="replicate")
    for top in (0, 2 * rows):
        for left in (0, 2 * columns):
            yield padded[..., top : top + height, left : left + width].contiguous()
    yield batch.flip(-1)


def believe(features: Array, shares: Array, labels: Array) -> Array:
    """How far each class is believed of every picture: half by its neighbours, half by its views; adds up to 1.

    `features` are pictures x numbers, `shares` pictures x views x classes.
    """
    votes = neighbour_votes(features, labels, shares.shape[2])
    plain, views = shares[:, 0], shares[:, 1:]
    agree = (views.argmax(axis=2) == plain.argmax(axis=1)[:, None]).mean(axis=0)
    used_to = views[:, agree >= AGREES]
    moved = used_to.mean(axis=1) if used_to.shape[1] else plain
    return np.asarray((votes + moved / np.maximum(moved.sum(axis=1, keepdims=True), 1e-9)) / 2)


def neighbour_votes(features: Array, labels: Array, classes: int) -> Array:
    """The labels of the nearest other pictures, by cosine, in shares of one; of very many pictures some vote for all."""
    unit = (features / np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)).astype(np.float32)
    bank = np.arange(len(unit))
    if len(bank) > BANK:
        bank = np.sort(np.random.default_rng(0).choice(bank, BANK, replace=False))
    count = min(NEIGHBOURS, len(bank) - 1)
    votes = np.zeros((len(unit), classes), np.float32)
    for start in range(0, len(unit), BLOCK):
        cosines = unit[start : start + BLOCK] @ unit[bank].T
        here = np.arange(start, start + len(cosines))
        cosines[here[:, None] == bank] = -np.inf  # nobody votes for himself
        nearest = np.argpartition(-cosines, count - 1, axis=1)[:, :count]
        near = np.take_along_axis(cosines, nearest, axis=1)
        weights = np.exp(SHARPNESS * (near - near.max(axis=1, keepdims=True)))
        np.add.at(votes, (np.repeat(here, count), labels[bank[nearest]].ravel()), weights.ravel())
    return np.asarray(votes / votes.sum(axis=1, keepdims=True))


def margins(belief: Array, labels: Array) -> Array:
    """How far the label is ahead of the best other class; below 0 it is behind."""
    rows = np.arange(len(labels))
    others = belief.copy()
    others[rows, labels] = -np.inf
    return np.asarray(belief[rows, labels] - others.max(axis=1))
