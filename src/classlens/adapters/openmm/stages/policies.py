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

from classlens.adapters.openmm.stages import colours
from classlens.adapters.openmm.stages.shapes_and_flips import CV2
from classlens.adapters.openmm.stages.transform import (
    REFUSALS,
    Params,
    Setting,
    Transform,
    check_settings,
    colour,
    is_number,
    named,
    probability,
    tried,
)
from classlens.config.settings import Settings
from classlens.dataset.decode import Pixels
from classlens.errors import ConfigError, first_line, suggestion

Extras = Mapping[str, Any]


@dataclass(frozen=True)
class Kind:
    """What an operation does with its amount; `amount` is the name of that setting, None for those without."""

    change: Callable[[Pixels, Params, Extras], Pixels]
    amount: str | None = "magnitude"
    signed: bool = True
    extras: Extras = field(default_factory=dict)


def border(pixels: Pixels, value: Setting) -> list[float]:
    return [float(value)] * pixels.shape[2] if isinstance(value, (int, float)) else [float(part) for part in value]


def warped(pixels: Pixels, matrix: Pixels, extras: Extras) -> Pixels:
    return cv2.warpAffine(
        pixels,
        matrix,
        (pixels.shape[1], pixels.shape[0]),
        flags=CV2[extras["interpolation"]],
        borderValue=border(pixels, extras["pad_val"])[:3],
    )


