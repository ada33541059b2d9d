"""Pictures, and the ways in which frameworks encode them.

Inside classlens a picture is always an `Image`: RGB, height x width x 3, uint8. What a framework hands over
(BGR arrays, channel-first tensors, mean/std-normalised floats) is described by an `Encoding`;
only `Encoding.decode` and `Encoding.encode` cross from one to the other.
"""

from dataclasses import dataclass
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Literal

import numpy as np

from classlens.arrays import Float32, Shaped, UInt8
from classlens.files import write_whole

Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Image:
    """A picture for human eyes: RGB, 0..255.

    `encoded` is what a test pipeline made of it, where it comes out of one: the numbers that a network is fed, of which
    `pixels` are only the look.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    encoded: Float32[np.ndarray, "3 height width"] | None = None

    def __post_init__(self) -> None:
        pixels = self.pixels
        if pixels.dtype != np.uint8 or pixels.ndim != 3 or pixels.shape[2] != 3 or 0 in pixels.shape:
            raise ValueError(f"an image is uint8, height x width x 3, not {pixels.dtype} {pixels.shape}")

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        height, width, _ = self.pixels.shape
        return height, width

    def __repr__(self) -> str:
        height, width = self.size
        return f"<Image {width} x {height}>"

    def save(self, path: str | PathLike[str]) -> None:
        """Write a picture file, and the folders on the way; the ending says the format (.png, .jpg, ...).

        Raises:
            ValueError: the ending is no picture format.
            DataError: the file cannot be written.
        """
        from PIL import Image as Pillow

        target = Path(path)
        kind = Pillow.registered_extensions().get(target.suffix.lower())
        if kind is None:
            raise ValueError(f"{target}: cannot write a picture with the ending {target.suffix!r}")
        write_whole(target, lambda file: Pillow.fromarray(self.pixels).save(file, kind))

    def _repr_png_(self) -> bytes:
        """What a notebook shows."""
        from PIL import Image as Pillow

        buffer = BytesIO()
        Pillow.fromarray(self.pixels).save(buffer, "PNG")
        return buffer.getvalue()


GAP = 4  # pixels between pictures that are put side by side


def side_by_side(*images: Image) -> Image:
    """Pictures of any height next to each other on white; a single one as it is."""
    if len(images) == 1:
        return images[0]
    width = sum(image.size[1] + GAP for image in images) - GAP
    sheet = np.full((max(image.size[0] for image in images), width, 3), 255, np.uint8)
    left = 0
    for image in images:
        height, width = image.size
        sheet[:height, left : left + width] = image.pixels
        left += width + GAP
    return Image(sheet)


@dataclass(frozen=True)
class Encoding:
    """How a framework writes a picture into an array.

    `white` is the value of a saturated channel before normalisation (1.0 or 255.0); `mean` and `std` are in the
    same unit and in the array's own channel order.
    """

    order: Literal["RGB", "BGR"] = "RGB"
    layout: Literal["HWC", "CHW"] = "HWC"
    white: float = 255.0
    mean: Triple = (0.0, 0.0, 0.0)
    std: Triple = (1.0, 1.0, 1.0)

    def __post_init__(self) -> None:
        if self.white <= 0 or 0 in self.std:
            raise ValueError(f"white and std divide, so they cannot be 0: white {self.white}, std {self.std}")

    def decode(self, array: Shaped[np.ndarray, "a b c"]) -> Image:
        """Undo the encoding; values outside the displayable range are clipped."""
        pixels = array.transpose(1, 2, 0) if self.layout == "CHW" else array
        if self != Encoding(self.order, self.layout) or pixels.dtype != np.uint8:
            scaled = (pixels * np.asarray(self.std) + np.asarray(self.mean)) * (255.0 / self.white)
            pixels = scaled.round().clip(0, 255).astype(np.uint8)
        return Image(np.ascontiguousarray(pixels[..., ::-1] if self.order == "BGR" else pixels))

    def encode(self, image: Image) -> Float32[np.ndarray, "a b c"]:
        """Apply the encoding; the inverse of `decode` up to rounding."""
        pixels = image.pixels[..., ::-1] if self.order == "BGR" else image.pixels
        scaled = pixels.astype(np.float32) * np.float32(self.white / 255.0)
        array = (scaled - np.asarray(self.mean, np.float32)) / np.asarray(self.std, np.float32)
        return np.ascontiguousarray(array.transpose(2, 0, 1) if self.layout == "CHW" else array)
