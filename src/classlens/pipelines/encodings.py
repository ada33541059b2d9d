"""How a framework's transforms encode a picture, read off the step from one stage to the next.

So a normalised tensor is shown as the picture that it encodes, whoever wrote the transform.
"""

from collections.abc import Sequence
from dataclasses import replace
from types import CellType, CodeType, FunctionType

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.decode import Pixels
from classlens.dataset.state import PLAIN, Foreign, State, array_of, arrays_of, numbers_of, picture_in
from classlens.image import Encoding, Triple

AFFINE_ERROR = 1e-4
"""How far a normalisation may be from scale and shift, as a part of its range, by rounding alone."""

PER_UNIT = 2.0
"""A standard deviation below is one of pictures in 0..1."""

DEEPEST = 6
"""How many objects deep a Normalize is looked for inside a transform of the user's."""


def remarks(state: State) -> tuple[str, ...]:
    """What is unusual about a sample as loaded: numbers that no picture has."""
    white = state.encoding.white
    for array, _ in arrays_of(state.value):
        low, high = float(array.min()), float(array.max())
        if array.dtype != np.uint8 and (low < -1e-3 or high > white * 1.001):
            outside = f"its values lie in {low:.3g}..{high:.3g}, outside 0..{white:g}: what is outside is cut off"
            return (*state.remarks, outside)
    return state.remarks


def loaded(value: Foreign) -> State:
    """A sample as a dataset gives it; floats up to 1 are taken as 0..1, larger ones as 0..255."""
    array, layout = array_of(picture_in(value))
    white = 1.0 if array.dtype.kind == "f" and array.max(initial=0) <= 2 else 255.0
    return State(value, Encoding("RGB", layout, white))


def encoding_after(transform: Foreign, before: State, value: Foreign) -> Encoding:
    """How the picture is encoded after a transform.

    A change from whole numbers to floats sets the range; a class named Normalize tells its mean and std; any other
    change that takes a picture out of its range by one scale and shift per channel is a normalisation, too, whoever
    wrote it.
    """
    picture = picture_in(value)
    if isinstance(picture, Pillow.Image):
        return Encoding(before.encoding.order)
    if value is before.value:
        return before.encoding
    new, layout = array_of(picture)
    encoding = replace(before.encoding, layout=layout)
    if new.dtype.kind != "f":
        return Encoding(encoding.order, layout)
    old, old_layout = array_of(picture_in(before.value))
    if old.dtype.kind != "f":
        scaled = new.max() <= 1.001 and new.max() <= old.max() / 2
        encoding = Encoding(encoding.order, layout, 1.0 if scaled else 255.0)
    stated = stated_encoding(transform, encoding)
    plain = (encoding.mean, encoding.std) == (PLAIN.mean, PLAIN.std)
    if stated is not None or not plain or (new.min() >= -1e-3 and new.max() <= encoding.white * 1.001):
        return stated or encoding
    fit = fit_encoding(channels(old, old_layout), channels(new, layout), encoding)
    fit = fit or nested_encoding(transform, encoding)
    if fit is None and encoding.white == 1 and -1.001 <= new.min() < -0.1:
        # on both sides of 0 and within -1..1 is what is left of 0..1 after mean 0.5 and std 0.5
        return replace(encoding, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return fit or encoding


def stated_encoding(transform: Foreign, encoding: Encoding) -> Encoding | None:
    """The encoding after a transform that carries mean and std; None for others."""
    name, flags = type(transform).__name__.casefold(), getattr(transform, "flags", None) or {}
    mean, std = (getattr(transform, key, flags.get(key)) for key in ("mean", "std"))
    if "normalize" not in name or "denormalize" in name or mean is None or std is None:
        return None
    if getattr(transform, "normalization", "standard") != "standard":
        return None
    unit = float(getattr(transform, "max_pixel_value", None) or 1.0)
    means, stds = triple(mean), triple(std)
    shift = tuple(old + scale * new * unit for old, scale, new in zip(encoding.mean, encoding.std, means, strict=True))
    scale = tuple(old * new * unit for old, new in zip(encoding.std, stds, strict=True))
    return replace(encoding, white=unit if unit > 1 else encoding.white, mean=shift, std=scale)  # type: ignore[arg-type]


def nested_encoding(transform: Foreign, encoding: Encoding, depth: int = 0) -> Encoding | None:
    """The encoding after a transform of the user's that holds one with mean and std; None where it holds none."""
    own = stated_encoding(transform, encoding)
    if own is not None:
        return replace(own, white=1.0) if max(own.std) < PER_UNIT else own
    parts = parts_of(transform) if depth < DEEPEST else ()
    parts = [part for part in parts if callable(part) or isinstance(part, (list, tuple, dict))]
    encodings = (nested_encoding(part, encoding, depth + 1) for part in parts)
    return next((one for one in encodings if one is not None), None)


def parts_of(transform: Foreign) -> Sequence[Foreign]:
    """What a transform is made of: members, attributes, or the variables that a function finds around it."""
    if isinstance(transform, FunctionType):
        around = [cell.cell_contents for cell in transform.__closure__ or () if cell != CellType()]
        return [*around, *map(transform.__globals__.get, sorted(names_of(transform.__code__)))]
    inside = transform if isinstance(transform, (list, tuple, dict)) else getattr(transform, "__dict__", ())
    return list(inside.values() if isinstance(inside, dict) else inside)


def triple(values: Foreign) -> Triple:
    """Three numbers from one or three, given as a number, a sequence or a tensor."""
    flat = [float(f"{value:.6g}") for value in numbers_of(values).astype(np.float64).reshape(-1)]
    first, second, third = flat if len(flat) == 3 else flat[:1] * 3
    return first, second, third


def channels(array: Pixels, layout: str) -> Pixels:
    return np.asarray(array.reshape(3, -1) if layout == "CHW" else array.reshape(-1, 3).T, np.float64)


def fit_encoding(old: Pixels, new: Pixels, encoding: Encoding) -> Encoding | None:
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


def names_of(code: CodeType) -> set[str]:
    """The names and texts in a piece of code, and in the functions inside it."""
    names = {*code.co_names, *(part for part in code.co_consts if isinstance(part, str))}
    return names.union(*(names_of(part) for part in code.co_consts if isinstance(part, CodeType)))
