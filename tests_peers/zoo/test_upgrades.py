"""A checkpoint of another picture size or an older version is changed on loading as mmpretrain changes it."""

import pytest
import torch
from mmpretrain.models import build_classifier

from classlens.adapters.openmm.classifiers import load_weights
from classlens.zoo.build import build_network
from tests_peers.zoo.families import CASES
from tests_peers.zoo.networks import make_norms_alike, mend_scale, randomised

RESIZED = ("ViT-S/32", "ViT averaged", "ViT as a map", "DeiT-tiny distilled", "DeiT3-s", "T2T-ViT-t-14")


def of_size(model: dict[str, object], side: int) -> dict[str, object]:
    return {**model, "backbone": {**model["backbone"], "img_size": side}}


@pytest.mark.parametrize("name", RESIZED)
@pytest.mark.parametrize("side", [96, 160])
def test_position_embeddings_are_resized_like_upstreams(name, side):
    model, _ = CASES[name]
    trained = randomised(build_classifier(model)).eval()
    if name.startswith("DeiT3"):
        make_norms_alike(trained)
    tensors = {key: tensor.clone() for key, tensor in trained.state_dict().items()}
    peer = build_classifier(of_size(model, side)).eval()
    peer.load_state_dict(dict(tensors))
    if name.startswith("T2T"):
        mend_scale(peer)
    with torch.device("meta"):
        ours = build_network(of_size(model, side)).eval()

    load_weights(ours, tensors, where="smaller.pth")

    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), peer(images, mode="tensor"), rtol=0, atol=1e-4)


def test_a_first_swin_checkpoint_is_renamed_like_upstreams():
    model, side = CASES["Swin-tiny"]
    peer = randomised(build_classifier(model)).eval()
    old = {name.replace("norm3.", "norm."): tensor.clone() for name, tensor in peer.state_dict().items()}
    old["backbone.stages.0.blocks.1.attn.attn_mask"] = torch.zeros(64, 49, 49)
    with torch.device("meta"):
        ours = build_network(model).eval()

    load_weights(ours, old, where="old.pth")

    images = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(ours(images), peer(images, mode="tensor"), rtol=0, atol=1e-4)
