"""The samples of a dataset before a pipeline is put behind them, and the datasets that are made of them.

A `Listing` says which samples there are. With a `Pipeline`, whose loader reads their files, it becomes a `Dataset`, and
datasets are put together by `combine`, which leaves every sample the pipeline of the dataset that it comes from.
"""

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, overload

import cv2
import numpy as np

from classlens.dataset.conventions import ENDINGS
from classlens.dataset.dataset import Dataset, MaxSide, Sample, Stage
from classlens.dataset.decode import (
    CV2_FLAGS,
    DAMAGED,
    STOPS,
    Pixels,
    capture_damage,
    damaged_chunk,
    decode,
    read_header,
)
from classlens.dataset.state import BGR, State, to_image
from classlens.dataset.storage import read_bytes
from classlens.errors import DataError, count_of
from classlens.image import Encoding

Classes = tuple[str, ...] | None


class PackedNames(Sequence[str]):
    """Names of a million files in a third of the memory: one text instead of an object for each, as if in a tuple.

    A short name as an object takes some 70 bytes, and 24 here. Each is made anew when it is asked for, which costs less
    than what else is done with it. A class, because Python knows sequences by their methods.
    """

    __slots__ = ("ends", "text")

    def __init__(self, names: Iterable[str]) -> None:
        encoded = [name.encode("utf-8", "surrogatepass") for name in names]
        self.text = b"".join(encoded)
        self.ends = array("q" if len(self.text) >= 2**31 else "i", accumulate(map(len, encoded), initial=0))

    def __len__(self) -> int:
        return len(self.ends) - 1

    @overload
    def __getitem__(self, place: int) -> str: ...
    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...
    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        if isinstance(place, slice):
            return tuple(self[one] for one in range(len(self))[place])
        place = range(len(self))[place]  # an IndexError, and places that are counted from the end
        return self.text[self.ends[place] : self.ends[place + 1]].decode("utf-8", "surrogatepass")

    def __iter__(self) -> Iterator[str]:
        return map(self.__getitem__, range(len(self)))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PackedNames) and (self.text, self.ends) == (other.text, other.ends)

    def __hash__(self) -> int:
        return hash(self.text)

    def __repr__(self) -> str:
        return f"<{len(self)} names>"


@dataclass(eq=False)
class FirstLook:
    """How many samples are listed at most, 0 for all, and whether there are more; they are the first ones, in order."""

    most: int = 0
    is_cut: bool = False

    def has_room(self, listed: int) -> bool:
        """Whether there may be more than those that are listed; it is noted if there may not."""
        self.is_cut = self.is_cut or 0 < self.most <= listed
        return not 0 < self.most <= listed


FIRST: ContextVar[FirstLook] = ContextVar("FIRST", default=FirstLook())  # noqa: B039 - the default is not changed


@contextmanager
def listed_first(number: int) -> Iterator[FirstLook]:
    """List about so many samples of a folder or a list: for a first look, while a million others are being counted."""
    token = FIRST.set(FirstLook(number))
    try:
        yield FIRST.get()
    finally:
        FIRST.reset(token)


@dataclass(frozen=True)
class Listing:
    """The samples of a dataset, with their paths and labels.

    `picture`, where there is one, gives the picture of a sample that is no file of its own: the bytes of its file, or
    an array, encoded as `encoding` says; None leaves it to the path.
    """

    length: int
    sample: Callable[[int], Sample]
    classes: Classes = None
    warnings: tuple[str, ...] = ()
    picture: Callable[[int], bytes | Pixels | None] | None = None
    encoding: Encoding = BGR


@dataclass(frozen=True)
class LoadImageFromFile:
    """OpenMMLab's loader: with which decoder, and in which colours."""

    to_float32: bool = False
    color_type: str = "color"
    imdecode_backend: str = "cv2"
    file_client_args: Mapping[str, Any] | None = None
    ignore_empty: bool = False
    backend_args: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.color_type not in CV2_FLAGS:
            raise ValueError(f"color_type is one of {', '.join(CV2_FLAGS)}, not {self.color_type!r}")
        if self.file_client_args is not None and self.backend_args is not None:
            raise ValueError("file_client_args and backend_args are two names of one thing: give one of them")
        if self.imdecode_backend not in ("cv2", "pillow"):
            raise ValueError(f"imdecode_backend is cv2 or pillow here, not {self.imdecode_backend!r}")

    def state(self, data: bytes, path: str, *, max_side: MaxSide | None = None) -> State:
        """The picture as training would load it, and what is unusual about it; `max_side` allows a smaller JPEG."""
        header = read_header(data, path)
        jpeg = header if header and header.format in ("JPEG", "MPO") else None
        by_cv2, shrink = self.imdecode_backend == "cv2", 1
        if jpeg and max_side is not None and by_cv2 and self.color_type != "unchanged":
            longest = max(jpeg.size)
            shrink = next((by for by in (8, 4, 2) if longest >= by * max_side(longest)), 1)
        with capture_damage() as complaints:
            pixels = decode(data, backend=self.imdecode_backend, color=self.color_type, where=path, shrink=shrink)
            if jpeg and not by_cv2:  # Pillow is silent about damage; libjpeg under OpenCV writes what it finds
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        trouble = complaints[0] if complaints else damaged_chunk(data, sums=True)
        remarks = [DAMAGED + trouble] if trouble else []
        full = None
        if header:
            # OpenCV leaves AVIF as it is stored
            is_upright = self.color_type in ("color", "grayscale") and not (by_cv2 and header.format == "AVIF")
            if header.orientation > 1:
                turned = "rotated here, not by Pillow or torchvision loaders"
                turned = turned if is_upright else "not rotated here, as it is by cv2"
                remarks.append(f"EXIF orientation {header.orientation}: {turned}")
            remarks += header.oddities
            if path and not path.lower().endswith(ENDINGS.get(header.format, "")):
                remarks.append(f"{header.format} data under another extension")
            if shrink > 1:
                full = header.size[::-1] if header.orientation > 4 and is_upright else header.size
        return State(pixels.astype("float32") if self.to_float32 else pixels, BGR, path, tuple(remarks), full=full)


