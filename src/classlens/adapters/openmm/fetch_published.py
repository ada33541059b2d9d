"""CIFAR and MNIST, fetched for a config that says `download=True`, as upstream fetches them.

Every file has the MD5 under which it was published, and the names in the folder are upstream's, so that either program
finds what the other has fetched. MNIST comes from the mirror that torchvision uses.
"""

import hashlib
import tarfile
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from classlens.checkpoints.download import download
from classlens.errors import DataError
from classlens.files import write_whole, writing

CIFAR = "https://www.cs.toronto.edu/~kriz/"
MNIST = "https://ossci-datasets.s3.amazonaws.com/mnist/"
FASHION = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"

RELEASED: Mapping[str, Sequence[tuple[str, str]]] = {
    "CIFAR10": [(f"{CIFAR}cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a")],
    "CIFAR100": [(f"{CIFAR}cifar-100-python.tar.gz", "eb9058c3a382ffc7106e4002c42a8d85")],
    "MNIST": [
        (f"{MNIST}train-images-idx3-ubyte.gz", "f68b3c2dcbeaaa9fbdd348bbdeb94873"),
        (f"{MNIST}train-labels-idx1-ubyte.gz", "d53e105ee54ea40749a09fcbcd1e9432"),
        (f"{MNIST}t10k-images-idx3-ubyte.gz", "9fb629c4189551a2d022fa330f9573f3"),
        (f"{MNIST}t10k-labels-idx1-ubyte.gz", "ec29112dd5afa0611ce80d1b7f02629c"),
    ],
    "FashionMNIST": [
        (f"{FASHION}train-images-idx3-ubyte.gz", "8d4fb7e6c68d591d4c3dfef9ec88bf0d"),
        (f"{FASHION}train-labels-idx1-ubyte.gz", "25c81989df183df01b3e8a0aad5dffbe"),
        (f"{FASHION}t10k-images-idx3-ubyte.gz", "bef4ecab320f06d8554ea6380940ec79"),
        (f"{FASHION}t10k-labels-idx1-ubyte.gz", "bb300cfdad3c16e7a12a480ee83cd310"),
    ],
}
"""The address and the MD5 of every file of a dataset."""


def fetch_published(kind: str, folder: Path) -> None:
    """Put the files of a dataset into `folder`, from the cache where they were fetched before.

    Raises:
        DataError: a file cannot be fetched, is another one than was published, or cannot be written.
    """
    for address, digest in RELEASED[kind]:
        path = download(address)
        with path.open("rb") as file:
            if hashlib.file_digest(file, "md5").hexdigest() != digest:
                path.unlink()
                raise DataError(
                    f"{address} is not the file that was published: its md5 is not {digest}", hint="run again"
                )
        if path.suffixes[-2:] == [".tar", ".gz"]:
            unpack(path, folder)
        else:
            write_whole(folder / path.name, path.read_bytes())


def unpack(archive: Path, folder: Path) -> None:
    """Unpack beside its place and move what is in it there in one go, so that nobody sees half of it."""
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix=".unpacking-") as scratch:
            with tarfile.open(archive) as members:
                members.extractall(scratch, filter="data")
            for path in Path(scratch).iterdir():
                path.rename(folder / path.name)
