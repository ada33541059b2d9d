"""Small pictures in folders, and a small network in a file, by which an audit takes a second."""

import numpy as np
from PIL import Image as Pillow

CLASSES = ("blue", "green", "red")

NETWORK = '''
import torch
from torch import nn

import classlens


def make():
    """Bright colours decide: what a network learns that is trained for a second."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
    ).eval()
    encoding = classlens.Encoding("RGB", "CHW", 1.0)
    return classlens.Classifier("tiny", net, net, encoding, (16, 16), classes=("blue", "green", "red"), default_layer="3")
'''


def write_pictures(folder, count, *, bad=(), other_size=(), seed=0):
    """Pictures of one colour each with some noise, in folders of their classes; `bad` ones are no pictures."""
    random = np.random.default_rng(seed)
    for number in range(count):
        label = number % 3
        side = 20 if number in other_size else 16
        pixels = random.integers(0, 90, (side, side, 3), np.uint8)
        pixels[4:12, 4:12, 2 - label] += 150
        place = folder / CLASSES[label] / f"{number:05}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Pillow.fromarray(pixels).save(place)
        if number in bad:
            place.write_bytes(b"\x89PNG no picture")
    return f"folder:{folder}"


def write_network(folder):
    path = folder / "network.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(NETWORK)
    return f"py:{path}:make"


def files_of(folder):
    """The rows as they lie on the disk."""
    return {path.name: path.read_bytes() for path in sorted((folder / "rows").iterdir())}
