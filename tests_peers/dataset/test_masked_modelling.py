"""Masks, pairs of pictures and random sizes: with the same chance they are mmpretrain's and mmcv's."""

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmpretrain.registry import TRANSFORMS

from classlens.adapters.openmm.stages.build_stages import build_stages, transform
from classlens.adapters.openmm.stages.crops import RandomResizedCropAndInterpolationWithTwoPic as TwoPictures
from classlens.dataset.rng import generator
from classlens.dataset.state import BGR, State, to_image
from tests_peers.dataset.test_pixels import ours, peer
from tests_peers.dataset.test_pixels import picture as picture


class Chance:
    """One stream of numbers, read by the peer through `np.random` and by us as a generator."""

    def __init__(self, seed):
        self.stream = np.random.default_rng(seed)

    def random(self):
        return self.stream.random()

    def uniform(self, low, high):
        return low + (high - low) * self.stream.random()

    def integers(self, low, high):
        return low + int((high - low) * self.stream.random())

    def permutation(self, count):
        return self.stream.permutation(count)

    def lent_to_the_peer(self, monkeypatch):
        for name, method in (("uniform", self.uniform), ("randint", self.integers), ("permutation", self.permutation)):
            monkeypatch.setattr(np.random, name, method)
        return self


@pytest.fixture(autouse=True)
def scope():
    """In which the peers' resizing stages look for each other, as a config of mmpretrain sets it."""
    init_default_scope("mmpretrain")


MASKED = [
    {"type": "SimMIMMaskGenerator"},
    {
        "type": "SimMIMMaskGenerator",
        "input_size": 224,
        "mask_patch_size": 16,
        "model_patch_size": 8,
        "mask_ratio": 0.35,
    },
    {"type": "BEiTMaskGenerator", "input_size": (14, 14), "num_masking_patches": 75, "min_num_patches": 16},
    {"type": "BEiTMaskGenerator", "input_size": (14, 10), "num_masking_patches": 60, "max_num_patches": 20},
    {"type": "BEiTMaskGenerator", "input_size": 8, "num_masking_patches": 40, "min_aspect": 0.5, "max_aspect": 3.0},
]


@pytest.mark.parametrize("settings", MASKED, ids=str)
@pytest.mark.parametrize("seed", range(5))
def test_masks_are_the_peers(settings, seed, monkeypatch):
    mine = transform(settings, "test").mask(Chance(seed))
    theirs = TRANSFORMS.build(dict(settings))
    Chance(seed).lent_to_the_peer(monkeypatch)

    np.testing.assert_array_equal(mine, theirs({})["mask"])


def test_a_mask_leaves_the_picture_and_is_counted(picture):
    (stage,) = build_stages([{"type": "SimMIMMaskGenerator"}], where="train")

    outcome = stage.apply(State(picture, BGR), generator(0, 0, 0))

    assert outcome.state.value is picture
    count = int(TRANSFORMS.build({"type": "SimMIMMaskGenerator"})({})["mask"].sum())
    assert outcome.params == {"masked": f"{count} of {48 * 48} patches"}


PAIRS = [
    {"size": 224, "second_size": 112},
    {"size": (96, 64), "second_size": (30, 50), "interpolation": "bicubic", "second_interpolation": "nearest"},
    {"size": 50},
    {"size": 50, "scale": (0.9, 1.0), "ratio": (0.9, 1.1)},
]


