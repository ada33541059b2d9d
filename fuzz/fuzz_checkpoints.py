"""Checkpoints made of anything: read, or refused with a ClasslensError.

The first byte of an input chooses what the rest is: a pickle in a zip file of torch's form, whose record holds 48 bytes, a
whole file, or a file of safetensors.
"""

import io
import shutil
import tempfile
import zipfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["classlens.checkpoints", "pickle"]):
    from classlens.checkpoints.load_checkpoint import read_weights

import contextlib

import campaign
import torch
from safetensors.torch import save

from classlens.errors import ClasslensError

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-checkpoints-"))


def one_input(data: bytes) -> None:
    """Read a checkpoint."""
    kind, content = (data[:1] or b"0")[0] % 3, data[1:]
    place = FOLDER / ("w.safetensors" if kind == 2 else "w.pth")
    place.write_bytes(content)
    if kind == 0:
        with zipfile.ZipFile(place, "w") as archive:
            for name, record in (("data.pkl", content), ("version", b"3"), ("data/0", bytes(48))):
                archive.writestr(f"archive/{name}", record)
    with contextlib.suppress(ClasslensError):
        read_weights(place)


def seeds() -> list[bytes]:
    """The same weights in every form."""
    weights = {"w": torch.zeros(3, 4)}
    contents = []
    for is_zip in (True, False):
        content = io.BytesIO()
        torch.save({"state_dict": weights, "meta": {"classes": ["a"]}}, content, _use_new_zipfile_serialization=is_zip)
        contents.append(content.getvalue())
    with zipfile.ZipFile(io.BytesIO(contents[0])) as archive:
        inside = archive.read("archive/data.pkl")
    return [b"\0" + inside, *(b"\1" + content for content in contents), b"\2" + save(weights)]


if __name__ == "__main__":
    try:
        campaign.run("checkpoints", one_input, seeds())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
