"""AutoAugment and RandAugment: which operations, how many, how strong; and the named collections of upstream."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.stages.operations import KINDS
from classlens.adapters.openmm.stages.transform import Draws, Setting, Transform, check_settings, is_number, named
from classlens.dataset.reading import Pixels
from classlens.errors import ConfigError, suggestion

HPARAMS: Settings = {"pad_val": 128}


def one(kind: str, **settings: Setting) -> Settings:
    """A row of the tables below."""
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

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """The chosen operations, each with what it drew; the key tells equal ones apart by their position."""
        chosen = random.integers(0, len(self.groups), self.picks).tolist()
        drawn: dict[str, Any] = {}
        for group in chosen:
            for position, member in enumerate(self.groups[group]):
                key = f"{len(drawn) + 1} {getattr(member, 'title', type(member).__name__)}"
                drawn[key] = {"at": (group, position), **member.draw(pixels, random)}
        return drawn

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """One operation after the other."""
        for step in drawn.values():
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
