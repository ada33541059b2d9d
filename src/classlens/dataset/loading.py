"""How a picture file is loaded: with which decoder, in which colours, and how small for looking only."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np

from classlens.dataset.dataset import MaxSide
from classlens.dataset.decode import CV2_FLAGS, Backend, checked_header, decode, remarks_on
from classlens.dataset.decoder_warnings import DAMAGED, capture_stderr, damage, wrong_checksum
from classlens.dataset.state import State


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

        `max_side` says for the longer side how many pixels of it are enough for looking: a JPEG may then be smaller.

        Raises:
            DataError: it cannot be decoded by the configured backend, or is too large.
        """
        header, backend = checked_header(data, path), cast(Backend, self.imdecode_backend)
        is_jpeg = header is not None and header.format in ("JPEG", "MPO")
        turns = self.color_type in ("color", "grayscale")
        if backend == "cv2" and header and header.format == "AVIF":
            turns = False  # OpenCV leaves these as they are stored
        shrink = 1
        if max_side is not None and header and is_jpeg and backend == "cv2" and self.color_type != "unchanged":
            longest = max(header.size)
            shrink = next((by for by in (8, 4, 2) if longest >= by * max_side(longest)), 1)
        with capture_stderr() as lines:
            pixels = decode(data, backend=backend, color=self.color_type, where=path, shrink=shrink)
            if backend == "pillow" and is_jpeg:  # only OpenCV says what is damaged in a JPEG
                cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_REDUCED_GRAYSCALE_8)
        remarks = remarks_on(header, path, turned=turns) if header else ()
        if reason := damage(lines) or wrong_checksum(data):
            remarks = (DAMAGED + reason, *remarks)
        full = None
        if header and shrink > 1:
            height, width = header.size
            full = (width, height) if header.orientation > 4 and turns else (height, width)
        return State(pixels.astype("float32") if self.to_float32 else pixels, path=path, remarks=remarks, full=full)
