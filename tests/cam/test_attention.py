import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F

from classlens.cam.attention import watching
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.errors import ModelError
from classlens.image import Encoding
from tests.cam.conftest import noise_image
from tests.cam.test_explain import same, state_of


def transformer(name="vit_tiny_patch16_224", **settings) -> Classifier:
    torch.manual_seed(0)
    model = timm.create_model(name, num_classes=5, **settings).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(4 if parameter.ndim > 1 else 1)
    return Classifier(name, model, model, Encoding(layout="CHW", white=1.0), (64, 64))


@pytest.fixture(scope="module")
def vit() -> Classifier:
    return transformer(img_size=64, depth=3)


@pytest.mark.parametrize("boolean", [True, False], ids=["boolean mask", "added mask"])
def test_watched_attention_is_the_fused_one(boolean):
    query, key, value = torch.randn(3, 2, 4, 6, 8, generator=torch.Generator().manual_seed(0)).unbind(0)
    mask = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) > 0.3
    mask.fill_diagonal_(True)
    given = mask if boolean else mask.float()

    with watching() as seen:
        found = F.scaled_dot_product_attention(query, key, value, given)

    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value, given))
    assert len(seen) == 1
    torch.testing.assert_close(seen[0].sum(-1), torch.ones(2, 4, 6))


def test_watching_changes_no_logit(vit):
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        usual = vit.module(batch)
        with watching() as seen:
            watched = vit.module(batch)

    torch.testing.assert_close(watched, usual, rtol=1e-4, atol=1e-5)
    assert [tuple(weights.shape) for weights in seen] == [(2, 3, 17, 17)] * 3


@pytest.mark.parametrize("averaged", [True, False])
@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
def test_multi_head_attention_is_watched_and_puts_out_the_same(averaged, bias):
    torch.manual_seed(0)
    attention = torch.nn.MultiheadAttention(8, 2, bias=bias, batch_first=True).eval()
    tokens = torch.rand(3, 5, 8)
    usual = attention(tokens, tokens, tokens, average_attn_weights=averaged)

    with watching() as seen:
        found = attention(tokens, tokens, tokens, average_attn_weights=averaged)
        unwanted = attention(tokens, tokens, tokens, need_weights=False)[1]

    torch.testing.assert_close(found, usual)
    assert unwanted is None
    assert [tuple(weights.shape) for weights in seen] == [(3, 2, 5, 5)] * 2


def test_legrad_asks_the_head_about_every_layer_alone(vit):
    """Eqs. 3-7 of the paper, written out for timm's network."""
    image, target = noise_image(64, 64), 2
    saliency = explain(vit, image, methods="LeGrad", layers="blocks.1", targets=target)[0]

    tokens = []
    handles = [block.register_forward_hook(lambda *told: tokens.append(told[2])) for block in vit.module.blocks]
    with watching() as seen:
        vit.module(torch.from_numpy(vit.encoding.encode(image))[None])
    for handle in handles:
        handle.remove()
    expected = torch.zeros(17)
    for weights, output in zip(seen, tokens, strict=True):
        score = vit.module.head(vit.module.norm(output.mean(1)))[0, target]
        (slope,) = torch.autograd.grad(score, weights, retain_graph=True)
        expected += slope[0].relu().mean((0, 1)) / 3
    np.testing.assert_allclose(saliency.values, expected[1:].reshape(4, 4).numpy(), rtol=1e-3, atol=1e-7)


def test_rollout_is_the_product_of_the_layers_from_the_class_token(vit):
    image = noise_image(64, 64)
    saliency = explain(vit, image, methods="attention-rollout", layers="blocks.1")[0]

    with torch.no_grad(), watching() as seen:
        vit.module(torch.from_numpy(vit.encoding.encode(image))[None])
    flow = np.eye(17)
    for weights in seen:
        flow = (weights[0].detach().mean(0).numpy() + np.eye(17)) / 2 @ flow
    np.testing.assert_allclose(saliency.values, flow[0, 1:].reshape(4, 4), rtol=1e-4)


def test_attention_gradients_depend_on_the_class(vit):
    one, other = explain(vit, noise_image(64, 64), methods="LeGrad", layers="blocks.1", targets=[0, 1])

    assert one.values.shape == (4, 4)
    assert one.values.min() >= 0
    assert not np.allclose(one.values, other.values)


def test_networks_without_attention_over_all_tokens_are_refused(pooled, noise):
    with pytest.raises(ModelError, match="toy has no attention over all tokens"):
        explain(pooled, noise, methods="LeGrad", layers="0")
    swin = transformer("swin_tiny_patch4_window7_224", img_size=64, depths=(1, 1, 1, 1), embed_dim=24, window_size=4)
    with pytest.raises(ModelError, match="no attention over all tokens"):
        explain(swin, noise_image(64, 64), methods="LeGrad", layers="norm")


@pytest.mark.parametrize("method", ["AttentionRollout", "LeGrad"])
def test_a_batch_gives_what_single_pictures_give(vit, method):
    pictures = [noise_image(64, 64, seed=seed) for seed in range(2)]
    together = explain(vit, pictures, methods=method, layers="blocks.1", targets=1)

    for picture, one in zip(pictures, together, strict=True):
        alone = explain(vit, picture, methods=method, layers="blocks.1", targets=1)[0]
        np.testing.assert_allclose(one.values, alone.values, atol=1e-5)


@pytest.mark.parametrize("method", ["AttentionRollout", "LeGrad"])
def test_the_model_is_given_back_as_it_was(vit, method):
    attention = F.scaled_dot_product_attention
    before = state_of(vit.module)

    explain(vit, noise_image(64, 64), methods=method, layers="blocks.1")

    assert same(before, state_of(vit.module))
    assert F.scaled_dot_product_attention is attention
