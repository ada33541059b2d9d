"""The operations of AutoAugment and RandAugment: one table row each, all working in the same way.

An operation happens with a probability. Its amount is fixed, or follows from a magnitude level in a range, with noise
and a random sign where that makes sense. Levels, noise and sign are as in timm and mmpretrain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from classlens.adapters.openmm.stages import colours, rules
from classlens.adapters.openmm.stages.rules import ANYTHING, Rule, Setting, check_settings, is_number, named, or_none
from classlens.adapters.openmm.stages.shapes_and_flips import CV2
from classlens.adapters.openmm.stages.transform import Params, Transform, construct
from classlens.config.settings import Settings
from classlens.dataset.decode import Pixels

Extras = Mapping[str, Any]


def warp(pixels: Pixels, matrix: Pixels, extras: Extras) -> Pixels:
    size, value = (pixels.shape[1], pixels.shape[0]), border(pixels, extras["pad_val"])[:3]
    return cv2.warpAffine(pixels, matrix, size, flags=CV2[extras["interpolation"]], borderValue=value)


def border(pixels: Pixels, value: Setting) -> list[float]:
    return [float(part) for part in ([value] * pixels.shape[2] if is_number(value) else value)]


def shear(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Slant along x or y by `magnitude` pixels per pixel."""
    amount = params["magnitude"]
    level = extras["direction"] == "horizontal"
    return warp(pixels, np.array([[1, amount * level, 0], [amount * (not level), 1, 0]], np.float32), extras)


