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


def write_rows(folder, rows, *, classes=CLASSES, side=4):
    """An audit of rows made by hand, which have one map of `side` x `side`, in shards of four."""
    from classlens.audit.manifest import Manifest, MapColumn, write_manifest
    from classlens.audit.place import Place
    from classlens.audit.rows import table_of, write_shard

    manifest = Manifest(
        target="made by hand", data=None, checkpoint=None, phase="val", length=len(rows), pictures=len(rows),
        rows_per_shard=4, batch_size=2, size=(16, 16), classes=tuple(classes), class_count=len(classes),
        output="softmax", maps=(MapColumn("GradCAM", "3", side, side),), features="", feature_count=0, flips=False,
        seed=0, device="cpu", digests={}, versions={},
    )  # fmt: skip
    place = Place(str(folder))
    write_manifest(place, manifest)
    for shard in range(manifest.shards):
        write_shard(place, shard, table_of(manifest, [rows[index] for index in manifest.rows_of(shard)]))
    return place


def row(index, label, predicted, probability=0.5, *, map=None, top=None):
    """A row as `measure` makes it."""
    from classlens.audit.measure import describe_maps

    values = np.ones((4, 4), np.float32) if map is None else map
    facts = {f"map_0{name}": value[0] for name, value in describe_maps(values[None]).items()}
    of_label = probability if label == predicted else (1 - probability) / 2
    return {
        "index": index, "path": f"{index}.png", "label": label, "predicted": predicted, "probability": probability,
        "label_probability": None if label is None else of_label,
        "loss": None if label is None else -float(np.log(of_label)),
        "correct": None if label is None else label == predicted, "top": np.array(top or [predicted], np.int32),
        "top_probability": np.array([probability], np.float32), **facts,
    }  # fmt: skip
