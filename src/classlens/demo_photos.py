"""The demo's dataset: crops of the shipped photos, one class per photo, as a folder that training could read.

The same photos and the same seed give the same files; a folder that is there and complete is left as it is.
"""

import re
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.errors import DataError
from classlens.files import PHOTOS, write_whole, writing

CLASSES: Mapping[str, str] = {
    "brick": "brick",
    "cat": "chelsea",
    "espresso": "coffee",
    "grass": "grass",
    "gravel": "gravel",
    "rocket": "rocket",
    "tripod": "camera",
}
"""Class name -> the photo that its samples are cut from, without the ending of the file."""

CROPS: Mapping[str, int] = {"train": 32, "val": 6}  # samples per class and split
Boxes = np.ndarray[Any, np.dtype[np.int64]]  # a row of left, top, right, bottom for each
TRIES = 150  # boxes of which the one is taken that overlaps the earlier ones least
COMPLETE = ".complete-3"
"""Written last. A folder without it was interrupted, or made by another version, and is made again."""

OURS = re.compile(rf"(?:{'|'.join(CROPS)})/(?:{'|'.join(CLASSES)})/photo_\d\d\.jpg|\.complete-.*")
"""What the demo writes into its folder."""


def find_photo(class_name: str) -> Path:
    """The photo of a class: an installed package has smaller copies, as WebP."""
    return next(PHOTOS.glob(f"{CLASSES[class_name]}.*"))


def make_photos(folder: Path) -> Path:
    """Fill `folder` with `train/CLASS/photo_NN.jpg` and `val/CLASS/photo_NN.jpg`; return it."""
    if (folder / COMPLETE).is_file():
        return folder
    with writing(folder):
        for path in folder.rglob("*"):
            if not path.is_dir() and not OURS.fullmatch(path.relative_to(folder).as_posix()):
                what = f"{folder} is there already, and {path.name} in it is not the demo's"
                raise DataError(what, hint="choose another --output-dir")
        folder.parent.mkdir(parents=True, exist_ok=True)
        # It is filled beside its place and moved there in one go, so that nobody sees half of it.
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch:
            photos = Path(scratch) / "photos"
            for number, name in enumerate(CLASSES):
                with Pillow.open(find_photo(name)) as picture:
                    cut(picture.convert("RGB"), name, photos, np.random.default_rng(number))
            (photos / COMPLETE).touch()
            shutil.rmtree(folder, ignore_errors=True)
            try:
                photos.rename(folder)
            except OSError:
                if not (folder / COMPLETE).is_file():  # else another process made the same photos meanwhile
                    raise
    return folder


def make_pair(path: Path, *, side: int = 448) -> Path:
    """A cat on the left and a cup of espresso on the right, in one picture twice as wide as high."""
    pair = Pillow.new("RGB", (2 * side, side))
    for place, name in enumerate(("cat", "espresso")):
        with Pillow.open(find_photo(name)) as picture:
            square = ImageOps.fit(picture.convert("RGB"), (side, side), Pillow.Resampling.LANCZOS)
        pair.paste(square, (place * side, 0))
    write_whole(path, lambda file: pair.save(file, "PNG"))
    return path


def cut(photo: Pillow.Image, name: str, folder: Path, random: np.random.Generator) -> None:
    """Write the crops of one photo: 45 to 60 % of its short side, 3:4 to 4:3, anywhere in it, no two nearly the same."""
    boxes = np.empty((0, 4), np.int64)
    for split, crops in CROPS.items():
        target = folder / split / name
        target.mkdir(parents=True)
        for number in range(crops):
            tries = sample_boxes(photo.size, random)
            box = tries[max_overlaps(tries, boxes).argmin()]
            boxes = np.vstack([boxes, box])
            left, top, right, bottom = box.tolist()
            photo.crop((left, top, right, bottom)).save(target / f"photo_{number:02}.jpg", quality=92)


def sample_boxes(size: tuple[int, int], random: np.random.Generator) -> Boxes:
    """Left, top, right and bottom of `TRIES` crops of a photo that is (width, height) large."""
    sides, ratios = min(size) * random.uniform(0.45, 0.6, TRIES), random.uniform(0.75, 4 / 3, TRIES)
    extents = np.minimum(size, np.stack([sides * ratios, sides], axis=1)).astype(np.int64)
    corners = random.integers(size - extents + 1)
    return np.hstack([corners, corners + extents])


def max_overlaps(boxes: Boxes, others: Boxes) -> np.ndarray:
    """The largest share that each box and another one have in common, of what is in either."""
    ends, starts = np.minimum(boxes[:, None, 2:], others[:, 2:]), np.maximum(boxes[:, None, :2], others[:, :2])
    common = np.maximum(ends - starts, 0).prod(axis=-1)
    areas, other_areas = ((some[:, 2:] - some[:, :2]).prod(axis=-1) for some in (boxes, others))
    return np.asarray((common / (areas[:, None] + other_areas - common)).max(axis=1, initial=0.0))
