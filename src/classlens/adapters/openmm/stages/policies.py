"""The operations of AutoAugment and RandAugment: one function each, all working in the same way.

An operation happens with a probability. Its amount is fixed, or follows from a magnitude level in a range, with noise
and a random sign where that makes sense. Levels, noise and sign are as in timm and mmpretrain. The parameters of the
functions are the settings of the config: the amount, which has no default, and those that only this operation has.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Any, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from classlens.adapters.openmm.stages import colours, rules
from classlens.adapters.openmm.stages.rules import Amount, Params, Rule, Setting, Transform, is_number, named
from classlens.adapters.openmm.stages.shapes_and_flips import CV2, Interpolation
from classlens.config.settings import Settings
from classlens.dataset.decode import Pixels
from classlens.errors import short_repr

Direction: TypeAlias = Annotated[str, rules.one_of("horizontal", "vertical")]
Fill: TypeAlias = Annotated[float | Sequence[float], rules.COLOUR]
WHOLE_FILL: Rule = (
    lambda value: rules.COLOUR[0](value) and type(value) is not float,
    "is a whole number or three numbers",
)
POINT: Rule = (lambda value: isinstance(value, tuple) and len(value) == 2, "is a tuple (x, y)")
SHAPE: Rule = (
    lambda shape: shape is None or all(isinstance(side, int) and side >= 0 for side in np.atleast_1d(shape).tolist()),
    "is a whole number or a tuple of two, not below 0",
)


def warp(pixels: Pixels, matrix: Pixels, pad_val: float | Sequence[float], interpolation: str) -> Pixels:
    size = pixels.shape[1], pixels.shape[0]
    return cv2.warpAffine(pixels, matrix, size, flags=CV2[interpolation], borderValue=border(pixels, pad_val)[:3])


def border(pixels: Pixels, pad_val: float | Sequence[float]) -> list[float]:
    return [float(pad_val)] * pixels.shape[2] if isinstance(pad_val, int | float) else list(map(float, pad_val))


def shear(
    pixels: Pixels,
    magnitude: Amount,
    direction: Direction = "horizontal",
    pad_val: Annotated[int | Sequence[float], WHOLE_FILL] = 128,
    interpolation: Interpolation = "bicubic",
) -> Pixels:
    """Slant along x or y by `magnitude` pixels per pixel."""
    by_x, by_y = (magnitude, 0) if direction == "horizontal" else (0, magnitude)
    return warp(pixels, np.array([[1, by_x, 0], [by_y, 1, 0]], np.float32), pad_val, interpolation)


def translate(
    pixels: Pixels,
    magnitude: Amount,
    direction: Direction = "horizontal",
    pad_val: Annotated[int | Sequence[float], WHOLE_FILL] = 128,
    interpolation: Interpolation = "nearest",
) -> Pixels:
    """Move along x or y by `magnitude` of the picture's size."""
    height, width = pixels.shape[:2]
    by_x, by_y = (magnitude * width, 0) if direction == "horizontal" else (0, magnitude * height)
    return warp(pixels, np.array([[1, 0, by_x], [0, 1, by_y]], np.float32), pad_val, interpolation)


def rotate(
    pixels: Pixels,
    angle: Amount,
    center: Annotated[tuple[float, float] | None, POINT] = None,
    scale: float = 1.0,
    pad_val: Fill = 128,
    interpolation: Interpolation = "nearest",
) -> Pixels:
    """Turn clockwise by `angle` degrees.

    Upstream hands a single number to OpenCV, which takes it for the first channel and 0 for the others: the corners
    of a BGR picture become blue, here as there.
    """
    height, width = pixels.shape[:2]
    fill = (pad_val, 0, 0) if isinstance(pad_val, int | float) else pad_val
    matrix = cv2.getRotationMatrix2D(tuple(center or ((width - 1) * 0.5, (height - 1) * 0.5)), -angle, scale)
    return warp(pixels, matrix, fill, interpolation)


def cutout(pixels: Pixels, box: Annotated[tuple[int, int, int, int], SHAPE], pad_val: Fill = 128) -> Pixels:
    x, y, width, height = box
    filled = pixels.copy()
    filled[y : y + height, x : x + width] = np.array(border(pixels, pad_val)).astype(pixels.dtype)
    return filled


