"""Five kinds of network x every method that a peer has x one picture and a batch x one and three layers; small pictures.

Left out, for a reason: torch-cam's GradCAM++ and SmoothGrad-CAM++ (another formula), SS-CAM and RandomCAM (other random
numbers), SegEigenCAM, RefineCAM, SESS (not offered); aug-smooth of principal components, whose six signs are not told.
Further methods (ScoreCAM, AblationCAM, FullGrad, IS-CAM, captum's others) are in test_other_methods.py, on a smaller network.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product

import numpy as np
import pytest
import pytorch_grad_cam
import timm
import torch
import torchcam.methods
from captum.attr import LayerGradCam, LayerGradientXActivation
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.layers import find_layers
from classlens.cam.saliency import Explanation, Saliency, fuse
from classlens.image import Encoding, Image
from tests_peers.cam.test_grad_cam import careful, last_as_first  # noqa: F401 - `careful` is a fixture

BY_GRADIENT = ("GradCAM", "GradCAM++", "XGradCAM", "LayerCAM", "HiResCAM", "GradCAMElementWise")
PLAIN = (*BY_GRADIENT, "FEM")
PRINCIPAL = ("EigenCAM", "EigenGradCAM", "KPCA-CAM")
SIGNED = "XGradCAM"
"""Divides by sums that are nearly zero where activations are signed: ill-conditioned in both."""

CLOSE, CLOSE_SIGNED = 1e-4, 5e-4
TARGETS = (2, 7, 4)
HALF = (0.5, 0.5, 0.5)


@dataclass(frozen=True)
class Case:
    """One kind of network: how timm builds it, the pictures' side, three layers, and how a peer is told to read them."""

    name: str
    side: int
    layers: tuple[str, str, str]
    settings: tuple[tuple[str, object], ...] = ()
    reshape: Callable[[torch.Tensor], torch.Tensor] | None = None

    def __repr__(self) -> str:
        return self.name.partition("_")[0]


def four_by_four(tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 1:].mT.reshape(len(tokens), -1, 4, 4)


CASES = (
    Case("resnet50", 96, ("layer2", "layer3[-1]", "layer4"), (("zero_init_last", False),)),
    Case("mobilenetv3_large_100", 96, ("blocks.3", "blocks.5", "blocks.6.0.bn1")),
    Case(
        "vit_base_patch16_224",
        64,
        ("blocks.5", "blocks.8.norm2", "blocks[-1].norm1"),
        (("img_size", 64),),
        four_by_four,
    ),
    Case(
        "swin_tiny_patch4_window7_224",
        64,
        ("layers.1", "layers.2.blocks.3.norm1", "norm"),
        (("img_size", 64),),
        last_as_first,
    ),
    Case(
        "convnext_tiny",
        64,
        ("stages.1.downsample.1", "stages.2.downsample.1", "stages[-1].blocks[-1]"),
        (("ls_init_value", 0.5),),
    ),
)
CONVOLUTIONAL = [case for case in CASES if case.reshape is None]


@cache
def pictures(side: int) -> tuple[Image, ...]:
    """Smooth random pictures: random networks say little about white noise."""
    coarse = torch.from_numpy(np.random.default_rng(0).random((3, 3, 8, 8), dtype=np.float32))
    fine = torch.nn.functional.interpolate(coarse, (side, side), mode="bicubic").clamp(0, 1)
    return tuple(Image(np.ascontiguousarray((one.permute(1, 2, 0) * 255).byte().numpy())) for one in fine)


@cache
def network(case: Case) -> Classifier:
    """Seeded weights, and BatchNorm statistics of what the network really sees."""
    torch.manual_seed(0)
    model = timm.create_model(case.name, num_classes=10, **dict(case.settings))
    encoding = Encoding(layout="CHW", white=1.0, mean=HALF, std=HALF)
    classifier = Classifier(case.name, model, model, encoding, (case.side, case.side))
    for norm in model.modules():
        if isinstance(norm, torch.nn.BatchNorm2d):
            norm.momentum = None
    with torch.no_grad():
        model.train()(encoded(classifier, 3))
    model.eval()
    return classifier


def encoded(classifier: Classifier, count: int) -> torch.Tensor:
    images = pictures(classifier.size[0])[:count]
    return torch.from_numpy(np.stack([classifier.encoding.encode(image) for image in images]))


@cache
def ours(
    case: Case, methods: tuple[str, ...], layers: tuple[str, ...], count: int, options: ExplainOptions | None = None
) -> Explanation:
    """All methods from one pass."""
    targets = TARGETS[:count]
    return explain(
        network(case),
        list(pictures(case.side)[:count]),
        methods=methods,
        layers=layers,
        targets=targets,
        options=options,
    )


def theirs(case: Case, method: str, layers: Sequence[str], count: int, **smoothing) -> np.ndarray:
    kind = getattr(pytorch_grad_cam, method.replace("++", "PlusPlus").replace("-", "_"))
    classifier = network(case)
    modules = [layer.module for layer in find_layers(classifier, layers)]
    targets = [ClassifierOutputTarget(target) for target in TARGETS[:count]]
    if method == "FinerCAM":  # explains the predicted class; it is told which
        targets = None
    with kind(classifier.module, modules, reshape_transform=case.reshape) as cam:
        return cam(encoded(classifier, count), targets, **smoothing)


def off(parts: Sequence[Saliency], reference: np.ndarray) -> float:
    return float(np.abs(fuse(parts).values - reference).max())


