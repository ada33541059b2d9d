"""Transforms that do several things in one call, unfolded into the ones they consist of."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib import import_module

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.state import PLAIN, Foreign, State, array_of, arrays_of, picture_in
from classlens.errors import DataError
from classlens.pipelines import listen
from classlens.pipelines.encodings import encoding_after
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
