"""Pictures, and the ways in which frameworks encode them.

Inside classlens a picture is always an `Image`: RGB, height x width x 3, uint8. What a framework hands over
(BGR arrays, channel-first tensors, mean/std-normalised floats) is described by an `Encoding`;
only `Encoding.decode` and `Encoding.encode` cross from one to the other.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from classlens.arrays import Float32, Shaped, UInt8
from classlens.errors import DataError
from classlens.results import Array, Drawable

Triple = tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class Image(Drawable, Array):
    """A picture for human eyes: RGB, 0..255.

    `encoded` is what a test pipeline made of it, where it comes out of one: the numbers that a network is fed, of which
    `pixels` are only the look. `name` is that of the file it was read from, if any. To numpy it is its pixels.
    """

    pixels: UInt8[np.ndarray, "height width 3"]
    encoded: Float32[np.ndarray, "3 height width"] | None = None
    name: str = ""
    numbers: ClassVar[str] = "pixels"

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


CHANNELS = {1: "grey", 3: "colour", 4: "colour and alpha"}


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
        for name in ("mean", "std"):  # a list or an array would equal no other encoding
            object.__setattr__(self, name, tuple(float(value) for value in getattr(self, name)))
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


def pictures_in(numbers: object, encoding: Encoding | None, *, where: str) -> list[tuple[Image, np.ndarray]]:
    """The pictures in an array or tensor of one or several, and the numbers of each, channels as the encoding has them.

    Without an encoding only what can mean one thing is read: numpy arrays of uint8, height x width (grey), or with 1, 3
    or 4 channels (RGB, alpha is left out) at the end.

    Raises:
        DataError: there is more than one way to read the numbers, or they do not fit the encoding.
    """
    is_tensor = hasattr(numbers, "detach")
    if is_tensor:  # on any device, in any precision
        tensor: Any = numbers.detach().cpu()  # type: ignore[attr-defined]
        numbers = tensor.float() if tensor.is_floating_point() else tensor
    array = np.asarray(numbers)
    what = f"{where}: {'a tensor' if is_tensor else 'an array'} of {array.dtype}, {' x '.join(map(str, array.shape))}"
    if array.dtype.kind not in "uif" or not array.size:
        raise DataError(f"{what}, is no picture", hint="a picture has height x width numbers, or three times as many")
    if encoding is None and (is_tensor or array.dtype != np.uint8):
        raise DataError(f"{what}, could be encoded in several ways", hint=encoding_hint(array))
    layout = "HWC" if encoding is None else encoding.layout
    if array.ndim == 2:
        array = array[..., None] if layout == "HWC" else array[None]
    batch = array[None] if array.ndim == 3 else array
    axis = -1 if layout == "HWC" else -3
    if batch.ndim != 4 or batch.shape[axis] not in CHANNELS:
        place = "at the end" if axis == -1 else "in front of height and width"
        hint = encoding_hint(array) if encoding is None else f"it says {layout}: 1, 3 or 4 channels {place}"
        raise DataError(f"{what}, has no channels {place}", hint=hint)
    encoding = encoding or Encoding()
    colours = [0, 0, 0] if batch.shape[axis] == 1 else [0, 1, 2]  # grey is three equal channels
    batch = np.take(batch, colours, axis)
    check_range(np.moveaxis(batch, axis, -1).reshape(-1, 3), encoding, what)
    return [(encoding.decode(one), one) for one in batch]


def encoding_hint(array: np.ndarray, layout: Literal["HWC", "CHW"] | None = None) -> str:
    """How to say what an array is: the encoding that its shape, its kind and its range speak for, if there is one."""
    is_first = layout == "CHW" if layout else array.ndim > 2 and array.shape[-1] not in CHANNELS
    low, high = float(array.min()), float(array.max())
    white = 65535 if high > 255 else 1.0 if array.dtype.kind == "f" and high <= 1 else 255
    ready = "encoding=classifier.encoding for numbers that are ready for the network"
    if not 0 <= low <= high <= 65535:
        return f"say how: {ready}, or their layout, white, mean and std in cl.Encoding(...)"
    own = f"encoding=cl.Encoding(layout='{'CHW' if is_first else 'HWC'}', white={white})"
    place = f"channels {'first' if is_first else 'last'}"
    return f"say how, e.g. {own} for 0..{white:g} with {place} (order='BGR' for OpenCV's), or {ready}"


def check_range(numbers: Shaped[np.ndarray, "pixels 3"], encoding: Encoding, what: str) -> None:
    """Refuse numbers that would be shown as white or black nearly everywhere: they are encoded otherwise."""
    low, high = float(numbers.min()), float(numbers.max())
    # By channel: what is usual beside one std is far away beside another.
    ends = np.stack([numbers.min(axis=0), numbers.max(axis=0)]) * encoding.std + encoding.mean
    is_far = not np.isfinite(ends).all() or ends.min() < -encoding.white or ends.max() > 2 * encoding.white
    is_dark = numbers.dtype.kind == "f" and 0 < high <= 1 < encoding.white and encoding.std == Encoding.std
    if is_far or (is_dark and not any(encoding.mean)):
        raise DataError(
            f"{what}, from {low:.4g} to {high:.4g}, does not fit {encoding}",
            hint=encoding_hint(numbers, encoding.layout),
        )
