import numpy as np
import pytest
import timm
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.attention.bias import causal_lower_right

from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.cam.methods.attention import Watching, find_refused
from classlens.errors import ModelError
from classlens.image import Encoding
from tests.cam.conftest import classifier_of, noise_image
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


SOME = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) > 0.3
LAST_SEES_NOTHING = torch.ones(6, 6, dtype=torch.bool).tril().flip(0)
LAST_SEES_NOTHING[5] = False


@pytest.mark.parametrize(
    ("rest", "named"),
    [
        ((), {}),
        ((SOME | torch.eye(6, dtype=torch.bool),), {}),
        ((SOME.float(),), {}),
        ((torch.nn.Parameter(SOME.float()),), {}),
        ((), {"attn_mask": SOME.expand(2, 1, 6, 6) | torch.eye(6, dtype=torch.bool)}),
        ((LAST_SEES_NOTHING,), {}),
        ((torch.zeros(6, 6).masked_fill(~LAST_SEES_NOTHING, float("-inf")),), {}),
        ((), {"is_causal": True}),
        ((None, 0.0, True), {}),
        ((None, 0.0), {"scale": 0.7, "is_causal": True}),
        ((), {"scale": 0.0}),
        ((), {"enable_gqa": True}),
        ((), {"enable_gqa": True, "is_causal": True, "scale": 2.0, "dropout_p": 0.0}),
    ],
)
@pytest.mark.parametrize("dimensions", [4, 5])
def test_watched_attention_is_the_fused_one(rest, named, dimensions):
    heads = 2 if "enable_gqa" in named else 4
    query, key, value = (
        torch.randn(2, count, 6, 8, generator=torch.Generator().manual_seed(seed))[(None,) * (dimensions - 4)]
        for seed, count in enumerate((4, heads, heads))
    )
    everything = torch.eye(6).expand(*key.shape[:-1], 6)

    with Watching(seen := []):
        found = F.scaled_dot_product_attention(query, key, value, *rest, **named)

    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value, *rest, **named))
    assert len(seen) == 1
    torch.testing.assert_close(seen[0], F.scaled_dot_product_attention(query, key, everything, *rest, **named))


def test_watched_attention_drops_out_where_the_fused_one_does():
    query = torch.zeros(1, 1, 1000, 8)

    with Watching(seen := []):
        F.scaled_dot_product_attention(query, query, query, dropout_p=0.25)

    torch.testing.assert_close(seen[0].unique(), torch.tensor([0, 1 / 750]))
    assert (seen[0] == 0).float().mean().item() == pytest.approx(0.25, abs=0.01)


def test_a_mask_of_a_kind_of_its_own_means_what_torch_says():
    query, key, value = (torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(3))

    with Watching(seen := []):
        found = F.scaled_dot_product_attention(query, key, value, causal_lower_right(6, 6))

    torch.testing.assert_close(found, F.scaled_dot_product_attention(query, key, value, is_causal=True))
    assert not seen[0].triu(1).any()


@pytest.mark.parametrize("kind", [{"kdim": 4}, {"add_bias_kv": True}, {"add_zero_attn": True}])
def test_rare_kinds_of_multi_head_attention_are_refused_instead_of_left_out(kind):
    attention = nn.MultiheadAttention(8, 2, batch_first=True, **kind).eval()
    tokens = torch.rand(3, 5, 8)

    with Watching(), pytest.raises(ModelError, match=r"multi-head attention with .* cannot be followed"):
        attention(tokens, tokens[..., : kind.get("kdim", 8)], tokens)


def test_causal_multi_head_attention_puts_out_the_same_and_shows_no_later_token():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, norm_first=True).eval()
    tokens, mask = torch.rand(3, 5, 8), nn.Transformer.generate_square_subsequent_mask(5)
    usual = layer(tokens, src_mask=mask, is_causal=True)

    with Watching(seen := []):
        found = layer(tokens, src_mask=mask, is_causal=True)

    torch.testing.assert_close(found, usual)
    assert not seen[0].triu(1).any()


def test_watching_changes_no_logit(vit):
    batch = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        usual = vit.module(batch)
        with Watching(seen := []):
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

    with Watching(seen := []):
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
    with Watching(seen := []):
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

    with torch.no_grad(), Watching(seen := []):
        vit.module(torch.from_numpy(vit.encoding.encode(image))[None])
    flow = np.eye(17)
    for weights in seen:
        flow = (weights[0].detach().mean(0).numpy() + np.eye(17)) / 2 @ flow
    np.testing.assert_allclose(saliency.values, flow[0, 1:].reshape(4, 4), rtol=1e-4)