def off_up_to_signs(parts: Sequence[Saliency], reference: np.ndarray) -> float:
    """Libraries choose the sign of a principal component as they like, layer by layer."""
    turned = [(part, replace(part, variants=-part.variants)) for part in parts]
    return min(off(signs, reference) for signs in product(*turned))


def worst(
    found: Explanation, method: str, reference: np.ndarray, measure: Callable[[Sequence[Saliency], np.ndarray], float]
) -> float:
    return max(
        measure(fused.parts, one) for fused, one in zip(found.where(method=method).fused(), reference, strict=True)
    )


def close(method: str) -> float:
    return CLOSE_SIGNED if method == SIGNED else CLOSE


@pytest.mark.parametrize(("count", "layers"), [(1, 1), (3, 3)], ids=["1 picture, 1 layer", "3 pictures, 3 layers"])
@pytest.mark.parametrize("case", CASES, ids=repr)
class TestAgainstGradCam:
    def test_plain_methods(self, careful, case, count, layers):  # noqa: F811
        names = case.layers[-layers:]

        wrong = {
            method: worst(ours(case, PLAIN, names, count), method, theirs(case, method, names, count), off)
            for method in PLAIN
        }

        assert {method: error for method, error in wrong.items() if error > close(method)} == {}

    def test_principal_components(self, careful, case, count, layers):  # noqa: F811
        names = case.layers[-layers:]

        wrong = {
            method: worst(
                ours(case, PRINCIPAL, names, count), method, theirs(case, method, names, count), off_up_to_signs
            )
            for method in PRINCIPAL
        }

        assert {method: error for method, error in wrong.items() if error > CLOSE} == {}

    def test_eigen_smooth(self, careful, case, count, layers):  # noqa: F811
        names, options = case.layers[-layers:], ExplainOptions(eigen_smooth=True)

        wrong = {
            method: worst(
                ours(case, BY_GRADIENT, names, count, options),
                method,
                theirs(case, method, names, count, eigen_smooth=True),
                off_up_to_signs,
            )
            for method in BY_GRADIENT
        }

        assert {method: error for method, error in wrong.items() if error > close(method)} == {}

    def test_aug_smooth(self, careful, case, count, layers):  # noqa: F811
        """Of two methods: what is done to the picture and its maps is the same for all."""
        names, options = case.layers[-layers:], ExplainOptions(aug_smooth=True)

        wrong = {
            method: worst(
                ours(case, BY_GRADIENT, names, count, options),
                method,
                theirs(case, method, names, count, aug_smooth=True),
                off,
            )
            for method in ("GradCAM", "LayerCAM")
        }

        assert {method: error for method, error in wrong.items() if error > CLOSE} == {}


@pytest.mark.parametrize("count", [1, 3], ids=["1 picture", "3 pictures"])
@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=repr)
def test_shapley_cam(case, count):
    """Where theirs runs: one layer, put out as it is; and without `careful`, which cuts the graph that they need."""
    names = case.layers[1:2]
    reference = theirs(case, "ShapleyCAM", names, count)

    assert worst(ours(case, ("ShapleyCAM",), names, count), "ShapleyCAM", reference, off) < CLOSE


@pytest.mark.parametrize("case", CASES, ids=repr)
def test_finer_cam_of_the_predicted_class(careful, case):  # noqa: F811
    mine = explain(network(case), list(pictures(case.side)), methods="FinerCAM", layers=case.layers[-1])

    assert worst(mine, "FinerCAM", theirs(case, "FinerCAM", case.layers[-1:], 3), off) < CLOSE


@pytest.mark.parametrize("count", [1, 3], ids=["1 picture", "3 pictures"])
@pytest.mark.parametrize("method", ["GradCAM", "XGradCAM", "LayerCAM"])
@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=repr)
def test_raw_maps_are_those_of_torch_cam(case, method, count):
    classifier, names = network(case), [layer.name for layer in find_layers(network(case), case.layers[:2])]
    with getattr(torchcam.methods, method)(classifier.module, names) as extractor:
        scores = classifier.module(encoded(classifier, count))
        reference = extractor(list(TARGETS[:count]), scores, normalized=False)

    for name, maps in zip(names, reference, strict=True):
        mine = ours(case, BY_GRADIENT, case.layers[:2], count).where(method=method, layer=name)
        assert relative(mine, maps.detach().numpy()) < close(method)


@pytest.mark.parametrize("count", [1, 3], ids=["1 picture", "3 pictures"])
@pytest.mark.parametrize("case", CONVOLUTIONAL, ids=repr)
def test_raw_maps_are_those_of_captum(case, count):
    classifier, batch = network(case), encoded(network(case), count)
    for layer in find_layers(classifier, case.layers[:2]):
        mine = ours(case, BY_GRADIENT, case.layers[:2], count).where(layer=layer.name)
        cam = LayerGradCam(classifier.module, layer.module).attribute(batch, list(TARGETS[:count]))
        product_ = LayerGradientXActivation(classifier.module, layer.module).attribute(batch, list(TARGETS[:count]))

        assert relative(mine.where(method="GradCAM"), cam[:, 0].detach().numpy(), cut=False) < CLOSE
        assert relative(mine.where(method="HiResCAM"), product_.sum(1).detach().numpy(), cut=False) < CLOSE


def relative(mine: Explanation, reference: np.ndarray, *, cut: bool = True) -> float:
    """Largest difference, as a share of the largest value; torch-cam cuts what is negative."""
    found = np.stack([saliency.values for saliency in mine])
    found = np.maximum(found, 0) if cut else found
    return float(np.abs(found - reference).max() / np.abs(reference).max())
