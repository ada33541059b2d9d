"""Networks that are not native are built by mmpretrain, and then behave like any other."""

import pytest
import torch
from mmpretrain.models import build_classifier

from classlens.adapters import Options, open_source
from classlens.adapters.openmm.classifiers import build_upstream, load_weights
from classlens.errors import ConfigError, DataError
from classlens.zoo.build import build_network
from tests_peers.zoo.networks import randomised

SHUFFLE = {
    "type": "ImageClassifier",
    "backbone": {"type": "ShuffleNetV2", "widen_factor": 0.5},
    "neck": {"type": "GlobalAveragePooling"},
    "head": {"type": "LinearClsHead", "num_classes": 10, "in_channels": 1024},
    "train_cfg": {"augments": [{"type": "Mixup", "alpha": 0.2}]},
}


@pytest.fixture(autouse=True)
def own_scope():
    """A Runner of another test in this process may have left its scope behind."""
    from mmengine.registry import DefaultScope

    with DefaultScope.overwrite_default_scope("mmpretrain"):
        yield


def test_a_foreign_backbone_gives_the_logits_of_mmpretrain():
    peer = randomised(build_classifier({key: value for key, value in SHUFFLE.items() if key != "train_cfg"})).eval()
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    with torch.device("meta"):
        ours = build_network(SHUFFLE, fallback=build_upstream)
    load_weights(ours, peer.state_dict(), where="shufflenet.pth")

    with torch.no_grad():
        torch.testing.assert_close(ours.eval()(images), peer(images, mode="tensor"), rtol=0, atol=1e-5)
    assert "backbone.layers.0.0.branch2.0" in dict(ours.named_modules())


def test_a_network_of_another_frame_is_classified_and_loaded_too(tmp_path):
    """Those of timm and transformers in mmpretrain's configs have no backbone, neck and head."""
    model = {"type": "TimmClassifier", "model_name": "resnet18", "num_classes": 10, "pretrained": False}
    peer = randomised(build_classifier(dict(model))).eval()
    torch.save({"state_dict": peer.state_dict()}, tmp_path / "timm.pth")
    (tmp_path / "timm_net.py").write_text(f"model = {model!r}\n")
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))

    classifier = open_source(str(tmp_path / "timm_net.py")).classifier(str(tmp_path / "timm.pth"))

    with torch.no_grad():
        torch.testing.assert_close(classifier.logits(images), peer(images, mode="tensor"), rtol=0, atol=1e-5)


def test_weights_that_a_foreign_network_misses_are_not_left_random():
    with pytest.raises(DataError, match="missing: backbone"):
        load_weights(
            build_network(SHUFFLE, fallback=build_upstream), {"head.fc.bias": torch.zeros(10)}, where="broken.pth"
        )


def test_what_mmpretrain_does_not_know_either_is_an_error():
    with pytest.raises(ConfigError, match="mmpretrain cannot build the backbone 'NoSuchNet'"):
        build_network({**SHUFFLE, "backbone": {"type": "NoSuchNet"}}, fallback=build_upstream)


def test_a_backbone_of_the_users_own_comes_in_through_custom_imports(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "users_backbone.py").write_text(
        "from mmpretrain.registry import MODELS\n"
        "from torch import nn\n"
        "@MODELS.register_module()\n"
        "class UsersBackbone(nn.Sequential):\n"
        "    def __init__(self):\n"
        "        super().__init__(nn.Conv2d(3, 8, 3), nn.ReLU())\n"
    )
    path = tmp_path / "own.py"
    path.write_text(
        "custom_imports = dict(imports=['users_backbone'], allow_failed_imports=False)\n"
        "model = dict(type='ImageClassifier', backbone=dict(type='UsersBackbone'),\n"
        "             neck=dict(type='GlobalAveragePooling'),\n"
        "             head=dict(type='LinearClsHead', num_classes=2, in_channels=8))\n"
    )

    options = Options(trust_config=True, untrained=True)
    network = open_source(str(path), options=options).classifier().module

    assert "backbone.1" in dict(network.named_modules())


def test_a_module_that_custom_imports_names_and_nobody_has_is_an_error_unless_it_may_fail(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(f"custom_imports = dict(imports=['nowhere_at_all'])\nmodel = {SHUFFLE}\n")

    with pytest.raises(ConfigError, match=r"own\.py:1: no module named 'nowhere_at_all'") as caught:
        open_source(str(path), options=Options(trust_config=True, untrained=True)).classifier()

    assert "PYTHONPATH" in caught.value.hint
    path.write_text(path.read_text().replace("'])", "'], allow_failed_imports=True)"))
    assert open_source(str(path), options=Options(trust_config=True, untrained=True)).classifier()
