"""The words of 0.x (mmcls) and what they are called in 1.x (mmpretrain): a table that a reader can check.

Only names and spellings are translated here, and only where the meaning is the same. Schedules are not: the two
generations draw different curves from the same numbers. What 0.x refuses of a transform's settings, where 1.x takes it
or calls it otherwise, is found before they are translated, because afterwards nobody knows what was written.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classlens.config.settings import Settings
from classlens.errors import short_repr

Renames = Mapping[str, str]

CROP_RENAMES: Renames = {"size": "scale", "scale": "crop_ratio_range", "ratio": "aspect_ratio_range"}
"""Argument of RandomResizedCrop in 0.x -> argument in 1.x."""

TYPES: Renames = {"Albu": "Albumentations", "ToPIL": "NumpyToPIL", "ToNumpy": "PILToNumpy"}
"""Transform in 0.x -> transform in 1.x, where only the name changed."""

FOLDED = frozenset({"ImageToTensor", "ToTensor", "ToHalf", "WrapFieldsToLists"})
"""Array bookkeeping of 0.x that one PackInputs does in 1.x."""

CHANNELS_FIRST = frozenset({"ImageToTensor", "Transpose"})
"""What brings a picture of 0.x into the layout that networks want; PackInputs does in 1.x."""

BATCH_AUGMENTS: Renames = {"BatchMixup": "Mixup", "BatchCutMix": "CutMix", "BatchResizeMix": "ResizeMix"}

SHARED: Mapping[str, tuple[str, ...]] = {
    "pad_val": ("Cutout", "Rotate", "Shear", "Translate"),
    "interpolation": ("Rotate", "Shear", "Translate"),
}
"""Setting in the `hparams` of a policy -> operations that have it."""

BY_TEST_MODE = frozenset({"CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "CUB", "StanfordCars"})
"""Datasets whose split is `test_mode` in 0.x and `split` in 1.x."""

EFFICIENT = "efficientnet_style crop_padding interpolation backend"
SETTINGS: Mapping[str, tuple[str, str]] = {
    "AutoAugment": ("policies", "hparams"),
    "AutoContrast": ("", "prob"),
    "CenterCrop": ("crop_size", EFFICIENT),
    "ColorJitter": ("brightness contrast saturation", ""),
    "Equalize": ("", "prob"),
    "Invert": ("", "prob"),
    "Lighting": ("eigval eigvec", "alphastd to_rgb"),
    "Pad": ("", "size pad_to_square pad_val padding_mode"),
    "RandAugment": ("policies num_policies magnitude_level", "magnitude_std total_level hparams"),
    "RandomCrop": ("size", "padding pad_if_needed pad_val padding_mode"),
    "RandomFlip": ("", "flip_prob direction"),
    "RandomGrayscale": ("", "gray_prob"),
    "RandomResizedCrop": ("size", f"scale ratio max_attempts min_covered {EFFICIENT}"),
    "Resize": ("size", "interpolation adaptive_side backend"),
}
"""Transform -> the settings that it needs, and the others that it has."""

Rule = tuple[Callable[[Any], bool], str]  # what a setting must be, and that in words


def is_number(value: object) -> bool:
    return isinstance(value, int | float)


def is_tuple(value: object, length: int) -> bool:
    return isinstance(value, tuple) and len(value) == length


def is_list(value: object) -> bool:
    return isinstance(value, list)


def is_whole_colour(value: object) -> bool:
    parts = [value] * 3 if isinstance(value, int) else value
    return isinstance(parts, Sequence) and len(parts) == 3 and all(isinstance(part, int) for part in parts)


def one_of(*words: str) -> Rule:
    return lambda value: value in words, f"{', '.join(words[:-1])} or {words[-1]}"


SIZE: Rule = (lambda value: isinstance(value, int) or is_tuple(value, 2), "a whole number or a tuple of two")
NUMBER: Rule = (is_number, "a number")
FLOAT: Rule = (lambda value: isinstance(value, float), "a float")
BACKEND = one_of("cv2", "pillow")
FILLING: Rule = (is_whole_colour, "a whole number or three")
RULES: Mapping[str, Mapping[str, Rule]] = {
    "CenterCrop": {"crop_size": SIZE},
    "ColorJitter": {"brightness": NUMBER, "contrast": NUMBER, "saturation": NUMBER},
    **{kind: {"pad_val": FILLING} for kind in ("Cutout", "Shear", "Translate")},
    "Lighting": {
        "eigval": (is_list, "a list"),
        "eigvec": (lambda rows: is_list(rows) and all(map(is_list, rows)), "a list of lists"),
    },
    "Pad": {"pad_val": (lambda value: is_number(value) or is_tuple(value, 3), "a number or a tuple of three")},
    "RandomFlip": {"direction": one_of("horizontal", "vertical")},
    "RandomResizedCrop": {  # in any style, though both are for EfficientNet's
        "min_covered": (lambda value: is_number(value) and value >= 0, "a number and not below 0"),
        "backend": BACKEND,
    },
    "Resize": {"size": SIZE, "adaptive_side": one_of("short", "long", "height", "width"), "backend": BACKEND},
    "Rotate": {"angle": FLOAT, "scale": FLOAT, "pad_val": FILLING},
}
"""What 0.x asks of the settings of a transform, where 1.x does not."""


def reason_to_refuse(old: Settings) -> str:
    """Why 0.x does not take these settings of a transform; empty if it does, or if 1.x refuses the same."""
    kind = str(old["type"]).rpartition(".")[2]
    needed, others = (names.split() for names in SETTINGS.get(kind, ("", "")))
    known = [*needed, *others]
    allowed = {*known, "type", "_scope_", "magnitude_key", "magnitude_range"}
    if unknown := [key for key in old if known and key not in allowed]:
        return f"there is no setting {short_repr(unknown[0])}, only {', '.join(known)}"
    if absent := [key for key in needed if key not in old]:
        return f"the setting {short_repr(absent[0])} is needed"
    for key in ("prob", "interpolation"):
        if old.get(key, key) is None:
            return f"{key} is None"
    rules = {"backend": BACKEND} if kind == "CenterCrop" and old.get("efficientnet_style") else {}
    for key, (is_right, words) in {**RULES.get(kind, {}), **rules}.items():
        if key in old and not is_right(old[key]):
            return f"{key} is {words}, not {short_repr(old[key])}"
    if kind == "Pad" and (old.get("size") is None) == (old.get("pad_to_square", False) is False):
        return "one of size and pad_to_square is given"
    return reason_to_refuse_policies(old, kind) if kind in ("AutoAugment", "RandAugment") else ""


def reason_to_refuse_policies(old: Settings, kind: str) -> str:
    """AutoAugment and RandAugment: lists of dicts, and what these share."""
    rows, shared = old["policies"], old.get("hparams", {})
    groups = rows if kind == "AutoAugment" else [rows]
    if not isinstance(shared, Mapping):
        return f"hparams is a dict, not {short_repr(shared)}"
    if not (isinstance(rows, list) and rows and all(isinstance(group, list) and group for group in groups)):
        return f"policies is a list that is not empty, not {short_repr(rows, 60)}"
    inside = [row for group in groups for row in group]
    if not all(isinstance(row, Mapping) and "type" in row for row in inside):
        return "a policy is a dict with a type"
    return next((f"{row['type']}: {reason}" for row in inside if (reason := reason_to_refuse(row))), "")


def translate_stage(old: Settings) -> dict[str, Any] | None:
    """One transform of 0.x in the words of 1.x; None where 1.x has no stage for it."""
    kind = str(old.get("type", ""))
    if kind in FOLDED:
        return None
    return SPECIAL[kind](old) if kind in SPECIAL else {**old, "type": TYPES.get(kind, kind)}


def rename(old: Settings, names: Renames, *dropped: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in old.items() if key not in dropped}


def reverse_size(size: object) -> object:
    """(height, width) in 0.x is (width, height) in 1.x."""
    return tuple(reversed(size)) if isinstance(size, tuple | list) else size


def resize(old: Settings) -> dict[str, Any]:
    """`Resize(size=(256, -1))` is ResizeEdge; `size=256` is a square."""
    size, rest = old.get("size"), rename(old, {}, "type", "size", "adaptive_side")
    if isinstance(size, tuple | list) and len(size) == 2 and size[1] == -1:
        return {"type": "ResizeEdge", "scale": size[0], "edge": old.get("adaptive_side", "short"), **rest}
    return {"type": "Resize", "scale": (size, size) if isinstance(size, int) else reverse_size(size), **rest}


def crop(old: Settings) -> dict[str, Any]:
    """EfficientNet's crops were an argument in 0.x (bilinear by default) and are types in 1.x (bicubic by default)."""
    kind = str(old["type"])
    renames = CROP_RENAMES if kind == "RandomResizedCrop" else {}
    if old.get("efficientnet_style"):
        new = {"interpolation": "bilinear", **rename(old, renames, "efficientnet_style")}
        return {**new, "type": f"EfficientNet{kind.replace('Resized', '')}"}
    if kind == "CenterCrop":
        return {"type": kind, "crop_size": reverse_size(old.get("crop_size"))}
    return rename(old, renames, "efficientnet_style", "min_covered", "crop_padding")


