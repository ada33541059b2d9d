"""Scores of maps, against those of grad-cam, torch-cam and quantus where they define the same number."""

from functools import partial

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics import road
from pytorch_grad_cam.metrics.cam_mult_image import DropInConfidence, IncreaseInConfidence
from pytorch_grad_cam.utils.model_targets import ClassifierOutputSoftmaxTarget, ClassifierOutputTarget
from torchcam.methods import GradCAM
from torchcam.metrics import ClassificationMetric, DeletionInsertionMetric

from classlens.cam import faithfulness
from classlens.cam.explain import explain
from classlens.cam.faithfulness import blur, evaluate, mean, rank_correlation, structural_similarity
from tests_peers.cam.test_other_methods import SIDE, TARGETS, Classifier, encoded, pictures, small


@pytest.fixture(scope="module")
def network() -> Classifier:
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


class Given(GradCAM):
    """An extractor of torch-cam that gives maps made beforehand, so that only what is made of them is compared."""

    def __init__(self, model: torch.nn.Module, maps: np.ndarray):
        super().__init__(model, "layer3", input_shape=(3, SIDE, SIDE))
        self.maps = torch.from_numpy(maps)

    def __call__(self, class_idx=None, scores=None, normalized=True, **others):
        return [self.maps]


@pytest.mark.parametrize("curve", ["deletion", "insertion"])
def test_areas_are_equal_to_torch_cam(network, maps, scores, curve, monkeypatch):
    """Theirs puts the same thing in the place of what is deleted and not yet inserted; ours grey, and a blurred picture."""
    batch = encoded(network)
    blurred = torch.from_numpy(np.stack([blur(one) for one in batch.numpy()]))
    monkeypatch.setattr(faithfulness, "STEPS", 64)  # theirs takes equally many pixels every time: 1024 / 64

    with Given(network.module, heat(maps)) as extractor:
        metric = DeletionInsertionMetric(
            extractor, partial(torch.softmax, dim=-1), steps=64, baseline=blurred if curve == "insertion" else None
        )
        metric.update(batch, list(TARGETS))

    mine = mean([evaluate(network, saliency).own for saliency in maps])
    assert mine[curve] == pytest.approx(metric.summary()[f"{curve}_auc"], abs=1e-4)


def test_average_drop_and_increase_are_equal_to_torch_cam(network, maps, scores):
    with Given(network.module, heat(maps)) as extractor:
        metric = ClassificationMetric(extractor, partial(torch.softmax, dim=-1))
        metric.update(encoded(network), list(TARGETS))

    assert mean(scores)["drop"] == pytest.approx(100 * metric.summary()["avg_drop"], abs=0.1)
    assert mean(scores)["increase"] == metric.summary()["conf_increase"]
    assert mean(scores)["drop"] > 1


@pytest.mark.parametrize("box", [(4, 4, 20, 28), (16, 0, 32, 16)])
def test_pointing_and_energy_are_equal_to_quantus(network, maps, box):
    quantus = pytest.importorskip("quantus")
    inside = np.zeros((2, 1, SIDE, SIDE), bool)
    inside[:, :, box[1] : box[3], box[0] : box[2]] = True
    settings = {"disable_warnings": True, "abs": False, "normalise": False}
    given = {
        "model": network.module,
        "x_batch": encoded(network).numpy(),
        "y_batch": np.array(TARGETS),
        "a_batch": heat(maps)[:, None],
        "s_batch": inside,
    }

    pointing = quantus.PointingGame(**settings)(**given)
    energy = quantus.RelevanceMassAccuracy(**settings)(**given)

    mine = [evaluate(network, saliency, box=box).own for saliency in maps]
    assert [score.pointing > 0 for score in mine] == [bool(hit) for hit in pointing]  # theirs counts one of several
    np.testing.assert_allclose([score.energy for score in mine], energy, rtol=1e-5)


def test_likenesses_of_the_sanity_check_are_equal_to_quantus(maps):
    likeness = pytest.importorskip("quantus.functions.similarity_func")
    one, other = heat(maps)

    assert rank_correlation(one, other) == pytest.approx(
        likeness.correlation_spearman(one.ravel(), other.ravel()), abs=1e-6
    )
    assert structural_similarity(one, other) == pytest.approx(likeness.ssim(one, other), abs=1e-5)