def blur(pixels: Pixels, radius: Amount) -> Pixels:
    return np.array(Pillow.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius=radius)))


def by_factor(change: Callable[[Pixels, float], Pixels]) -> Callable[..., Pixels]:
    def changed(pixels: Pixels, magnitude: Amount) -> Pixels:
        return change(pixels, 1 + magnitude)

    return changed


KINDS: Mapping[str, Callable[..., Pixels]] = {
    "AutoContrast": colours.auto_contrast,
    "Equalize": colours.equalize,
    "Invert": colours.invert,
    "Rotate": rotate,
    "Posterize": colours.posterize,
    "Solarize": colours.solarize,
    "SolarizeAdd": colours.solarize_add,
    "ColorTransform": by_factor(colours.colour),
    "Contrast": by_factor(colours.contrast),
    "Brightness": by_factor(colours.brightness),
    "Sharpness": by_factor(colours.sharpness),
    "Shear": shear,
    "Translate": translate,
    "Cutout": cutout,
    "GaussianBlur": blur,
}
OWN: Mapping[str, Mapping[str, Rule]] = {
    name: {"shape" if key == "box" else key: rule for key, rule in rules.settings_of(change)[0].items()}
    for name, change in KINDS.items()
}
"""The settings that not all operations have, the amount first; a Cutout makes its box of a shape."""

UNSIGNED = ("Posterize", "Solarize", "SolarizeAdd", "Cutout", "GaussianBlur")
STD: Rule = (lambda value: value == "inf" or is_number(value), "is a number or 'inf'")


@dataclass(frozen=True)
class Operation(Transform):
    """One operation; without an `amount`, `magnitude_range` gives it. Nothing is read from `magnitude_key`, its name."""

    name: str
    amount: Any = None
    extras: Mapping[str, Setting] = field(default_factory=dict)
    prob: Annotated[float, rules.PROBABILITY] = 0.5
    random_negative_prob: Annotated[float, rules.PROBABILITY] = 0.5
    magnitude_key: str = ""
    magnitude_level: Annotated[float, rules.NUMBER] = 10
    magnitude_range: tuple[float, float] | None = None
    magnitude_std: Annotated[float | str, STD] = 0.0
    total_level: Annotated[float, (lambda value: is_number(value) and value != 0, "is a number other than 0")] = 10

    @property
    def title(self) -> str:
        moves = self.name in ("Shear", "Translate")
        return f"{self.name} {self.extras.get('direction', 'horizontal')}" if moves else self.name

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """Whether it happens, and how strongly."""
        if random.random() > self.prob:
            return {"skipped": True}
        setting = next(iter(OWN[self.name]), None)
        if setting is None:
            return {}
        if (self.amount is None) == (self.magnitude_range is None):
            raise ValueError(f"one of {setting} and magnitude_range must be given")
        amount = self.level(random) if self.amount is None else self.amount
        if self.name == "Cutout":
            return {"box": cutout_box(pixels, amount, random)}
        if self.name == "Posterize":
            if ceil(amount) > 8:
                raise ValueError(f"bits is at most 8, not {short_repr(amount)}")
            return {"bits": max(ceil(amount), 0)}  # below 0 is black as 0 is
        negative = self.name not in UNSIGNED and random.random() < self.random_negative_prob
        return {setting: float(-amount if negative else amount)}

    def level(self, random: np.random.Generator) -> float:
        """The amount that follows from the magnitude level, noise included."""
        level = float(self.magnitude_level)
        if self.magnitude_std == "inf":
            level = random.uniform(0, level)
        elif float(self.magnitude_std) > 0:
            level = min(max(random.normal(level, float(self.magnitude_std)), 0.0), float(self.total_level))
        first, last = self.magnitude_range or (0.0, 0.0)
        return level / self.total_level * (last - first) + first

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return pixels if "skipped" in params else KINDS[self.name](pixels, **self.extras, **params)


def cutout_box(pixels: Pixels, shape: Setting, random: np.random.Generator) -> tuple[int, int, int, int]:
    """A box around a random centre, cut at the left and top border and then moved to fit."""
    cut_height, cut_width = map(int, shape if isinstance(shape, tuple) else (shape, shape))
    if min(cut_height, cut_width) < 0:
        raise ValueError(f"shape is not below 0, as it is here: {short_repr(shape)}")
    height, width = pixels.shape[:2]
    y = int(max(0, random.uniform(0, height) - cut_height / 2.0))
    x = int(max(0, random.uniform(0, width) - cut_width / 2.0))
    return x, y, min(width, x + cut_width) - x, min(height, y + cut_height) - y


