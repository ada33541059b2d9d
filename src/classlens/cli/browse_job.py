"""One sample of a browse run: traced, drawn, encoded and written; the same in this process and in a worker."""

import os
import pickle
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from classlens.adapters import Options, open_source
from classlens.dataset.complaints import damage_in
from classlens.dataset.dataset import Dataset
from classlens.dataset.reading import read_bytes, salvage
from classlens.dataset.trace import Extent, Trace, trace
from classlens.errors import ClasslensError, DataError
from classlens.figures.filmstrip import Mode, bad_tile, draw_trace, resized
from classlens.image import Image

EXTENTS: Mapping[str, Extent] = {"original": "first", "transformed": "last", "concat": "ends", "pipeline": "all"}
QUALITY = 90
BAD_SAMPLE = (ClasslensError, cv2.error, ValueError, TypeError, ArithmeticError, LookupError, MemoryError)
"""What decoders and transforms raise over one sample, which must not end a run."""

LONGEST_NAME, UNLABELLED = 80, "unlabelled"


@dataclass(frozen=True)
class Opening:
    """How to open the dataset: what a worker needs to know, and can be sent."""

    target: str
    phase: str
    options: Options


@dataclass(frozen=True)
class Look:
    """What to make of every sample.

    `folder` is None where nothing is written, `wanted` asks for the bytes
    back, `bare` for the picture without text, `drawn` for what every stage drew.
    """

    mode: Mode
    rescale: float = 1.0
    flipped: bool = False
    folder: str | None = None
    wanted: bool = False
    bare: bool = False
    drawn: bool = False
    repeats: int = 1


@dataclass(frozen=True)
class Row:
    """What became of one sample: `error` is empty for a good one; `jpeg` is the drawn picture where it was wanted."""

    index: int
    seed: int
    path: str | None = None
    class_names: tuple[str, ...] = ()
    size: tuple[int, int] | None = None
    file: str | None = None
    remarks: tuple[str, ...] = ()
    stages: tuple[Mapping[str, Any], ...] = ()
    error: str = ""
    jpeg: bytes | None = field(default=None, repr=False)


@lru_cache(maxsize=1)
def opened(packed: bytes) -> Dataset:
    """The dataset of a pickled `Opening`, opened once per process."""
    opening: Opening = pickle.loads(packed)
    return open_source(opening.target, options=opening.options).dataset(opening.phase)


def make(dataset: Dataset, index: int, seed: int, look: Look) -> Row:
    """Trace, draw and write one sample; whatever is wrong with it is told in the row."""
    try:
        result = trace(dataset, index, seed, keep=EXTENTS[look.mode])
        result = flipped(result) if look.flipped else result
        image = plain_picture(result, look) if look.bare else draw_trace(result, mode=look.mode, rescale=look.rescale)
        row = described(result, look)
    except BAD_SAMPLE as error:
        row = failed(dataset, index, seed, error)
        image = marked(row)
    return delivered(row, image, look, dataset.length)


def delivered(row: Row, image: Image, look: Look, length: int) -> Row:
    """The row with its picture written, or kept, as asked; `length` is that of the dataset."""
    jpeg = encoded(image)
    file = None if look.folder is None else written(jpeg, look.folder, row, length, look.repeats)
    return replace(row, file=file, jpeg=jpeg if look.wanted else None)


def plain_picture(result: Trace, look: Look) -> Image:
    """The one picture of `original` or `transformed`, without a heading."""
    snapshot = result.original if look.mode == "original" else result.transformed
    return Image(resized(snapshot.image.pixels, look.rescale))


def failed(dataset: Dataset, index: int, seed: int, error: Exception) -> Row:
    """The row of a bad sample."""
    sample = dataset.sample(index)
    reason = str(error) if isinstance(error, ClasslensError) else f"{type(error).__name__}: {error}".split("\n")[0]
    return Row(index, seed, sample.path, dataset.class_names(index), error=reason)


def marked(row: Row, *, rescue: bool = True) -> Image:
    """The tile of a bad sample, with what can still be seen of it."""
    title = f"{', '.join(row.class_names) or 'no label'}  #{row.index}"
    return bad_tile(row.error, title, rescue=rescued(row.path) if rescue else None)


def described(result: Trace, look: Look) -> Row:
    """The row of a sample that decodes; damaged data that decodes all the same is an error too."""
    stages = tuple(
        {"stage": one.stage, "size": one.image.size, "drawn": plain(one.drawn), "changed": one.changed}
        for one in (result.snapshots if look.drawn else ())
    )
    size, damage = result.snapshots[0].image.size, damage_in(result.remarks)
    error = f"{result.path}: {damage}" if damage else ""
    return Row(result.index, result.seed, result.path, result.class_names, size, None, result.remarks, stages, error)


def plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
    """Drawn values as JSON can hold them; noise is left out."""
    if isinstance(value, Mapping):
        return {key: plain(part) for key, part in value.items() if key != "at"}
    if isinstance(value, np.ndarray):
        return "noise" if value.size > 16 else value.tolist()
    if isinstance(value, (tuple, list)):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


def rescued(path: str | None) -> Image | None:
    """What can still be seen of a broken file."""
    if path is None:
        return None
    try:
        return salvage(read_bytes(path))
    except ClasslensError:
        return None


def flipped(result: Trace) -> Trace:
    """The trace with red and blue exchanged."""
    shots = (replace(one, image=Image(np.ascontiguousarray(one.image.pixels[..., ::-1]))) for one in result.snapshots)
    return replace(result, snapshots=tuple(shots))


def encoded(image: Image, quality: int = QUALITY) -> bytes:
    """The picture as JPEG; one longer than JPEG allows is shrunk."""
    pixels = image.pixels
    longest = max(pixels.shape[:2])
    if longest > 65_500:
        factor = 65_500 / longest
        pixels = np.asarray(cv2.resize(pixels, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), np.uint8)
    _, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])
    return data.tobytes()


def written(jpeg: bytes, folder: str, row: Row, length: int, repeats: int) -> str:
    """Write under `class/index_name.jpg`, whole or not at all; indices keep equal names apart."""
    group = safe(" + ".join(row.class_names[:3])) or UNLABELLED
    name = f"{row.index:0{len(str(length - 1))}d}"
    stem = safe(os.path.splitext(os.path.basename(row.path))[0]) if row.path else ""  # noqa: PTH119, PTH122
    name += f"_{stem}" if stem else ""
    name += f"_seed{row.seed}" if repeats > 1 else ""
    place = os.path.join(folder, group, f"{name}.jpg")  # noqa: PTH118 - a path object costs as much as the file
    write_whole(place, jpeg)
    return place


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
