"""Changing the size of an array, with the two backends that configs name.

Both give the pixels of `mmcv.imresize`: OpenCV samples without antialiasing (except `area`), Pillow with it.
"""

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.dataset.reading import Pixels
from classlens.errors import suggestion

CV2 = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW = {
    "nearest": Pillow.Resampling.NEAREST,
    "bilinear": Pillow.Resampling.BILINEAR,
    "bicubic": Pillow.Resampling.BICUBIC,
    "box": Pillow.Resampling.BOX,
    "lanczos": Pillow.Resampling.LANCZOS,
    "hamming": Pillow.Resampling.HAMMING,
}


def check(backend: str | None, interpolation: str) -> None:
    """Refuse names that the backend does not know, when the config is read rather than at the first picture.

    Without a backend it is OpenCV.
    """
    if backend not in ("cv2", "pillow", None):
        raise ValueError(f"the backend is cv2 or pillow, not {backend!r}")
    known = PILLOW if backend == "pillow" else CV2
    if interpolation not in tuple(known):
        near = suggestion(str(interpolation), known)
        raise ValueError(f"{backend or 'cv2'} has no interpolation {interpolation!r}; {near}")


def resize(pixels: Pixels, width: int, height: int, *, interpolation: str, backend: str | None) -> Pixels:
    """Resample to `width` x `height`."""
    if backend == "pillow":
        return np.array(Pillow.fromarray(pixels).resize((width, height), PILLOW[interpolation]))
    return cv2.resize(pixels, (width, height), interpolation=CV2[interpolation])


def fitted(width: int, height: int, long: float, short: float) -> tuple[int, int]:
    """The largest size of the same shape whose long edge is at most `long` and short edge at most `short`."""
    factor = min(long / max(width, height), short / min(width, height))
    return scaled(width, height, factor, factor)


def scaled(width: int, height: int, by_width: float, by_height: float) -> tuple[int, int]:
    """(width, height) times a factor, rounded half up."""
    return int(width * float(by_width) + 0.5), int(height * float(by_height) + 0.5)
