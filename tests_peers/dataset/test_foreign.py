"""Stages that other packages implement, as mmpretrain runs them."""

import cv2
import numpy as np
import pytest
import torch
from mmpretrain.registry import TRANSFORMS
from PIL import Image as Pillow

from classlens.adapters.openmm.stages.build_stages import build_stages, transform
from classlens.dataset.dataset import Dataset
from classlens.dataset.rng import generator, seeded_globals
from classlens.dataset.state import BGR, State, to_image
from classlens.dataset.trace import trace
from classlens.errors import ConfigError

TORCHVISION = [
    {"type": "NumpyToPIL", "to_rgb": True},
    {"type": "torchvision/TrivialAugmentWide", "interpolation": "bilinear"},
    {"type": "torchvision/RandomResizedCrop", "size": 64, "interpolation": "bicubic"},
    {"type": "PILToNumpy", "to_bgr": True},
]


@pytest.fixture
def picture():
    smooth = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)
    return cv2.resize(smooth, (90, 60), interpolation=cv2.INTER_CUBIC)


@pytest.mark.parametrize("seed", range(5))
def test_torchvision_stages_make_the_peers_pixels(seed, picture):
    dataset = Dataset("toy", 1, lambda _: State(picture, BGR), build_stages(TORCHVISION, where="train"), to_image)
    results = {"img": picture.copy()}
    states = trace(dataset, 0, seed).snapshots

    from classlens.dataset.rng import seed_of

    with seeded_globals(seed_of(seed, 0)):
        for settings in TORCHVISION:
            results = TRANSFORMS.build(dict(settings))(results)

    assert results["img"].shape == (64, 64, 3)
    np.testing.assert_array_equal(states[-1].image.pixels[..., ::-1], results["img"])
    assert [one.stage for one in states[1:]] == [settings["type"] for settings in TORCHVISION]


NAMES = [
    {"type": "torchvision/RandAugment"},
    {"type": "torchvision/AutoAugment"},
    {"type": "torchvision/AugMix"},
    {"type": "torchvision/ColorJitter", "brightness": 0.4, "hue": 0.1},
    {"type": "torchvision/RandomGrayscale", "p": 0.5},
    {"type": "torchvision/GaussianBlur", "kernel_size": 5},
    {"type": "torchvision/RandomAffine", "degrees": 20, "interpolation": "bilinear"},
    {"type": "torchvision/RandomPerspective", "p": 1.0},
    {"type": "torchvision/RandomPosterize", "bits": 3},
    {"type": "torchvision/RandomSolarize", "threshold": 100},
    {"type": "torchvision/RandomHorizontalFlip"},
    {"type": "torchvision/RandomCrop", "size": 30, "padding": 4},
    {"type": "torchvision/Resize", "size": 30, "interpolation": "lanczos"},
]


@pytest.mark.parametrize("settings", NAMES, ids=lambda found: found["type"])
def test_every_name_of_torchvision_makes_the_peers_pixels(settings, picture):
    from classlens.dataset.rng import seed_of

    pipeline = [{"type": "NumpyToPIL", "to_rgb": True}, settings]
    dataset = Dataset("toy", 1, lambda _: State(picture, BGR), build_stages(pipeline, where="train"), to_image)
    mine = trace(dataset, 0, 3).transformed.image.pixels
    results = {"img": picture.copy()}

    with seeded_globals(seed_of(3, 0)):
        for one in pipeline:
            results = TRANSFORMS.build(dict(one))(results)

    np.testing.assert_array_equal(mine, np.array(results["img"].convert("RGB")))


def test_tensors_are_shown_as_pictures(picture):
    pipeline = [
        {"type": "ToPIL", "to_rgb": True},
        {"type": "torchvision/ToTensor"},
        {"type": "torchvision/Normalize", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
    ]
    state = State(picture, BGR)
    for number, stage in enumerate(build_stages(pipeline, where="test")):
        state = stage.apply(state, generator(0, 0, number)).state

    assert isinstance(state.value, torch.Tensor)
    np.testing.assert_array_equal(to_image(state).pixels, picture[..., ::-1])


def test_a_transform_of_mmpretrain_that_is_not_native_needs_trust(picture):
    settings = {"type": "LoadAnnotations", "with_bbox": False, "with_label": False}  # reads nothing more

    with pytest.raises(ConfigError, match="no transform named") as refused:
        build_stages([settings], where="train")
    (stage,) = build_stages([settings], where="train", trusted=())

    shown = to_image(stage.apply(State(picture, BGR), generator(0, 0, 0)).state)
    assert "--trust-config" in refused.value.hint
    np.testing.assert_array_equal(shown.pixels, picture[..., ::-1])


def test_a_setting_that_torchvision_refuses_is_named():
    with pytest.raises(ConfigError, match="torchvision/CenterCrop"):
        build_stages([{"type": "torchvision/CenterCrop", "sizes": 3}], where="train")
    with pytest.raises(ConfigError, match="no transform named 'CentreCrop'"):
        build_stages([{"type": "torchvision/CentreCrop", "size": 3}], where="train")


def test_the_crop_of_masked_autoencoders_makes_the_peers_pixels(picture):
    settings = {"type": "MAERandomResizedCrop", "size": 40, "scale": (0.2, 1.0), "interpolation": 3}
    theirs = TRANSFORMS.build(dict(settings))
    theirs.get_params = lambda *_: (5, 7, 30, 50)
    pillow = Pillow.fromarray(picture)

    expected = np.array(theirs({"img": pillow})["img"])

    made = transform(settings, "test").apply(np.asarray(pillow), {"box": (7, 5, 50, 30)})
    np.testing.assert_array_equal(made, expected)
