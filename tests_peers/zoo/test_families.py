"""mmpretrain builds each network with random weights and saves it in its own format; ours must be the same network.

The same parameters, every one of them used, the same logits, the same layer to look at, the same map there.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from mmpretrain.models import build_classifier
from torch import nn

from classlens.adapters.openmm.classifiers import load_weights
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.cam.layers import find_layers
from classlens.checkpoints.load_checkpoint import read_weights
from classlens.image import Encoding, Image
from classlens.zoo.build import build_network
from tests_peers.zoo.families import CASES
from tests_peers.zoo.networks import (
    make_norms_alike,
    mend_scale,
    randomised,
    reference_map,
    save_like_mmengine,
    upstreams_layer,
)

LARGE = 30_000_000
"""Networks with more numbers than this are handed over in memory, to spare the disk."""

TRANSFORMERS = ("ViT", "DeiT", "T2T", "Swin", "XCiT")
"""Networks for which upstream's tool must be given `--vit-like`."""

OURS: Mapping[str, str] = {
    # Upstream takes the norm of one branch of a block, and breaks off where a network has no norms; we take the block.
    **{name: "backbone.stage_4.0" for name in CASES if name.startswith("RepVGG")},
    **{name: "backbone.stage4.1" for name in CASES if name.startswith("MobileOne")},
    "VGG-11": "backbone.features.12",
    "LeNet5": "backbone.features.5",
    # Upstream takes a norm that the logits do not depend on, of the shortcut, or behind the pooling.
    "ResNet-50 to stage 2": "backbone.layer3.5.bn3",
    "ViT without qkv bias": "backbone.layers.7.ln1",
    "RegNetX-12gf": "backbone.layer4.0.bn3",
    "ConvNeXt-atto": "backbone.stages.3.1.norm",
    "ConvNeXt-tiny": "backbone.stages.3.2.norm",
    "ConvNeXtV2-atto": "backbone.stages.3.1.grn",
    "ConvNeXtV2-tiny": "backbone.stages.3.2.grn",
    # Upstream counts three norms from the end, whatever they are.
    "ViT averaged": "backbone.ln1",
    "ViT averaged without final norm": "backbone.layers.11.ln2",
    "ViT of CLIP": "backbone.layers.11.ln1",
}
"""Where we look elsewhere, and why."""


@dataclass(frozen=True)
class Pair:
    """mmpretrain's network, ours with its weights, and the record by which ours is looked at."""

    name: str
    peer: nn.Module
    classifier: Classifier
    picture: Image

    @property
    def batch(self) -> torch.Tensor:
        """The picture as fed; twice for LeNet5, which upstream cannot run on a single one."""
        batch = torch.from_numpy(self.classifier.encoding.encode(self.picture))[None]
        return batch[:, :1].repeat(2, 1, 1, 1) if self.name == "LeNet5" else batch


@pytest.fixture(scope="module", params=CASES)
def pair(request, tmp_path_factory) -> Pair:
    model, size = CASES[request.param]
    peer = randomised(build_classifier(model)).eval()
    if request.param.startswith("DeiT3"):
        make_norms_alike(peer)
    if request.param.startswith("T2T"):
        mend_scale(peer)
    tensors = peer.state_dict()
    if sum(tensor.numel() for tensor in tensors.values()) < LARGE:
        path = save_like_mmengine(peer, tmp_path_factory.mktemp("weights") / "epoch_1.pth")
        tensors = read_weights(path).tensors
        path.unlink()
    with torch.device("meta"):
        ours = build_network(model).eval()
    load_weights(ours, tensors, where="peer")
    return Pair(request.param, peer, record_of(request.param, ours, size), smooth_noise(size))


def record_of(name: str, network: nn.Module, size: int) -> Classifier:
    def logits(batch: torch.Tensor) -> torch.Tensor:
        return network(batch[:, :1] if name == "LeNet5" else batch)

    encoding = Encoding("RGB", "CHW", 255.0, (127.5,) * 3, (64.0,) * 3)
    layer, tokens = (getattr(network.backbone, name, None) for name in ("default_layer", "extra_tokens"))
    layer = layer and f"backbone.{layer}"
    return Classifier(name, network, logits, encoding, (size, size), default_layer=layer, extra_tokens=tokens)


def smooth_noise(size: int) -> Image:
    """A random picture: blots of many sizes."""
    chance = torch.Generator().manual_seed(1)
    blots = [torch.rand((1, 3, side, side), generator=chance) for side in (3, 9, size)]
    grown = sum(nn.functional.interpolate(blot, (size, size), mode="bicubic").clamp(0, 1) for blot in blots)
    return Image((grown[0] / 3 * 255).byte().permute(1, 2, 0).contiguous().numpy())


def test_the_parameters_have_the_names_of_mmpretrain(pair):
    ours = dict(pair.classifier.module.named_parameters())

    assert ours.keys() == dict(pair.peer.named_parameters()).keys()


def test_the_logits_are_those_of_mmpretrain(pair):
    batch = torch.cat((pair.batch, torch.randn(pair.batch.shape, generator=torch.Generator().manual_seed(1))))

    with torch.no_grad():
        expected = pair.peer(batch, mode="tensor")
        seen = pair.classifier.module(batch)

    assert expected.std() > 1e-3
    scale = max(1.0, expected.abs().max().item())  # random weights make some deep networks put out large numbers
    torch.testing.assert_close(seen / scale, expected / scale, rtol=0, atol=1e-4)
    assert seen.argmax(1).tolist() == expected.argmax(1).tolist()


def test_the_layer_to_look_at_is_that_of_upstreams_tool(pair):
    expected = upstreams_layer(pair.peer, vit_like=pair.name.startswith(TRANSFORMERS))

    assert find_layers(pair.classifier, None)[0].name == OURS.get(pair.name, expected)
    assert pair.name not in OURS or OURS[pair.name] != expected


PROBED: Mapping[str, str] = {
    "RegNetX-12gf": "backbone.layer4.0",  # its last block has a learned shortcut
    "MobileOne-s4 train": "backbone.stage4.1.branch_conv_list.0.norm",  # its last block has a single branch
    **{name: "backbone.stage_4.0.act" for name in CASES if name.startswith("RepVGG") and name.endswith("deploy")},
    **{name: "backbone.stage4.1.act" for name in CASES if name.startswith("MobileOne") and name.endswith("deploy")},
}
"""What probing finds where it is not what the zoo declares; deployed blocks put out what their activation does."""


def test_the_layer_that_the_zoo_declares_is_the_one_that_probing_finds(pair):
    declared = pair.classifier.default_layer

    if declared is not None:
        found = find_layers(replace(pair.classifier, default_layer=None), None)[0].name
        assert found == PROBED.get(pair.name, declared)


def test_the_map_is_that_of_grad_cam_on_mmpretrains_network(pair):
    layer = find_layers(pair.classifier, None)[0].name
    found = explain(pair.classifier, pair.picture, targets=list(range(10)))
    richest = max(found, key=lambda saliency: saliency.heatmap().values.std())

    seen = richest.heatmap().values

    # XCiT gets its class token late, so no number of extra tokens is said to hold for all of its layers.
    extra = pair.classifier.extra_tokens or int(pair.name.startswith("XCiT"))
    expected = reference_map(pair.peer, layer, pair.batch, richest.subject.target, extra=extra)
    assert seen.std() > 0.01
    np.testing.assert_allclose(seen, expected, atol=1e-3)
