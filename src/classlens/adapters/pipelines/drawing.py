"""What transforms drew, in one set of words: boxes as (left, top, width, height), plain numbers, nothing unset."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np

from classlens.adapters.pipelines.carried import numbers_of

Value: TypeAlias = Any
"""Whatever a framework draws: numbers, tensors, nested tuples of them."""

LONGEST = 8
"""Arrays with more values than this are noise or displacement fields: not worth showing as numbers."""

BOXES = {"RandomCrop", "RandomResizedCrop", "RandomResizedCropAndInterpolation", "RandomSizedCrop"}
COLOURS = ("brightness", "contrast", "saturation", "hue")
TUPLES: Mapping[str, tuple[str, ...]] = {
    "RandomAffine": ("angle", "translate", "scale", "shear"),
    "RandomPerspective": ("from", "to"),
    "AutoAugment": ("policy",),
}
"""How the tuples of torchvision's first generation are read; the rest of a tuple is left out."""

HIDDEN = {"needs_crop", "needs_pad", "shape", "rows", "cols", "interpolation", "fill", "fill_mask", "seed"}
"""Parameters that follow from the picture or the settings, or mean nothing to the eye."""

SINGLE: Mapping[str, str] = {"RandomRotation": "angle", "GaussianBlur": "sigma"}


def named(kind: str, drawn: Value) -> dict[str, object]:
    """The values drawn by a transform of class `kind`, by name."""
    if isinstance(drawn, Mapping):
        return named_mapping(drawn)
    if kind in BOXES:
        top, left, height, width = map(int, drawn)
        return {"box": (left, top, width, height)}
    if kind == "RandomErasing":
        top, left, height, width = map(int, drawn[:4])
        return {"erase": (left, top, width, height)}
    if kind == "ColorJitter":
        order, *factors = drawn
        return jitter(order, dict(zip(COLOURS, factors, strict=True)))
    if kind in SINGLE:
        return {SINGLE[kind]: plain(drawn)}
    values = drawn if isinstance(drawn, tuple) else (drawn,)
    names = TUPLES.get(kind, tuple(f"value {position + 1}" for position in range(len(values))))
    return kept({name: plain(value) for name, value in zip(names, values, strict=False)})


def named_mapping(drawn: Mapping[str, Value]) -> dict[str, object]:
    """The parameters of a transform that names them itself."""
    given = dict(drawn)
    for corner, name in ((("left", "top", "width", "height"), "box"), (("j", "i", "w", "h"), "erase")):
        if all(given.get(part) is not None for part in corner):
            given = {name: tuple(int(given.pop(part)) for part in corner), **given}
    if "erase" in given:
        given.pop("v", None)
    if "fn_idx" in given:
        factors = {name: given.get(f"{name}_factor") for name in COLOURS}
        return jitter(given["fn_idx"], factors)
    return kept({key: plain(value) for key, value in given.items() if key not in HIDDEN and not is_default(value)})


def jitter(order: Value, factors: Mapping[str, Value]) -> dict[str, object]:
    """The factors of a colour jitter in the order in which they are applied."""
    names = [COLOURS[int(position)] for position in order]
    return {name: plain(factors[name]) for name in names if factors[name] is not None}


def kept(values: Mapping[str, object]) -> dict[str, object]:
    """Without what has no short value."""
    return {key: value for key, value in values.items() if value is not None}


def is_default(value: Value) -> bool:
    """False, an empty list and a list of zeros (a padding) say that something was not needed."""
    return value is None or value is False or (isinstance(value, (list, tuple, dict)) and not any(value))


def plain(value: Value) -> object:
    """Numbers, strings and short tuples of them; None for anything that cannot be shown in a few words."""
    if hasattr(value, "detach"):
        value = numbers_of(value)
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist() if value.size <= LONGEST else None
    if isinstance(value, (list, tuple)):
        parts = tuple(plain(part) for part in value)
        if None in parts or len(parts) > LONGEST:
            return None
        return parts[0] if len(parts) == 1 else parts
    if isinstance(value, float):
        return float(f"{value:.6g}")
    return value if isinstance(value, (bool, int, str)) else None
