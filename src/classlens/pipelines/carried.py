"""What flows through a foreign pipeline: whatever its transforms pass on, with the way its numbers are encoded.

A picture may be a Pillow image, a tensor or an array, alone or inside a tuple or a dict. How it is encoded is read off
the step from one stage to the next, so that a normalised tensor is shown as the picture that it encodes.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import CellType, CodeType, FunctionType
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow

from classlens.errors import DataError
from classlens.image import Encoding, Image, Triple, side_by_side

Foreign: TypeAlias = Any
"""An object of a framework: a transform, or what it takes and gives."""

Array: TypeAlias = np.ndarray[Any, np.dtype[Any]]

KEYS = ("image", "img", "pixel_values", "images", "input", "x")
"""Where a sample that is a dict keeps its picture."""

CHANNELS = (1, 3, 4)
"""How many channels a picture may have."""

AFFINE_ERROR = 1e-4
"""How far a normalisation may be from scale and shift, as a part of its range, by rounding alone."""


PER_UNIT = 2.0
"""A standard deviation below is one of pictures in 0..1."""

DEEPEST = 6
"""How many objects deep a Normalize is looked for inside a transform of the user's."""

PLAIN = Encoding()
"""A picture of whole numbers, 0..255."""


@dataclass(frozen=True, eq=False)
class Carried:
    """`value` as the transforms see it; `encoding` is how the picture in it reads once it is an array.

    `said` is what was remarked about the file that it comes from.
    """

    value: Foreign
    encoding: Encoding = PLAIN
    said: tuple[str, ...] = ()


def picture_in(value: Foreign) -> Foreign:
    """The picture in a sample: the sample itself, the value of a usual key, or the first picture of a tuple.

    Raises:
        DataError: there is none.
    """
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
        usual = [key for key in KEYS if key in value]
        inside = [value[key] for key in (*usual, *(key for key in value if key not in usual))]
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


def views(value: Foreign) -> list[Foreign]:
    """The pictures of a sample that has several, such as crops or the two views of contrastive learning.

    Only what is of the same kind as the first picture is a view of it: masks and boxes are not.
    """
    first = kind(picture_in(value))
    return [picture for picture in pictures(value) if kind(picture) == first and type(picture).__name__ != "Mask"]


def kind(picture: Foreign) -> Foreign:
    """The mode of a Pillow image; of an array its channels, 0 where it has no dimension for them."""
    if isinstance(picture, Pillow.Image):
        return picture.mode
    shape = tuple(picture.shape[-3:])
    if len(shape) < 3:
        return 0
    return shape[0] if hasattr(picture, "detach") or shape[2] not in CHANNELS else shape[2]


def with_picture(value: Foreign, change: Callable[[Foreign], Foreign]) -> Foreign:
    """A sample with its pictures changed; what else is in its tuple or dict stays.

    Raises:
        DataError: there is no picture.
    """
    for picture in views(value):
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


def array_of(picture: Foreign) -> tuple[Array, str]:
    """A picture as an array of three dimensions, and its layout; of a batch, the first one.

    Raises:
        DataError: it has another number of dimensions or channels.
    """
    if isinstance(picture, Pillow.Image):
        return np.array(picture.convert("RGB")), "HWC"
    tensor, array = hasattr(picture, "detach"), numbers_of(picture)
    array = array[0] if array.ndim == 4 else array
    if array.ndim == 2:
        return np.repeat(array[:, :, None], 3, axis=2), "HWC"
    if array.ndim == 3:
        first, last = array.shape[0] in CHANNELS, array.shape[2] in CHANNELS
        if first and (tensor or not last):
            return three_channels(array, axis=0), "CHW"
        if last:
            return three_channels(array, axis=2), "HWC"
    raise DataError(f"an array of shape {array.shape} is no picture", hint="a picture has 1, 3 or 4 channels")