def random_flip(old: Settings) -> dict[str, Any]:
    """The probability is 0.5 if none is given, and may be a whole number, which 1.x refuses."""
    probability = old.get("flip_prob", 0.5)
    return {**rename(old, {}, "flip_prob"), "prob": float(probability) if is_number(probability) else probability}


def pad(old: Settings) -> dict[str, Any]:
    """One `pad_val` fills the first channel in 0.x."""
    value, size = old.get("pad_val", 0), {"size": reverse_size(old["size"])} if "size" in old else {}
    return {**old, **size, "pad_val": {"img": (value, 0, 0) if is_number(value) else value}}


def policies(old: Settings) -> dict[str, Any]:
    """0.x hands `hparams` to the operations; 1.x reads them and leaves them lying."""
    shared = old.get("hparams")
    if old["type"] == "RandAugment":  # levels count up to 30 by default, to 10 in 1.x
        return {"total_level": 30, **old, "policies": [operation(row, shared) for row in old["policies"]]}
    return {"type": "AutoAugment", "policies": [[operation(row, shared) for row in rows] for rows in old["policies"]]}


def operation(old: Settings, shared: Settings | None = None) -> dict[str, Any]:
    """An operation with the shared `hparams` that it knows; one `pad_val` of Rotate fills every channel in 0.x."""
    kind = str(old.get("type")).rpartition(".")[2]
    known = {key: value for key, value in (shared or {}).items() if kind in SHARED.get(key, ())}
    new = {**known, **{key: value for key, value in old.items() if value is not None}}
    if kind == "Rotate":
        value = new.get("pad_val", 128)
        new["pad_val"] = (value, value, value) if is_number(value) else value
    return new


