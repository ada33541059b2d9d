"""Datasets that keep all their pictures in a few files: CIFAR and MNIST.

CIFAR's batches are pickles: only arrays are taken from them, and nothing in them is run.
"""

import gzip
import math
import pickle
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from classlens.adapters.openmm.image_files import picture_folder
from classlens.config.settings import Settings, split_of
from classlens.dataset.dataset import Sample
from classlens.dataset.decode import Pixels
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.state import BGR
from classlens.dataset.storage import join_path, read_bytes
from classlens.errors import DataError
from classlens.image import Encoding

ARRAY_PARTS = {
    ("numpy.core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("_codecs", "encode"),
}
"""What a pickled array is made of."""


class ArraysOnly(pickle.Unpickler):
    """An unpickler that knows arrays and nothing else."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401 - the signature of pickle
        """Refuse everything that is no part of an array."""
        if (module, name) not in ARRAY_PARTS:
            raise pickle.UnpicklingError(f"{module}.{name} is no part of an array")
        return super().find_class(module, name)


def unpickle(path: str) -> Mapping[str, Any]:
    """The content of a CIFAR batch.

    Raises:
        DataError: it is missing, damaged, or more than arrays.
    """
    try:
        content = ArraysOnly(BytesIO(read_bytes(path)), encoding="latin1").load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, KeyError, AttributeError, ImportError) as error:
        raise DataError(f"{path}: not a batch of CIFAR: {error}") from error
    if not isinstance(content, Mapping):
        raise DataError(f"{path}: not a batch of CIFAR")
    return content


def cifar(settings: Settings, classes: Classes, where: str) -> Listing:
    """CIFAR-10 and CIFAR-100 as published for Python. Their arrays are RGB, and the configs treat them so.

    Raises:
        ConfigError: there is no such split.
        DataError: a batch is missing or damaged.
    """
    ten = settings["type"] == "CIFAR10"
    folder = join_path(picture_folder(settings, where, "root"), "cifar-10-batches-py" if ten else "cifar-100-python")
    training = split_of(settings, where, "train", "test") == "train"
    if ten:
        batches = [f"data_batch_{number}" for number in range(1, 6)] if training else ["test_batch"]
    else:
        batches = ["train" if training else "test"]
    contents = [unpickle(join_path(folder, batch)) for batch in batches]
    try:
        pictures = np.vstack([batch["data"] for batch in contents]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = [int(label) for batch in contents for label in batch.get("labels") or batch["fine_labels"]]
    except (KeyError, ValueError, TypeError) as error:
        raise DataError(f"{folder}: not the batches of {settings['type']}: {error}") from error
    return in_memory(pictures, labels, classes, Encoding("RGB"))


def mnist(settings: Settings, classes: Classes, where: str) -> Listing:
    """MNIST and FashionMNIST: one file of pictures, one of labels, packed or not.

    Raises:
        ConfigError: there is no such split.
        DataError: a file is missing or damaged.
    """
    folder = picture_folder(settings, where, "root")
    training = split_of(settings, where, "train", "test") == "train" and not settings.get("test_mode", False)
    prefix = "train" if training else "t10k"
    pictures = idx_array(join_path(folder, f"{prefix}-images-idx3-ubyte"))
    labels = idx_array(join_path(folder, f"{prefix}-labels-idx1-ubyte"))
    if pictures.ndim != 3 or len(pictures) != len(labels):
        raise DataError(f"{folder}: {len(pictures)} pictures, but {len(labels)} labels")
    return in_memory(pictures, [int(label) for label in labels], classes, BGR)


def idx_array(path: str) -> Pixels:
    """An array in the IDX format of MNIST: a magic number, the sizes, the bytes.

    Raises:
        DataError: it is missing, or shorter than it says.
    """
    packed = not Path(path).is_file() and Path(f"{path}.gz").is_file()
    data = read_bytes(f"{path}.gz" if packed else path)
    try:
        data = gzip.decompress(data) if packed else data
    except (OSError, EOFError) as error:
        raise DataError(f"{path}.gz: damaged archive: {error}") from error
    dimensions = data[3] if len(data) > 4 else 0
    shape = tuple(int(size) for size in np.frombuffer(data[4 : 4 + 4 * dimensions], ">u4"))
    start = 4 + 4 * dimensions
    if data[:3] != b"\x00\x00\x08" or not 1 <= dimensions <= 3 or len(data) - start != math.prod(shape):
        raise DataError(f"{path}: not an IDX file of bytes, or cut short")
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def in_memory(pictures: Pixels, labels: list[int], classes: Classes, encoding: Encoding) -> Listing:
    """Arrays as a listing; a picture is copied when it is taken, so that nobody changes the dataset."""
    if len(pictures) != len(labels):
        raise DataError(f"{len(pictures)} pictures, but {len(labels)} labels")
    return Listing(
        length=len(labels),
        sample=lambda index: Sample(None, (labels[index],)),
        classes=classes,
        picture=lambda index: np.ascontiguousarray(pictures[index]).copy(),
        encoding=encoding,
    )
