"""How a picture file is loaded: with which decoder, in which colours, and how small for looking only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, cast

import cv2
import numpy as np

from classlens.dataset.dataset import MaxSide
from classlens.dataset.decode import CV2_FLAGS, checked_header, decode, remarks_on
from classlens.dataset.decoder_warnings import DAMAGED, capture_stderr, damage, wrong_checksum
from classlens.dataset.state import BGR, State


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

    def state(self, data: bytes, path: str, *, max_side: MaxSide | None = None) -> State:
        """The picture in `data` as training would load it, with what is unusual about the file.

        `max_side` gives for the longer side how many pixels of it are enough for looking: a JPEG may then be smaller.

        Raises:
            DataError: it cannot be decoded by the configured backend, or is too large.
        """
        header = checked_header(data, path)
        backend = cast(Literal["cv2", "pillow"], self.imdecode_backend)
        jpeg = header is not None and header.format in ("JPEG", "MPO")
        with capture_stderr() as lines:
            shrink = 1
            if jpeg and header and max_side is not None and backend == "cv2" and self.color_type != "unchanged":
                longest = max(header.size)
                shrink = next((by for by in (8, 4, 2) if longest >= by * max_side(longest)), 1)
            pixels = decode(data, backend=backend, color=self.color_type, where=path, shrink=shrink)
            if jpeg and backend == "pillow":  # Pillow is silent about damage; libjpeg under OpenCV writes what it finds
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        remarks: tuple[str, ...] = ()
        full = None
        if header:
            # OpenCV leaves AVIF as it is stored
            turned = self.color_type in ("color", "grayscale") and (backend, header.format) != ("cv2", "AVIF")
            remarks = remarks_on(header, path, turned=turned)
            if shrink > 1:
                full = header.size[::-1] if header.orientation > 4 and turned else header.size
        if trouble := damage(lines) or wrong_checksum(data):
            remarks = (DAMAGED + trouble, *remarks)
        return State(pixels.astype("float32") if self.to_float32 else pixels, BGR, path, remarks, full=full)