SPECIAL: Mapping[str, Callable[[Settings], dict[str, Any]]] = {
    "AutoAugment": policies,
    "RandAugment": policies,
    "Rotate": operation,
    "CenterCrop": crop,
    "Collect": lambda old: {"type": "PackInputs"},
    "ColorJitter": lambda old: {"backend": "cv2", **old},
    "Lighting": lambda old: {"to_rgb": True, "wrapped": False, **old},
    "Pad": pad,
    "RandomCrop": lambda old: (
        rename(old, {"size": "crop_size"}) | ({"both_sides": True} if old.get("pad_if_needed") else {})
    ),
    "RandomFlip": random_flip,
    "RandomGrayscale": lambda old: (
        rename(old, {"gray_prob": "prob"}) | {"keep_channels": True, "channel_weights": None}
    ),
    "RandomResizedCrop": crop,
    "Resize": resize,
}
"""Transforms for which renaming arguments is not enough; their settings are such as 0.x takes."""


def translate_dataset(old: Settings, *, tested: bool = False) -> dict[str, Any]:
    """A dataset of 0.x, with its pipeline and everything it wraps, in the words of 1.x.

    `tested` is what 0.x hands to the datasets of validation and test as their `test_mode`, where they have none: to a
    fold it goes instead of to the dataset that is folded.
    """
    new, folds = dict(old), old.get("type") == "KFoldDataset"
    if isinstance(old.get("dataset"), Mapping):
        within = tested and not (folds and old.get("test_mode") is None)
        new |= {"dataset": translate_dataset(old["dataset"], tested=within), "around_any": True}
    if isinstance(old.get("datasets"), list | tuple):
        new["datasets"] = [translate_dataset(part, tested=tested) for part in old["datasets"]]
        new["ignore_keys"] = ["classes"]
    if isinstance(old.get("pipeline"), list | tuple):
        new["pipeline"] = translate_pipeline(old["pipeline"])
    if old.get("classes") is not None:
        new["metainfo"] = {**old.get("metainfo", {}), "classes": new.pop("classes")}
    own = new.pop("test_mode", None)
    test_mode = tested if own is None else bool(own)
    if folds:
        new["test_mode"] = test_mode
    if old.get("type") in BY_TEST_MODE:
        new.setdefault("split", "test" if test_mode else "train")
        if "data_prefix" in new and old["type"] != "CUB":
            new["data_root"] = new.pop("data_prefix")
    if old.get("type") == "VOC":  # 0.x names the image set as `ann_file`, and the folder above pictures and annotations
        folder = str(new.get("data_prefix", "")).rstrip("/")
        new["data_prefix"] = {"img_path": f"{folder}/JPEGImages", "ann_path": f"{folder}/Annotations"}
        new["image_set_path"] = new.pop("ann_file", None)
    return new


def translate_pipeline(old: Sequence[Settings]) -> list[Settings]:
    """A pipeline of 0.x in the words of 1.x; entries that are no dict are left for the reader of stages to refuse.

    So are settings that 0.x refuses: the reader of stages reports the reason.
    """
    stages: list[Settings] = []
    has_channels_first = any(isinstance(entry, Mapping) and entry.get("type") in CHANNELS_FIRST for entry in old)
    for entry in old:
        if not isinstance(entry, Mapping) or "type" not in entry:
            stages.append(entry)
        elif reason := reason_to_refuse(entry):
            stages.append({"type": entry["type"], "_refused_": reason})
        elif (stage := translate_stage(entry)) is not None:
            rows_first = stage["type"] == "PackInputs" and not has_channels_first
            stages.append({**stage, "_rows_first_": True} if rows_first else stage)
    return stages


def translate_batch_augments(old: Settings) -> dict[str, Any]:
    """`BatchMixup(alpha, num_classes, prob)` is `Mixup(alpha)`; the probabilities lie beside them in 1.x."""
    augments = old.get("augments") or []
    augments = [augments] if isinstance(augments, Mapping) else augments
    augments = [{**one, "type": str(one.get("type"))} for one in augments if one.get("type") != "Identity"]
    new = [rename(one, {}, "prob", "num_classes") for one in augments]
    new = [{**one, "type": BATCH_AUGMENTS.get(one["type"], one["type"])} for one in new]
    return {"augments": new, "probs": [float(one.get("prob", 1.0)) for one in augments]}
