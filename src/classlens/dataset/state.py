"""What flows through every pipeline: a sample as its transforms pass it on, with the way its picture is encoded.

A picture may be a Pillow image, a tensor or an array, alone or inside a tuple or a dict. States are never changed in
place; every stage makes a new one, or hands the same one on when it does nothing.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.dataset.decode import Pixels
from classlens.errors import DataError
from classlens.image import Encoding, Image, side_by_side

Foreign: TypeAlias = Any  # an object of a framework: a transform, or what it takes and gives
Layout: TypeAlias = Literal["HWC", "CHW"]

PLAIN, BGR = Encoding(), Encoding(order="BGR")
"""A picture of whole numbers, 0..255, and the same as OpenCV and OpenMMLab keep it."""

KEYS = ("pixel_values", "image", "img", "images", "input", "x")
"""Where a sample that is a dict keeps its picture. First is what transformers feed: the photo often stays beside it."""
CHANNELS = (1, 3, 4)


@dataclass(frozen=True, eq=False)
class State:
    """`value` as the transforms see it; `encoding` is how the picture in it reads once it is an array.

    `remarks` are about the file that it comes from. `views` are shown instead, where one sample was made several.
    `full` is the true (height, width) of a picture that was decoded smaller, for looking at only.
    """

    value: Foreign
    encoding: Encoding = PLAIN
    path: str | None = None
    remarks: tuple[str, ...] = ()
    views: tuple["State", ...] = ()
    full: tuple[int, int] | None = None

    @property
    def pixels(self) -> Pixels:
        """The picture as an array, as native transforms want it."""
        if isinstance(self.value, Pillow.Image):
            return np.asarray(self.value)
        if not isinstance(self.value, np.ndarray):
            raise TypeError(f"this stage needs an array, the stage before it left a {type(self.value).__name__}")
        return self.value

    def with_pixels(self, pixels: Pixels) -> "State":
        if isinstance(self.value, Pillow.Image):
            return replace(self, value=Pillow.fromarray(np.ascontiguousarray(pixels)))
        return self if pixels is self.value else replace(self, value=pixels)


def to_image(state: State) -> Image:
    """Any state as a picture for human eyes: normalisation undone, grey as grey, views side by side.

    Of an unknown normalisation the lowest value is shown black, and the highest white.
    """
    if state.views:
        return side_by_side(*map(to_image, state.views))
    value, encoding = state.value, state.encoding
    if isinstance(value, np.ndarray) and value.dtype == np.uint8 and value.shape[2:] == (3,) and encoding == BGR:
        return Image(cv2.cvtColor(value, cv2.COLOR_BGR2RGB))  # as below, several times faster
    images = []
    for array, layout in arrays_of(value, encoding.layout):
        if array.dtype == np.uint16 and encoding.order == "BGR":
            array = (array >> 8).astype(np.uint8)  # OpenCV's own 16 bits, shown as viewers do: by the high byte
        if array.dtype == np.uint8:
            images.append(Encoding(encoding.order, layout).decode(array))
        elif is_stretched(array, encoding):
            low, span = float(array.min()), max(float(np.ptp(array)), 1e-6)
            images.append(Encoding(encoding.order, layout, span, (-low, -low, -low)).decode(array.astype(np.float32)))
        else:
            images.append(replace(encoding, layout=layout).decode(array.astype(np.float32, copy=False)))
    return side_by_side(*images)


def is_stretched(array: Pixels, encoding: Encoding) -> bool:
    """Whether floats lie so far below 0 that something normalised them, and nothing says how.

    What resizing leaves below 0 is less than a tenth.
    """
    if array.dtype.kind != "f" or not array.size or (encoding.mean, encoding.std) != (PLAIN.mean, PLAIN.std):
        return False
    return float(array.min()) < -0.1 * max(1.0, float(array.max()))


def picture_in(value: Foreign) -> Foreign:
    """The picture in a sample: the sample itself, the value of a usual key, or the first picture of a tuple."""
    for picture in pictures(value):
        return picture
    raise DataError(
        f"a sample of type {type(value).__name__} holds no picture",
        hint="a picture is a Pillow image, a tensor or an array, alone, in a tuple, or in a dict under 'image'",
    )


def pictures(value: Foreign) -> Iterator[Foreign]:
    """Everything in a sample that may be a picture, what stands under a usual key first."""
    if isinstance(value, Pillow.Image) or getattr(value, "ndim", 0) >= 2:
        yield value
        return
    inside: Sequence[Foreign] = ()
    if isinstance(value, Mapping):
        inside = [value[key] for key in dict.fromkeys((*filter(value.__contains__, KEYS), *value))]
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        inside = value
    for part in inside:
        if holds_picture(part):
            yield from pictures(part)


def holds_picture(value: Foreign) -> bool:
    """Whether a part of a sample is a picture, a list of them, or a dict with one under a usual key."""
    if isinstance(value, Mapping):
        return any(key in value for key in KEYS)
    return next(pictures(value), None) is not None


def pictures_alike(value: Foreign) -> list[Foreign]:
    """The pictures of a sample that has several, such as crops; those of another kind than the first are masks."""

    def kind(picture: Foreign) -> Foreign:
        """The mode of a Pillow image; of an array its channels, 0 where it has no dimension for them."""
        if isinstance(picture, Pillow.Image):
            return picture.mode
        is_first = hasattr(picture, "detach") or picture.shape[-1] not in CHANNELS
        return picture.shape[-3 if is_first else -1] if picture.ndim > 2 else 0

    first = kind(picture_in(value))
    return [picture for picture in pictures(value) if kind(picture) == first and type(picture).__name__ != "Mask"]


def with_picture(value: Foreign, change: Callable[[Foreign], Foreign]) -> Foreign:
    """A sample with its pictures changed; what else is in its tuple or dict stays."""
    for picture in pictures_alike(value):
        value = put_in_place(value, picture, change(picture))
    return value


def put_in_place(value: Foreign, old: Foreign, new: Foreign) -> Foreign:
    """The sample with one object in it exchanged."""
    if value is old:
        return new
    if isinstance(value, Mapping):
        return {key: put_in_place(part, old, new) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return tuple(put_in_place(part, old, new) for part in value)
    return value


def arrays_of(value: Foreign, layout: Layout = "HWC") -> Iterator[tuple[Pixels, Layout]]:
    """Every view in a sample as an array, and its layout; a stack of pictures is as many views."""
    for picture in pictures_alike(value):
        stacked = not isinstance(picture, Pillow.Image) and picture.ndim == 4
        yield from (array_of(one, layout) for one in (picture if stacked else [picture]))


def array_of(picture: Foreign, layout: Layout = "HWC") -> tuple[Pixels, Layout]:
    """A picture, of a batch the first, as an array of three channels; its layout is `layout` where it may be."""
    if isinstance(picture, Pillow.Image):
        return np.array(picture.convert("RGB")), "HWC"
    array = numbers_of(picture)
    array = array[0] if array.ndim == 4 else array
    axis = 2
    if array.ndim == 2:
        array = array[:, :, None]
    elif array.ndim == 3 and array.shape[0] in CHANNELS:
        axis = 0 if hasattr(picture, "detach") or array.shape[2] not in CHANNELS or layout == "CHW" else 2
    if array.ndim != 3 or array.shape[axis] not in CHANNELS or not array.size:
        raise DataError(f"an array of shape {array.shape} is no picture", hint="a picture has 1, 3 or 4 channels")
    pixels = np.repeat(array, 3, axis) if array.shape[axis] == 1 else array.take(range(3), axis)
    return pixels, "HWC" if axis else "CHW"


def numbers_of(value: Foreign) -> Pixels:
    """A tensor or anything like an array as numpy's; numpy has no word for half of torch's kinds of floats."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
    return np.asarray(value)


def picture_like(picture: Foreign, *, pixels: Pixels, encoding: Encoding) -> Foreign:
    """Pixels as a picture of the kind of another one: Pillow's, a tensor or an array, in its layout, range and size."""
    if isinstance(picture, Pillow.Image):
        return Pillow.fromarray(pixels).convert(picture.mode)
    array, layout = array_of(picture, encoding.layout)
    values = pixels if layout == "HWC" else pixels.transpose(2, 0, 1)
    if array.dtype.kind == "f":
        values = replace(encoding, layout=layout).encode(Image(pixels))
    axis = 2 if layout == "HWC" else 0
    if picture.ndim == 2:
        values = values.take(0, axis)
    elif picture.shape[-3:][axis] != 3:
        values = values.take([0] * picture.shape[-3:][axis], axis)
    if hasattr(picture, "clone"):
        return picture.clone().copy_(picture.new_tensor(values))
    other = picture.copy()
    other[...] = values
    return other