@dataclass(frozen=True)
class Pipeline:
    """How pictures become arrays, and the stages after that; without a loader, pictures come as arrays.

    `stops` says why training stops in it, for samples in files and for those in memory, and `unpacked` why it stops
    after it; all are empty where it goes on.
    """

    loader: LoadImageFromFile | None = None
    stages: tuple[Stage, ...] = ()
    stops: tuple[str, str] = ("", "")
    unpacked: str = ""


AS_STORED = Pipeline()


def to_dataset(listing: Listing, name: str, pipeline: Pipeline = AS_STORED) -> Dataset:
    """The samples with a pipeline behind them."""
    loader = pipeline.loader or LoadImageFromFile()

    def load(index: int, max_side: MaxSide | None = None) -> State:
        sample = listing.sample(index)
        picture = listing.picture(index) if listing.picture else None
        # a sample that has both a file and an array is taken from its file where the pipeline begins with a loader
        in_file = picture is None or isinstance(picture, bytes) or (pipeline.loader is not None and sample.path)
        if reason := pipeline.stops[not in_file]:
            raise DataError(f"{STOPS}{reason}")
        remarks = tuple(filter(None, (sample.trouble, pipeline.unpacked and STOPS + pipeline.unpacked)))
        if not in_file:
            return State(picture, listing.encoding, sample.path, remarks)
        path = sample.path or ""
        state = loader.state(picture if isinstance(picture, bytes) else read_bytes(path), path, max_side=max_side)
        return replace(state, remarks=(*remarks, *state.remarks)) if remarks else state

    return Dataset(
        name=name,
        length=listing.length,
        load=load,
        thumbnail=load,
        stages=pipeline.stages,
        to_image=to_image,
        sample=listing.sample,
        classes=listing.classes,
        loader="LoadImageFromFile" if pipeline.loader else "original",
        remarks=lambda state: state.remarks,
        warnings=listing.warnings,
    )


def combine(parts: Sequence[Dataset], length: int, origin: Callable[[int], tuple[Dataset, int]]) -> Dataset:
    """Samples of other datasets: `origin` gives the dataset of each, and its number there; classes are the first's."""

    def on_part(read: Callable[..., Any]) -> Callable[..., Any]:
        """What reads a sample of the whole, by what reads one of a part."""
        return lambda index, *more: read(*origin(index), *more)

    small = on_part(lambda part, place, max_side: part.thumbnail(place, max_side))
    return replace(
        parts[0],
        length=length,
        load=on_part(lambda part, place: part.load(place)),
        thumbnail=small if all(part.thumbnail for part in parts) else None,
        sample=on_part(lambda part, place: part.sample(place)),
        stages_of=on_part(Dataset.pipeline),
        warnings=tuple(dict.fromkeys(warning for part in parts for warning in part.warnings)),
    )


def concatenate(parts: Sequence[Dataset]) -> Dataset:
    """The samples of several datasets, one dataset after the other."""
    starts = list(accumulate((part.length for part in parts), initial=0))

    def origin(index: int) -> tuple[Dataset, int]:
        number = bisect_right(starts, index) - 1
        return parts[number], index - starts[number]

    return combine(parts, starts[-1], origin)


def class_difference(parts: Sequence[Dataset]) -> str:
    """In which datasets of a ConcatDataset the class names differ, in words; empty where all have the same."""
    other = next((number for number, part in enumerate(parts) if part.classes != parts[0].classes), None)
    if other is None:
        return ""
    first, second = describe_classes(parts[0]), describe_classes(parts[other])
    return f"dataset {other + 1} of ConcatDataset has {second}, the first one {first}"


def describe_classes(part: Dataset) -> str:
    if part.classes is None:
        return "no class names"
    return f"{count_of(len(part.classes), 'class')} ({', '.join(part.classes[:3])}{', ...' if len(part.classes) > 3 else ''})"
