"""Settings of transforms: whatever mmpretrain, mmcv or mmcls refuse, at once or at the first picture, is refused here.

Every setting of every transform is tried with values of every kind. We may refuse more, where training would go on with
what makes no sense (a probability of 9, a level that is a word); never less.
"""

import copy
import signal
from random import seed

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS
from PIL import Image as Pillow

from classlens.adapters.openmm import mmcls_0x
from classlens.adapters.openmm.stages.build_stages import build_stages
from classlens.errors import ConfigError
from tests_peers.dataset.test_older_generation import PIPELINES

PICTURE = np.random.default_rng(0).integers(0, 256, (60, 90, 3), dtype=np.uint8)
FLIP = {"type": "RandomFlip", "prob": 0.5}
LEVELS = ("magnitude_level", "magnitude_range", "magnitude_std", "total_level", "prob", "random_negative_prob")
CROP = ("scale", "crop_ratio_range", "aspect_ratio_range", "max_attempts", "interpolation", "backend")
TWO = "RandomResizedCropAndInterpolationWithTwoPic"
ERASING = ("erase_prob", "min_area_ratio", "max_area_ratio", "aspect_range", "mode", "fill_color", "fill_std")
RAND = ("policies", "num_policies", "magnitude_level", "magnitude_std", "total_level", "hparams")
LIGHT = {"eigval": [55.0, 4.8, 1.1], "eigvec": [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]}
NEWER = {
    "Resize": ({"scale": (40, 30)}, ("scale", "scale_factor", "keep_ratio", "backend", "interpolation")),
    "ResizeEdge": ({"scale": 40}, ("scale", "edge", "backend", "interpolation")),
    "CenterCrop": ({"crop_size": 40}, ("crop_size", "auto_pad", "pad_cfg")),
    "EfficientNetCenterCrop": ({"crop_size": 40}, ("crop_size", "crop_padding", "interpolation", "backend")),
    "Pad": ({"size": (100, 100)}, ("size", "size_divisor", "pad_to_square", "pad_val", "padding_mode")),
    "RandomFlip": ({"prob": 0.5}, ("prob", "direction")),
    "RandomCrop": ({"crop_size": 40}, ("crop_size", "padding", "pad_if_needed", "pad_val", "padding_mode")),
    "RandomResizedCrop": ({"scale": 40}, CROP),
    "EfficientNetRandomCrop": ({"scale": 40}, (*CROP, "min_covered", "crop_padding")),
    "MAERandomResizedCrop": ({"size": 40}, ("size", "scale", "ratio", "interpolation")),
    "ColorJitter": ({"brightness": 0.4}, ("brightness", "contrast", "saturation", "backend")),
    "Lighting": (LIGHT, ("eigval", "eigvec", "alphastd")),
    "RandomGrayscale": ({"prob": 1.0}, ("prob", "keep_channels", "color_format")),
    "RandomErasing": ({"erase_prob": 1.0}, ERASING),
    "RandAugment": ({"policies": "timm_increasing", "num_policies": 2, "magnitude_level": 5}, RAND),
    "AutoAugment": ({"policies": "imagenet"}, ("policies", "hparams")),
    "AutoContrast": ({"prob": 1.0}, LEVELS),
    "Rotate": ({"angle": 30.0, "prob": 1.0}, ("angle", "center", "scale", "pad_val", "interpolation", *LEVELS)),
    "Posterize": ({"bits": 4, "prob": 1.0}, ("bits", *LEVELS)),
    "Solarize": ({"thr": 100, "prob": 1.0}, ("thr", *LEVELS)),
    "SolarizeAdd": ({"magnitude": 30, "prob": 1.0}, ("thr", *LEVELS)),
    "Brightness": ({"magnitude": 0.5, "prob": 1.0}, ("magnitude", *LEVELS)),
    "Shear": ({"magnitude": 0.2, "prob": 1.0}, ("magnitude", "pad_val", "direction", "interpolation", *LEVELS)),
    "Translate": ({"magnitude": 0.2, "prob": 1.0}, ("magnitude", "pad_val", "direction", "interpolation", *LEVELS)),
    "Cutout": ({"shape": 20, "prob": 1.0}, ("shape", *LEVELS)),
    "GaussianBlur": ({"radius": 2, "prob": 1.0}, ("radius", *LEVELS)),
    "Normalize": ({"mean": [1, 2, 3], "std": [4, 5, 6]}, ("mean", "std")),
    "PILToNumpy": ({}, ("dtype",)),
    "Transpose": ({"keys": ["img"], "order": (2, 0, 1)}, ("keys", "order")),
    "RandomApply": ({"transforms": [FLIP], "prob": 1.0}, ("transforms", "prob")),
    "RandomChoice": ({"transforms": [[FLIP], [FLIP], [FLIP]]}, ("transforms", "prob")),
    "MultiView": ({"transforms": [[FLIP]], "num_views": [2]}, ("transforms", "num_views")),
    "Compose": ({"transforms": [FLIP]}, ("transforms",)),
    "SimMIMMaskGenerator": ({}, ("input_size", "mask_patch_size", "model_patch_size", "mask_ratio")),
    "BEiTMaskGenerator": (
        {"input_size": 8, "num_masking_patches": 20},
        ("input_size", "num_masking_patches", "min_num_patches", "max_num_patches", "min_aspect", "max_aspect"),
    ),
    TWO: ({"size": 40, "second_size": 20}, ("size", "scale", "ratio", "interpolation", "second_interpolation")),
    "RandomResize": ({"scale": (40, 30), "ratio_range": (0.5, 1.5)}, ("scale", "ratio_range", "interpolation")),
    "RandomChoiceResize": ({"scales": [(40, 30), (20, 10)]}, ("scales", "keep_ratio", "interpolation", "backend")),
    "RandomTranslatePad": ({"size": 120}, ("aug_translate",)),
    "PackInputs": ({}, ("algorithm_keys", "meta_keys")),
}
OLD_CROP = ("size", "scale", "ratio", "max_attempts", "efficientnet_style", "min_covered", "crop_padding", "backend")
OLDER = {
    "Resize": ({"size": (40, 30)}, ("interpolation", "adaptive_side", "backend")),
    "CenterCrop": ({"crop_size": 40}, ("crop_size", "interpolation", "backend")),
    "Pad": ({"size": (100, 100)}, ("size", "pad_to_square", "pad_val", "padding_mode")),
    "RandomFlip": ({"flip_prob": 0.5}, ("flip_prob", "direction")),
    "RandomCrop": ({"size": 40}, ("padding", "pad_if_needed", "pad_val", "padding_mode")),
    "RandomResizedCrop": ({"size": 40}, OLD_CROP),
    "ColorJitter": ({"brightness": 0.4, "contrast": 0.4, "saturation": 0.4}, ("brightness", "contrast", "saturation")),
    "Lighting": (LIGHT, ("eigval", "eigvec", "to_rgb")),
    "RandomErasing": ({"erase_prob": 1.0}, ERASING),
    "RandAugment": ({"policies": [{"type": "Invert"}], "num_policies": 2, "magnitude_level": 5}, RAND[1:]),
    "AutoAugment": ({"policies": [[{"type": "Invert"}]]}, ("policies", "hparams")),
    "AutoContrast": ({"prob": 1.0}, ("prob", "random_negative_prob")),
    "Rotate": ({"angle": 30.0, "prob": 1.0}, ("angle", "center", "scale", "pad_val", "interpolation", "prob")),
    "Posterize": ({"bits": 4, "prob": 1.0}, ("bits", "prob", "random_negative_prob")),
    "Solarize": ({"thr": 100, "prob": 1.0}, ("thr", "prob")),
    "SolarizeAdd": ({"magnitude": 30, "prob": 1.0}, ("thr", "prob")),
    "Brightness": ({"magnitude": 0.5, "prob": 1.0}, ("magnitude", "prob", "random_negative_prob")),
    "Shear": ({"magnitude": 0.2, "prob": 1.0}, ("magnitude", "pad_val", "direction", "interpolation", "prob")),
    "Translate": ({"magnitude": 0.2, "prob": 1.0}, ("magnitude", "pad_val", "direction", "interpolation", "prob")),
    "Cutout": ({"shape": 20, "prob": 1.0}, ("shape", "prob")),
}
VALUES = [
    *(None, -1, 0, 1, 2, 9, 100, 0.0, 0.5, -0.5, 1.0, 1.5, True),
    *("hi", "inf", "cv2", "pillow", "nearest", "area", "box", "rand", "reflect", "vertical", "diagonal", "imagenet"),
    *([], [1], (1,), (1, 2), [1, 2], (2, 1), (-1, 5), (0, 10), [0.5, 0.5], (0.5, 1.5), (1.5, 0.5)),
    *([0.5, 0.2, 0.3], [0.7, 0.2, 0.1], (1, 2, 3), [1, 2, 3], (1, 2, 3, 4), ("a", "b"), ["horizontal", "vertical"]),
    *({"img": 3}, {"type": "Pad", "pad_val": 7}, {}, [FLIP], [[FLIP], [FLIP]], [(40, 30), (20, 10)], [[1, 0], [0, 1]]),
]
NUMPY_2 = {"GaussianBlur": "magnitude_std"}
"""What only fails there with numpy 2, and did not with the one of its time."""


