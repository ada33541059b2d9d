"""What mmcls (0.x) refuses of a transform's settings, where mmpretrain takes it or calls it otherwise.

Settings are checked before they are translated, because afterwards nobody knows what was written.
"""

from collections.abc import Callable, Mapping, Sequence

from classlens.config.settings import Settings

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


def reason_to_refuse(old: Settings) -> str:
    """Why 0.x does not take these settings of a transform; empty if it does, or if 1.x refuses the same."""
    kind = str(old["type"]).rpartition(".")[2]
    known, needed = (names.split() for names in SETTINGS.get(kind, ("", "")))
    allowed = {*known, "type", "_scope_", "magnitude_key", "magnitude_range"}
    if unknown := [key for key in old if known and key not in allowed]:
        return f"there is no setting {unknown[0]!r}, only {', '.join(known)}"
    if absent := [key for key in needed if key not in old]:
        return f"the setting {absent[0]!r} is needed"
    for key in ("prob", "interpolation"):
        if old.get(key, key) is None:
            return f"{key} is None"
    return CHECKS[kind](old) if kind in CHECKS else ""


def is_size(value: object) -> bool:
    return isinstance(value, int) or (isinstance(value, tuple) and len(value) == 2)


def one_of(old: Settings, key: str, default: str, *others: str) -> str:
    """The reason if a setting is none of its choices, of which the first is the default."""
    value = old.get(key, default)
    if value in (default, *others):
        return ""
    return f"{key} is {', '.join([default, *others[:-1]])} or {others[-1]}, not {value!r}"


def resize(old: Settings) -> str:
    if not is_size(old["size"]):
        return f"size is a whole number or a tuple of two, not {old['size']!r}"
    return one_of(old, "adaptive_side", "short", "long", "height", "width") or one_of(old, "backend", "cv2", "pillow")


def center_crop(old: Settings) -> str:
    size = old["crop_size"]
    if not is_size(size):
        return f"crop_size is a whole number or a tuple of two, not {size!r}"
    return one_of(old, "backend", "cv2", "pillow") if old.get("efficientnet_style") else ""


def random_resized_crop(old: Settings) -> str:
    """RandomResizedCrop, whose settings for EfficientNet are checked in any style."""
    covered = old.get("min_covered", 0.1)
    if not isinstance(covered, int | float) or covered < 0:
        return f"min_covered is a number and not below 0, not {covered!r}"
    return one_of(old, "backend", "cv2", "pillow")


def pad(old: Settings) -> str:
    value = old.get("pad_val", 0)
    if (old.get("size") is None) == (old.get("pad_to_square", False) is False):
        return "one of size and pad_to_square is given"
    right = isinstance(value, int | float) or (isinstance(value, tuple) and len(value) == 3)
    return "" if right else f"pad_val is a number or a tuple of three, not {value!r}"


def color_jitter(old: Settings) -> str:
    """ColorJitter: numbers, no ranges."""
    wrong = [key for key in ("brightness", "contrast", "saturation") if not isinstance(old[key], int | float)]
    return f"{wrong[0]} is a number, not {old[wrong[0]]!r}" if wrong else ""


def lighting(old: Settings) -> str:
    """Lighting: lists only, whatever the number."""
    rows = old["eigvec"]
    right = isinstance(old["eigval"], list) and isinstance(rows, list) and all(isinstance(row, list) for row in rows)
    return "" if right else "eigval is a list, and eigvec a list of lists"


def fill_value(old: Settings) -> str:
    """Cutout, Shear and Translate: whole numbers for what comes from outside."""
    value = old.get("pad_val", 128)
    parts = [value] * 3 if isinstance(value, int) else value
    right = isinstance(parts, Sequence) and len(parts) == 3 and all(isinstance(part, int) for part in parts)
    return "" if right else f"pad_val is a whole number or three, not {value!r}"


def rotate(old: Settings) -> str:
    """Rotate: fractions only."""
    angle, scale = old.get("angle", 0.0), old.get("scale", 1.0)
    if not isinstance(angle, float):
        return f"angle is a float, not {angle!r}"
    return fill_value(old) if isinstance(scale, float) else f"scale is a float, not {scale!r}"


def policies(old: Settings) -> str:
    """AutoAugment and RandAugment: lists of dicts, and what these share."""
    rows, shared = old["policies"], old.get("hparams", {})
    groups = rows if old["type"].endswith("AutoAugment") else [rows]
    full = isinstance(rows, list) and rows and all(isinstance(group, list) and group for group in groups)
    inside = [row for group in groups for row in group] if full else []
    if not isinstance(shared, Mapping):
        return f"hparams is a dict, not {shared!r}"
    if not full:
        return f"policies is a list that is not empty, not {rows!r:.60}"
    if not all(isinstance(row, Mapping) and "type" in row for row in inside):
        return "a policy is a dict with a type"
    return next((f"{row['type']}: {reason}" for row in inside if (reason := reason_to_refuse(row))), "")


CHECKS: Mapping[str, Callable[[Settings], str]] = {
    "AutoAugment": policies,
    "CenterCrop": center_crop,
    "ColorJitter": color_jitter,
    "Cutout": fill_value,
    "Lighting": lighting,
    "Pad": pad,
    "RandAugment": policies,
    "RandomFlip": lambda old: one_of(old, "direction", "horizontal", "vertical"),
    "RandomResizedCrop": random_resized_crop,
    "Resize": resize,
    "Rotate": rotate,
    "Shear": fill_value,
    "Translate": fill_value,
}
