"""Pictures into files: encoded, and named after class, index and source."""

import os
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from classlens.errors import DataError
from classlens.files import write_whole, writing
from classlens.image import Image

QUALITY = 90
LONGEST_SIDE = 65_500
"""Longer pictures are no JPEG."""

LONGEST_NAME, UNLABELLED = 80, "unlabelled"


def encoded(image: Image, quality: int = QUALITY) -> bytes:
    """The picture as JPEG; one longer than JPEG allows is shrunk."""
    pixels = image.pixels
    longest = max(pixels.shape[:2])
    if longest > LONGEST_SIDE:
        factor = LONGEST_SIDE / longest
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def decoded(picture: bytes) -> Image:
    """An encoded picture as an image again."""
    found = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR)
    return Image(np.asarray(cv2.cvtColor(np.asarray(found), cv2.COLOR_BGR2RGB), np.uint8))


def place_of(folder: str, class_names: tuple[str, ...], number: str, path: str | None, seed: int | None) -> str:
    """`folder/class/number_name.jpg`, with the seed where a sample is drawn several times.

    The number keeps equal names apart.
    """
    group = safe(" + ".join(class_names[:3])) or UNLABELLED
    stem = safe(os.path.splitext(os.path.basename(path))[0]) if path else ""  # noqa: PTH119, PTH122
    name = "_".join(part for part in (number, stem, "" if seed is None else f"seed{seed}") if part)
    return os.path.join(folder, group, f"{name}.jpg")  # noqa: PTH118 - a path object costs as much as the file


def write_picture(place: str, data: bytes, *, again: bool) -> None:
    """Write a picture, unless it is there; `again` may replace another one of an earlier run.

    Raises:
        DataError: the place is taken by something else, or takes no files.
    """
    with writing(place):
        if os.path.exists(place):  # noqa: PTH110
            if Path(place).read_bytes() == data:
                return
            if not again:
                raise DataError(f"{place} is there already, and not of this run", hint="choose another --output-dir")
    write_whole(place, data)


@lru_cache(maxsize=4096)
def safe(name: str) -> str:
    """A name that every file system takes, not longer than its limits allow."""
    plain_name = "".join("_" if one in '/\\:*?"<>|' or not one.isprintable() else one for one in name)
    short = plain_name.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")
    return short.strip(" .")
