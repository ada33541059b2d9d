"""What mmcls (0.x) refuses of a transform's settings, where mmpretrain takes it or calls it otherwise.

The bridge asks here before it translates, because afterwards nobody knows what was written.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

Settings = Mapping[str, Any]

SETTINGS: Mapping[str, tuple[str, str]] = {
    "AutoAugment": ("policies hparams", "policies"),
    "AutoContrast": ("prob", ""),
    "CenterCrop": ("crop_size efficientnet_style crop_padding interpolation backend", "crop_size"),
    "ColorJitter": ("brightness contrast saturation", "brightness contrast saturation"),
    "Equalize": ("prob", ""),
    "Invert": ("prob", ""),
    "Lighting": ("eigval eigvec alphastd to_rgb", "eigval eigvec"),
    "Pad": ("size pad_to_square pad_val padding_mode", ""),
    "RandAugment": (
        "policies num_policies magnitude_level magnitude_std total_level hparams",
        "policies num_policies magnitude_level",
    ),
    "RandomCrop": ("size padding pad_if_needed pad_val padding_mode", "size"),
    "RandomFlip": ("flip_prob direction", ""),
    "RandomGrayscale": ("gray_prob", ""),
    "RandomResizedCrop": (
        "size scale ratio max_attempts efficientnet_style min_covered crop_padding interpolation backend",
        "size",
    ),
    "Resize": ("size interpolation adaptive_side backend", "size"),
}
"""Transform -> the settings that it has, and those that it needs."""


def refusal(old: Settings) -> str:
    """Why 0.x does not take these settings of a transform; empty if it does, or if 1.x refuses the same."""
    kind = str(old["type"]).rpartition(".")[2]
    known, max_side = (names.split() for names in SETTINGS.get(kind, ("", "")))
    given = [key for key in old if key not in ("type", "_scope_", "magnitude_key", "magnitude_range")]
    unknown = [key for key in given if known and key not in known]
    if unknown:
        return f"there is no setting {unknown[0]!r}, only {', '.join(known)}"
    absent = [key for key in max_side if key not in old]
    if absent:
        return f"the setting {absent[0]!r} is needed"
    for key in ("prob", "interpolation"):
        if old.get(key, key) is None:
            return f"{key} is None"
    return CHECKS[kind](old) if kind in CHECKS else ""


def first(*checks: tuple[bool, str]) -> str:
    return next((complaint for holds, complaint in checks if holds), "")


def is_size(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, tuple) and len(value) == 2)


def backend(old: Settings) -> tuple[bool, str]:
    """Both backends must be named where one is."""
    value = old.get("backend", "cv2")
    return value not in ("cv2", "pillow"), f"the backend is cv2 or pillow, not {value!r}"


def resize(old: Settings) -> str:
    """Resize."""
    side = old.get("adaptive_side", "short")
    return first(
        (not is_size(old["size"]), f"size is a whole number or a tuple of two, not {old['size']!r}"),
        (
            side not in ("short", "long", "height", "width"),
            f"adaptive_side is short, long, height or width, not {side!r}",
        ),
        backend(old),
    )


def center_crop(old: Settings) -> str:
    """CenterCrop."""
    size = old["crop_size"]
    return first(
        (not is_size(size), f"crop_size is a whole number or a tuple of two, not {size!r}"),
        backend(old) if old.get("efficientnet_style") else (False, ""),
    )


def random_resized_crop(old: Settings) -> str:
    """RandomResizedCrop, whose settings for EfficientNet are checked in any style."""
    covered = old.get("min_covered", 0.1)
    right = isinstance(covered, int | float) and covered >= 0
    return first((not right, f"min_covered is a number and not below 0, not {covered!r}"), backend(old))


def random_flip(old: Settings) -> str:
    """RandomFlip: one direction, and no diagonal."""
    direction = old.get("direction", "horizontal")
    wrong = direction not in ("horizontal", "vertical")
    return f"direction is horizontal or vertical, not {direction!r}" if wrong else ""


def pad(old: Settings) -> str:
    """Pad."""
    value = old.get("pad_val", 0)
    right = isinstance(value, int | float) or (isinstance(value, tuple) and len(value) == 3)
    return first(
        (
            (old.get("size") is None) == (old.get("pad_to_square", False) is False),
            "one of size and pad_to_square is given",
        ),
        (not right, f"pad_val is a number or a tuple of three, not {value!r}"),
    )


def color_jitter(old: Settings) -> str:
    """ColorJitter: numbers, no ranges."""
    wrong = [key for key in ("brightness", "contrast", "saturation") if not isinstance(old[key], int | float)]
    return f"{wrong[0]} is a number, not {old[wrong[0]]!r}" if wrong else ""


def lighting(old: Settings) -> str:
    """Lighting: lists only, whatever the number."""
    rows = old["eigvec"]
    right = isinstance(old["eigval"], list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    return "" if right else "eigval is a list, and eigvec a list of lists"


def filled(old: Settings) -> str:
    """Cutout, Shear and Translate: whole numbers for what comes from outside."""
    value = old.get("pad_val", 128)
    parts = [value] * 3 if isinstance(value, int) else value
    right = isinstance(parts, Sequence) and len(parts) == 3 and all(isinstance(part, int) for part in parts)
    return "" if right else f"pad_val is a whole number or three, not {value!r}"


def rotate(old: Settings) -> str:
    """Rotate: fractions only."""
    angle, scale = old.get("angle", 0.0), old.get("scale", 1.0)
    return first(
        (not isinstance(angle, float), f"angle is a float, not {angle!r}"),
        (not isinstance(scale, float), f"scale is a float, not {scale!r}"),
        (bool(filled(old)), filled(old)),
    )


def policies(old: Settings) -> str:
    """AutoAugment and RandAugment: lists of dicts, and what these share."""
    rows, shared = old["policies"], old.get("hparams", {})
    groups = rows if old["type"].endswith("AutoAugment") else [rows]
    full = isinstance(rows, list) and rows and all(isinstance(group, list) and group for group in groups)
    inside = [row for group in groups for row in group] if full else []
    return first(
        (not isinstance(shared, Mapping), f"hparams is a dict, not {shared!r}"),
        (not full, f"policies is a list that is not empty, not {rows!r:.60}"),
        (not all(isinstance(row, Mapping) and "type" in row for row in inside), "a policy is a dict with a type"),
    ) or next((f"{row['type']}: {refusal(row)}" for row in inside if refusal(row)), "")


CHECKS: Mapping[str, Callable[[Settings], str]] = {
    "AutoAugment": policies,
    "CenterCrop": center_crop,
    "ColorJitter": color_jitter,
    "Cutout": filled,
    "Lighting": lighting,
    "Pad": pad,
    "RandAugment": policies,
    "RandomFlip": random_flip,
    "RandomResizedCrop": random_resized_crop,
    "Resize": resize,
    "Rotate": rotate,
    "Shear": filled,
    "Translate": filled,
}
