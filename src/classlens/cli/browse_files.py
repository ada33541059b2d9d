"""Pictures into files: encoded, named after class, index and source, and there whole or not at all."""

import os
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np

from classlens.errors import DataError
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


def write_whole(place: str | Path, data: bytes) -> None:
    """A file appears under its name only when it is complete.

    Raises:
        DataError: the folder takes no files; unlike a bad picture, this ends a run.
    """
    folder, name = os.path.split(place)
    part = os.path.join(folder, f".{name}.{os.getpid()}.part")  # noqa: PTH118
    try:
        try:
            fill(part, data)
        except FileNotFoundError:
            Path(folder).mkdir(parents=True, exist_ok=True)
            fill(part, data)
        os.replace(part, place)  # noqa: PTH105
    except BaseException as error:
        with suppress(OSError):
            Path(part).unlink(missing_ok=True)
        if not isinstance(error, OSError):
            raise
        raise DataError(f"cannot write {place}: {(error.strerror or str(error)).lower()}") from error


def write_once(place: str, data: bytes) -> None:
    """Write a file that is not there, or has the same content.

    Raises:
        DataError: the place is taken by something else, or takes no files.
    """
    if os.path.exists(place) and Path(place).read_bytes() != data:  # noqa: PTH110
        raise DataError(f"{place} is there already, and not of this run", hint="choose another --output-dir")
    write_whole(place, data)


def fill(place: str, data: bytes) -> None:
    """Write a file without a buffer between: half the time of `Path.write_bytes` for a picture."""
    descriptor = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
    finally:
        os.close(descriptor)


@lru_cache(maxsize=4096)
def safe(name: str) -> str:
    """A name that every file system takes, not longer than its limits allow."""
    plain_name = "".join("_" if one in '/\\:*?"<>|' or not one.isprintable() else one for one in name)
    short = plain_name.encode("utf-8", "replace")[:LONGEST_NAME].decode("utf-8", "ignore")
    return short.strip(" .")
