"""The operations of AutoAugment and RandAugment: one table row each, all working in the same way.

An operation happens with a probability. Its amount is fixed, or follows from a magnitude level in a range, with noise
and a random sign where that makes sense. Levels, noise and sign are as in timm and mmpretrain.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any, ClassVar

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageFilter

from classlens.adapters.openmm.stages import colours, rules
from classlens.adapters.openmm.stages.rules import Rule, Setting, is_number
from classlens.adapters.openmm.stages.shapes_and_flips import CV2
from classlens.adapters.openmm.stages.transform import (
    Params,
    Transform,
    arguments,
    check_settings,
    construct,
    named,
    try_out,
)
from classlens.config.settings import Settings
from classlens.dataset.decode import Pixels
from classlens.errors import ConfigError, suggestion

Extras = Mapping[str, Any]


def warp(pixels: Pixels, matrix: Pixels, extras: Extras) -> Pixels:
    size, value = (pixels.shape[1], pixels.shape[0]), border(pixels, extras["pad_val"])[:3]
    return cv2.warpAffine(pixels, matrix, size, flags=CV2[extras["interpolation"]], borderValue=value)


def border(pixels: Pixels, value: Setting) -> list[float]:
    return [float(value)] * pixels.shape[2] if isinstance(value, (int, float)) else [float(part) for part in value]


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
    if isinstance(extras["pad_val"], (int, float)):
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
    """What an operation does with its amount; `amount` is the name of that setting, None for those without."""

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
    "AutoContrast": of_pixels(colours.auto_contrast),
    "Equalize": of_pixels(colours.equalize),
    "Invert": of_pixels(colours.invert),
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
SHARED = ("prob", "random_negative_prob", "magnitude_level", "magnitude_range", "magnitude_std", "total_level")

STD: Rule = (lambda value: value == "inf" or is_number(value), "is a number or 'inf'")
EXTRAS: Mapping[str, Rule] = {
    "pad_val": rules.COLOUR,
    "thr": rules.NUMBER,
    "center": (lambda value: value is None or (isinstance(value, tuple) and len(value) == 2), "is a tuple (x, y)"),
    "direction": (lambda value: value in ("horizontal", "vertical"), "is horizontal or vertical"),
    "interpolation": rules.one_of(*CV2),
}
"""What else an operation may be told, and what it must be."""


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
    checks: ClassVar = {
        "prob": rules.PROBABILITY,
        "random_negative_prob": rules.PROBABILITY,
        "magnitude_std": STD,
        "magnitude_level": rules.NUMBER,
        "total_level": (lambda value: is_number(value) and value != 0, "is a number other than 0"),
    }

    def check(self) -> None:
        """Refuse extras that make no sense, two amounts or none, and a fixed amount that is no number."""
        for name, value in self.extras.items():
            holds, words = EXTRAS.get(name, (bool, ""))
            if words and not holds(value):
                raise ValueError(f"{name} {words}, not {value!r}")
        if self.name in ("Shear", "Translate") and isinstance(self.extras.get("pad_val"), float):
            raise ValueError(f"pad_val is a whole number or three numbers, not {self.extras['pad_val']!r}")
        amount = KINDS[self.name].amount
        if amount and (self.amount is None) == (self.magnitude_range is None):
            raise ValueError(f"one of {amount} and magnitude_range must be given")
        if self.amount is None:
            return
        if self.name == "Cutout":
            shape = self.amount if isinstance(self.amount, tuple) else (self.amount,) * 2
            if len(shape) != 2 or not all(isinstance(side, int) and side >= 0 for side in shape):
                raise ValueError(f"shape is a whole number or a tuple of two, not below 0, not {self.amount!r}")
        elif not is_number(self.amount):
            raise ValueError(f"{amount} is a number, not {self.amount!r}")
        elif self.name == "Posterize":
            bits_kept(self.amount)

    @property
    def title(self) -> str:
        return f"{self.name} {self.extras['direction']}" if "direction" in KINDS[self.name].extras else self.name

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """Whether it happens, and how strongly."""
        if random.random() > self.prob:
            return {"skipped": True}
        kind = KINDS[self.name]
        if kind.amount is None:
            return {}
        amount = self.amount if self.amount is not None else self.level(random)
        if self.name == "Cutout":
            return {"box": cutout_box(pixels, amount, random)}
        if self.name == "Posterize":
            return {"bits": bits_kept(amount)}
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


def bits_kept(amount: float) -> int:
    """How many bits `Posterize` keeps: a picture has 8, and below 0 is black as 0 is."""
    if ceil(amount) > 8:
        raise ValueError(f"bits is at most 8, not {amount!r}")
    return max(ceil(amount), 0)


def cutout_box(pixels: Pixels, shape: Setting, random: np.random.Generator) -> tuple[int, int, int, int]:
    """A box around a random centre, cut at the left and top border and then moved to fit."""
    if is_number(shape) and shape <= -1:
        raise ValueError(f"shape is not below 0, as it is here: {shape!r}")
    cut_height, cut_width = (int(shape), int(shape)) if isinstance(shape, (int, float)) else shape
    height, width = pixels.shape[:2]
    y = int(max(0, random.uniform(0, height) - cut_height / 2.0))
    x = int(max(0, random.uniform(0, width) - cut_width / 2.0))
    return x, y, min(width, x + cut_width) - x, min(height, y + cut_height) - y


def operation(settings: Settings, where: str) -> Operation:
    """The operation that the settings describe."""
    settings = named(settings)
    name = str(settings.get("type"))
    if name not in KINDS:
        raise ConfigError(f"{where}: no operation named {name!r}", hint=suggestion(name, KINDS))
    kind = KINDS[name]
    given = {key: value for key, value in arguments(settings).items() if key != "magnitude_key"}
    shared = [key for key in SHARED if kind.signed or key != "random_negative_prob"]
    check_settings({"type": name, **given}, [*shared, *kind.extras, *filter(None, [kind.amount])], (), where)
    extras = {key: given.get(key, default) for key, default in kind.extras.items()}
    options = {key: given[key] for key in shared if key in given}
    options |= {"name": name, "amount": given.get(kind.amount or ""), "extras": extras}
    return try_out(construct(Operation, options, f"{where}: {name}"), f"{where}: {name}")


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
RANDAUGMENT: Mapping[str, Sequence[Settings]] = {
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


Build = Callable[[Settings, str], Transform]
"""Makes a transform of its settings."""


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


def rand_augment(settings: Settings, where: str, build: Build) -> Policy:
    """`num_policies` operations out of a list, all at one magnitude level.

    Source: Cubuk et al., RandAugment, NeurIPS 2020.
    """
    known = ("policies", "num_policies", "magnitude_level", "magnitude_std", "total_level", "hparams")
    check_settings(settings, known, known[:3], where)
    rows, shared = read_list(settings, RANDAUGMENT, where)
    picks, total, strength = settings["num_policies"], settings.get("total_level", 10), settings["magnitude_level"]
    if not rows or type(picks) is not int or picks < 1:
        raise ConfigError(f"{where}: RandAugment needs at least one policy and num_policies of 1 or more")
    if not is_number(total) or not is_number(strength) or total <= 0 or strength < 0:
        raise ConfigError(
            f"{where}: RandAugment needs a magnitude_level not below 0 and a total_level above 0, "
            f"not {strength!r} and {total!r}"
        )
    std = settings.get("magnitude_std", 0.0)
    if not STD[0](std):
        raise ConfigError(f"{where}: RandAugment: magnitude_std {STD[1]}, not {std!r}")
    level = {key: settings[key] for key in ("magnitude_level", "magnitude_std", "total_level") if key in settings}
    groups = []
    for row in (policy(row, where) for row in rows):
        kind = KINDS.get(str(row["type"]))
        defaults = {key: value for key, value in shared.items() if kind and key in kind.extras}
        groups.append((build({**defaults, **row, **(level if "magnitude_range" in row else {})}, where),))
    return Policy(tuple(groups), picks)


def auto_augment(settings: Settings, where: str, build: Build) -> Policy:
    """One group of operations out of a list.

    Upstream reads `hparams` here but never hands them to the operations; so do we, or the pixels would differ.
    """
    check_settings(settings, ("policies", "hparams"), ("policies",), where)
    groups, _ = read_list(settings, {"imagenet": IMAGENET}, where)
    if not groups or not all(isinstance(group, (list, tuple)) for group in groups):
        raise ConfigError(f"{where}: AutoAugment needs a list of lists of dicts, not {groups!r:.60}")
    return Policy(tuple(tuple(build(policy(row, where), where) for row in group) for group in groups))


def read_list(settings: Settings, lists: Mapping[str, Setting], where: str) -> tuple[Setting, Settings]:
    """The policies, where a name stands for one of upstream's lists, and the `hparams` that they share."""
    policies, shared = settings["policies"], settings.get("hparams", {"pad_val": 128})
    if not isinstance(policies, (str, list, tuple)):
        raise ConfigError(f"{where}: policies is a list or a name, not {policies!r}")
    if isinstance(policies, str):
        if policies not in lists:
            raise ConfigError(f"{where}: no policies named {policies!r}", hint=suggestion(policies, lists))
        policies = lists[policies]
    if not isinstance(shared, Mapping):
        raise ConfigError(f"{where}: {settings['type']}: hparams is a dict, not {shared!r}")
    return policies, shared


def policy(row: Setting, where: str) -> Settings:
    """One policy, which is a dict with a type."""
    if not isinstance(row, Mapping) or "type" not in row:
        raise ConfigError(f"{where}: a policy is a dict with a type, not {row!r:.60}")
    return named(row)
