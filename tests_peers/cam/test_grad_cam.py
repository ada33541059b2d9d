"""Equal to grad-cam on PyPI, layer by layer and method by method.

That package stores activations on the CPU without a copy, so that an activation in place behind the layer overwrites
them. `careful` mends this for the comparison; what it does otherwise is the subject of one test.
"""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from pytorch_grad_cam import (
    EigenCAM,
    EigenGradCAM,
    GradCAM,
    GradCAMElementWise,
    GradCAMPlusPlus,
    HiResCAM,
    LayerCAM,
    XGradCAM,
)
from pytorch_grad_cam.activations_and_gradients import ActivationsAndGradients
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from tests.cam.conftest import trained_efficientnet

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.saliency import Explanation, Saliency
from classlens.image import Encoding, Image

THEIRS = {
    "GradCAM": GradCAM,
    "GradCAM++": GradCAMPlusPlus,
    "XGradCAM": XGradCAM,
    "EigenCAM": EigenCAM,
    "EigenGradCAM": EigenGradCAM,
    "LayerCAM": LayerCAM,
    "HiResCAM": HiResCAM,
    "GradCAMElementWise": GradCAMElementWise,
}
PRINCIPAL = {"EigenCAM", "EigenGradCAM"}
TARGETS = (281, 967, 606)
HALF = (0.5, 0.5, 0.5)


@pytest.fixture
def careful(monkeypatch):
    """Their hook, with the copy that it lacks."""

    def save_activation(self, module, inputs, output):
        shaped = output if self.reshape_transform is None else self.reshape_transform(output)
        self.activations.append(shaped.cpu().detach().clone())

    monkeypatch.setattr(ActivationsAndGradients, "save_activation", save_activation)


def photos(count: int) -> list[Image]:
    """Smooth random pictures: random networks say little about white noise."""
    chance = np.random.default_rng(0)
    coarse = torch.from_numpy(chance.random((count, 3, 12, 12), dtype=np.float32))
    fine = torch.nn.functional.interpolate(coarse, (224, 224), mode="bicubic").clamp(0, 1)
    return [Image(np.ascontiguousarray((one.permute(1, 2, 0) * 255).byte().numpy())) for one in fine]