@pytest.mark.parametrize("settings", PAIRS, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_pairs_of_pictures_are_the_peers(settings, seed, picture, monkeypatch):
    crop = TwoPictures(**settings)
    theirs = TRANSFORMS.build({"type": "RandomResizedCropAndInterpolationWithTwoPic", **settings})
    params = crop.sample_params(picture, Chance(seed))
    Chance(seed).lent_to_the_peer(monkeypatch)

    expected = theirs({"img": picture.copy()})["img"]

    first, second = expected if isinstance(expected, list) else (expected, None)
    np.testing.assert_array_equal(crop.apply(picture, params), first)
    if second is not None:
        np.testing.assert_array_equal(crop.second(picture, params), second)


def test_a_pair_of_pictures_is_shown_side_by_side_and_masked(picture):
    pair = {"type": "RandomResizedCropAndInterpolationWithTwoPic", "size": 60, "second_size": 30}
    mask = {"type": "BEiTMaskGenerator", "input_size": (14, 14), "num_masking_patches": 75}
    state = State(picture, BGR)

    for stage in build_stages([pair, mask], where="train"):
        state = stage.apply(state, generator(0, 0, 0)).state

    assert [view.value.shape[0] for view in state.views] == [60, 30]
    assert to_image(state).size == (60, 94)


RESIZES = [
    ({"type": "RandomResize", "scale": (320, 200), "ratio_range": (0.5, 2.0)}, "_random_scale", (200, 150)),
    ({"type": "RandomResize", "scale": [(320, 200), (100, 90)], "keep_ratio": True}, "_random_scale", (130, 190)),
    ({"type": "RandomChoiceResize", "scales": [(64, 96), (90, 30)], "backend": "pillow"}, "_random_select", (90, 30)),
    ({"type": "RandomChoiceResize", "scales": [64, 96], "resize_type": "ResizeEdge"}, "_random_select", 64),
]


@pytest.mark.parametrize(("settings", "method", "scale"), RESIZES, ids=str)
def test_random_sizes_are_resized_to_as_by_the_peer(settings, method, scale, picture):
    theirs = TRANSFORMS.build(dict(settings))
    setattr(theirs, method, lambda: (scale, 0) if method == "_random_select" else scale)

    expected = theirs({"img": picture.copy(), "img_shape": picture.shape[:2]})["img"]

    np.testing.assert_array_equal(ours(settings, picture, {"scale": scale}), expected)


@pytest.mark.parametrize("settings", [settings for settings, _, _ in RESIZES], ids=str)
def test_random_sizes_are_spread_as_the_peers(settings, picture):
    mine, theirs, random = transform(settings, "test"), TRANSFORMS.build(dict(settings)), np.random.default_rng(0)
    sample = theirs._random_scale if settings["type"] == "RandomResize" else lambda: theirs._random_select()[0]
    np.random.seed(0)
    expected = np.array([sample() for _ in range(3000)], float)

    params = np.array([mine.sample_params(picture, random)["scale"] for _ in range(3000)], float)

    np.testing.assert_allclose(params.mean(axis=0), expected.mean(axis=0), rtol=0.05)
    np.testing.assert_allclose(params.std(axis=0), expected.std(axis=0), rtol=0.08)


@pytest.mark.parametrize("size", [640, 701])
def test_a_padded_square_holds_the_picture_where_the_peers_does(size, picture):
    settings = {"type": "RandomTranslatePad", "size": size}
    theirs = TRANSFORMS.build({**settings, "aug_translate": True})
    theirs.rand_translate_params = lambda down, right: (7, 3)

    np.testing.assert_array_equal(ours(settings, picture), peer(settings, picture))
    moved = theirs({"img": picture.copy()})["img"]
    np.testing.assert_array_equal(ours({**settings, "aug_translate": True}, picture, {"corner": (3, 7)}), moved)


@pytest.mark.parametrize("order", [(2, 0, 1), (1, 0, 2), (2, 1, 0), (0, 1, 2)])
def test_transposed_arrays_are_the_peers_and_still_shown(order, picture):
    settings = {"type": "Transpose", "keys": ["img"], "order": order}
    (stage,) = build_stages([settings], where="train")

    state = stage.apply(State(picture, BGR), generator(0, 0, 0)).state

    np.testing.assert_array_equal(state.value, peer(settings, picture))
    turned = order.index(1) < order.index(0)
    upright = picture.transpose(1, 0, 2) if turned else picture
    np.testing.assert_array_equal(to_image(state).pixels, upright[..., ::-1])