SHARED = {key: rule for key, rule in rules.settings_of(Operation)[0].items() if key not in ("name", "amount", "extras")}


def operation(settings: Settings, where: str) -> Operation:
    """The operation that the settings describe."""
    name = str(settings["type"])
    shared = {key: rule for key, rule in SHARED.items() if key != "random_negative_prob" or name not in UNSIGNED}
    values = rules.check_settings(settings, {**shared, **OWN[name]}, (), where)
    options = {key: values.pop(key) for key in shared if key in values}
    options |= {"name": name, "amount": values.pop(next(iter(OWN[name]), ""), None), "extras": values}
    return rules.construct(Operation, options, f"{where}: {name}")


def policy(kind: str, **settings: Setting) -> Settings:
    return {"type": kind, **settings}


INCREASING: Sequence[Settings] = (
    *map(policy, ("AutoContrast", "Equalize", "Invert")),
    policy("Rotate", magnitude_range=(0, 30)),
    policy("Posterize", magnitude_range=(4, 0)),
    policy("Solarize", magnitude_range=(256, 0)),
    policy("SolarizeAdd", magnitude_range=(0, 110)),
    *(policy(kind, magnitude_range=(0, 0.9)) for kind in ("ColorTransform", "Contrast", "Brightness", "Sharpness")),
    policy("Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    policy("Shear", magnitude_range=(0, 0.3), direction="vertical"),
    policy("Translate", magnitude_range=(0, 0.45), direction="horizontal"),
    policy("Translate", magnitude_range=(0, 0.45), direction="vertical"),
)
"""All operations, stronger with the level (timm's `increasing` set)."""

RAND_AUGMENT: Mapping[str, Sequence[Settings]] = {
    "timm_increasing": INCREASING,
    "simple_increasing": [row for row in INCREASING if row["type"] in ("AutoContrast", "Equalize", "Rotate", "Shear")],
}

IMAGENET: Sequence[Sequence[Settings]] = (
    (policy("Posterize", bits=4, prob=0.4), policy("Rotate", angle=30.0, prob=0.6)),
    (policy("Solarize", thr=256 / 9 * 4, prob=0.6), policy("AutoContrast", prob=0.6)),
    (policy("Equalize", prob=0.8), policy("Equalize", prob=0.6)),
    (policy("Posterize", bits=5, prob=0.6), policy("Posterize", bits=5, prob=0.6)),
    (policy("Equalize", prob=0.4), policy("Solarize", thr=256 / 9 * 5, prob=0.2)),
    (policy("Equalize", prob=0.4), policy("Rotate", angle=30 / 9 * 8, prob=0.8)),
    (policy("Solarize", thr=256 / 9 * 6, prob=0.6), policy("Equalize", prob=0.6)),
    (policy("Posterize", bits=6, prob=0.8), policy("Equalize", prob=1.0)),
    (policy("Rotate", angle=10.0, prob=0.2), policy("Solarize", thr=256 / 9, prob=0.6)),
    (policy("Equalize", prob=0.6), policy("Posterize", bits=5, prob=0.4)),
    (policy("Rotate", angle=30 / 9 * 8, prob=0.8), policy("ColorTransform", magnitude=0.0, prob=0.4)),
    (policy("Rotate", angle=30.0, prob=0.4), policy("Equalize", prob=0.6)),
    (policy("Equalize", prob=0.0), policy("Equalize", prob=0.8)),
    (policy("Invert", prob=0.6), policy("Equalize", prob=1.0)),
    (policy("ColorTransform", magnitude=0.4, prob=0.6), policy("Contrast", magnitude=0.8, prob=1.0)),
    (policy("Rotate", angle=30 / 9 * 8, prob=0.8), policy("ColorTransform", magnitude=0.2, prob=1.0)),
    (policy("ColorTransform", magnitude=0.8, prob=0.8), policy("Solarize", thr=256 / 9 * 2, prob=0.8)),
    (policy("Sharpness", magnitude=0.7, prob=0.4), policy("Invert", prob=0.6)),
    (policy("Shear", magnitude=0.3 / 9 * 5, prob=0.6, direction="horizontal"), policy("Equalize", prob=1.0)),
    (policy("ColorTransform", magnitude=0.0, prob=0.4), policy("Equalize", prob=0.6)),
    (policy("Equalize", prob=0.4), policy("Solarize", thr=256 / 9 * 5, prob=0.2)),
    (policy("Solarize", thr=256 / 9 * 4, prob=0.6), policy("AutoContrast", prob=0.6)),
    (policy("Invert", prob=0.6), policy("Equalize", prob=1.0)),
    (policy("ColorTransform", magnitude=0.4, prob=0.6), policy("Contrast", magnitude=0.8, prob=1.0)),
    (policy("Equalize", prob=0.8), policy("Equalize", prob=0.6)),
)
"""Source: Cubuk et al., AutoAugment, CVPR 2019, table 9, with the magnitudes that upstream writes out."""


@dataclass(frozen=True)
class Policy(Transform):
    """Groups of operations, of which `picks` are chosen for every picture, with repetition."""

    groups: tuple[tuple[Transform, ...], ...]
    picks: int = 1

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The chosen operations, each with what it drew; the key tells equal ones apart by their position."""
        params: dict[str, Any] = {}
        for group in random.integers(0, len(self.groups), self.picks).tolist():
            for position, member in enumerate(self.groups[group]):
                key = f"{len(params) + 1} {getattr(member, 'title', type(member).__name__)}"
                params[key] = {"at": (group, position), **member.sample_params(pixels, random)}
        return params

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        for step in params.values():
            drawn = dict(step)
            group, position = drawn.pop("at")
            pixels = self.groups[group][position].apply(pixels, drawn)
        return pixels


Build = Callable[[Settings, str], Transform]  # makes a transform of its settings


def are_policies(rows: Setting) -> bool:
    return isinstance(rows, list | tuple) and all(isinstance(row, Mapping) and "type" in row for row in rows)


RAND_AUGMENT_RULES: Mapping[str, Rule] = {
    "policies": (
        lambda rows: rows in tuple(RAND_AUGMENT) or (are_policies(rows) and len(rows) > 0),
        f"is a list of dicts with a type, or one of {', '.join(RAND_AUGMENT)}",
    ),
    "num_policies": rules.WHOLE,
    "magnitude_level": rules.NOT_NEGATIVE,
    "magnitude_std": STD,
    "total_level": rules.ABOVE_0,
    "hparams": rules.MAPPING,
}
AUTO_AUGMENT_RULES: Mapping[str, Rule] = {
    "policies": (
        lambda groups: groups == "imagenet" or (len(groups) > 0 and all(map(are_policies, groups))),
        "is a list of lists of dicts with a type, or imagenet",
    ),
    "hparams": rules.MAPPING,
}


def rand_augment(settings: Settings, where: str, build: Build) -> Policy:
    """`num_policies` operations out of a list, all at one magnitude level.

    Source: Cubuk et al., RandAugment, NeurIPS 2020.
    """
    values = rules.check_settings(settings, RAND_AUGMENT_RULES, ("policies", "num_policies", "magnitude_level"), where)
    rows, shared = values["policies"], values.get("hparams", {"pad_val": 128})
    level: Settings = {key: values[key] for key in ("magnitude_level", "magnitude_std", "total_level") if key in values}
    groups = []
    for row in map(named, RAND_AUGMENT[rows] if isinstance(rows, str) else rows):
        defaults = {key: value for key, value in shared.items() if key in OWN.get(str(row["type"]), ())}
        groups.append((build({**defaults, **row, **(level if "magnitude_range" in row else {})}, where),))
    return Policy(tuple(groups), values["num_policies"])


def auto_augment(settings: Settings, where: str, build: Build) -> Policy:
    """One group of operations out of a list.

    Upstream reads `hparams` here but never hands them to the operations; so do we, or the pixels would differ.
    """
    groups = rules.check_settings(settings, AUTO_AUGMENT_RULES, ("policies",), where)["policies"]
    groups = IMAGENET if groups == "imagenet" else groups
    return Policy(tuple(tuple(build(row, where) for row in group) for group in groups))
