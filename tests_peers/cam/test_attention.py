"""Methods that read the attention, against torch-cam and against the papers' equations written out."""

import numpy as np
import pytest
import torch
from torchcam.methods import LeGrad
from torchvision.models import VisionTransformer

from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.image import Encoding
from tests_peers.cam.test_other_methods import SIDE, encoded, pictures

TARGETS = (3, 7)


@pytest.fixture(scope="module")
def vit() -> Classifier:
    """A small vision transformer as torchvision builds them, whose attention is `nn.MultiheadAttention`."""
    torch.manual_seed(0)
    model = VisionTransformer(SIDE, 8, 3, 4, 32, 64, num_classes=10).eval()
    torch.nn.init.normal_(model.heads.head.weight)
    with torch.no_grad():
        for block in model.encoder.layers:
            block.self_attention.in_proj_weight.mul_(4)
    encoding = Encoding(layout="CHW", white=1.0, mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    return Classifier("vit", model, model, encoding, (SIDE, SIDE))


def test_legrad_is_equal_to_torch_cam(vit):
    with LeGrad(vit.module, list(vit.module.encoder.layers)) as extractor:
        scores = vit.module(encoded(vit))
        (reference,) = extractor(list(TARGETS), scores, normalized=False)

    mine = explain(vit, pictures(2), methods="LeGrad", layers="encoder.layers.encoder_layer_1", targets=TARGETS)

    np.testing.assert_allclose(np.stack([one.values for one in mine]), reference.detach().numpy(), rtol=1e-4, atol=1e-8)
    assert reference.std() > 1e-5


def test_rollout_is_the_product_of_the_weights_that_multi_head_attention_reports(vit):
    told = []

    def ask(module, args, kwargs):
        return args, {**kwargs, "need_weights": True, "average_attn_weights": True}

    def keep(module, args, output):
        told.append(output[1])

    handles = [
        handle
        for block in vit.module.encoder.layers
        for handle in (
            block.self_attention.register_forward_pre_hook(ask, with_kwargs=True),
            block.self_attention.register_forward_hook(keep),
        )
    ]
    with torch.no_grad():
        vit.module(encoded(vit))
    for handle in handles:
        handle.remove()
    flow = torch.eye(17)
    for weights in told:
        flow = (weights + torch.eye(17)) / 2 @ flow

    mine = explain(vit, pictures(2), methods="AttentionRollout", layers="encoder.layers.encoder_layer_1")

    np.testing.assert_allclose(
        np.stack([one.values for one in mine]), flow[:, 0, 1:].reshape(2, 4, 4).numpy(), rtol=1e-4
    )
