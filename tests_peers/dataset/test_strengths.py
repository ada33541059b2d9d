"""RandAugment and AutoAugment, operation by operation: the same level gives the same strength and the same pixels."""

from dataclasses import replace

import numpy as np
import pytest
from mmpretrain.registry import TRANSFORMS

from classlens.adapters.openmm.stages.build_stages import transform
from classlens.adapters.openmm.stages.policies import operation
from classlens.dataset.rng import generator
from tests_peers.dataset.test_pixels import ours, peer
from tests_peers.dataset.test_pixels import picture as picture

INCREASING = {
    "Rotate": (0, 30),
    "Posterize": (4, 0),
    "Solarize": (256, 0),
    "SolarizeAdd": (0, 110),
    "ColorTransform": (0, 0.9),
    "Contrast": (0, 0.9),
    "Brightness": (0, 0.9),
    "Sharpness": (0, 0.9),
    "Shear": (0, 0.3),
    "Translate": (0, 0.45),
    "GaussianBlur": (0, 2),
}
"""The ranges in which a higher level is stronger; the other way round they are those of the first papers."""
UNSIGNED = ("Posterize", "Solarize", "SolarizeAdd", "GaussianBlur")


@pytest.mark.parametrize("name", INCREASING)
@pytest.mark.parametrize("order", ["increasing", "decreasing"])
@pytest.mark.parametrize("level", [0, 3, 7, 10])
def test_an_operation_at_a_level_makes_the_peers_pixels(name, order, level, picture):
    first, last = INCREASING[name] if order == "increasing" else reversed(INCREASING[name])
    settings = {"type": name, "magnitude_range": (first, last), "magnitude_level": level, "prob": 1.0}
    for negative in (0.0,) if name in UNSIGNED else (0.0, 1.0):
        signed = settings if name in UNSIGNED else {**settings, "random_negative_prob": negative}
        mine = operation(signed, "test")

        params = mine.sample_params(picture, generator(0, level, 0))

        np.testing.assert_array_equal(mine.apply(picture, params), peer(signed, picture))


@pytest.mark.parametrize("total", [10, 30])
@pytest.mark.parametrize("std", [0.5, "inf"])
def test_levels_with_noise_are_spread_as_the_peers(total, std):
    settings = {"type": "Shear", "magnitude_range": (0, 0.3), "magnitude_level": 7, "prob": 1.0}
    settings |= {"magnitude_std": std, "total_level": total}
    theirs, mine, random = TRANSFORMS.build(dict(settings)), operation(settings, "test"), np.random.default_rng(0)
    np.random.seed(0)
    expected = np.array([theirs.random_magnitude() for _ in range(4000)])

    levels = np.array([mine.level(random) for _ in range(4000)])

    places = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(np.quantile(levels, places), np.quantile(expected, places), rtol=0.06, atol=0.003)


@pytest.mark.parametrize("policies", ["timm_increasing", "simple_increasing"])
@pytest.mark.parametrize("level", [0, 9])
def test_every_operation_of_a_randaugment_collection_makes_the_peers_pixels(policies, level, picture):
    settings = {"type": "RandAugment", "policies": policies, "num_policies": 2, "magnitude_level": level}
    settings["hparams"] = {"pad_val": [104, 116, 124], "interpolation": "bicubic"}
    theirs, mine = TRANSFORMS.build(dict(settings)), transform(settings, "test")

    assert len(theirs.transforms) == len(mine.groups)
    for other, (own,) in zip(theirs.transforms, mine.groups, strict=True):
        compare(own, other, picture)


def test_every_operation_of_autoaugments_imagenet_policy_makes_the_peers_pixels(picture):
    settings = {"type": "AutoAugment", "policies": "imagenet"}
    theirs, mine = TRANSFORMS.build(dict(settings)), transform(settings, "test")

    assert len(theirs.transforms) == len(mine.groups) == 25
    for others, owns in zip(theirs.transforms, mine.groups, strict=True):
        for other, own in zip(others, owns, strict=True):
            compare(own, other, picture)


def compare(own, other, picture):
    """One operation of each side, made to happen with a positive amount."""
    other.prob, other.random_negative_prob = 1.0, 0.0
    mine = replace(own, prob=1.0, random_negative_prob=0.0)

    params = mine.sample_params(picture, generator(0, 0, 0))

    expected = other({"img": picture.copy()})["img"]
    np.testing.assert_array_equal(mine.apply(picture, params), expected, err_msg=own.name)


@pytest.mark.parametrize("seed", range(4))
def test_a_whole_randaugment_with_the_peers_choices_makes_the_peers_pixels(seed, picture, monkeypatch):
    settings = {"type": "RandAugment", "policies": "timm_increasing", "num_policies": 3, "magnitude_level": 8}
    theirs, mine = TRANSFORMS.build(dict(settings)), transform(settings, "test")
    for other in theirs.transforms:
        other.prob, other.random_negative_prob = 1.0, 0.0
    np.random.seed(seed)
    chosen = theirs.random_policy_indices()
    monkeypatch.setattr(theirs, "random_policy_indices", lambda: chosen)

    expected = theirs({"img": picture.copy()})["img"]

    params = {}
    for number, place in enumerate(chosen, start=1):
        own = replace(mine.groups[place][0], prob=1.0, random_negative_prob=0.0)
        params[f"{number} {own.name}"] = {
            "at": (int(place), 0),
            **own.sample_params(picture, generator(seed, number, 0)),
        }
    np.testing.assert_array_equal(mine.apply(picture, params), expected)


