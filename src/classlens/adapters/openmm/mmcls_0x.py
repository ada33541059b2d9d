"""The words of 0.x (mmcls) and what they are called in 1.x (mmpretrain): a table that a reader can check.

Only names and spellings are translated here, and only where the meaning is the same. Schedules are not: the two
generations draw different curves from the same numbers.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from classlens.adapters.openmm.refusals import reason_to_refuse
from classlens.config.settings import Settings

Rename = Mapping[str, str]

CROP_RENAMED: Rename = {"size": "scale", "scale": "crop_ratio_range", "ratio": "aspect_ratio_range"}
"""Argument of RandomResizedCrop in 0.x -> argument in 1.x."""

TYPES: Mapping[str, str] = {"Albu": "Albumentations", "ToPIL": "NumpyToPIL", "ToNumpy": "PILToNumpy"}
"""Transform in 0.x -> transform in 1.x, where only the name changed."""

FOLDED = frozenset({"ImageToTensor", "ToTensor", "ToHalf", "WrapFieldsToLists"})
"""Array bookkeeping of 0.x that one PackInputs does in 1.x."""

CHANNELS_FIRST = frozenset({"ImageToTensor", "Transpose"})
"""What brings a picture of 0.x into the layout that networks want; PackInputs does in 1.x."""

BATCH_AUGMENTS: Mapping[str, str] = {"BatchMixup": "Mixup", "BatchCutMix": "CutMix", "BatchResizeMix": "ResizeMix"}

SHARED: Mapping[str, tuple[str, ...]] = {
    "pad_val": ("Cutout", "Rotate", "Shear", "Translate"),
    "interpolation": ("Rotate", "Shear", "Translate"),
}
"""Setting in the `hparams` of a policy -> operations that have it."""

BY_TEST_MODE = frozenset({"CIFAR10", "CIFAR100", "MNIST", "FashionMNIST", "CUB", "StanfordCars"})
"""Datasets whose split is `test_mode` in 0.x and `split` in 1.x."""


def translate_stage(old: Settings) -> dict[str, Any] | None:
    """One transform of 0.x in the words of 1.x; None where 1.x has no stage for it."""
    kind = str(old.get("type", ""))
    if kind in FOLDED:
        return None
    return SPECIAL[kind](old) if kind in SPECIAL else {**old, "type": TYPES.get(kind, kind)}


def rename(old: Settings, names: Rename, *dropped: str) -> dict[str, Any]:
    return {names.get(key, key): value for key, value in old.items() if key not in dropped}


def resize(old: Settings) -> dict[str, Any]:
    """`Resize(size=(256, -1))` is ResizeEdge; `size=256` is a square; `size=(h, w)` is `scale=(w, h)`."""
    rest = rename(old, {}, "type", "size", "adaptive_side")
    size = old.get("size")
    if isinstance(size, int):
        return {"type": "Resize", "scale": (size, size), **rest}
    if isinstance(size, tuple | list) and len(size) == 2:
        if size[1] == -1:
            return {"type": "ResizeEdge", "scale": size[0], "edge": old.get("adaptive_side", "short"), **rest}
        return {"type": "Resize", "scale": (size[1], size[0]), **rest}
    return dict(old)


def random_resized_crop(old: Settings) -> dict[str, Any]:
    """EfficientNet's crop was an argument in 0.x (bilinear by default) and is a type in 1.x (bicubic by default)."""
    if not old.get("efficientnet_style", False):
        return rename(old, CROP_RENAMED, "efficientnet_style", "min_covered", "crop_padding")
    style = {"type": "EfficientNetRandomCrop", "interpolation": old.get("interpolation", "bilinear")}
    return {**rename(old, CROP_RENAMED, "efficientnet_style"), **style}


def center_crop(old: Settings) -> dict[str, Any]:
    """As `random_resized_crop`; a pair is (height, width) in 0.x and (width, height) in 1.x."""
    if old.get("efficientnet_style", False):
        style = {"type": "EfficientNetCenterCrop", "interpolation": old.get("interpolation", "bilinear")}
        return {**rename(old, {}, "efficientnet_style"), **style}
    size = old.get("crop_size")
    return {"type": "CenterCrop", "crop_size": tuple(reversed(size)) if isinstance(size, tuple | list) else size}


def random_crop(old: Settings) -> dict[str, Any]:
    return {**rename(old, {"size": "crop_size"}), **({"both_sides": True} if old.get("pad_if_needed") else {})}


