"""What the transformers share: attention, feed-forward, encoder layer, patches, position embeddings.

Source: Dosovitskiy et al., An Image is Worth 16x16 Words, ICLR 2021, equations 1 to 4; scaled residual branches
(`gamma1`, `gamma2`): Touvron et al., Going Deeper with Image Transformers, ICCV 2021, section 2.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import ACTIVATIONS, Activation, Chain, Features, require_native

Tokens = Float[Tensor, "b tokens channels"]
Grid = tuple[int, int]


@dataclass(frozen=True)
class Width:
    """The size of an encoder: channels of a token, layers, heads, channels inside a feed-forward."""

    channels: int
    layers: int
    heads: int
    inside: int


SIZES = ("embed_dims", "num_layers", "num_heads", "feedforward_channels")
"""The sizes of a `Width` by the names that they have in a config."""


@dataclass(frozen=True)
class LayerOptions:
    """How one encoder layer differs from the plain one: `scaled` adds gammas, `gated` is SwiGLU."""

    qkv_bias: bool = True
    eps: float = 1e-6
    scaled: bool = False
    gated: bool = False
    act: Activation = field(default_factory=lambda: ACTIVATIONS["GELU"])


def layer_norm(settings: Settings) -> Callable[[int], nn.LayerNorm]:
    require_native("a transformer", norm_cfg=(settings.get("type", "LN"), "LN"))
    return partial(nn.LayerNorm, eps=settings.get("eps", 1e-5))


def split_heads(qkv: Tokens, heads: int) -> tuple[Tensor, ...]:
    """Query, key and value, each [batch, heads, tokens, channels of a head], of one row of channels per token."""
    return qkv.reshape(*qkv.shape[:2], 3, heads, -1).permute(2, 0, 3, 1, 4).unbind(0)


def join_heads(mixed: Float[Tensor, "b heads tokens channels"]) -> Tokens:
    return mixed.transpose(1, 2).flatten(2)


class LayerScale(nn.Module):
    """Each channel times a learned number, `weight`."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))

    def forward(self, tokens: Tokens) -> Tokens:
        return tokens * self.weight


class Attention(nn.Module):
    """Multi-head self-attention; `entering` may differ from the channels that leave (T2T-ViT)."""

    def __init__(self, entering: int, channels: int, heads: int, options: LayerOptions) -> None:
        super().__init__()
        self.heads, self.scale = heads, (entering // heads) ** -0.5
        self.qkv = nn.Linear(entering, 3 * channels, bias=options.qkv_bias)
        self.proj = nn.Linear(channels, channels)
        self.gamma1 = LayerScale(channels) if options.scaled else nn.Identity()

    def forward(self, tokens: Tokens) -> tuple[Tokens, Tokens]:
        """What the tokens take from each other, and their values."""
        query, key, value = split_heads(self.qkv(tokens), self.heads)
        mixed = functional.scaled_dot_product_attention(query, key, value, scale=self.scale)
        return self.gamma1(self.proj(join_heads(mixed))), join_heads(value)


class FeedForward(Chain):
    """Two linear layers, `layers.0.0` and `layers.1`, with an activation between them."""

    def __init__(self, channels: int, inside: int, options: LayerOptions | None = None) -> None:
        super().__init__()
        options = options or LayerOptions()
        first = nn.Sequential(nn.Linear(channels, inside), options.act())
        self.layers = nn.Sequential(first, nn.Linear(inside, channels))
        self.gamma2 = LayerScale(channels) if options.scaled else nn.Identity()


class GatedFeedForward(nn.Module):
    """SwiGLU (Shazeer, GLU Variants, 2020, eq. 6) with both first matrices in one, two thirds as wide."""

    def __init__(self, channels: int, inside: int, options: LayerOptions) -> None:
        super().__init__()
        width = (int(inside * 2 / 3) + 7) // 8 * 8
        self.w12 = nn.Linear(channels, 2 * width)
        self.w3 = nn.Linear(width, channels)
        self.gamma2 = LayerScale(channels) if options.scaled else nn.Identity()

    def forward(self, tokens: Tokens) -> Tokens:
        gate, content = self.w12(tokens).chunk(2, dim=-1)
        return self.gamma2(self.w3(functional.silu(gate) * content))


class EncoderLayer(nn.Module):
    """Norm and attention, norm and feed-forward, each added to its input."""

    def __init__(self, width: Width, options: LayerOptions) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(width.channels, eps=options.eps)
        self.attn = Attention(width.channels, width.channels, width.heads, options)
        self.ln2 = nn.LayerNorm(width.channels, eps=options.eps)
        kind = GatedFeedForward if options.gated else FeedForward
        self.ffn = kind(width.channels, width.inside, options)

    def forward(self, tokens: Tokens) -> Tokens:
        tokens = tokens + self.attn(self.ln1(tokens))[0]
        return tokens + self.ffn(self.ln2(tokens))


class PatchEmbed(nn.Module):
    """Patches as tokens; pictures that no whole number of patches covers are padded right and below with zeros."""

    def __init__(self, entering: int, channels: int, patch: int, *, bias: bool = True, norm: bool = False) -> None:
        super().__init__()
        self.patch, self.normed = patch, norm
        self.projection = nn.Conv2d(entering, channels, patch, patch, bias=bias)
        if norm:
            self.norm = nn.LayerNorm(channels)

    def forward(self, images: Features) -> tuple[Tokens, Grid]:
        """One token per patch, row by row, and how many rows and columns there are."""
        height, width = images.shape[2:]
        pads = (0, -width % self.patch, 0, -height % self.patch)
        features = self.projection(functional.pad(images, pads) if any(pads) else images)
        tokens = features.flatten(2).transpose(1, 2)
        return self.norm(tokens) if self.normed else tokens, (features.shape[2], features.shape[3])


def interpolate_positions(positions: Tokens, grid: Grid, *, extra: int, before: Grid, mode: str = "bicubic") -> Tokens:
    """Position embeddings of a `before` grid, interpolated for `grid`; those of extra tokens stay as they are."""
    if before == grid:
        return positions
    fixed, free = positions[:, :extra], positions[:, extra:]
    laid = free.reshape(1, *before, -1).permute(0, 3, 1, 2)
    resized = functional.interpolate(laid, size=grid, mode=mode, align_corners=False)
    return torch.cat((fixed, resized.flatten(2).transpose(1, 2)), dim=1)