BACKENDS = [("cv2", kind) for kind in ("nearest", "bilinear", "bicubic", "area", "lanczos")]
BACKENDS += [("pillow", kind) for kind in ("nearest", "bilinear", "bicubic", "lanczos")]


@pytest.mark.parametrize(("backend", "interpolation"), BACKENDS)
@pytest.mark.parametrize("name", ["RandomResizedCrop", "EfficientNetRandomCrop"])
def test_random_crops_resample_as_the_peers_do(name, backend, interpolation, picture):
    settings = {"type": name, "scale": 96, "backend": backend, "interpolation": interpolation}
    theirs = TRANSFORMS.build(dict(settings))
    np.random.seed(1)
    y, x, height, width = map(int, theirs.rand_crop_params(picture))
    theirs.rand_crop_params = lambda img: (y, x, height, width)

    expected = theirs({"img": picture.copy()})["img"]

    np.testing.assert_array_equal(ours(settings, picture, {"box": (x, y, width, height)}), expected)


MODES = ["constant", "edge", "reflect", "symmetric"]


@pytest.mark.parametrize("mode", MODES)
def test_crops_of_padded_pictures_are_the_peers_in_every_mode(mode, picture):
    settings = {"type": "RandomCrop", "crop_size": 520, "pad_if_needed": True, "padding_mode": mode, "pad_val": 3}
    theirs = TRANSFORMS.build(dict(settings))
    theirs.rand_crop_params = lambda img: (2, 3, 515, 510)

    expected = theirs({"img": picture.copy()})["img"]

    np.testing.assert_array_equal(ours(settings, picture, {"box": (3, 2, 510, 515)}), expected)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("where", [{"size": (610, 640)}, {"size_divisor": 32}, {"pad_to_square": True}])
def test_padding_is_the_peers_in_every_mode(mode, where, picture):
    settings = {"type": "Pad", "padding_mode": mode, **where}

    np.testing.assert_array_equal(ours(settings, picture), peer(settings, picture))


@pytest.mark.parametrize("fill", [{"fill_std": 20}, {"fill_std": (5, 50, 0)}, {}])
@pytest.mark.parametrize("seed", range(3))
def test_erased_boxes_hold_the_peers_noise(fill, seed, picture, monkeypatch):
    settings = {"type": "RandomErasing", "erase_prob": 1.0, "mode": "rand", "fill_color": (90, 120, 200), **fill}
    theirs, mine = TRANSFORMS.build(dict(settings)), transform(settings, "test")
    np.random.seed(seed)
    y, x, height, width = theirs.random_patch(*picture.shape[:2])
    monkeypatch.setattr(theirs, "random_patch", lambda *_: (y, x, height, width))

    expected = theirs({"img": picture.copy()})["img"]
    patch = mine.patch(height, width, np.random.default_rng(seed))

    made = mine.apply(picture, {"erase": (x, y, width, height), "fill": expected[y : y + height, x : x + width]})
    np.testing.assert_array_equal(made, expected)
    noise = expected[y : y + height, x : x + width]
    assert patch.shape == noise.shape
    if noise.size > 3000:
        np.testing.assert_allclose(patch.mean(axis=(0, 1)), noise.mean(axis=(0, 1)), atol=8)
        np.testing.assert_allclose(patch.std(axis=(0, 1)), noise.std(axis=(0, 1)), rtol=0.15, atol=0.6)


def test_erased_boxes_are_distributed_as_the_peers(picture):
    settings = {"type": "RandomErasing", "erase_prob": 1.0, "min_area_ratio": 0.05, "max_area_ratio": 0.2}
    theirs, mine = TRANSFORMS.build(dict(settings)), transform(settings, "test")
    np.random.seed(0)
    expected = np.array([theirs.random_patch(*picture.shape[:2]) for _ in range(3000)])[:, [1, 0, 3, 2]]
    random = np.random.default_rng(0)

    boxes = np.array([mine.sample_params(picture, random)["erase"] for _ in range(3000)])

    np.testing.assert_allclose(boxes.mean(axis=0), expected.mean(axis=0), rtol=0.07, atol=1.0)
    np.testing.assert_allclose(boxes.std(axis=0), expected.std(axis=0), rtol=0.07, atol=1.0)


@pytest.mark.parametrize("order", ["bgr", "rgb", "hsv"])
def test_grey_of_any_colour_order_is_the_peers(order, picture):
    settings = {"type": "RandomGrayscale", "prob": 1.0, "keep_channels": True, "color_format": order}
    settings["channel_weights"] = (0.114, 0.587, 0.2989)

    np.testing.assert_array_equal(ours(settings, picture, {"grey": "yes"}), peer(settings, picture))


def test_views_are_those_of_the_peers_pipelines(picture):
    from classlens.adapters.openmm.stages.build_stages import build_stages
    from classlens.dataset.state import BGR, State, to_image

    pipelines = [[{"type": "Resize", "scale": 40}], [{"type": "CenterCrop", "crop_size": 20}]]
    settings = {"type": "MultiView", "transforms": pipelines, "num_views": [2, 1]}

    expected = TRANSFORMS.build(dict(settings))({"img": picture.copy(), "img_shape": picture.shape[:2]})["img"]
    (stage,) = build_stages([settings], where="test")
    state = stage.apply(State(picture, BGR), np.random.default_rng(0)).state

    assert len(state.views) == len(expected) == 3
    for view, other in zip(state.views, expected, strict=True):
        np.testing.assert_array_equal(view.value, other)
    assert to_image(state).size[0] == 40
