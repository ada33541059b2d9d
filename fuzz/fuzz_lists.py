"""Annotation lists made of anything: listed, with a name for every sample, or refused with a ClasslensError.

The first byte of an input chooses the ending of the file.
"""

import shutil
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["classlens.dataset.annotations"]):
    from classlens.dataset.annotations import LISTS, list_annotations

import campaign

from classlens.errors import ClasslensError

FOLDER = Path(tempfile.mkdtemp(prefix="fuzz-lists-"))


def one_input(data: bytes) -> None:
    """List the samples of a file."""
    place = FOLDER / f"list{LISTS[(data[:1] or b'0')[0] % len(LISTS)]}"
    place.write_bytes(data[1:])
    try:
        listing = list_annotations(str(place), "photos")
        for index in range(min(listing.length, 100)):
            assert listing.sample(index).path
    except ClasslensError:
        pass


def seeds() -> list[bytes]:
    """A list in every form."""
    rows = b'{"metainfo": {"classes": ["a", "b"]}, "data_list": [{"img_path": "a.png", "gt_label": [0, 1]}]}'
    ids = b'{"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "category_id": 2}]}'
    texts = [b"\0a.png 1\nb.png 0\n", b"\1path,label\na.png,cat\n", b"\1name,a,b\na.png,0,1\n", b"\2a.png\t1\n"]
    return [*texts, b"\3" + rows, b"\3" + ids, b'\3{"a.png": 1}', b'\4{"path": "a.png", "label": 1}\n']


if __name__ == "__main__":
    try:
        campaign.run("lists", one_input, seeds())
    finally:
        shutil.rmtree(FOLDER, ignore_errors=True)