def numbers_of(value: Foreign) -> Array:
    """A tensor or anything like an array as numpy's; numpy has no word for half of torch's kinds of floats."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if value.is_floating_point() and value.element_size() < 4 else value
    return np.asarray(value)


def three_channels(array: Array, *, axis: int) -> Array:
    """Grey three times; colour without its alpha channel."""
    if array.shape[axis] == 1:
        return np.repeat(array, 3, axis=axis)
    return array.take(range(3), axis=axis)


def carried_to_image(carried: Carried) -> Image:
    return side_by_side(*(decoded(*one, carried.encoding) for one in arrays_of(carried.value)))


def arrays_of(value: Foreign) -> Iterator[tuple[Array, str]]:
    """Every view in a sample as an array, and its layout; a stack of pictures is as many views."""
    for picture in views(value):
        stacked = not isinstance(picture, Pillow.Image) and picture.ndim == 4
        yield from map(array_of, picture if stacked else [picture])


def decoded(array: Array, layout: str, encoding: Encoding) -> Image:
    """An array as a picture."""
    if array.dtype == np.uint8:
        return Encoding("RGB", layout).decode(array)  # type: ignore[arg-type]
    return replace(encoding, layout=layout).decode(array.astype(np.float32))  # type: ignore[arg-type]


def remarks(carried: Carried) -> tuple[str, ...]:
    """What is unusual about a sample as loaded: numbers that no picture has."""
    white = carried.encoding.white
    for array, _ in arrays_of(carried.value):
        low, high = float(array.min()), float(array.max())
        if array.dtype != np.uint8 and (low < -1e-3 or high > white * 1.001):
            outside = f"its values lie in {low:.3g}..{high:.3g}, outside 0..{white:g}: what is outside is cut off"
            return (*carried.said, outside)
    return carried.said


def loaded(value: Foreign) -> Carried:
    """A sample as a dataset gives it; floats up to 1 are taken as 0..1, larger ones as 0..255."""
    array, layout = array_of(picture_in(value))
    white = 1.0 if array.dtype.kind == "f" and array.max(initial=0) <= 2 else 255.0
    return Carried(value, Encoding("RGB", layout, white))  # type: ignore[arg-type]


def encoding_after(transform: Foreign, before: Carried, value: Foreign) -> Encoding:
    """How the picture is encoded after a transform.

    A change from whole numbers to floats sets the range; a class named Normalize tells its mean and std; any other
    change that takes a picture out of its range by one scale and shift per channel is a normalisation, too, whoever
    wrote it.
    """
    picture = picture_in(value)
    if isinstance(picture, Pillow.Image):
        return PLAIN
    if value is before.value:
        return before.encoding
    new, layout = array_of(picture)
    encoding: Encoding = replace(before.encoding, layout=layout)  # type: ignore[arg-type]
    if new.dtype.kind != "f":
        return Encoding("RGB", layout)  # type: ignore[arg-type]
    old, old_layout = array_of(picture_in(before.value))
    if old.dtype.kind != "f":
        scaled = new.max() <= 1.001 and new.max() <= old.max() / 2
        encoding = Encoding("RGB", layout, 1.0 if scaled else 255.0)  # type: ignore[arg-type]
    known = told(transform, encoding)
    plain = (encoding.mean, encoding.std) == (PLAIN.mean, PLAIN.std)
    if known is not None or not plain or (new.min() >= -1e-3 and new.max() <= encoding.white * 1.001):
        return known or encoding
    fit = fitted(channels(old, old_layout), channels(new, layout), encoding)
    return fit or held(transform, encoding) or guessed(new, encoding)


def told(transform: Foreign, encoding: Encoding) -> Encoding | None:
    """The encoding after a transform that carries mean and std; None for others."""
    name = type(transform).__name__.casefold()
    mean, std = setting(transform, "mean"), setting(transform, "std")
    if "normalize" not in name or "denormalize" in name or mean is None or std is None:
        return None
    if getattr(transform, "normalization", "standard") != "standard":
        return None
    unit = float(getattr(transform, "max_pixel_value", None) or 1.0)
    means, stds = triple(mean), triple(std)
    shift = tuple(old + scale * new * unit for old, scale, new in zip(encoding.mean, encoding.std, means, strict=True))
    scale = tuple(old * new * unit for old, new in zip(encoding.std, stds, strict=True))
    return replace(encoding, white=unit if unit > 1 else encoding.white, mean=shift, std=scale)  # type: ignore[arg-type]


def held(transform: Foreign, encoding: Encoding, depth: int = 0) -> Encoding | None:
    """The encoding after a transform of the user's that holds one with mean and std; None where it holds none."""
    own = told(transform, encoding)
    if own is not None:
        return replace(own, white=1.0) if max(own.std) < PER_UNIT else own
    parts = parts_of(transform)
    parts = [part for part in parts if callable(part) or isinstance(part, (list, tuple, dict))]
    found = (held(part, encoding, depth + 1) for part in (parts if depth < DEEPEST else ()))
    return next((one for one in found if one is not None), None)


def parts_of(transform: Foreign) -> Sequence[Foreign]:
    """What a transform is made of: members, attributes, or the variables that a function finds around it."""
    if isinstance(transform, FunctionType):
        around = [cell.cell_contents for cell in transform.__closure__ or () if cell != CellType()]
        return [*around, *map(transform.__globals__.get, sorted(names_of(transform.__code__)))]
    inside = transform if isinstance(transform, (list, tuple, dict)) else getattr(transform, "__dict__", ())
    return list(inside.values() if isinstance(inside, dict) else inside)


def setting(transform: Foreign, name: str) -> Foreign:
    return getattr(transform, name, (getattr(transform, "flags", None) or {}).get(name))


def triple(values: Foreign) -> Triple:
    """Three numbers from one or three, given as a number, a sequence or a tensor."""
    flat = [float(f"{value:.6g}") for value in numbers_of(values).astype(np.float64).reshape(-1)]
    first, second, third = flat if len(flat) == 3 else flat[:1] * 3
    return first, second, third


def channels(array: Array, layout: str) -> Array:
    return np.asarray(array.reshape(3, -1) if layout == "CHW" else array.reshape(-1, 3).T, np.float64)


def fitted(old: Array, new: Array, encoding: Encoding) -> Encoding | None:
    """The encoding that makes `new` out of `old` by a scale and a shift for each channel; None if there is none."""
    if old.shape != new.shape or (np.ptp(old, axis=1) == 0).any():
        return None
    scale = np.ptp(new, axis=1) / np.ptp(old, axis=1)
    shift = new.min(axis=1) - scale * old.min(axis=1)
    error = np.abs(old * scale[:, None] + shift[:, None] - new).max(axis=1)
    if (scale <= 0).any() or (error > AFFINE_ERROR * np.ptp(new, axis=1)).any():
        return None
    white = 255.0 if old.max() > 1.001 else 1.0
    return replace(encoding, white=white, mean=triple(-shift / scale), std=triple(1 / scale))


def guessed(new: Array, encoding: Encoding) -> Encoding:
    """Values on both sides of 0 and within -1..1 are what is left of 0..1 after mean 0.5 and std 0.5."""
    if encoding.white == 1 and encoding.mean == (0, 0, 0) and -1.001 <= new.min() < -0.1:
        return replace(encoding, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return encoding


def names_of(code: CodeType) -> set[str]:
    """The names and texts in a piece of code, and in the functions inside it."""
    names = {*code.co_names, *(part for part in code.co_consts if isinstance(part, str))}
    return names.union(*(names_of(part) for part in code.co_consts if isinstance(part, CodeType)))