def translate(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Move along x or y by `magnitude` of the picture's size."""
    level = extras["direction"] == "horizontal"
    offset = params["magnitude"] * pixels.shape[1 if level else 0]
    return warp(pixels, np.array([[1, 0, offset * level], [0, 1, offset * (not level)]], np.float32), extras)


def rotate(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Turn clockwise by `angle` degrees.

    Upstream hands a single number to OpenCV, which takes it for the first channel and 0 for the others: the corners
    of a BGR picture become blue, here as there.
    """
    height, width = pixels.shape[:2]
    if is_number(extras["pad_val"]):
        extras = {**extras, "pad_val": (extras["pad_val"], 0, 0)}
    centre = extras["center"] or ((width - 1) * 0.5, (height - 1) * 0.5)
    return warp(pixels, cv2.getRotationMatrix2D(tuple(centre), -params["angle"], extras["scale"]), extras)


def cutout(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    x, y, width, height = params["box"]
    filled = pixels.copy()
    filled[y : y + height, x : x + width] = np.array(border(pixels, extras["pad_val"])).astype(pixels.dtype)
    return filled


def blur(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    return np.array(Pillow.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius=params["radius"])))


@dataclass(frozen=True)
class Kind:
    """What an operation does with its amount; `amount` is the name of that setting, None for those without.

    `extras` are the settings that not all operations have, with their defaults.
    """

    change: Callable[[Pixels, Params, Extras], Pixels]
    amount: str | None = "magnitude"
    signed: bool = True
    extras: Extras = field(default_factory=dict)


def of_pixels(change: Callable[[Pixels], Pixels]) -> Kind:
    return Kind(lambda pixels, params, extras: change(pixels), None)


def of_factor(change: Callable[[Pixels, float], Pixels]) -> Kind:
    return Kind(lambda pixels, params, extras: change(pixels, 1 + params["magnitude"]))


MOVE = {"pad_val": 128, "direction": "horizontal"}
KINDS: Mapping[str, Kind] = {
    "AutoContrast": of_pixels(lambda pixels: colours.by_histogram(pixels, colours.stretch)),
    "Equalize": of_pixels(lambda pixels: colours.by_histogram(pixels, colours.flatten)),
    "Invert": of_pixels(lambda pixels: 255 - pixels),
    "Rotate": Kind(rotate, "angle", extras={"pad_val": 128, "center": None, "scale": 1.0, "interpolation": "nearest"}),
    "Posterize": Kind(lambda pixels, params, _: colours.posterize(pixels, params["bits"]), "bits", signed=False),
    "Solarize": Kind(lambda pixels, params, _: colours.solarize(pixels, params["thr"]), "thr", signed=False),
    "SolarizeAdd": Kind(
        lambda pixels, params, extras: colours.solarize_add(pixels, params["magnitude"], extras["thr"]),
        signed=False,
        extras={"thr": 128},
    ),
    "ColorTransform": of_factor(colours.colour),
    "Contrast": of_factor(colours.contrast),
    "Brightness": of_factor(colours.brightness),
    "Sharpness": of_factor(colours.sharpness),
    "Shear": Kind(shear, extras={**MOVE, "interpolation": "bicubic"}),
    "Translate": Kind(translate, extras={**MOVE, "interpolation": "nearest"}),
    "Cutout": Kind(cutout, "shape", signed=False, extras={"pad_val": 128}),
    "GaussianBlur": Kind(blur, "radius", signed=False),
}

STD: Rule = (lambda value: value == "inf" or is_number(value), "is a number or 'inf'")
SHARED: Mapping[str, Rule] = {
    "prob": rules.PROBABILITY,
    "magnitude_key": ANYTHING,
    "magnitude_level": rules.NUMBER,
    "magnitude_range": ANYTHING,
    "magnitude_std": STD,
    "total_level": (lambda value: is_number(value) and value != 0, "is a number other than 0"),
}
EXTRAS: Mapping[str, Rule] = {
    "pad_val": rules.COLOUR,
    "thr": rules.NUMBER,
    "center": (lambda value: value is None or (isinstance(value, tuple) and len(value) == 2), "is a tuple (x, y)"),
    "scale": ANYTHING,
    "direction": rules.one_of("horizontal", "vertical"),
    "interpolation": rules.one_of(*CV2),
}
MOVED_PAD_VAL: Rule = (
    lambda value: rules.is_colour(value) and not isinstance(value, float),
    "is a whole number or three numbers",
)
SHAPE: Rule = (
    lambda value: all(isinstance(side, int) and side >= 0 for side in sides(value)) and len(sides(value)) == 2,
    "is a whole number or a tuple of two, not below 0",
)


def sides(shape: Setting) -> tuple[Setting, ...]:
    return shape if isinstance(shape, tuple) else (shape, shape)


def operation(settings: Settings, where: str) -> "Operation":
    """The operation that the settings describe."""
    name = str(settings["type"])
    kind = KINDS[name]
    known = {**SHARED, **{key: EXTRAS[key] for key in kind.extras}}
    if kind.signed:
        known["random_negative_prob"] = rules.PROBABILITY
    if kind.amount:
        known[kind.amount] = or_none(SHAPE if name == "Cutout" else rules.NUMBER)
    if "direction" in kind.extras:
        known["pad_val"] = MOVED_PAD_VAL
    values = check_settings(settings, known, (), where)
    extras = {key: values.pop(key, default) for key, default in kind.extras.items()}
    options = {"amount": values.pop(kind.amount or "", None), "extras": extras, **values}
    return construct(Operation, {"name": name, **options}, f"{where}: {name}")


@dataclass(frozen=True)
class Operation(Transform):
    """One operation as configured. `amount` is the fixed one; None means that `magnitude_range` gives it."""

    name: str
    amount: Any = None
    extras: Extras = field(default_factory=dict)
    prob: float = 0.5
    random_negative_prob: float = 0.5
    magnitude_level: float = 10
    magnitude_range: tuple[float, float] | None = None
    magnitude_std: float | str = 0.0
    total_level: float = 10
    magnitude_key: str = ""

    def __post_init__(self) -> None:
        amount = KINDS[self.name].amount
        if amount and (self.amount is None) == (self.magnitude_range is None):
            raise ValueError(f"one of {amount} and magnitude_range must be given")

    @property
    def title(self) -> str:
        return f"{self.name} {self.extras['direction']}" if "direction" in self.extras else self.name

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """Whether it happens, and how strongly."""
        if random.random() > self.prob:
            return {"skipped": True}
        kind = KINDS[self.name]
        if kind.amount is None:
            return {}
        amount = self.level(random) if self.amount is None else self.amount
        if self.name == "Cutout":
            return {"box": cutout_box(pixels, amount, random)}
        if self.name == "Posterize":
            bits = ceil(amount)  # a picture has 8, and below 0 is black as 0 is
            if bits > 8:
                raise ValueError(f"bits is at most 8, not {amount!r}")
            return {"bits": max(bits, 0)}
        negative = kind.signed and random.random() < self.random_negative_prob
        return {kind.amount: float(-amount if negative else amount)}

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
        return pixels if "skipped" in params else KINDS[self.name].change(pixels, params, self.extras)


def cutout_box(pixels: Pixels, shape: Setting, random: np.random.Generator) -> tuple[int, int, int, int]:
    """A box around a random centre, cut at the left and top border and then moved to fit."""
    if is_number(shape) and shape <= -1:
        raise ValueError(f"shape is not below 0, as it is here: {shape!r}")
    cut_height, cut_width = (int(side) for side in sides(shape))
    height, width = pixels.shape[:2]
    y = int(max(0, random.uniform(0, height) - cut_height / 2.0))
    x = int(max(0, random.uniform(0, width) - cut_width / 2.0))
    return x, y, min(width, x + cut_width) - x, min(height, y + cut_height) - y


def one(kind: str, **settings: Setting) -> Settings:
    return {"type": kind, **settings}


INCREASING: Sequence[Settings] = (
    *map(one, ("AutoContrast", "Equalize", "Invert")),
    one("Rotate", magnitude_range=(0, 30)),
    one("Posterize", magnitude_range=(4, 0)),
    one("Solarize", magnitude_range=(256, 0)),
    one("SolarizeAdd", magnitude_range=(0, 110)),
    *(one(kind, magnitude_range=(0, 0.9)) for kind in ("ColorTransform", "Contrast", "Brightness", "Sharpness")),
    one("Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    one("Shear", magnitude_range=(0, 0.3), direction="vertical"),
    one("Translate", magnitude_range=(0, 0.45), direction="horizontal"),
    one("Translate", magnitude_range=(0, 0.45), direction="vertical"),
)
"""All operations, stronger with the level (timm's `increasing` set)."""

SIMPLE = ("AutoContrast", "Equalize", "Rotate", "Shear")
RAND_AUGMENT: Mapping[str, Sequence[Settings]] = {
    "timm_increasing": INCREASING,
    "simple_increasing": tuple(row for row in INCREASING if row["type"] in SIMPLE),
}

IMAGENET: Sequence[Sequence[Settings]] = (
    (one("Posterize", bits=4, prob=0.4), one("Rotate", angle=30.0, prob=0.6)),
    (one("Solarize", thr=256 / 9 * 4, prob=0.6), one("AutoContrast", prob=0.6)),
    (one("Equalize", prob=0.8), one("Equalize", prob=0.6)),
    (one("Posterize", bits=5, prob=0.6), one("Posterize", bits=5, prob=0.6)),
    (one("Equalize", prob=0.4), one("Solarize", thr=256 / 9 * 5, prob=0.2)),
    (one("Equalize", prob=0.4), one("Rotate", angle=30 / 9 * 8, prob=0.8)),
    (one("Solarize", thr=256 / 9 * 6, prob=0.6), one("Equalize", prob=0.6)),
    (one("Posterize", bits=6, prob=0.8), one("Equalize", prob=1.0)),
    (one("Rotate", angle=10.0, prob=0.2), one("Solarize", thr=256 / 9, prob=0.6)),
    (one("Equalize", prob=0.6), one("Posterize", bits=5, prob=0.4)),
    (one("Rotate", angle=30 / 9 * 8, prob=0.8), one("ColorTransform", magnitude=0.0, prob=0.4)),
    (one("Rotate", angle=30.0, prob=0.4), one("Equalize", prob=0.6)),
    (one("Equalize", prob=0.0), one("Equalize", prob=0.8)),
    (one("Invert", prob=0.6), one("Equalize", prob=1.0)),
    (one("ColorTransform", magnitude=0.4, prob=0.6), one("Contrast", magnitude=0.8, prob=1.0)),
    (one("Rotate", angle=30 / 9 * 8, prob=0.8), one("ColorTransform", magnitude=0.2, prob=1.0)),
    (one("ColorTransform", magnitude=0.8, prob=0.8), one("Solarize", thr=256 / 9 * 2, prob=0.8)),
    (one("Sharpness", magnitude=0.7, prob=0.4), one("Invert", prob=0.6)),
    (one("Shear", magnitude=0.3 / 9 * 5, prob=0.6, direction="horizontal"), one("Equalize", prob=1.0)),
    (one("ColorTransform", magnitude=0.0, prob=0.4), one("Equalize", prob=0.6)),
    (one("Equalize", prob=0.4), one("Solarize", thr=256 / 9 * 5, prob=0.2)),
    (one("Solarize", thr=256 / 9 * 4, prob=0.6), one("AutoContrast", prob=0.6)),
    (one("Invert", prob=0.6), one("Equalize", prob=1.0)),
    (one("ColorTransform", magnitude=0.4, prob=0.6), one("Contrast", magnitude=0.8, prob=1.0)),
    (one("Equalize", prob=0.8), one("Equalize", prob=0.6)),
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
            group, position = step["at"]
            pixels = self.groups[group][position].apply(pixels, step)
        return pixels


Build = Callable[[Settings, str], Transform]
"""Makes a transform of its settings."""


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
    values = check_settings(settings, RAND_AUGMENT_RULES, ("policies", "num_policies", "magnitude_level"), where)
    rows, shared = values["policies"], values.get("hparams", {"pad_val": 128})
    level: Settings = {key: values[key] for key in ("magnitude_level", "magnitude_std", "total_level") if key in values}
    groups = []
    for row in map(named, RAND_AUGMENT[rows] if isinstance(rows, str) else rows):
        kind = KINDS.get(str(row["type"]))
        defaults = {key: value for key, value in shared.items() if kind and key in kind.extras}
        groups.append((build({**defaults, **row, **(level if "magnitude_range" in row else {})}, where),))
    return Policy(tuple(groups), values["num_policies"])


def auto_augment(settings: Settings, where: str, build: Build) -> Policy:
    """One group of operations out of a list.

    Upstream reads `hparams` here but never hands them to the operations; so do we, or the pixels would differ.
    """
    groups = check_settings(settings, AUTO_AUGMENT_RULES, ("policies",), where)["policies"]
    groups = IMAGENET if groups == "imagenet" else groups
    return Policy(tuple(tuple(build(row, where) for row in group) for group in groups))
