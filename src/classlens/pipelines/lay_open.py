"""Transforms of any framework laid open as stages: what a composition consists of, and how each encodes a picture.

The encoding is read off the step from one stage to the next, so a normalised tensor is shown as the picture that it
encodes, whoever wrote the transform.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module
from types import CellType, CodeType, FunctionType

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.decode import Pixels
from classlens.dataset.state import PLAIN, Foreign, State, array_of, arrays_of, is_stretched, numbers_of, picture_in
from classlens.errors import DataError
from classlens.image import Encoding, Triple
from classlens.pipelines import listen
from classlens.pipelines.listen import is_sequence, name_of, probability
from classlens.user_code import users_code


def lay_open(transform: Foreign, *, joint: bool = False) -> tuple[Stage, ...]:
    """The stages of a transform: one for each member of nested lists, `Compose`s and `Sequential`s.

    Containers that draw (RandomApply, RandomChoice, OneOf, ...) stay one stage and tell what they chose. `joint`
    transforms take picture and label as two arguments, and pass them on as a pair.
    """
    return tuple(stage_of(member, joint=joint) for member in members(transform))


def members(transform: Foreign) -> Iterator[Foreign]:
    inner = parts(transform)
    if inner is None:
        yield transform
    for part in inner or ():
        yield from members(part)


def parts(transform: Foreign) -> Sequence[Foreign] | None:
    """What a container runs in order and always, nothing if there is no transform; None for a single one."""
    kind = type(transform)
    if transform is None or is_sequence(transform):
        return list(transform or ())
    if kind.__name__ == "Sequential" and hasattr(transform, "children"):
        return list(transform.children())
    if (base := kornia_base(transform)) is not None:
        in_order = base.__name__ in ("AugmentationSequential", "ImageSequential") and not transform.random_apply
        return list(transform.children()) if in_order else None
    composed = any(base.__name__ == "Compose" for base in kind.__mro__)
    if composed and is_sequence(getattr(transform, "transforms", None)) and probability(transform) in (None, 1.0):
        return list(transform.transforms)
    if kind.__name__ != "ImageClassification" or not kind.__module__.startswith("torchvision."):
        return None
    transforms = import_module("torchvision.transforms")  # it is a preset, `weights.transforms()`
    return (
        transforms.Resize(transform.resize_size, transform.interpolation, antialias=transform.antialias),
        transforms.CenterCrop(transform.crop_size),
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(import_module("torch").float),
        transforms.Normalize(transform.mean, transform.std),
    )


def kornia_base(transform: Foreign) -> type | None:
    """The class of kornia that an augmentation is of; None for all else."""
    return next((base for base in type(transform).__mro__ if base.__module__.startswith("kornia.augmentation")), None)


def stage_of(transform: Foreign, *, joint: bool = False, encoder: Foreign = None) -> Stage:
    """One transform as a stage; how its result is encoded is read off `encoder`, where that is a part of it."""
    shown, hidden = (bool, int, float, str, tuple, list), ("training", "transforms")
    settings = {
        name: value
        for name, value in getattr(transform, "__dict__", {}).items()
        if isinstance(value, shown) and not name.startswith("_") and name not in hidden
    }

    def apply(before: State, random: np.random.Generator) -> Outcome:
        """Run the transform on the sample and say what it drew, or what it changed besides the picture."""
        value = before.value
        with users_code(name_of(transform), DataError):
            if listen.is_albumentations(transform):
                outcome = listen.watch_albumentations(transform, value, random)
            elif kornia_base(transform) is not None:
                outcome = listen.watch_kornia(transform, value)
            else:
                outcome = listen.watch(transform, *(value if joint and isinstance(value, tuple) else [value]))
        output = outcome.state
        if output is value:
            return replace(outcome, state=before)
        encoding = encoding_after(transform if encoder is None else encoder, before, output)
        after = replace(before, value=output, encoding=encoding)
        return Outcome(after, outcome.params, outcome.note or describe_change(before, after))

    return Stage(name_of(transform), apply, settings, draws_globally=not listen.is_albumentations(transform))


def describe_change(before: State, after: State) -> str:
    """What became of the array where no pixel changed for the eye: its type, its layout, its normalisation."""
    old, new = describe_form(before.value), describe_form(after.value)
    changes = [] if old == new else [f"now {new}"]
    scale = after.encoding.mean, after.encoding.std
    if scale not in ((before.encoding.mean, before.encoding.std), (PLAIN.mean, PLAIN.std)):
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in scale)
        changes.append(f"normalised: mean {mean}, std {std}")
    if is_stretched(array_of(picture_in(after.value))[0], after.encoding):
        changes.append(STRETCHED)
    return "; ".join(changes)


def describe_form(value: Foreign) -> str:
    """The kind of a picture in a few words; its size is left out."""
    count, picture = len(list(arrays_of(value))), picture_in(value)
    several = f"{count} views, " if count > 1 else ""
    if isinstance(picture, Pillow.Image):
        return f"{several}Pillow {picture.mode}"
    order = "channels first" if array_of(picture)[1] == "CHW" else "channels last"
    kind = str(picture.dtype).removeprefix("torch.")
    return f"{several}{kind} {'tensor' if hasattr(picture, 'detach') else 'array'}, {order}"


AFFINE_ERROR = 1e-4  # how far a normalisation may be from scale and shift, as a part of its range, by rounding alone
PER_UNIT = 2.0  # a standard deviation below is one of pictures in 0..1
LONGEST = 100  # a longer list is one of samples
DEEPEST = 6  # how many objects deep a Normalize is looked for inside a transform of the user's
STRETCHED = (
    "its values go far below 0, and nothing says how they were normalised: shown stretched, the lowest black, "
    "the highest white"
)


def remarks(state: State) -> tuple[str, ...]:
    """What is unusual about a sample as loaded: numbers that no picture has."""
    white = state.encoding.white
    for array, _ in arrays_of(state.value):
        if is_stretched(array, state.encoding):
            return (*state.remarks, STRETCHED)
        if (state.encoding.mean, state.encoding.std) != (PLAIN.mean, PLAIN.std):
            return state.remarks
        low, high = float(array.min()), float(array.max())
        if array.dtype != np.uint8 and not (low >= -1e-3 and high <= white * 1.001):  # NaN lies nowhere
            outside = f"its values lie in {low:.3g}..{high:.3g}, outside 0..{white:g}: what is outside is cut off"
            return (*state.remarks, outside)
    return state.remarks


def loaded(value: Foreign, origin: Foreign = None) -> State:
    """A sample as a dataset gives it; floats up to 1 are taken as 0..1, larger ones as 0..255.

    Where they are normalised, a transform in the dataset, `origin`, may say how.
    """
    array, layout = array_of(picture_in(value))
    white = 1.0 if array.dtype.kind == "f" and array.max(initial=0) <= 2 else 255.0
    encoding = Encoding("RGB", layout, white)
    if is_stretched(array, encoding) and origin is not None and not hasattr(origin, "select_columns"):
        encoding = nested_encoding([type(origin).__getitem__, origin], replace(encoding, white=1.0)) or encoding
    return State(value, encoding)


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
    is_processor = hasattr(transform, "image_mean")  # of transformers
    if is_processor and getattr(transform, "do_normalize", False):
        name, mean, std = "normalize", transform.image_mean, transform.image_std
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
    parts = [one for one in parts if callable(one) or (isinstance(one, (list, tuple, dict)) and len(one) < LONGEST)]
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
    names = {*code.co_names, *(part for part in code.co_consts if isinstance(part, str))}
    return names.union(*(names_of(part) for part in code.co_consts if isinstance(part, CodeType)))
