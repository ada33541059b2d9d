"""Maps of networks that end in probabilities are grad-cam's of the logits in front; two sides are its binary target."""

from dataclasses import replace

import numpy as np
import pytest
import timm
import torch
from pytorch_grad_cam.utils.model_targets import BinaryClassifierOutputTarget, ClassifierOutputTarget
from torch import nn

from classlens.adapters import open_source
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.image import Encoding
from tests_peers.cam.test_grad_cam import HALF, THEIRS, photos

METHODS = ["GradCAM", "GradCAM++", "LayerCAM", "HiResCAM"]
LAYER = "layer3"


def network(classes: int) -> nn.Module:
    torch.manual_seed(0)
    module = timm.create_model("resnet18", num_classes=classes, zero_init_last=False)
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = None
    with torch.no_grad():
        module.train()(torch.from_numpy(np.stack([ENCODING.encode(photo) for photo in photos(4)])))
        module.fc.weight *= 20
    return module.eval()


ENCODING = Encoding(layout="CHW", white=1.0, mean=HALF, std=HALF)


def theirs(method: str, module: nn.Module, target) -> np.ndarray:
    batch = torch.from_numpy(ENCODING.encode(photos(1)[0]))[None]
    with THEIRS[method](module, [module.get_submodule(LAYER)]) as cam:
        return cam(batch, [target])[0]


def ours(module: nn.Module, target: int | str, prefix: str = "", **facts) -> dict[str, np.ndarray]:
    opened = open_source(module).classifier()
    classifier: Classifier = replace(opened, encoding=ENCODING, prepare=lambda image: image, **facts)
    found = explain(classifier, photos(1)[0], methods=METHODS, layers=f"{prefix}{LAYER}", targets=target)
    return {one.method: one.heatmap().values for one in found}


@pytest.mark.parametrize("end", [nn.Softmax(dim=1), nn.LogSoftmax(dim=1), nn.Sigmoid()])
@pytest.mark.parametrize("target", [0, 3])
def test_behind_an_end_the_map_is_that_of_the_logits(end, target):
    module = network(5)

    found = ours(nn.Sequential(module, end), target, "0.")

    for method in METHODS:
        expected = theirs(method, module, ClassifierOutputTarget(target))
        np.testing.assert_allclose(found[method], expected, atol=1e-4)


@pytest.mark.parametrize("end", [nn.Identity(), nn.Sigmoid()])
@pytest.mark.parametrize(("target", "side"), [(0, 0), (1, 1), ("benign", 0), ("malignant", 1)])
def test_a_side_of_a_single_logit_is_the_binary_target(end, target, side):
    module = network(1)

    found = ours(nn.Sequential(module, end), target, "0.", classes=("benign", "malignant"))

    for method in METHODS:
        expected = theirs(method, module, BinaryClassifierOutputTarget(side))
        np.testing.assert_allclose(found[method], expected, atol=1e-4)
