"""mmpretrain builds each network with random weights and saves it in its own format; ours must give its logits."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.logging import MessageHub
from mmpretrain.models import build_classifier
from torch import nn

from classlens.adapters.openmm.checkpoints.loading import load_weights
from classlens.adapters.openmm.checkpoints.reading import read_weights
from classlens.adapters.openmm.zoo.build import build_network
from tests_peers.zoo.families import CASES

LARGE = 30_000_000
"""Networks with more numbers than this are handed over in memory, to spare the disk."""


@pytest.mark.parametrize("name", CASES)
def test_the_logits_are_those_of_mmpretrain(name, tmp_path):
    torch.set_num_threads(1)
    model, size = CASES[name]
    peer = randomised(build_classifier(model)).eval()
    if name.startswith("DeiT3"):
        make_norms_alike(peer)
    if name.startswith("T2T"):
        mend_scale(peer)
    tensors = peer.state_dict()
    if sum(tensor.numel() for tensor in tensors.values()) < LARGE:
        tensors = read_weights(save_like_mmengine(peer, tmp_path / "epoch_1.pth")).tensors
    channels = 1 if name == "LeNet5" else 3
    images = torch.randn(2, channels, size, size, generator=torch.Generator().manual_seed(1))

    ours = opened(model, tensors)

    with torch.no_grad():
        expected = peer(images, mode="tensor")
        seen = ours(images)
    assert dict(ours.named_parameters()).keys() == dict(peer.named_parameters()).keys()
    assert expected.std() > 1e-3
    scale = max(1.0, expected.abs().max().item())  # random weights make some deep networks put out large numbers
    torch.testing.assert_close(seen / scale, expected / scale, rtol=0, atol=1e-4)
    assert seen.argmax(1).tolist() == expected.argmax(1).tolist()


def opened(model: dict[str, object], tensors: Mapping[str, torch.Tensor]) -> nn.Module:
    with torch.device("meta"):
        network = build_network(model)
    load_weights(network, tensors, where="peer")
    return network.eval()


def randomised(network: nn.Module) -> nn.Module:
    """Random numbers everywhere, also where training would start with ones or zeros, but of a size that keeps signals."""
    chance = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if not tensor.is_floating_point() or name.endswith("relative_coords_table"):
                continue
            noise = torch.randn(tensor.shape, generator=chance)
            if name.endswith("running_var"):
                tensor.copy_(noise.abs() + 0.5)
            elif tensor.ndim >= 2:
                tensor.copy_(noise / tensor[0].numel() ** 0.5)
            elif name.endswith("weight"):
                tensor.copy_(1 + 0.2 * noise)
            else:
                tensor.copy_(0.1 * noise)
    return network


def make_norms_alike(network: nn.Module) -> None:
    """mmpretrain 1.2.0 runs DeiT III's first norm twice and its second never; official weights were trained with both.

    Ours runs both, as the paper and timm do. Where the two norms hold the same numbers, both readings agree.
    """
    for layer in network.get_submodule("backbone.layers"):
        layer.ln2.load_state_dict(layer.ln1.state_dict())


def mend_scale(network: nn.Module) -> None:
    """mmpretrain 1.2.0 divides T2T-ViT's attention by a scale made to multiply with; official weights need it right.

    mmcls 0.25 and the paper's authors multiply by (width that enters / heads) ** -0.5, and so do ours.
    """
    for module in network.modules():
        if hasattr(module, "scaled_dot_product_attention"):
            scale = (module.input_dims // module.num_heads) ** 0.5
            module.scaled_dot_product_attention = partial(module.scaled_dot_product_attention.func, scale=scale)


def save_like_mmengine(network: nn.Module, path: Path, *, classes: int = 10) -> Path:
    """What a training run leaves: weights, meta, and a log of numpy numbers in mmengine's own classes."""
    hub = MessageHub.get_instance(path.parent.name)
    hub.update_scalar("train/loss", 0.5)
    meta = {"epoch": 1, "dataset_meta": {"classes": tuple(f"class {index}" for index in range(classes))}}
    torch.save({"meta": meta, "state_dict": network.state_dict(), "message_hub": hub.state_dict()}, path)
    return path
