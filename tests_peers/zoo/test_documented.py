"""The documented configs end to end: our classifier is fed what mmpretrain's would be fed, and looks where it would look."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmpretrain.models import build_classifier
from mmpretrain.registry import MODELS, TRANSFORMS
from torch import nn

from classlens.adapters.openmm.classifier import open_classifier
from classlens.adapters.openmm.read_setup import read_setup
from classlens.cam.explain import explain
from classlens.cam.layers import default_layer
from classlens.config import read_config
from classlens.dataset.reading import read_image
from tests_peers.zoo.test_logits import mend_scale, randomised, save_like_mmengine

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "demo" / "photos"
T2T = "t2t_vit/t2t-vit-t-14_8xb64_in1k.py"
DEFAULTS = {
    "resnet/resnet50_8xb32_in1k.py": "backbone.layer4.2.bn3",
    "mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py": "backbone.layer16.bn",
    "swin_transformer/swin-tiny_16xb64_in1k.py": "backbone.norm3",
    "vision_transformer/vit-base-p16_64xb64_in1k-384px.py": "backbone.layers.11.ln1",
    T2T: "backbone.encoder.13.ln1",
    "repvgg/repvgg-B3g4_8xb32_in1k.py": "backbone.stage_4.0",
}
"""Upstream's default layers; for RepVGG it takes the norm of one branch, and we the block."""


@pytest.fixture(autouse=True)
def scope() -> None:
    torch.set_num_threads(1)
    init_default_scope("mmpretrain")


def setup_of(name: str):
    path = ROOT / "configs" / name
    return read_config(path), read_setup(read_config(path), path)


@pytest.mark.parametrize("name", ["resnet/resnet50_8xb32_in1k.py", "swin_transformer/swin-tiny_16xb64_in1k.py"])
@pytest.mark.parametrize("photo", ["chelsea.png", "rocket.jpg", "camera.png"])
def test_the_network_is_fed_the_numbers_of_upstream(name, photo, tmp_path):
    config, setup = setup_of(name)
    network = randomised(build_classifier(dict(setup.model)))
    classifier = open_classifier(setup, str(save_like_mmengine(network, tmp_path / "weights.pth", classes=1000)))
    pipeline = Compose([TRANSFORMS.build(dict(stage)) for stage in config["test_dataloader"]["dataset"]["pipeline"]])
    preprocessor = MODELS.build({"type": "ClsDataPreprocessor", **config["data_preprocessor"]})

    packed = pipeline({"img_path": str(PHOTOS / photo)})
    expected = preprocessor({"inputs": packed["inputs"][None], "data_samples": None})["inputs"][0].numpy()
    seen = classifier.encoding.encode(classifier.prepare(read_image(PHOTOS / photo)))

    np.testing.assert_allclose(seen, expected, rtol=0, atol=1e-6)


def grad_cam_of(network: nn.Module, layer: nn.Module, image: torch.Tensor) -> np.ndarray:
    """Grad-CAM by hand, from hooks on mmpretrain's own network, scaled to 0..1; class tokens are left out.

    A clone is passed on, because a ReLU in place behind the layer would change what was kept.
    """
    kept: list[torch.Tensor] = []

    def keep(module: nn.Module, inputs: object, output: torch.Tensor) -> torch.Tensor:
        kept.append(output)
        return output.clone()

    hook = layer.register_forward_hook(keep)
    logits = network(image[None], mode="tensor")
    hook.remove()
    (gradient,) = torch.autograd.grad(logits.max(), kept)
    activation = kept[0]
    if activation.ndim == 3:
        side = int(activation.shape[1] ** 0.5)
        activation, gradient = (
            part[:, -side * side :].mT.unflatten(2, (side, side)) for part in (activation, gradient)
        )
    saliency = (activation * gradient.mean((2, 3), keepdim=True)).sum(1)[0].clamp(min=0).detach().numpy()
    return saliency / saliency.max()


@pytest.mark.parametrize("name", ["resnet/resnet50_8xb32_in1k.py", "swin_transformer/swin-tiny_16xb64_in1k.py", T2T])
def test_the_map_is_that_of_upstreams_network(name, tmp_path):
    _, setup = setup_of(name)
    network = randomised(build_classifier({key: value for key, value in setup.model.items() if key != "train_cfg"}))
    if name == T2T:
        mend_scale(network)
    classifier = open_classifier(setup, str(save_like_mmengine(network, tmp_path / "weights.pth", classes=1000)))
    photo = read_image(PHOTOS / "coffee.png")
    image = torch.from_numpy(classifier.encoding.encode(classifier.prepare(photo)))

    expected = grad_cam_of(network.eval(), network.get_submodule(DEFAULTS[name]), image)
    seen = explain(classifier, photo)[0].values

    np.testing.assert_allclose(np.maximum(seen, 0) / seen.max(), expected, atol=1e-3)


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_layer_is_that_of_upstream(name, tmp_path):
    _, setup = setup_of(name)
    network = randomised(build_classifier({key: value for key, value in setup.model.items() if key != "train_cfg"}))
    classifier = open_classifier(setup, str(save_like_mmengine(network, tmp_path / "weights.pth", classes=1000)))

    assert default_layer(classifier).name == DEFAULTS[name]
