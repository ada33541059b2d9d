"""Networks that are not native are built by mmpretrain, and then behave like any other."""

import pytest
import torch
from mmpretrain.models import build_classifier

from classlens.adapters.openmm.checkpoints.loading import load_weights
from classlens.adapters.openmm.zoo.build import build_network
from classlens.errors import ConfigError, DataError
from tests_peers.zoo.test_logits import randomised

SHUFFLE = {
    "type": "ImageClassifier",
    "backbone": {"type": "ShuffleNetV2", "widen_factor": 0.5},
    "neck": {"type": "GlobalAveragePooling"},
    "head": {"type": "LinearClsHead", "num_classes": 10, "in_channels": 1024},
    "train_cfg": {"augments": [{"type": "Mixup", "alpha": 0.2}]},
}


def test_a_foreign_backbone_gives_the_logits_of_mmpretrain():
    peer = randomised(build_classifier({key: value for key, value in SHUFFLE.items() if key != "train_cfg"})).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    with torch.device("meta"):
        ours = build_network(SHUFFLE)
    load_weights(ours, peer.state_dict(), where="shufflenet.pth")

    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), peer(images, mode="tensor"), rtol=0, atol=1e-5)
    assert "backbone.layers.0.0.branch2.0" in dict(ours.named_modules())


def test_weights_that_a_foreign_network_misses_are_not_left_random():
    with pytest.raises(DataError, match="missing: backbone"):
        load_weights(build_network(SHUFFLE), {"head.fc.bias": torch.zeros(10)}, where="broken.pth")


def test_what_mmpretrain_does_not_know_either_is_an_error():
    with pytest.raises(ConfigError, match="mmpretrain cannot build the backbone 'NoSuchNet'"):
        build_network({**SHUFFLE, "backbone": {"type": "NoSuchNet"}})
