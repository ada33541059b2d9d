"""The documented configs end to end: our classifier is fed what mmpretrain's would be fed, and looks where it would look."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmcv.transforms import Compose
from mmengine.registry import init_default_scope
from mmpretrain.models import build_classifier
from mmpretrain.registry import MODELS, TRANSFORMS

from classlens.adapters.openmm.classifier import open_classifier
from classlens.adapters.openmm.read_setup import read_setup
from classlens.cam.layers import default_layer
from classlens.config import read_config
from classlens.dataset.reading import read_image
from tests_peers.zoo.test_logits import randomised, save_like_mmengine

ROOT = Path(__file__).parents[2]
PHOTOS = ROOT / "demo" / "photos"
DEFAULTS = {
    "resnet/resnet50_8xb32_in1k.py": "backbone.layer4.2.bn3",
    "mobilenet_v3/mobilenet-v3-large_8xb128_in1k.py": "backbone.layer16.bn",
    "swin_transformer/swin-tiny_16xb64_in1k.py": "backbone.norm3",
    "vision_transformer/vit-base-p16_64xb64_in1k-384px.py": "backbone.layers.11.ln1",
    "t2t_vit/t2t-vit-t-14_8xb64_in1k.py": "backbone.encoder.13.ln1",
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


@pytest.mark.parametrize("name", DEFAULTS)
def test_the_default_layer_is_that_of_upstream(name, tmp_path):
    _, setup = setup_of(name)
    network = randomised(build_classifier({key: value for key, value in setup.model.items() if key != "train_cfg"}))
    classifier = open_classifier(setup, str(save_like_mmengine(network, tmp_path / "weights.pth", classes=1000)))

    assert default_layer(classifier).name == DEFAULTS[name]
