"""The demo's dataset: crops of the shipped photos, one class per photo, as a folder that training could read.

The same photos and the same seed give the same files; a folder that is there and complete is left as it is.
"""

import re
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageOps

from classlens.errors import DataError
from classlens.files import PHOTOS, write_whole, writing

CLASSES: Mapping[str, str] = {
    "brick": "brick.png",
    "cat": "chelsea.png",
    "espresso": "coffee.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "rocket": "rocket.jpg",
    "tripod": "camera.png",
}
"""Class name -> the photo that its samples are cut from."""

CROPS: Mapping[str, int] = {"train": 32, "val": 6}  # samples per class and split
Box = tuple[int, int, int, int]
TRIES = 50  # boxes of which the one is taken that overlaps the earlier ones least
COMPLETE = ".complete-2"
"""Written last. A folder without it was interrupted, or made by another version, and is made again."""

OURS = re.compile(rf"(?:{'|'.join(CROPS)})/(?:{'|'.join(CLASSES)})/photo_\d\d\.jpg|\.complete-.*")
"""What the demo writes into its folder."""


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
            for number, (name, photo) in enumerate(CLASSES.items()):
                with Pillow.open(PHOTOS / photo) as picture:
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
        with Pillow.open(PHOTOS / CLASSES[name]) as picture:
            square = ImageOps.fit(picture.convert("RGB"), (side, side), Pillow.Resampling.LANCZOS)
        pair.paste(square, (place * side, 0))
    write_whole(path, lambda file: pair.save(file, "PNG"))
    return path


def cut(photo: Pillow.Image, name: str, folder: Path, random: np.random.Generator) -> None:
    """Write the crops of one photo: 45 to 60 % of its short side, 3:4 to 4:3, anywhere in it, no two nearly the same."""
    boxes: list[Box] = []
    for split, crops in CROPS.items():
        target = folder / split / name
        target.mkdir(parents=True)
        for number in range(crops):
            box = min((sample_box(photo, random) for _ in range(TRIES)), key=lambda one: max_overlap(one, boxes))
            boxes.append(box)
            photo.crop(box).save(target / f"photo_{number:02}.jpg", quality=92)


def sample_box(photo: Pillow.Image, random: np.random.Generator) -> Box:
    """Left, top, right and bottom of a crop."""
    side, ratio = min(photo.size) * random.uniform(0.45, 0.6), random.uniform(0.75, 4 / 3)
    width, height = (int(min(size, side * factor)) for size, factor in zip(photo.size, (ratio, 1), strict=True))
    left, top = int(random.integers(photo.width - width + 1)), int(random.integers(photo.height - height + 1))
    return left, top, left + width, top + height


def max_overlap(box: Box, others: Iterable[Box]) -> float:
    """The largest share that a box and another one have in common, of what is in either."""
    shares = [0.0]
    for other in others:
        sides = (min(box[i + 2], other[i + 2]) - max(box[i], other[i]) for i in (0, 1))
        common = prod(max(0, side) for side in sides)
        areas = ((one[2] - one[0]) * (one[3] - one[1]) for one in (box, other))
        shares.append(common / (sum(areas) - common))
    return max(shares)
