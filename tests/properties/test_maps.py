"""What must change a map and what must not, whatever the weights of the network are."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.methods import METHODS
from classlens.cam.saliency import Saliency, fuse
from classlens.image import Image
from tests.cam.conftest import classifier_of, noise_image

SEEDS = st.integers(0, 2**31)
OF_LAYERS = [name for name, method in METHODS.items() if method.at == "layer"]
BY_CHANCE = {"RandomCAM", "SS-CAM", "RISE", "SmoothGrad"}
"""What these sample knows left from right, or the number of a channel."""
MIRRORED = [name for name, method in METHODS.items() if method.needs != "attention" and name not in BY_CHANCE]
RELATIVE = {"AblationCAM"}
"""The share of a logit depends on where logits are counted from."""
COMPONENTS = {"EigenCAM", "EigenGradCAM", "KPCA-CAM"}


def network(seed, *, symmetric=False):
    """Convolution, ReLU, mean, linear, of random weights; symmetric ones read the same from the left and the right."""
    torch.manual_seed(seed)
    module = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3)
    )
    with torch.no_grad():
        module[0].bias += 0.5  # so that no channel is dead
        if symmetric:
            module[0].weight.copy_((module[0].weight + module[0].weight.flip(-1)) / 2)
    return classifier_of(module)


def map_of(classifier, picture, method, *, target=1, **options):
    names = {"targets": target, "options": ExplainOptions(**options)}
    return explain(classifier, picture, methods=method, layers="1", **names)[0]


def mirrored(picture):
    return Image(np.ascontiguousarray(picture.pixels[:, ::-1]))


def assert_same(one, other, share=1e-4):
    np.testing.assert_allclose(one, other, rtol=0, atol=share * max(np.abs(other).max(), 1e-12))


@pytest.mark.parametrize("method", MIRRORED)
@settings(max_examples=3, deadline=None)
@given(SEEDS)
def test_a_network_without_left_and_right_has_mirrored_maps_of_mirrored_pictures(method, seed):
    classifier, picture = network(seed, symmetric=True), noise_image(8, 8, seed=seed)

    map_, other = (map_of(classifier, one, method) for one in (picture, mirrored(picture)))

    assert_same(other.values[:, ::-1], map_.values, 1e-3)
    np.testing.assert_allclose(other.heatmap().values[:, ::-1], map_.heatmap().values, atol=2e-3)


@settings(max_examples=3, deadline=None)
@given(SEEDS)
def test_variants_make_any_network_blind_to_left_and_right(seed):
    classifier, picture = network(seed), noise_image(6, 8, seed=seed)

    map_, other = (map_of(classifier, one, "GradCAM", aug_smooth=True) for one in (picture, mirrored(picture)))

    assert_same(other.values[:, ::-1], map_.values)


@pytest.mark.parametrize("method", [name for name in OF_LAYERS if name not in RELATIVE])
@settings(max_examples=3, deadline=None)
@given(SEEDS, st.floats(-20, 20))
def test_a_constant_added_to_all_logits_changes_nothing(method, seed, constant):
    classifier, picture = network(seed), noise_image(8, 8, seed=seed)
    before = map_of(classifier, picture, method)
    with torch.no_grad():
        classifier.module[-1].bias += constant

    after = map_of(replace(classifier), picture, method)

    assert after.subject.logit == pytest.approx(before.subject.logit + constant, abs=1e-4)
    assert after.subject.probability == pytest.approx(before.subject.probability, abs=1e-5)
    assert_same(after.values, before.values)


@pytest.mark.parametrize("method", ["GradCAM", "HiResCAM", "LayerCAM", "XGradCAM", "GradCAMElementWise"])
@settings(max_examples=3, deadline=None)
@given(SEEDS, st.floats(0.01, 100))
def test_a_map_scales_with_the_row_of_the_head_and_its_colours_do_not(method, seed, factor):
    classifier, picture = network(seed), noise_image(8, 8, seed=seed)
    before, others = map_of(classifier, picture, method), map_of(classifier, picture, method, target=0)
    with torch.no_grad():
        classifier.module[-1].weight[1] *= factor

    after, others_after = (map_of(replace(classifier), picture, method, target=target) for target in (1, 0))

    assert_same(after.values, factor * before.values)
    np.testing.assert_allclose(after.heatmap().values, before.heatmap().values, atol=1e-3)
    assert_same(others_after.values, others.values)


@pytest.mark.parametrize("method", [name for name in OF_LAYERS if name not in BY_CHANCE])
@settings(max_examples=3, deadline=None)
@given(SEEDS, st.permutations(range(4)))
def test_the_order_of_channels_does_not_matter(method, seed, order):
    classifier, picture = network(seed), noise_image(8, 8, seed=seed)
    before = map_of(classifier, picture, method)
    convolution, *_, head = classifier.module
    with torch.no_grad():
        for tensor in (convolution.weight, convolution.bias):
            tensor.copy_(tensor[order].clone())
        head.weight.copy_(head.weight[:, order].clone())

    after = map_of(replace(classifier), picture, method)

    assert_same(after.values, before.values)


@settings(max_examples=5, deadline=None)
@given(SEEDS)
def test_a_contrast_is_no_class_against_itself_turned_round(seed):
    """One class against another is the negative of the other against the one, and both are what separates the two."""
    classifier, picture = network(seed), noise_image(8, 8, seed=seed)
    there, back = (map_of(classifier, picture, "GradCAM", target=target) for target in ("0 - 2", "2 - 0"))
    single = [map_of(classifier, picture, "GradCAM", target=target) for target in (0, 2)]

    assert_same(there.values, -back.values)
    assert_same(there.values, single[0].values - single[1].values)
    assert there.subject.logit == pytest.approx(-back.subject.logit, abs=1e-5)


SIZES = st.tuples(st.integers(1, 7), st.integers(1, 7))


@settings(max_examples=60, deadline=None)
@given(SEEDS, SIZES, st.tuples(st.integers(1, 24), st.integers(1, 24)), st.floats(1e-3, 1e3), st.integers(1, 3))
def test_colours_do_not_depend_on_the_unit_of_a_map_and_turn_with_it(seed, layer, size, factor, variants):
    values = np.random.default_rng(seed).normal(size=(variants, *layer)).astype(np.float32)
    picture = Image(np.zeros((*size, 3), np.uint8))
    map_ = Saliency(picture, values, "GradCAM", "1", None)
    colours = fuse([map_]).values

    scaled = fuse([replace(map_, variants=values * np.float32(factor))]).values
    turned = fuse([replace(map_, variants=np.ascontiguousarray(values[..., ::-1]))]).values
    twice = fuse([map_, replace(map_, layer="2")]).values

    assert colours.shape == size
    np.testing.assert_allclose(scaled, colours, atol=2e-3)
    np.testing.assert_allclose(turned[:, ::-1], colours, atol=1e-4)
    np.testing.assert_allclose(twice, colours, atol=1e-4)
