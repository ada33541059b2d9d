"""Networks of seconds that know how they were fed, on real material: coloured digits on pieces of photos, and photos by name."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from functools import cache

import numpy as np
import torch
from PIL import Image as Pillow
from sklearn.datasets import load_digits, load_sample_images
from torch import nn

from classlens.cam.classifier import Classifier
from classlens.check.feed_variants import Fit
from classlens.dataset.dataset import Dataset, Sample
from classlens.files import PHOTOS
from classlens.image import Encoding, Image
from classlens.source import Source

SIZE = (32, 32)
IMAGENET = Encoding("RGB", "CHW", 1.0, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
HALVES = Encoding("RGB", "CHW", 1.0, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
CAFFE = Encoding("BGR", "CHW", 255.0, (103.53, 116.28, 123.675))
TESTED = 500


@cache
def photos():
    """Shipped photos and the two of scikit-learn."""
    shipped = [np.asarray(Pillow.open(path).convert("RGB")) for path in sorted(PHOTOS.glob("*.*g"))]
    return [*shipped, *load_sample_images().images]


@cache
def digits():
    """Two in three digits are for training. A class is a digit in a warm or a cold colour on a piece of a photo, 48 x 60."""
    data, random, pictures, labels = load_digits(), np.random.default_rng(0), [], []
    for grey, digit in zip(data.images, data.target, strict=True):
        photo = photos()[random.integers(len(photos()))]
        top, left = (random.integers(side - 60) for side in photo.shape[:2])
        behind = photo[top : top + 48, left : left + 60] * 0.4
        mask = np.zeros((48, 60))
        large = Pillow.fromarray((grey * (255 / 16)).astype(np.uint8)).resize((34, 34), Pillow.Resampling.BICUBIC)
        mask[7:41, 13:47] = np.asarray(large) / 255
        is_cold = random.integers(2)
        colour = np.array([60, 150, 240] if is_cold else [240, 150, 60]) + random.integers(-15, 16, 3)
        pictures.append((behind * (1 - mask[..., None]) + mask[..., None] * colour).clip(0, 255).astype(np.uint8))
        labels.append(2 * digit + is_cold)
    return pictures, np.array(labels)


@cache
def pieces():
    """A class is a photo: pieces of 72 x 90, those for testing from another part of it."""
    random, pictures, labels = np.random.default_rng(1), [], []
    for turn in range(1800):
        label = turn % len(photos())
        photo = photos()[label]
        height, width = photo.shape[:2]
        border = width * 3 // 5
        low, high = (0, border - 90) if turn < 1200 else (border, width - 90)
        top, left = random.integers(height - 72), random.integers(low, high + 1)
        pictures.append(photo[top : top + 72, left : left + 90])
        labels.append(label)
    return pictures, np.array(labels)


MATERIAL = {"digits": digits, "pieces": pieces}


def build(classes, *, norm, pooled):
    def unit(before, after, stride=1):
        between = (nn.BatchNorm2d(after),) if norm else ()
        pool = () if stride > 1 else (nn.MaxPool2d(2),)
        return (nn.Conv2d(before, after, 3, padding=1, stride=stride), *between, nn.ReLU(), *pool)

    side = 2 if pooled else 4
    head = (nn.AdaptiveAvgPool2d(side), nn.Flatten(), nn.Linear(32 * side * side, classes))
    return nn.Sequential(*unit(3, 16, 2), *unit(16, 32), *unit(32, 32), *head)


@dataclass(frozen=True)
class Feed:
    """How pictures come to a network: read, fitted to a size, and encoded."""

    encoding: Encoding = IMAGENET
    fit: Fit = field(default_factory=lambda: Fit("crop"))
    grey: bool = False
    transposed: bool = False
    twice: bool = False
    size: tuple = SIZE

    def prepare(self, image):
        pixels = self.fit.apply(image, self.size).pixels
        if self.grey:
            pixels = np.asarray(Pillow.fromarray(pixels).convert("L").convert("RGB"))
        if self.transposed:
            pixels = np.ascontiguousarray(pixels.transpose(1, 0, 2))
        return Image(pixels)

    def numbers(self, image):
        return self.encoding.encode(self.prepare(image))


@dataclass(frozen=True)
class Trained:
    """What a network was trained on, how, and for how long."""

    material: str = "digits"
    feed: Feed = field(default_factory=Feed)
    norm: bool = True
    pooled: bool = False
    seed: int = 0
    steps: int = 200
    batch: int = 64

    def __hash__(self):
        return hash((self.material, repr(self.feed), self.norm, self.pooled, self.seed, self.steps, self.batch))

    def network(self):
        return train(self)

    def source(self, fed, *, read=Image, labels=True):
        """The same network in a setup that feeds it as `fed`; `read` is how a picture comes out of its file."""
        pictures, classes = MATERIAL[self.material]()
        first = 1200
        pictures, classes = pictures[first : first + TESTED], classes[first : first + TESTED]

        def dataset(split):
            return Dataset(
                name=f"{self.material} {split}",
                length=len(pictures) if split == "val" else 0,
                load=lambda index: pictures[index],
                stages=(),
                to_image=read,
                sample=lambda index: Sample(None, (int(classes[index]),) if labels else ()),
            )

        def classifier(checkpoint):
            return Classifier("planted", self.network(), self.network(), fed.encoding, fed.size, fed.prepare)

        return Source("planted", dataset, open_classifier=classifier)


@cache
def material(name, feed):
    """All pictures for training as a network gets them, and their labels."""
    pictures, labels = MATERIAL[name]()
    batch = torch.from_numpy(np.stack([feed.numbers(Image(one)) for one in pictures[:1200]]))
    return batch, torch.from_numpy(labels[:1200])


@cache
def course(beginning):
    """A training that has not begun; who asks for more steps goes on with it: its network, optimizer, chance and steps."""
    torch.manual_seed(beginning.seed)
    batch, targets = material(beginning.material, beginning.feed)
    network = build(int(targets.max()) + 1, norm=beginning.norm, pooled=beginning.pooled)
    optimizer = torch.optim.Adam(network.parameters(), 2e-3 if float(batch.std()) < 10 else 1e-3)
    return {"network": network, "optimizer": optimizer, "chance": torch.get_rng_state(), "steps": 0}


@cache
def train(trained):
    torch.set_num_threads(1)
    beginning = replace(trained, steps=0)
    state = course(beginning)
    if state["steps"] > trained.steps:
        state = course.__wrapped__(beginning)
    (batch, targets), network = material(trained.material, trained.feed), state["network"]
    torch.set_rng_state(state["chance"])
    network.train()
    for _ in range(trained.steps - state["steps"]):
        chosen = torch.randint(0, len(batch), (trained.batch,))
        state["optimizer"].zero_grad()
        nn.functional.cross_entropy(network(batch[chosen]), targets[chosen]).backward()
        state["optimizer"].step()
    state |= {"chance": torch.get_rng_state(), "steps": trained.steps}
    return deepcopy(network).eval()


def twice(encoding):
    """Normalised twice, as one encoding."""
    mean, std = np.array(encoding.mean), np.array(encoding.std)
    return replace(encoding, mean=tuple(mean + mean * std), std=tuple(std * std))
