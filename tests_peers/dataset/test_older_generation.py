"""Stages of 0.x configs beside mmcls 0.25's own code, which is run here on the functions of the present mmcv."""

import inspect
from importlib.util import find_spec
from pathlib import Path

import mmcv
import numpy as np
import pytest
from mmengine.registry import Registry

from classlens.adapters.openmm import mmcls_0x
from classlens.adapters.openmm.stages.build_stages import build_stages, transform
from classlens.adapters.openmm.stages.policies import operation
from classlens.dataset.rng import generator
from classlens.dataset.state import BGR, State
from tests_peers.dataset.test_pixels import picture as picture

PIPELINES = Registry("older pipeline")
FOLDER = Path(find_spec("mmcls").submodule_search_locations[0]) / "datasets" / "pipelines"


class Compose(list):
    """What mmcls composes of dicts."""

    def __init__(self, transforms):
        super().__init__(PIPELINES.build(dict(one)) for one in transforms)

    def __call__(self, results):
        for one in self:
            results = one(results)
        return results


def load(name):
    """Run a module of mmcls without the package around it, which asks for an mmcv of its time."""
    text = (FOLDER / f"{name}.py").read_text(encoding="utf-8")
    text = text.replace("from ..builder import PIPELINES", "").replace("from .compose import Compose", "")
    exec(compile(text, name, "exec"), {"PIPELINES": PIPELINES, "Compose": Compose, "__name__": name})


load("auto_augment")
load("transforms")


def theirs(settings, picture):
    shape = picture.shape
    return PIPELINES.build(dict(settings))({"img": picture.copy(), "img_shape": shape, "ori_shape": shape})["img"]


def ours(settings, picture, params=None):
    (stage,) = mmcls_0x.translate_pipeline([settings])
    return transform(stage, "test").apply(picture, params or {})


FIXED = [
    {"type": "Resize", "size": 224},
    {"type": "Resize", "size": (160, 224), "interpolation": "bicubic"},
    {"type": "Resize", "size": (256, -1)},
    {"type": "Resize", "size": (256, -1), "adaptive_side": "long", "backend": "pillow", "interpolation": "bicubic"},
    {"type": "CenterCrop", "crop_size": 224},
    {"type": "CenterCrop", "crop_size": (100, 223)},
    {"type": "CenterCrop", "crop_size": 224, "efficientnet_style": True, "interpolation": "bicubic"},
    {"type": "CenterCrop", "crop_size": 224, "efficientnet_style": True, "backend": "pillow"},
    {"type": "Pad", "size": (610, 520)},
    {"type": "Pad", "size": (610, 520), "pad_val": 114},
    {"type": "Pad", "pad_to_square": True, "pad_val": (1, 2, 3)},
    {"type": "Pad", "size": (610, 520), "padding_mode": "reflect"},
]


@pytest.mark.parametrize("settings", FIXED, ids=str)
def test_fixed_stages_make_the_older_pixels(settings, picture):
    np.testing.assert_array_equal(ours(settings, picture), theirs(settings, picture))


def test_normalised_pictures_hold_the_older_numbers(picture):
    settings = {"type": "Normalize", "mean": [123.675, 116.28, 103.53], "std": [58.395, 57.12, 57.375]}
    (stage,) = build_stages(mmcls_0x.translate_pipeline([settings]), where="test")

    made = stage.apply(State(picture, BGR), np.random.default_rng(0)).state.value

    np.testing.assert_allclose(made, theirs(settings, picture), rtol=1e-5, atol=1e-6)


def test_single_values_of_random_stages_make_the_older_pixels(picture, monkeypatch):
    flip = {"type": "RandomFlip", "flip_prob": 1.0, "direction": "vertical"}
    grey = {"type": "RandomGrayscale", "gray_prob": 1.0}
    alpha = np.array([0.31, -0.2, 0.17])
    light = {"type": "Lighting", "eigval": [55.4, 4.7, 1.1], "alphastd": 0.1}
    light["eigvec"] = [[-0.5675, 0.7192, 0.4009], [-0.5808, -0.0045, -0.8140], [-0.5836, -0.6948, 0.4203]]
    monkeypatch.setattr(np.random, "normal", lambda *_: alpha)

    for settings, params in ((flip, {"flip": "vertical"}), (grey, {"grey": "yes"})):
        np.testing.assert_array_equal(ours(settings, picture, params), theirs(settings, picture))
    np.testing.assert_allclose(ours(light, picture, {"alpha": tuple(alpha)}), theirs(light, picture), rtol=1e-6)


CROPS = [
    {"type": "RandomResizedCrop", "size": 224},
    {"type": "RandomResizedCrop", "size": (160, 224), "backend": "pillow", "interpolation": "bicubic"},
    {"type": "RandomResizedCrop", "size": 224, "efficientnet_style": True},
    {"type": "RandomCrop", "size": 200, "pad_if_needed": True, "padding": 4, "pad_val": 9},
    {"type": "RandomCrop", "size": (32, 30), "padding": (1, 2, 3, 4), "pad_val": (9, 8, 7)},
]