def random_flip(old: Settings) -> dict[str, Any]:
    """The probability is 0.5 if none is given, and may be a whole number, which 1.x refuses."""
    probability = old.get("flip_prob", 0.5)
    return {
        **rename(old, {}, "flip_prob"),
        "prob": float(probability) if isinstance(probability, int | float) else probability,
    }


def pad(old: Settings) -> dict[str, Any]:
    """A size is (height, width) in 0.x and (width, height) in 1.x; one `pad_val` fills the first channel in 0.x."""
    size, value = old.get("size"), old.get("pad_val", 0)
    turned = {"size": tuple(reversed(size))} if isinstance(size, tuple | list) else {}
    return {**old, **turned, "pad_val": {"img": (value, 0, 0) if isinstance(value, int | float) else value}}


def auto_augment(old: Settings) -> dict[str, Any]:
    """0.x hands `hparams` to the operations; 1.x reads them and leaves them lying."""
    groups = old.get("policies")
    if not isinstance(groups, list | tuple):
        return dict(old)
    shared = old.get("hparams") or {}
    return {"type": "AutoAugment", "policies": [[operation(row, shared) for row in group] for group in groups]}


def rand_augment(old: Settings) -> dict[str, Any]:
    """Levels count up to 30 by default, to 10 in 1.x."""
    rows, shared = old.get("policies"), old.get("hparams")
    policies = [operation(row, shared) for row in rows] if isinstance(rows, list | tuple) else rows
    return {"total_level": 30, **old, "policies": policies}


def operation(old: Settings, shared: Settings | None = None) -> dict[str, Any]:
    """An operation with the shared `hparams` that it knows; one `pad_val` of Rotate fills every channel in 0.x."""
    kind = str(old.get("type")).rpartition(".")[2]
    known = {key: value for key, value in (shared or {}).items() if kind in SHARED.get(key, ())}
    new = {**known, **{key: value for key, value in old.items() if value is not None}}
    if kind == "Rotate":
        value = new.get("pad_val", 128)
        new["pad_val"] = (value, value, value) if isinstance(value, int | float) else value
    return new


SPECIAL: Mapping[str, Callable[[Settings], dict[str, Any]]] = {
    "AutoAugment": auto_augment,
    "RandAugment": rand_augment,
    "Rotate": operation,
    "CenterCrop": center_crop,
    "Collect": lambda old: {"type": "PackInputs"},
    "ColorJitter": lambda old: {"backend": "cv2", **old},
    "Lighting": lambda old: {"to_rgb": True, "wrapped": False, **old},
    "Pad": pad,
    "RandomCrop": random_crop,
    "RandomFlip": random_flip,
    "RandomGrayscale": lambda old: {
        **rename(old, {"gray_prob": "prob"}),
        "keep_channels": True,
        "channel_weights": None,
    },
    "RandomResizedCrop": random_resized_crop,
    "Resize": resize,
}
"""Transforms for which renaming arguments is not enough."""


def translate_dataset(old: Settings, *, tested: bool = False) -> dict[str, Any]:
    """A dataset of 0.x, with its pipeline and everything it wraps, in the words of 1.x.

    `tested` is what 0.x hands to the datasets of validation and test as their `test_mode`, where they have none: to a
    fold it goes instead of to the dataset that is folded.
    """
    new = dict(old)
    folds = old.get("type") == "KFoldDataset"
    if isinstance(old.get("dataset"), Mapping):
        within = tested and not (folds and old.get("test_mode") is None)
        new["dataset"] = translate_dataset(old["dataset"], tested=within)
        new["around_any"] = True
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
    kinds = set()
    for entry in old:
        if not isinstance(entry, Mapping) or "type" not in entry:
            stages.append(entry)
            continue
        kinds.add(str(entry["type"]))
        reason = reason_to_refuse(entry)
        stage = {"type": entry["type"], "_refused_": reason} if reason else translate_stage(entry)
        if stage is not None:
            stages.append(stage)
    if CHANNELS_FIRST & kinds:
        return stages
    return [
        {**entry, "_rows_first_": True} if isinstance(entry, Mapping) and entry.get("type") == "PackInputs" else entry
        for entry in stages
    ]


def translate_batch_augment(old: Settings) -> dict[str, Any]:
    """`BatchMixup(alpha, num_classes, prob)` is `Mixup(alpha)`; its probability is read by the caller."""
    return {**rename(old, {}, "prob", "num_classes"), "type": BATCH_AUGMENTS.get(str(old.get("type")), old.get("type"))}
