"""Scores of maps, against grad-cam's where both define the same number."""

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics import road
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget

from classlens.cam.explain import explain
from classlens.cam.faithfulness import evaluate
from tests_peers.cam.test_other_methods import TARGETS, Classifier, encoded, pictures, small


@pytest.fixture(scope="module")
def network() -> Classifier:
    torch.set_num_threads(1)
    classifier = small("resnet18", zero_init_last=False)
    with torch.no_grad():
        classifier.module.fc.weight.mul_(10)
    return classifier


@pytest.fixture(scope="module")
def maps(network):
    return list(explain(network, pictures(2), methods="GradCAM", layers="layer3", targets=TARGETS))


@pytest.fixture(scope="module")
def scores(network, maps):
    return [evaluate(network, saliency).own for saliency in maps]


def heat(maps) -> np.ndarray:
    return np.stack([saliency.heatmap().values for saliency in maps])


def test_road_is_equal_up_to_the_noise_they_add(network, maps, scores, monkeypatch):
    class Quiet(road.NoisyLinearImputer):
        def __init__(self):
            super().__init__(noise=0.0)

    monkeypatch.setattr(road, "NoisyLinearImputer", Quiet)
    targets = [ClassifierOutputTarget(target) for target in TARGETS]

    reference = road.ROADCombined()(encoded(network), heat(maps), targets, network.module)

    np.testing.assert_allclose([score.road for score in scores], reference, atol=0.01, rtol=0.01)
    assert np.abs(reference).max() > 0.1


def test_drop_and_increase_are_equal(network, maps, scores):
    targets = [ClassifierOutputSoftmaxTarget(target) for target in TARGETS]

    drop = DropInConfidence()(encoded(network), heat(maps), targets, network.module)
    increase = IncreaseInConfidence()(encoded(network), heat(maps), targets, network.module)

    before = np.array([saliency.probability for saliency in maps])
    np.testing.assert_allclose([score.drop / 100 for score in scores] * before, drop, atol=1e-4)
    assert [score.increase for score in scores] == increase.astype(bool).tolist()
