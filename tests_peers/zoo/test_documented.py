"""The documented configs end to end: our classifier looks where mmpretrain's would look, and sees what it would see."""

from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope
from mmpretrain.models import build_classifier

from classlens.adapters.openmm.classifiers import open_classifier
from classlens.adapters.openmm.setup import read_setup
from classlens.cam.explain import explain
from classlens.config import read_config
from classlens.dataset.decode import read_image
from tests_peers.zoo.networks import mend_scale, randomised, reference_map, save_like_mmengine

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
    init_default_scope("mmpretrain")


@pytest.mark.parametrize("name", DEFAULTS)
def test_our_classifier_looks_where_upstreams_would_and_sees_the_same(name, tmp_path):
    path = ROOT / "configs" / name
    setup = read_setup(read_config(path), path)
    network = randomised(build_classifier({key: value for key, value in setup.model.items() if key != "train_cfg"}))
    if name == T2T:
        mend_scale(network)
    classifier = open_classifier(setup, str(save_like_mmengine(network, tmp_path / "weights.pth", classes=1000)))
    photo = read_image(PHOTOS / "coffee.png")

    seen = explain(classifier, photo)[0]

    batch = torch.from_numpy(classifier.encoding.encode(classifier.prepare(photo)))[None]
    extra = classifier.extra_tokens or 0
    expected = reference_map(network.eval(), DEFAULTS[name], batch, seen.subject.target, extra=extra)
    assert seen.layer == DEFAULTS[name]
    np.testing.assert_allclose(seen.heatmap().values, expected, atol=1e-3)