@pytest.mark.parametrize("settings", CROPS, ids=str)
@pytest.mark.parametrize("seed", range(3))
def test_random_crops_with_the_older_box_make_the_older_pixels(settings, seed, picture, monkeypatch):
    import random

    boxes = []
    cut = mmcv.imcrop
    monkeypatch.setattr(mmcv, "imcrop", lambda image, bboxes: boxes.append(bboxes) or cut(image, bboxes))
    np.random.seed(seed)
    random.seed(seed)

    try:
        expected = theirs(settings, picture)
    except ValueError:
        return  # the older code fails on pictures smaller than the crop
    left, top, right, bottom = (int(value) for value in np.ravel(boxes[-1]))
    box = (left, top, right - left + 1, bottom - top + 1)
    np.testing.assert_array_equal(ours(settings, picture, {"box": box}), expected)


OPERATIONS = [
    ({"type": "Rotate"}, [{"angle": 30.0}, {"angle": -7.3}]),
    ({"type": "Rotate", "pad_val": (1, 2, 3), "interpolation": "bilinear"}, [{"angle": 12.0}]),
    ({"type": "Shear", "direction": "vertical"}, [{"magnitude": 0.21}]),
    ({"type": "Translate", "direction": "horizontal"}, [{"magnitude": 0.31}]),
    ({"type": "Posterize"}, [{"bits": 4}, {"bits": 0}]),
    ({"type": "Solarize"}, [{"thr": 28.4}]),
    ({"type": "SolarizeAdd"}, [{"magnitude": 99.6}]),
    ({"type": "ColorTransform"}, [{"magnitude": 0.47}, {"magnitude": -0.31}]),
    ({"type": "Contrast"}, [{"magnitude": 0.47}, {"magnitude": -0.31}]),
    ({"type": "Brightness"}, [{"magnitude": 0.47}, {"magnitude": -0.31}]),
    ({"type": "Sharpness"}, [{"magnitude": 0.47}, {"magnitude": -0.31}]),
    ({"type": "AutoContrast"}, [{}]),
    ({"type": "Equalize"}, [{}]),
    ({"type": "Invert"}, [{}]),
]


@pytest.mark.parametrize(("settings", "draws"), OPERATIONS, ids=str)
def test_operations_make_the_older_pixels(settings, draws, picture):
    for params in draws:
        fixed = {**settings, **params, "prob": 1.0}
        (bridged,) = mmcls_0x.translate_pipeline([fixed])
        signed = "random_negative_prob" in inspect.signature(PIPELINES.get(settings["type"])).parameters

        expected = theirs({**fixed, **({"random_negative_prob": 0.0} if signed else {})}, picture)

        np.testing.assert_array_equal(operation(bridged, "test").apply(picture, params), expected)


ROWS = [
    {"type": "Rotate", "magnitude_key": "angle", "magnitude_range": (0, 30)},
    {"type": "Posterize", "magnitude_key": "bits", "magnitude_range": (4, 0)},
    {"type": "Solarize", "magnitude_key": "thr", "magnitude_range": (256, 0)},
    {"type": "Contrast", "magnitude_key": "magnitude", "magnitude_range": (0, 0.9)},
    {"type": "Shear", "magnitude_key": "magnitude", "magnitude_range": (0, 0.3), "direction": "vertical"},
    {"type": "Translate", "magnitude_key": "magnitude", "magnitude_range": (0, 0.45), "direction": "horizontal"},
]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["type"])
@pytest.mark.parametrize("levels", [{}, {"total_level": 10}], ids=str)
def test_a_level_of_randaugment_is_as_strong_as_the_older_one(row, levels, picture):
    signed = row["type"] not in ("Posterize", "Solarize")
    rows = [{**row, "prob": 1.0, **({"random_negative_prob": 0.0} if signed else {})}]
    settings = {"type": "RandAugment", "policies": rows, "num_policies": 1, "magnitude_level": 7, **levels}
    settings["hparams"] = {"pad_val": [104, 116, 124], "interpolation": "bicubic"}
    (bridged,) = mmcls_0x.translate_pipeline([settings])
    mine = transform(bridged, "test")

    params = mine.sample_params(picture, generator(0, 0, 0))

    np.testing.assert_array_equal(mine.apply(picture, params), theirs(settings, picture))


@pytest.mark.parametrize("shared", [{}, {"hparams": {"pad_val": [104, 116, 124], "interpolation": "bicubic"}}], ids=str)
def test_autoaugment_hands_shared_settings_to_its_operations_as_it_did(shared, picture):
    group = [
        {"type": "Rotate", "angle": 20.0, "prob": 1.0, "random_negative_prob": 0.0},
        {"type": "Shear", "magnitude": 0.2, "prob": 1.0, "random_negative_prob": 0.0, "interpolation": "nearest"},
        {"type": "Invert", "prob": 1.0},
    ]
    settings = {"type": "AutoAugment", "policies": [group], **shared}
    (bridged,) = mmcls_0x.translate_pipeline([settings])
    mine = transform(bridged, "test")

    params = mine.sample_params(picture, generator(0, 0, 0))

    np.testing.assert_array_equal(mine.apply(picture, params), theirs(settings, picture))