class Hangs(BaseException):
    """The peer does not come back."""


@pytest.fixture
def peer(monkeypatch):
    """Build and use the peer's transform; True if it stops."""
    init_default_scope("mmpretrain")

    def too_long(*_):
        raise Hangs

    before = signal.signal(signal.SIGALRM, too_long)

    def stops(registry, settings):
        image = Pillow.fromarray(PICTURE) if settings["type"] in ("MAERandomResizedCrop", "PILToNumpy") else PICTURE
        shape = PICTURE.shape[:2]
        signal.setitimer(signal.ITIMER_REAL, 5)
        failures = 0
        try:
            theirs = registry.build(copy.deepcopy(settings))
            for number in range(4):
                np.random.seed(number)
                seed(number)
                try:
                    theirs({"img": image.copy(), "img_shape": shape, "ori_shape": shape, "gt_label": 1})
                except Exception:
                    failures += 1
        except (Exception, Hangs):
            return True
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
        return failures == 4

    yield stops
    signal.signal(signal.SIGALRM, before)


def variants(name, table):
    base, keys = table[name]
    yield {"type": name, **base, "no_such_setting": 1}
    yield from (
        {"type": name, **base, key: value} for key in keys for value in VALUES if key not in NUMPY_2.get(name, ())
    )
    yield from ({"type": name, **{other: base[other] for other in base if other != key}} for key in base)


