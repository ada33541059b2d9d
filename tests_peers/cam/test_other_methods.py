"""The further methods, against grad-cam, torch-cam and captum wherever these compute the same thing."""

import numpy as np
import pytest
import timm
import torch
from pytorch_grad_cam import FEM, KPCA_CAM, AblationCAM, EigenCAM, FinerCAM, FullGrad, ScoreCAM, ShapleyCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torchcam.methods import ISCAM, SSCAM

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.layers import find_layers
from classlens.cam.methods.probing import random_mask
from classlens.cam.saliency import Saliency
from classlens.image import Encoding, Image
from tests_peers.cam.test_grad_cam import careful, photos, upright  # noqa: F401 - `careful` is a fixture

SIDE = 32
TARGETS = (3, 7)


def small(name: str, **settings) -> Classifier:
    """A small network for small pictures, with BatchNorm statistics of what it sees."""
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=10, **settings)
    encoding = Encoding(layout="CHW", white=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
            torch.nn.init.normal_(module.bias, std=0.2)
    batch = torch.from_numpy(np.stack([encoding.encode(picture) for picture in pictures(4)]))
    with torch.no_grad():
        model.train()(batch)
    return Classifier(name, model.eval(), model, encoding, (SIDE, SIDE))


def pictures(count: int) -> list[Image]:
    return [Image(np.ascontiguousarray(photo.pixels[80 : 80 + SIDE, 80 : 80 + SIDE])) for photo in photos(count)]


@pytest.fixture(scope="module")
def resnet() -> Classifier:
    return small("resnet18", zero_init_last=False)


@pytest.fixture(scope="module")
def curved() -> Classifier:
    """A network whose activations bend everywhere."""
    classifier = small("convnext_atto", ls_init_value=1.0)
    with torch.no_grad():
        for parameter in classifier.module.parameters():
            parameter.mul_(3 if parameter.ndim > 1 else 1)
    return classifier


def encoded(classifier: Classifier, count: int = 2) -> torch.Tensor:
    return torch.from_numpy(np.stack([classifier.encoding.encode(picture) for picture in pictures(count)]))


def theirs(method, classifier, layer, *, reshape=None, targets=TARGETS) -> np.ndarray:
    wanted = None if targets is None else [ClassifierOutputTarget(target) for target in targets]
    modules = [found.module for found in find_layers(classifier, [layer])]
    return method(classifier.module, modules, reshape_transform=reshape)(encoded(classifier), wanted)


def ours(method, classifier, layer, *, targets=TARGETS) -> list[Saliency]:
    return list(explain(classifier, pictures(2), methods=method, layers=layer, targets=targets))


def heatmaps(saliencies: list[Saliency]) -> np.ndarray:
    return np.stack([saliency.heatmap().values for saliency in saliencies])


@pytest.mark.parametrize("layer", ["layer1", "layer2"])
@pytest.mark.parametrize("method", [ScoreCAM, AblationCAM, FEM, FullGrad], ids=lambda method: method.__name__)
def test_methods_without_class_gradients_are_equal(resnet, method, layer):
    reference = theirs(method, resnet, layer)

    np.testing.assert_allclose(heatmaps(ours(method.__name__, resnet, layer)), reference, atol=1e-4)


def test_fem_of_signed_features_is_as_empty_as_theirs(careful, resnet):  # noqa: F811
    """In front of an activation its weights, which are shares, multiply mostly negative features."""
    reference = theirs(FEM, resnet, "layer1.1.bn2")

    np.testing.assert_allclose(heatmaps(ours("FEM", resnet, "layer1.1.bn2")), reference, atol=1e-4)


def test_kernel_components_are_equal_up_to_sign(resnet):
    reference = theirs(KPCA_CAM, resnet, "layer2")

    assert max(map(upright, ours("KPCA-CAM", resnet, "layer2"), reference)) < 1e-4


@pytest.mark.parametrize("method", [EigenCAM, KPCA_CAM], ids=lambda method: method.__name__)
def test_eigen_smooth_leaves_components_alone(careful, resnet, method):  # noqa: F811
    modules = [found.module for found in find_layers(resnet, ["layer2"])]
    reference = method(resnet.module, modules)(encoded(resnet), None, eigen_smooth=True)

    name = {"KPCA_CAM": "KPCA-CAM"}.get(method.__name__, method.__name__)
    mine = list(explain(resnet, pictures(2), methods=name, layers="layer2", options=ExplainOptions(eigen_smooth=True)))

    assert max(map(upright, mine, reference)) < 1e-4


def test_finer_cam_is_equal_for_the_predicted_class(careful, resnet):  # noqa: F811
    reference = theirs(FinerCAM, resnet, "layer1", targets=None)

    np.testing.assert_allclose(heatmaps(ours("FinerCAM", resnet, "layer1", targets=None)), reference, atol=1e-4)


def test_shapley_cam_is_equal_where_curvature_matters(curved):
    reference = theirs(ShapleyCAM, curved, "stages.1.blocks.1.mlp.fc1")
    mine, plain = (
        ours("ShapleyCAM", curved, "stages.1.blocks.1.mlp.fc1"),
        ours("GradCAM", curved, "stages.1.blocks.1.mlp.fc1"),
    )

    np.testing.assert_allclose(heatmaps(mine), reference, atol=1e-4)
    assert np.abs(heatmaps(mine) - heatmaps(plain)).max() > 1e-3


def test_is_cam_is_equal_to_torch_cam(resnet):
    with ISCAM(resnet.module, "layer1", num_samples=10, input_shape=(3, SIDE, SIDE)) as extractor:
        resnet.module(encoded(resnet))
        (reference,) = extractor(list(TARGETS), normalized=False)

    mine = np.stack([saliency.values for saliency in ours("IS-CAM", resnet, "layer1")])
    np.testing.assert_allclose(np.maximum(mine, 0), reference.numpy(), atol=1e-5)


def test_ss_cam_is_equal_to_torch_cam_with_the_same_noise(resnet):
    """Theirs draws other noise for every channel and picture; here both see our ten pictures of it."""
    drawn = iter(torch.randn((10, SIDE, SIDE), generator=torch.Generator().manual_seed(0)))

    class Ours:
        def sample(self, size):
            return (2 * next(drawn)).expand(size)

    with SSCAM(resnet.module, "layer1", num_samples=10, std=2.0, input_shape=(3, SIDE, SIDE)) as extractor:
        extractor._distrib = Ours()
        resnet.module(encoded(resnet))
        (reference,) = extractor(list(TARGETS), normalized=False)

    mine = np.stack([saliency.values for saliency in ours("SS-CAM", resnet, "layer1")])
    np.testing.assert_allclose(np.maximum(mine, 0), reference.numpy(), atol=1e-4)


def test_smooth_gradients_are_equal_to_captum_with_the_same_noise(resnet, monkeypatch):
    attribution = pytest.importorskip("captum.attr")
    batch = encoded(resnet)
    noise = torch.randn((25, 3, SIDE, SIDE), generator=torch.Generator().manual_seed(0))
    reach = batch.amax((1, 2, 3)) - batch.amin((1, 2, 3))
    reference = []
    for picture, share, target in zip(batch, reach, TARGETS, strict=True):
        monkeypatch.setattr(torch, "normal", lambda mean, std, noise=noise: mean + std * noise)
        tunnel = attribution.NoiseTunnel(attribution.Saliency(resnet.module))
        reference.append(
            tunnel.attribute(
                picture[None], nt_type="smoothgrad", nt_samples=25, stdevs=0.15 * share.item(), target=target, abs=False
            )
        )

    mine = np.stack([saliency.values for saliency in ours("SmoothGrad", resnet, "layer1")])

    np.testing.assert_allclose(mine, torch.cat(reference).abs().sum(1).detach().numpy(), atol=1e-4)


def test_rise_is_the_mean_of_its_masks_weighted_by_what_they_leave(resnet):
    """Petsiuk et al. 2018, eq. 6, one mask after another; no package has it for these networks."""
    batch, generator = encoded(resnet), torch.Generator().manual_seed(0)
    total = torch.zeros(2, SIDE, SIDE)
    for _ in range(60):
        mask = random_mask(SIDE, SIDE, generator)
        with torch.no_grad():
            left = resnet.module(batch * mask).softmax(1)[[0, 1], list(TARGETS)]
        total += left[:, None, None] * mask

    mine = explain(
        resnet,
        pictures(2),
        methods="RISE",
        layers="layer1",
        targets=TARGETS,
        options=ExplainOptions(samples=60, batch_size=7),
    )

    np.testing.assert_allclose(np.stack([one.values for one in mine]), (total / 60 / 0.5).numpy(), atol=1e-5)


def test_integrated_gradients_are_equal_to_captum(resnet):
    attribution = pytest.importorskip("captum.attr")
    reference = attribution.IntegratedGradients(resnet.module).attribute(encoded(resnet), target=list(TARGETS))

    mine = np.stack([saliency.values for saliency in ours("IntegratedGradients", resnet, "layer1")])
    # Of some steps a unit lies within rounding of the kink of its ReLU, and batches of other sizes round otherwise.
    peak = float(reference.sum(1).abs().max())
    np.testing.assert_allclose(mine, reference.sum(1).detach().numpy(), rtol=0, atol=1e-3 * peak)


def test_occlusion_is_equal_to_captum(resnet):
    attribution = pytest.importorskip("captum.attr")
    reference = attribution.Occlusion(resnet.module).attribute(
        encoded(resnet), sliding_window_shapes=(3, 4, 4), strides=(3, 2, 2), target=list(TARGETS)
    )

    mine = np.stack([saliency.values for saliency in ours("Occlusion", resnet, "layer1")])
    np.testing.assert_allclose(mine, reference[:, 0].detach().numpy(), atol=1e-4)
