"""Transforms that do several things in one call, unfolded into the ones they consist of."""

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from importlib import import_module
from types import MappingProxyType

import numpy as np
from PIL import Image as Pillow

from classlens.dataset.dataset import Outcome, Stage
from classlens.errors import DataError
from classlens.pipelines.albumentations import is_albumentations, watch_albumentations
from classlens.pipelines.carried import PLAIN, Carried, Foreign, array_of, arrays_of, encoding_after, picture_in
from classlens.pipelines.kornia import in_order, is_kornia, watch_kornia
from classlens.pipelines.listen import Watched, is_sequence, name_of, probability, watch
from classlens.user_code import users_code


def unfolded(transform: Foreign) -> Sequence[Foreign] | None:
    """The members of a preset of torchvision (`weights.transforms()`); None for anything else."""
    kind = type(transform)
    if kind.__name__ != "ImageClassification" or not kind.__module__.startswith("torchvision."):
        return None
    transforms = import_module("torchvision.transforms")
    return (
        transforms.Resize(transform.resize_size, transform.interpolation, antialias=transform.antialias),
        transforms.CenterCrop(transform.crop_size),
        transforms.PILToTensor(),
        transforms.ConvertImageDtype(import_module("torch").float),
        transforms.Normalize(transform.mean, transform.std),
    )


def lay_open(transform: Foreign, *, joint: bool = False) -> tuple[Stage, ...]:
    """The stages of a transform: one for each member of nested lists, `Compose`s and `Sequential`s.

    Containers that draw (RandomApply, RandomChoice, OneOf, ...) stay one stage and tell what they chose. `joint`
    transforms take picture and label as two arguments, and pass them on as a pair.
    """
    return tuple(stage_of(member, joint=joint) for member in members(transform))


def members(transform: Foreign) -> Iterable[Foreign]:
    """The transforms that run one after the other."""
    if transform is None:
        return
    inner = parts(transform)
    if inner is None:
        yield transform
        return
    for part in inner:
        yield from members(part)


def parts(transform: Foreign) -> Iterable[Foreign] | None:
    """What a container runs in order and always; None for a single transform."""
    if is_sequence(transform):
        return list(transform)
    if type(transform).__name__ == "Sequential" and hasattr(transform, "children"):
        return list(transform.children())
    if is_kornia(transform):
        return in_order(transform)
    composed = any(kind.__name__ == "Compose" for kind in type(transform).__mro__)
    if composed and is_sequence(getattr(transform, "transforms", None)) and probability(transform) in (None, 1.0):
        return list(transform.transforms)
    return unfolded(transform)


def stage_of(transform: Foreign, *, joint: bool) -> Stage:
    """One transform as a stage."""
    own_chance = is_albumentations(transform)
    return Stage(
        name_of(transform), partial(applied, transform, joint), settings_of(transform), draws_globally=not own_chance
    )


def applied(transform: Foreign, joint: bool, before: Carried, chance: np.random.Generator) -> Outcome:  # noqa: FBT001 - bound by partial
    """Run the transform on the sample and say what it drew, or what it changed besides the picture.

    Raises:
        DataError: the transform fails on this sample.
    """
    with users_code(name_of(transform), DataError):
        if is_albumentations(transform):
            watched = watch_albumentations(transform, before.value, chance)
        elif is_kornia(transform):
            watched = watch_kornia(transform, before.value)
        else:
            watched = watch(transform, *(before.value if joint and isinstance(before.value, tuple) else [before.value]))
    after = Carried(watched.output, encoding_after(transform, before, watched.output))
    return Outcome(after, watched.params, watched.note or said_of_form(before, after, watched))


def said_of_form(before: Carried, after: Carried, watched: Watched) -> str:
    """What became of the array where no pixel changed for the eye: its type, its layout, its normalisation."""
    if watched.output is before.value:
        return ""
    said = []
    old, new = form(before.value), form(after.value)
    if old != new:
        said.append(f"now {new}")
    told = after.encoding.mean, after.encoding.std
    if told != (before.encoding.mean, before.encoding.std) and told != (PLAIN.mean, PLAIN.std):
        mean, std = (", ".join(f"{value:.4g}" for value in values) for values in told)
        said.append(f"normalised: mean {mean}, std {std}")
    return "; ".join(said)


def form(value: Foreign) -> str:
    """The kind of a picture in a few words; its size is left out."""
    count, picture = len(list(arrays_of(value))), picture_in(value)
    several = f"{count} views, " if count > 1 else ""
    if isinstance(picture, Pillow.Image):
        return f"{several}Pillow {picture.mode}"
    _, layout = array_of(picture)
    order = "channels first" if layout == "CHW" else "channels last"
    kind = str(picture.dtype).removeprefix("torch.")
    return f"{several}{kind} {'tensor' if hasattr(picture, 'detach') else 'array'}, {order}"


def settings_of(transform: Foreign) -> Mapping[str, object]:
    """The arguments that a transform shows as attributes."""
    shown = (bool, int, float, str, tuple, list)
    hidden = {"training", "transforms"}
    try:
        attributes = vars(transform)
    except TypeError:
        return MappingProxyType({})
    return MappingProxyType(
        {
            name: value
            for name, value in attributes.items()
            if isinstance(value, shown) and not name.startswith("_") and name not in hidden
        }
    )