def refused(stages):
    try:
        build_stages(stages, where="train")
    except ConfigError:
        return True
    return False


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NEWER)
def test_what_mmpretrain_refuses_is_refused_before_the_first_picture(name, peer):
    base = {"type": name, **NEWER[name][0]}
    accepted = [one for one in variants(name, NEWER) if not refused([one]) and peer(TRANSFORMS, one)]

    assert accepted == []
    assert not refused([base])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", OLDER)
def test_what_mmcls_refuses_is_refused_before_the_first_picture(name, peer):
    base = {"type": name, **OLDER[name][0]}
    accepted = [
        one for one in variants(name, OLDER) if not refused(mmcls_0x.translate_pipeline([one])) and peer(PIPELINES, one)
    ]

    assert accepted == []
    assert not refused(mmcls_0x.translate_pipeline([base]))


REASONS = [
    ({"type": "Posterize", "bits": 100}, "bits"),
    ({"type": "RandomResizedCrop", "scale": 9, "max_attempts": -1}, "max_attempts"),
    ({"type": "EfficientNetRandomCrop", "scale": 9, "min_covered": -0.1}, "min_covered"),
    ({"type": "EfficientNetRandomCrop", "scale": 9, "crop_padding": -1}, "crop_padding"),
    ({"type": "SolarizeAdd", "magnitude": 1, "thr": "hi"}, "thr"),
    ({"type": "RandomErasing", "min_area_ratio": 0.5, "max_area_ratio": 0.2}, "area"),
    (
        {"type": "RandAugment", "policies": "timm_increasing", "num_policies": 1, "magnitude_level": -1},
        "magnitude_level",
    ),
    ({"type": "RandomFlip", "prob": 1}, "prob"),
    ({"type": "Lighting", **LIGHT, "alphastd": 1}, "alphastd"),
]


@pytest.mark.parametrize(("settings", "reason"), REASONS, ids=str)
def test_the_reason_names_what_the_peers_names(settings, reason):
    init_default_scope("mmpretrain")

    with pytest.raises((AssertionError, ValueError), match=reason):
        TRANSFORMS.build(dict(settings))
    with pytest.raises(ConfigError, match=f"train: stage 1: {settings['type']}.*{reason}"):
        build_stages([settings], where="train")