class Causal(nn.Module):
    """A transformer whose attention is fused, causal, sharper than usual, with two heads of keys for four of queries."""

    def __init__(self, *, pooled: bool = False) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 8, 8)
        self.layers = nn.ModuleList(nn.ModuleDict({"qkv": nn.Linear(16, 32)}) for _ in range(3))
        self.head, self.latent = nn.Linear(16, 5), nn.Parameter(torch.zeros(1, 1, 1, 16)) if pooled else None

    def split(self, layer: nn.Module, tokens: Tensor) -> list[Tensor]:
        parts = layer["qkv"](tokens).split((16, 8, 8), dim=2)
        return [part.unflatten(2, (-1, 4)).transpose(1, 2) for part in parts]

    def forward(self, batch: Tensor) -> Tensor:
        tokens = self.stem(batch).flatten(2).mT
        for layer in self.layers:
            query, key, value = self.split(layer, tokens)
            mixed = F.scaled_dot_product_attention(query, key, value, None, 0.0, True, scale=3.0, enable_gqa=True)
            tokens = tokens + mixed.transpose(1, 2).flatten(2)
        if self.latent is not None:
            keys = tokens[:, None]
            tokens = F.scaled_dot_product_attention(self.latent.expand(len(batch), -1, -1, -1), keys, keys)[:, 0]
        return self.head(tokens.mean(1))


def test_rollout_follows_causal_grouped_and_scaled_attention():
    """The weights are written out: softmax(3 Q K^T) over what came before, two heads of queries for each of keys."""
    torch.manual_seed(0)
    model = Causal().eval()
    classifier = classifier_of(model, size=(64, 64))
    image = noise_image(64, 64)

    saliency = explain(classifier, image, methods="AttentionRollout", layers="stem")[0]

    tokens = model.stem(torch.from_numpy(classifier.encoding.encode(image))[None]).flatten(2).mT
    flow = torch.eye(64)
    for layer in model.layers:
        query, key, value = (part[0] for part in model.split(layer, tokens))
        heads = []
        for head in range(4):
            logits = 3 * query[head] @ key[head // 2].T
            heads.append(
                torch.stack([F.pad(row[: place + 1].softmax(0), (0, 63 - place)) for place, row in enumerate(logits)])
            )
        mixed = torch.stack([weights @ value[head // 2] for head, weights in enumerate(heads)], dim=1)
        tokens = tokens + mixed.flatten(1)
        flow = (torch.stack(heads).mean(0) + torch.eye(64)) / 2 @ flow
    np.testing.assert_allclose(saliency.values, flow.mean(0).reshape(8, 8).detach().numpy(), rtol=1e-4)


def test_attention_that_gathers_all_tokens_into_one_is_no_rollout():
    """Its weights, one row of them, would be added to those of every token."""
    classifier = classifier_of(Causal(pooled=True).eval(), size=(64, 64))

    with pytest.raises(ModelError, match="no attention over all tokens of a picture from its first layer to its last"):
        explain(classifier, noise_image(64, 64), methods="AttentionRollout", layers="stem")


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


class Gathering(nn.Module):
    """Attention over all tokens, and their mean, in one module: no block puts out tokens."""

    def __init__(self):
        super().__init__()
        self.patches, self.head = nn.Conv2d(3, 8, 4, stride=4), nn.Linear(8, 5)

    def forward(self, batch: Tensor) -> Tensor:
        tokens = self.patches(batch).flatten(2).mT[:, None]
        return self.head(F.scaled_dot_product_attention(tokens, tokens, tokens)[:, 0].mean(1))


def test_legrad_needs_blocks_that_put_out_tokens():
    with pytest.raises(ModelError, match="toy has attention that is not in a block of its own") as caught:
        explain(classifier_of(Gathering(), size=(16, 16)), noise_image(16, 16), methods="LeGrad")
    assert "plain transformer" in caught.value.hint


def test_which_methods_a_network_refuses_is_known_after_one_pass(vit, pooled):
    assert find_refused(vit) == {}
    assert list(find_refused(pooled)) == ["AttentionRollout", "LeGrad"]
    assert list(find_refused(classifier_of(Gathering(), size=(16, 16)))) == ["LeGrad"]
