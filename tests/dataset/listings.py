"""Small datasets on the spot, and what is in them."""

import io
import pickle
import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from classlens.adapters.openmm.datasets import open_split
from classlens.adapters.openmm.setup import Split


def write(path, shade=100, size=(8, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), np.full((*size, 3), shade, np.uint8))
    return path


def opened(*, classes=None, **dataset):
    return open_split(Split(dataset), name="train", classes=classes)


def counted(dataset):
    return open_split(Split(dataset), name="train", classes=None, has_stages=False).length


def listed(dataset):
    return [(Path(sample.path).name, *sample.labels) for sample in map(dataset.sample, range(dataset.length))]


@pytest.fixture
def folder(tmp_path):
    for name in ("b/2.jpg", "b/1.JPG", "a/x.png", "a/deep/er.png", "c/z.bmp"):
        write(tmp_path / "data" / name)
    return tmp_path / "data"


def pack(path, members):
    """A tar file of the given members."""
    with tarfile.open(path, "w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def picture(tmp_path):
    return write(tmp_path / "x.jpg").read_bytes()


def write_cifar(root, red):
    folder = root / "cifar-10-batches-py"
    folder.mkdir()
    pictures = np.zeros((2, 3072), np.uint8)
    pictures[:, :1024] = red
    for number in range(1, 6):
        (folder / f"data_batch_{number}").write_bytes(pickle.dumps({"data": pictures, "labels": [0, 9]}))
    return folder
