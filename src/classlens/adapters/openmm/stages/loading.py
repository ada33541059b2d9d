"""How a config says its pictures are loaded: the loader's settings, and one picture loaded by them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import cv2
import numpy as np

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.formats import LOADER
from classlens.adapters.openmm.stages.state import State
from classlens.adapters.openmm.stages.transform import arguments, named, record_of
from classlens.dataset.complaints import DAMAGED, damage, heard, wrong_checksum
from classlens.dataset.dataset import Needed, Outcome, Stage
from classlens.dataset.headers import Header, remarks_on
from classlens.dataset.reading import CV2_FLAGS, checked_header, decode, read_bytes


@dataclass(frozen=True)
class LoadImageFromFile:
    """The settings of OpenMMLab's loader."""

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

    def state(self, data: bytes, path: str, *, needed: Needed | None = None) -> State:
        """The picture in `data` as training would load it, with what is unusual about the file.

        `needed` tells for the longer side how many pixels of it are enough for looking: a JPEG may then be smaller.

        Raises:
            DataError: it cannot be decoded by the configured backend, or is too large.
        """
        header = checked_header(data, path)
        backend = cast(Literal["cv2", "pillow"], self.imdecode_backend)
        with heard() as lines:
            shrink = 1 if needed is None or header is None else self.shrink(header, needed)
            pixels = decode(data, backend=backend, color=self.color_type, where=path, shrink=shrink)
            if backend == "pillow" and header and header.format in ("JPEG", "MPO"):
                warned_of(data)
        remarks = remarks_on(header, path, turned=self.turns(header)) if header else ()
        if found := damage(lines) or wrong_checksum(data):
            remarks = (DAMAGED + found, *remarks)
        full = self.upright(header) if header and shrink > 1 else None
        return State(pixels.astype("float32") if self.to_float32 else pixels, path=path, remarks=remarks, full=full)

    def shrink(self, header: Header, needed: Needed) -> int:
        """By which power of two a picture may be decoded smaller; only JPEG files can."""
        if header.format not in ("JPEG", "MPO") or self.imdecode_backend != "cv2" or self.color_type == "unchanged":
            return 1
        longest = max(header.size)
        return next((by for by in (8, 4, 2) if longest >= by * needed(longest)), 1)

    def upright(self, header: Header) -> tuple[int, int]:
        """The (height, width) of the decoded picture."""
        height, width = header.size
        return (width, height) if header.orientation > 4 and self.turns(header) else (height, width)

    def turns(self, header: Header) -> bool:
        """Whether pictures are turned upright: OpenCV leaves AVIF as it is stored."""
        asked = self.color_type in ("color", "grayscale")
        return asked and not (self.imdecode_backend == "cv2" and header.format == "AVIF")


def reloading(settings: Settings, where: str) -> Stage:
    """A loader after other stages, which reads the file anew; what they did is lost.

    Raises:
        ConfigError: the loader has an unknown setting or value.
    """
    loader = record_of(LoadImageFromFile, named(settings), where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        path = state.path or ""
        return Outcome(loader.state(read_bytes(path), path), note="loaded anew: what was done before is lost")

    return Stage(LOADER, apply, arguments(settings), draws_globally=False)


def warned_of(jpeg: bytes) -> None:
    """Let libjpeg say what it repairs: Pillow silences it. An eighth of the size costs a third of the time."""
    cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)


def loader_of(pipeline: tuple[Settings, ...], where: str) -> LoadImageFromFile | None:
    """The loader that a pipeline starts with, or None for datasets that hold their pictures in memory.

    Raises:
        ConfigError: the loader has an unknown setting or value.
    """
    for position, settings in enumerate(pipeline):
        if named(settings).get("type") == LOADER:
            return record_of(LoadImageFromFile, named(settings), f"{where}: stage {position + 1}")
    return None