def random_network(name: str, **settings) -> Classifier:
    """A timm network with seeded weights, and BatchNorm statistics of what it really sees."""
    torch.manual_seed(0)
    model = timm.create_model(name, **settings)
    encoding = Encoding(layout="CHW", white=1.0, mean=HALF, std=HALF)
    norms = [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    for norm in norms:
        norm.momentum = None
    batch = torch.from_numpy(np.stack([encoding.encode(photo) for photo in photos(4)]))
    with torch.no_grad():
        model.train()(batch)
    return Classifier(name, model.eval(), model, encoding, (224, 224))


@pytest.fixture(scope="module")
def resnet() -> Classifier:
    return random_network("resnet50", zero_init_last=False)


@pytest.fixture(scope="module")
def efficientnet() -> Classifier:
    return trained_efficientnet()


@pytest.fixture(params=["resnet", "efficientnet"])
def classifier(request) -> Classifier:
    return request.getfixturevalue(request.param)


LAYERS = {"resnet50": ["layer2", "layer3[-1]", "layer4.2.bn3"], "efficientnet-lite0": ["blocks[3]", "blocks.6", "bn2"]}


def modules(classifier: Classifier, names: list[str]) -> list[torch.nn.Module]:
    from classlens.cam.layers import find_layers

    return [layer.module for layer in find_layers(classifier, names)]


def theirs(method, classifier, names, pictures, *, reshape=None, targets=TARGETS, **smoothing) -> np.ndarray:
    batch = torch.from_numpy(np.stack([classifier.encoding.encode(picture) for picture in pictures]))
    wanted = None if targets is None else [ClassifierOutputTarget(target) for target in targets[: len(pictures)]]
    with THEIRS[method](classifier.module, modules(classifier, names), reshape_transform=reshape) as cam:
        return cam(batch, wanted, **smoothing)


def ours(classifier, methods, names, pictures, *, options=None, targets=TARGETS) -> Explanation:
    wanted = None if targets is None else targets[: len(pictures)]
    return explain(classifier, pictures, methods=methods, layers=names, targets=wanted, options=options)


def heatmaps(explanation: Explanation, method: str) -> np.ndarray:
    return np.stack([fused.heatmap().values for fused in explanation.where(method=method).fused()])


def difference(method: str, mine: Explanation, reference: np.ndarray) -> float:
    return float(np.abs(heatmaps(mine, method) - reference).max())


@pytest.mark.parametrize("layers", [[2], [0, 1, 2]], ids=["last", "all three"])
def test_gradient_methods_are_equal(careful, classifier, layers):
    names = [LAYERS[classifier.name][layer] for layer in layers]
    mine = ours(classifier, sorted(set(THEIRS) - PRINCIPAL), names, photos(3))

    worst = {
        method: difference(method, mine, theirs(method, classifier, names, photos(3)))
        for method in set(THEIRS) - PRINCIPAL
    }

    ill_conditioned = worst.pop("XGradCAM")
    assert max(worst.values()) < 1e-4, worst
    signed = names[-1].endswith("bn3") or names[-1].startswith("blocks")
    assert ill_conditioned < (5e-4 if signed else 1e-4)


def upright(saliency: Saliency, reference: np.ndarray) -> float:
    """Smallest difference over the two signs of a principal component, which libraries choose as they like."""
    flipped = replace(saliency, variants=-saliency.variants)
    return min(float(np.abs(one.heatmap().values - reference).max()) for one in (saliency, flipped))


@pytest.mark.parametrize("method", sorted(PRINCIPAL))
@pytest.mark.parametrize("layer", [1, 2], ids=["middle", "last"])
def test_principal_components_are_equal_up_to_sign(careful, classifier, method, layer):
    names = [LAYERS[classifier.name][layer]]
    reference = theirs(method, classifier, names, photos(3))

    mine = ours(classifier, [method], names, photos(3))

    assert max(map(upright, mine, reference)) < 1e-4


@pytest.mark.parametrize("method", ["GradCAM", "GradCAM++", "XGradCAM", "LayerCAM"])
def test_eigen_smooth_is_equal_up_to_sign(careful, classifier, method):
    names = [LAYERS[classifier.name][1]]
    reference = theirs(method, classifier, names, photos(2), eigen_smooth=True)

    mine = ours(classifier, [method], names, photos(2), options=ExplainOptions(eigen_smooth=True))

    assert max(map(upright, mine, reference)) < 1e-4


@pytest.mark.parametrize("names", [[2], [1, 2]], ids=["one layer", "two layers"])
def test_aug_smooth_is_equal(careful, efficientnet, names):
    layers = [LAYERS[efficientnet.name][name] for name in names]
    mine = ours(efficientnet, ["GradCAM", "LayerCAM"], layers, photos(2), options=ExplainOptions(aug_smooth=True))

    for method in ("GradCAM", "LayerCAM"):
        assert difference(method, mine, theirs(method, efficientnet, layers, photos(2), aug_smooth=True)) < 1e-4


def test_the_predicted_class_is_the_default(careful, efficientnet):
    mine = ours(efficientnet, ["GradCAM"], ["bn2"], photos(3), targets=None)

    assert difference("GradCAM", mine, theirs("GradCAM", efficientnet, ["bn2"], photos(3), targets=None)) < 1e-4


def test_the_reference_reads_what_a_later_activation_overwrote(resnet):
    """Why `careful` is needed: as it is, their map of ResNet's last norm layer is one of other numbers."""
    mine = ours(resnet, ["GradCAM"], ["layer4.2.bn3"], photos(1))

    assert difference("GradCAM", mine, theirs("GradCAM", resnet, ["layer4.2.bn3"], photos(1))) > 0.1


def tokens_as_grid(tensor: torch.Tensor) -> torch.Tensor:
    return tensor[:, 1:].transpose(1, 2).reshape(len(tensor), -1, 14, 14)


def last_as_first(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.permute(0, 3, 1, 2)


@pytest.mark.parametrize(
    ("name", "layers", "reshape"),
    [
        ("vit_tiny_patch16_224", ["blocks[-1].norm1"], tokens_as_grid),
        ("vit_tiny_patch16_224", ["blocks[-1].norm1", "blocks.5", "blocks.8.norm2"], tokens_as_grid),
        ("swin_tiny_patch4_window7_224", ["norm"], last_as_first),
        ("mobilenetv3_large_100", ["blocks.6.0.bn1"], None),
        ("convnext_tiny", ["stages[-1].blocks[-1]"], None),
    ],
    ids=lambda value: value if isinstance(value, str) else None,
)
def test_other_networks_are_read_without_being_told_how(careful, name, layers, reshape):
    classifier = random_network(name)
    methods = sorted(set(THEIRS) - PRINCIPAL)
    mine = ours(classifier, methods, layers, photos(2))

    worst = {m: difference(m, mine, theirs(m, classifier, layers, photos(2), reshape=reshape)) for m in methods}

    assert worst.pop("XGradCAM") < 5e-4
    assert max(worst.values()) < 1e-4, worst