def shear(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Slant along x or y by `magnitude` pixels per pixel."""
    amount = params["magnitude"]
    level = extras["direction"] == "horizontal"
    return warped(pixels, np.array([[1, amount * level, 0], [amount * (not level), 1, 0]], np.float32), extras)


def translate(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Move along x or y by `magnitude` of the picture's size."""
    level = extras["direction"] == "horizontal"
    offset = params["magnitude"] * pixels.shape[1 if level else 0]
    return warped(pixels, np.array([[1, 0, offset * level], [0, 1, offset * (not level)]], np.float32), extras)


def rotate(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Turn clockwise by `angle` degrees.

    Upstream hands a single number to OpenCV, which takes it for the first channel and 0 for the others: the corners
    of a BGR picture become blue, here as there.
    """
    height, width = pixels.shape[:2]
    if isinstance(extras["pad_val"], (int, float)):
        extras = {**extras, "pad_val": (extras["pad_val"], 0, 0)}
    centre = extras["center"] or ((width - 1) * 0.5, (height - 1) * 0.5)
    return warped(pixels, cv2.getRotationMatrix2D(tuple(centre), -params["angle"], extras["scale"]), extras)


def cutout(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    """Fill a box whose centre was drawn."""
    x, y, width, height = params["box"]
    filled = pixels.copy()
    filled[y : y + height, x : x + width] = np.array(border(pixels, extras["pad_val"])).astype(pixels.dtype)
    return filled


def blur(pixels: Pixels, params: Params, extras: Extras) -> Pixels:
    return np.array(Pillow.fromarray(pixels).filter(ImageFilter.GaussianBlur(radius=params["radius"])))


MOVE = {"pad_val": 128, "direction": "horizontal"}
KINDS: Mapping[str, Kind] = {
    "AutoContrast": Kind(lambda pixels, params, extras: colours.auto_contrast(pixels), None),
    "Equalize": Kind(lambda pixels, params, extras: colours.equalize(pixels), None),
    "Invert": Kind(lambda pixels, params, extras: colours.invert(pixels), None),
    "Rotate": Kind(rotate, "angle", extras={"pad_val": 128, "center": None, "scale": 1.0, "interpolation": "nearest"}),
    "Posterize": Kind(lambda pixels, params, _: colours.posterize(pixels, params["bits"]), "bits", signed=False),
    "Solarize": Kind(lambda pixels, params, _: colours.solarize(pixels, params["thr"]), "thr", signed=False),
    "SolarizeAdd": Kind(
        lambda pixels, params, extras: colours.solarize_add(pixels, params["magnitude"], extras["thr"]),
        signed=False,
        extras={"thr": 128},
    ),
    "ColorTransform": Kind(lambda pixels, params, _: colours.colour(pixels, 1 + params["magnitude"])),
    "Contrast": Kind(lambda pixels, params, _: colours.contrast(pixels, 1 + params["magnitude"])),
    "Brightness": Kind(lambda pixels, params, _: colours.brightness(pixels, 1 + params["magnitude"])),
    "Sharpness": Kind(lambda pixels, params, _: colours.sharpness(pixels, 1 + params["magnitude"])),
    "Shear": Kind(shear, extras={**MOVE, "interpolation": "bicubic"}),
    "Translate": Kind(translate, extras={**MOVE, "interpolation": "nearest"}),
    "Cutout": Kind(cutout, "shape", signed=False, extras={"pad_val": 128}),
    "GaussianBlur": Kind(blur, "radius", signed=False),
}
WHOLE = ("Shear", "Translate")
"""Operations that take no fraction for the level of what comes from outside."""

SHARED = ("prob", "random_negative_prob", "magnitude_level", "magnitude_range", "magnitude_std", "total_level")


@dataclass(frozen=True)
class Operation:
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

    def __post_init__(self) -> None:
        probability("prob", self.prob)
        probability("random_negative_prob", self.random_negative_prob)
        if KINDS[self.name].amount and (self.amount is None) == (self.magnitude_range is None):
            raise ValueError(f"one of {KINDS[self.name].amount} and magnitude_range must be given")
        if self.magnitude_std != "inf" and not is_number(self.magnitude_std):
            raise ValueError(f"magnitude_std is a number or 'inf', not {self.magnitude_std!r}")
        if not is_number(self.magnitude_level) or not is_number(self.total_level) or self.total_level == 0:
            raise ValueError(f"no magnitude_level {self.magnitude_level!r} of a total_level {self.total_level!r}")
        self.check_extras()
        if self.amount is not None:
            self.check_amount()

    def check_amount(self) -> None:
        """A fixed amount is a number; for some operations it may be a pair, or has an end."""
        if self.name == "Cutout":
            shape = self.amount if isinstance(self.amount, tuple) else (self.amount,) * 2
            if len(shape) != 2 or not all(isinstance(side, int) and side >= 0 for side in shape):
                raise ValueError(f"shape is a whole number or a tuple of two, not below 0, not {self.amount!r}")
        elif not is_number(self.amount):
            raise ValueError(f"{KINDS[self.name].amount} is a number, not {self.amount!r}")
        elif self.name == "Posterize":
            posterized(self.amount)

    def check_extras(self) -> None:
        """What else an operation is told."""
        if "pad_val" in self.extras:
            colour("pad_val", self.extras["pad_val"])
            if self.name in WHOLE and isinstance(self.extras["pad_val"], float):
                raise ValueError(f"pad_val is a whole number or three numbers, not {self.extras['pad_val']!r}")
        if not is_number(self.extras.get("thr", 128)):
            raise ValueError(f"thr is a number, not {self.extras['thr']!r}")
        centre = self.extras.get("center")
        if centre is not None and (not isinstance(centre, tuple) or len(centre) != 2):
            raise ValueError(f"center is a tuple (x, y), not {centre!r}")

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
            return {"bits": posterized(amount)}
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


def posterized(amount: float) -> int:
    """How many bits are kept: a picture has 8, and below 0 is black as 0 is."""
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
    """The operation that the settings describe.

    Raises:
        ConfigError: its name or one of its settings is unknown, or a value makes no sense.
    """
    settings = named(settings)
    name = str(settings.get("type"))
    if name not in KINDS:
        raise ConfigError(f"{where}: no operation named {name!r}", hint=suggestion(name, KINDS))
    kind = KINDS[name]
    given = {key: value for key, value in settings.items() if key not in ("type", "_scope_", "magnitude_key")}
    unsigned = () if kind.signed else ("random_negative_prob",)
    known = [*(key for key in SHARED if key not in unsigned), *kind.extras, *([kind.amount] if kind.amount else [])]
    check_settings({"type": name, **given}, known, (), where)
    extras = {key: given.get(key, default) for key, default in kind.extras.items()}
    if extras.get("direction", "horizontal") not in ("horizontal", "vertical"):
        raise ConfigError(f"{where}: {name}: the direction is horizontal or vertical, not {extras['direction']!r}")
    if extras.get("interpolation", "nearest") not in tuple(CV2):
        raise ConfigError(f"{where}: {name}: no interpolation {extras['interpolation']!r}")
    shared = {key: given[key] for key in SHARED if key in given}
    try:
        made = Operation(name, given.get(kind.amount) if kind.amount else None, extras, **shared)
    except REFUSALS as error:
        raise ConfigError(f"{where}: {name}: {first_line(error)}") from error
    return tried(made, f"{where}: {name}")


HPARAMS: Settings = {"pad_val": 128}


def one(kind: str, **settings: Setting) -> Settings:
    return {"type": kind, **settings}


INCREASING: Sequence[Settings] = (
    one("AutoContrast"),
    one("Equalize"),
    one("Invert"),
    one("Rotate", magnitude_range=(0, 30)),
    one("Posterize", magnitude_range=(4, 0)),
    one("Solarize", magnitude_range=(256, 0)),
    one("SolarizeAdd", magnitude_range=(0, 110)),
    one("ColorTransform", magnitude_range=(0, 0.9)),
    one("Contrast", magnitude_range=(0, 0.9)),
    one("Brightness", magnitude_range=(0, 0.9)),
    one("Sharpness", magnitude_range=(0, 0.9)),
    one("Shear", magnitude_range=(0, 0.3), direction="horizontal"),
    one("Shear", magnitude_range=(0, 0.3), direction="vertical"),
    one("Translate", magnitude_range=(0, 0.45), direction="horizontal"),
    one("Translate", magnitude_range=(0, 0.45), direction="vertical"),
)
"""All operations, stronger with the level (timm's `increasing` set)."""

RANDAUGMENT: Mapping[str, Sequence[Settings]] = {
    "timm_increasing": INCREASING,
    "simple_increasing": tuple(
        row for row in INCREASING if row["type"] in ("AutoContrast", "Equalize", "Rotate", "Shear")
    ),
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
class Policy:
    """Groups of operations, of which `picks` are chosen for every picture, with repetition."""

    groups: tuple[tuple[Transform, ...], ...]
    picks: int = 1

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The chosen operations, each with what it drew; the key tells equal ones apart by their position."""
        chosen = random.integers(0, len(self.groups), self.picks).tolist()
        params: dict[str, Any] = {}
        for group in chosen:
            for position, member in enumerate(self.groups[group]):
                key = f"{len(params) + 1} {getattr(member, 'title', type(member).__name__)}"
                params[key] = {"at": (group, position), **member.sample_params(pixels, random)}
        return params

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """One operation after the other."""
        for step in params.values():
            group, position = step["at"]
            pixels = self.groups[group][position].apply(pixels, step)
        return pixels


def rand_augment(settings: Settings, where: str, build: Build) -> Policy:
    """`num_policies` operations out of a list, all at one magnitude level.

    Source: Cubuk et al., RandAugment, NeurIPS 2020.

    Raises:
        ConfigError: a setting is missing, unknown or makes no sense, or no such collection exists.
    """
    known = ("policies", "num_policies", "magnitude_level", "magnitude_std", "total_level", "hparams")
    check_settings(settings, known, ("policies", "num_policies", "magnitude_level"), where)
    rows = collection(settings["policies"], RANDAUGMENT, where)
    level = {key: settings[key] for key in ("magnitude_level", "magnitude_std", "total_level") if key in settings}
    picks, total, strength = settings["num_policies"], settings.get("total_level", 10), settings["magnitude_level"]
    shared = hparams(settings, where)
    if not rows or type(picks) is not int or picks < 1:
        raise ConfigError(f"{where}: RandAugment needs at least one policy and num_policies of 1 or more")
    if not is_number(total) or not is_number(strength) or total <= 0 or strength < 0:
        raise ConfigError(
            f"{where}: RandAugment needs a magnitude_level not below 0 and a total_level above 0, "
            f"not {strength!r} and {total!r}"
        )
    std = settings.get("magnitude_std", 0.0)
    if std != "inf" and not is_number(std):
        raise ConfigError(f"{where}: RandAugment: magnitude_std is a number or 'inf', not {std!r}")
    made = [
        build({**merged(checked(row, where), shared), **(level if "magnitude_range" in row else {})}, where)
        for row in rows
    ]
    return Policy(tuple((one,) for one in made), picks)


def auto_augment(settings: Settings, where: str, build: Build) -> Policy:
    """One group of operations out of a list.

    Upstream reads `hparams` here but never hands them to the operations; so do we, or the pixels would differ.

    Raises:
        ConfigError: a setting is missing, unknown or makes no sense, or no such collection exists.
    """
    check_settings(settings, ("policies", "hparams"), ("policies",), where)
    hparams(settings, where)
    groups = collection(settings["policies"], {"imagenet": IMAGENET}, where)
    if not groups or not all(isinstance(group, (list, tuple)) for group in groups):
        raise ConfigError(f"{where}: AutoAugment needs a list of lists of dicts, not {groups!r:.60}")
    return Policy(tuple(tuple(build(checked(row, where), where) for row in group) for group in groups))


def hparams(settings: Settings, where: str) -> Settings:
    """What the operations share."""
    shared = settings.get("hparams", HPARAMS)
    if not isinstance(shared, Mapping):
        raise ConfigError(f"{where}: {settings['type']}: hparams is a dict, not {shared!r}")
    return shared


def checked(row: Setting, where: str) -> Settings:
    """One policy, which is a dict with a type."""
    if not isinstance(row, Mapping) or "type" not in row:
        raise ConfigError(f"{where}: a policy is a dict with a type, not {row!r:.60}")
    return named(row)


def collection(policies: Setting, named: Mapping[str, Setting], where: str) -> Setting:
    """The policies as a list; a name stands for one of upstream's lists."""
    if not isinstance(policies, str):
        if not isinstance(policies, (list, tuple)):
            raise ConfigError(f"{where}: policies is a list or a name, not {policies!r}")
        return policies
    if policies not in named:
        raise ConfigError(f"{where}: no policies named {policies!r}", hint=suggestion(policies, named))
    return named[policies]


def merged(row: Settings, shared: Settings) -> Settings:
    """A row with the shared `hparams`, as far as its operation has such a setting and does not give it itself."""
    kind = KINDS.get(str(row["type"]))
    return {**{key: value for key, value in shared.items() if kind and key in kind.extras}, **row}
