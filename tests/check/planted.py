"""Data and really trained networks in which faults are planted: handwritten digits of scikit-learn, a network of seconds."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from classlens.cam.classifier import Classifier
from classlens.dataset.dataset import Dataset, Sample
from classlens.image import Encoding, Image
from classlens.source import Source

FED = Encoding("RGB", "CHW", 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@cache
def digits():
    """1,797 pictures of 16 x 16, and the digit in each."""
    data = load_digits()
    grey = (data.images * (255 / 16)).astype(np.uint8).repeat(2, axis=1).repeat(2, axis=2)
    return np.stack([grey] * 3, axis=-1), data.target.astype(np.int64)


def build_network(classes=10):
    return nn.Sequential(
        nn.Conv2d(3, 12, 3, padding=1), nn.BatchNorm2d(12), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.BatchNorm2d(24), nn.ReLU(), nn.AdaptiveAvgPool2d(4),
        nn.Flatten(), nn.Linear(24 * 16, classes),
    )  # fmt: skip


@cache
def trained_network(seed=0, steps=120, without=None):
    """A network trained on the first 1,200 digits, `without` one of them if so wanted; with 120 steps 97 % are right."""
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    pictures, labels = digits()
    pictures, labels = pictures[:1200], labels[:1200]
    if without is not None:
        pictures, labels = pictures[labels != without], labels[labels != without]
        labels = labels - (labels > without)
    batch = torch.from_numpy(np.stack([FED.encode(Image(one)) for one in pictures]))
    targets = torch.from_numpy(labels)
    network = build_network(10 - (without is not None))
    optimizer = torch.optim.Adam(network.parameters(), 3e-3)
    network.train()
    for _ in range(steps):
        chosen = torch.randint(0, len(batch), (64,))
        optimizer.zero_grad()
        nn.functional.cross_entropy(network(batch[chosen]), targets[chosen]).backward()
        optimizer.step()
    return network.eval()


@dataclass(frozen=True)
class Setup:
    """Digits and a network; `of_network` and `of_data` say under which number each side knows every digit."""

    of_network: tuple = tuple(range(10))
    of_data: tuple = tuple(range(10))
    names: tuple | None = None
    network_names: tuple | None = None
    outputs: int = 10
    without: int | None = None
    network: nn.Module | None = None

    def source(self):
        return Source("planted", self.dataset, open_classifier=self.classifier)

    def dataset(self, split):
        pictures, labels = digits()
        kept = np.flatnonzero(labels != (-1 if self.without is None else self.without))
        kept = kept[kept < 1200] if split == "train" else kept[kept >= 1200][::1] if split == "val" else kept[:0]
        return Dataset(
            name=f"digits {split}",
            length=len(kept),
            load=lambda index: pictures[kept[index]],
            stages=(),
            to_image=Image,
            sample=lambda index: Sample(f"{split}/{kept[index]}.png", (int(self.of_data[labels[kept[index]]]),)),
            classes=self.names,
        )

    def classifier(self, checkpoint):
        network = self.network or trained_network()
        places = torch.tensor(self.of_network)

        def logits(batch):
            own = network(batch)
            scores = torch.full((len(own), self.outputs), -30.0)
            scores[:, places[: own.shape[1]]] = own
            return scores

        return Classifier("digits", network, logits, FED, (16, 16), classes=self.network_names)


def sorted_names(names, key, *, reverse=False):
    """The number of each name in a list that is sorted so."""
    order = sorted(names, key=key, reverse=reverse)
    return tuple(order.index(name) for name in names)
