import functools
import gzip
import hashlib
import http.server
import json
import pickle
import struct
import tarfile
import threading

import numpy as np
import pytest

from classlens.adapters.openmm import dataset_kinds
from classlens.cli.main import main

CONFIG = """
train_dataloader = dict(batch_size=2, dataset=dict(type='{kind}', data_root='{root}', split='train', download={download},
    pipeline=[dict(type='PackInputs')]))
"""


@pytest.fixture
def releases(tmp_path, monkeypatch):
    """A server on this machine that has a small CIFAR-10 and MNIST under their names; the requests that it gets."""
    folder, asked = tmp_path / "server", []
    folder.mkdir()
    make_cifar(folder)
    make_mnist(folder)

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format, *arguments):
            asked.append(self.path)

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        threading.Thread(target=server.serve_forever).start()
        for kind in ("CIFAR10", "MNIST"):
            files = [address.rpartition("/")[2] for address, _ in dataset_kinds.RELEASED[kind]]
            here = [
                (
                    f"http://127.0.0.1:{server.server_address[1]}/{name}",
                    hashlib.md5((folder / name).read_bytes()).hexdigest(),
                )
                for name in files
            ]
            monkeypatch.setitem(dataset_kinds.RELEASED, kind, here)
        yield asked
        server.shutdown()


def make_cifar(folder):
    batches = folder / "cifar-10-batches-py"
    batches.mkdir()
    for name in (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"):
        data = np.arange(2 * 3072, dtype=np.uint8).reshape(2, 3072)
        (batches / name).write_bytes(pickle.dumps({"data": data, "labels": [3, 8]}, protocol=2))
    with tarfile.open(folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(batches, batches.name)


def make_mnist(folder):
    for prefix in ("train", "t10k"):
        pictures, labels = np.arange(4 * 784, dtype=np.uint8).reshape(4, 28, 28), np.array([7, 2, 1, 0], np.uint8)
        for name, array in ((f"{prefix}-images-idx3-ubyte", pictures), (f"{prefix}-labels-idx1-ubyte", labels)):
            head = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{name}.gz").write_bytes(gzip.compress(head + array.tobytes()))


def browse(tmp_path, kind, download=True):
    config = tmp_path / f"{kind}.py"
    config.write_text(CONFIG.format(kind=kind, root=tmp_path / "data", download=download))
    return main(["browse", str(config), "--json"])


@pytest.mark.parametrize(("kind", "classes"), [("CIFAR10", "cat ship " * 5), ("MNIST", "7 2 1 0")])
def test_a_config_that_says_download_fetches_its_data_once(kind, classes, releases, tmp_path, capsys):
    assert browse(tmp_path, kind) == 0
    result = json.loads(capsys.readouterr().out)
    files = len(dataset_kinds.RELEASED[kind])

    assert browse(tmp_path, kind) == 0
    assert len(releases) == files
    assert sorted(row["classes"][0].split()[0] for row in result["samples"]) == sorted(classes.split())


def test_what_is_not_the_published_file_is_refused_and_not_kept(releases, tmp_path, monkeypatch, capsys):
    address = dataset_kinds.RELEASED["CIFAR10"][0][0]
    monkeypatch.setitem(dataset_kinds.RELEASED, "CIFAR10", [(address, "0" * 32)])

    assert browse(tmp_path, "CIFAR10") == 2
    assert "is not the file that was published: its md5 is not 000" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    assert not list((tmp_path / "cache").rglob("*.gz"))


def test_without_the_word_nothing_is_fetched(releases, tmp_path, capsys):
    assert browse(tmp_path, "MNIST", download=False) == 2
    assert "no such file" in capsys.readouterr().err
    assert releases == []
