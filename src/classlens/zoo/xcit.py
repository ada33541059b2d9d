"""XCiT: attention between channels instead of places, and two layers in which a class token reads the result.

Source: El-Nouby et al., XCiT: Cross-Covariance Image Transformers, NeurIPS 2021, section 3, equation 2, figure 1; the
class attention is that of Touvron et al., Going Deeper with Image Transformers, ICCV 2021, section 3.
"""

from dataclasses import dataclass, field
from itertools import pairwise
from math import log2, pi
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.transformer import FeedForward, Grid, Tokens, join_heads, split_heads
from classlens.zoo.units import ACTIVATIONS, Features, conv_unit, require_native

WAVES = 32  # sine and cosine values for the row of a place, and as many for its column
SLOWEST = 10000.0
GELU = ACTIVATIONS["GELU"]


@dataclass(frozen=True)
class XCiTOptions:
    """What a config can say."""

    img_size: int | tuple[int, int] = 224
    patch_size: int = 16
    in_channels: int = 3
    embed_dims: int = 768
    depth: int = 12
    cls_attn_layers: int = 2
    num_heads: int = 12
    mlp_ratio: float = 4.0
    qkv_bias: bool = True
    use_pos_embed: bool = True
    layer_scale_init_value: float = 1.0
    tokens_norm: bool = False
    final_norm: bool = True
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN", "eps": 1e-6})
    bn_norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "GELU"})

    @property
    def eps(self) -> float:
        return float(self.norm_cfg.get("eps", 1e-5))

    @property
    def inside(self) -> int:
        return int(self.embed_dims * self.mlp_ratio)


class ConvPatchEmbed(nn.Module):
    """Patches by convolutions of stride 2, each as wide again as the one before."""

    def __init__(self, options: XCiTOptions) -> None:
        super().__init__()
        steps = int(log2(options.patch_size))
        widths = [options.in_channels, *(options.embed_dims // 2**step for step in reversed(range(steps)))]
        units = []
        for step, pair in enumerate(pairwise(widths)):
            conv = nn.Conv2d(*pair, 3, 2, 1, bias=False)
            units.append(conv_unit(conv, nn.BatchNorm2d(pair[1]), GELU if step < steps - 1 else None))
        self.proj = nn.Sequential(*units)

    def forward(self, images: Features) -> tuple[Tokens, Grid]:
        features = self.proj(images)
        return features.flatten(2).transpose(1, 2), (features.shape[2], features.shape[3])


class WavePositions(nn.Module):
    """Positions as waves of many lengths, brought to the width of the tokens."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.token_projection = conv_unit(nn.Conv2d(2 * WAVES, channels, 1))

    def forward(self, grid: Grid, device: torch.device) -> Tokens:
        rows, columns = (waves(length).to(device) for length in grid)
        laid = (rows[:, None].expand(*grid, -1), columns[None].expand(*grid, -1))
        return self.token_projection(torch.cat(laid, dim=-1).permute(2, 0, 1)[None]).flatten(2).transpose(1, 2)


def waves(length: int) -> Float[Tensor, "length waves"]:
    """Sine and cosine in turn of the place (the last one is a full turn), on wave after longer wave."""
    places = torch.arange(1, length + 1, dtype=torch.float32) / (length + 1e-6) * 2 * pi
    periods = SLOWEST ** (2 * torch.arange(WAVES).div(2, rounding_mode="floor") / WAVES)
    angles = places[:, None] / periods
    return torch.stack((angles[:, 0::2].sin(), angles[:, 1::2].cos()), dim=2).flatten(1)


class ChannelAttention(nn.Module):
    """Each channel of a head takes from the others of that head, by the cosine over all places (eq. 2)."""

    def __init__(self, channels: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1))
        self.qkv = nn.Linear(channels, 3 * channels, bias=bias)
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tokens) -> Tokens:
        query, key, value = (part.mT for part in split_heads(self.qkv(tokens), self.heads))
        cosines = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(-2, -1)
        mixed = (cosines * self.temperature).softmax(-1) @ value
        return self.proj(join_heads(mixed.mT))


class LocalInteraction(nn.Module):
    """Two 3x3 convolutions of each channel; the activation stands in front of the norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = (nn.Conv2d(channels, channels, 3, padding=1, groups=channels) for _ in range(2))
        self.conv1, self.conv2 = conv_unit(first, act=GELU), conv_unit(second)
        self.conv1.add_module("bn", nn.BatchNorm2d(channels))

    def forward(self, tokens: Tokens, grid: Grid) -> Tokens:
        laid = tokens.transpose(1, 2).reshape(len(tokens), -1, *grid)
        return self.conv2(self.conv1(laid)).flatten(2).transpose(1, 2)


class PlaceLayer(nn.Module):
    """Channel attention, local interaction, feed-forward: each behind a norm, scaled and added."""

    def __init__(self, options: XCiTOptions) -> None:
        super().__init__()
        width = options.embed_dims
        self.gamma1, self.gamma3, self.gamma2 = (nn.Parameter(torch.ones(width)) for _ in range(3))
        self.norm1 = nn.LayerNorm(width, eps=options.eps)
        self.attn = ChannelAttention(width, options.num_heads, bias=options.qkv_bias)
        self.norm3 = nn.LayerNorm(width, eps=options.eps)
        self.local_mp = LocalInteraction(width)
        self.norm2 = nn.LayerNorm(width, eps=options.eps)
        self.ffn = FeedForward(width, options.inside)

    def forward(self, tokens: Tokens, grid: Grid) -> Tokens:
        tokens = tokens + self.gamma1 * self.attn(self.norm1(tokens))
        tokens = tokens + self.gamma3 * self.local_mp(self.norm3(tokens), grid)
        return tokens + self.gamma2 * self.ffn(self.norm2(tokens))


class ClassAttention(nn.Module):
    """The class token takes from all tokens."""

    def __init__(self, channels: int, heads: int, *, bias: bool) -> None:
        super().__init__()
        self.heads = heads
        self.q, self.k, self.v = (nn.Linear(channels, channels, bias=bias) for _ in range(3))
        self.proj = nn.Linear(channels, channels)

    def forward(self, tokens: Tokens) -> Float[Tensor, "b 1 channels"]:
        """The new class token."""
        parts = (self.q(tokens[:, :1]), self.k(tokens), self.v(tokens))
        query, key, value = (part.reshape(*part.shape[:2], self.heads, -1).transpose(1, 2) for part in parts)
        return self.proj(join_heads(functional.scaled_dot_product_attention(query, key, value)))


class ClassLayer(nn.Module):
    """Class attention and feed-forward; `tokens_norm` normalises all tokens in between, and not the class's alone."""

    def __init__(self, options: XCiTOptions) -> None:
        super().__init__()
        width = options.embed_dims
        self.tokens_norm = options.tokens_norm
        self.gamma1, self.gamma2 = (nn.Parameter(torch.ones(width)) for _ in range(2))
        self.norm1 = nn.LayerNorm(width, eps=options.eps)
        self.attn = ClassAttention(width, options.num_heads, bias=options.qkv_bias)
        self.norm2 = nn.LayerNorm(width, eps=options.eps)
        self.ffn = FeedForward(width, options.inside)

    def forward(self, tokens: Tokens) -> Tokens:
        """The tokens of the next layer; the feed-forward is the class token's, the others are doubled."""
        normed = self.norm1(tokens)
        tokens = tokens + self.gamma1 * torch.cat((self.attn(normed), normed[:, 1:]), dim=1)
        if self.tokens_norm:
            tokens = self.norm2(tokens)
        else:
            tokens = torch.cat((self.norm2(tokens[:, :1]), tokens[:, 1:]), dim=1)
        label = self.gamma2 * self.ffn(tokens[:, :1])
        return tokens + torch.cat((label, tokens[:, 1:]), dim=1)


class XCiT(nn.Module):
    """Patches, positions, `xca_layers`, then the class token and `ca_layers`; returns the class token."""

    OPTIONS = XCiTOptions
    NATIVE: ClassVar[Settings] = {"out_type": "cls_token", "out_indices": (-1,)}

    def __init__(self, options: XCiTOptions) -> None:
        super().__init__()
        require_native(
            "XCiT", act_cfg=(options.act_cfg.get("type"), "GELU"), patch_size=(options.patch_size in (8, 16), True)
        )
        width = options.embed_dims
        self.patch_embed = ConvPatchEmbed(options)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        self.placed = options.use_pos_embed
        if self.placed:
            self.pos_embed = WavePositions(width)
        self.xca_layers = nn.ModuleList(PlaceLayer(options) for _ in range(options.depth))
        self.ca_layers = nn.ModuleList(ClassLayer(options) for _ in range(options.cls_attn_layers))
        self.norm = nn.LayerNorm(width, eps=options.eps) if options.final_norm else nn.Identity()

    def forward(self, images: Features) -> Float[Tensor, "b c"]:
        """The class token behind the last layer."""
        tokens, grid = self.patch_embed(images)
        if self.placed:
            tokens = tokens + self.pos_embed(grid, tokens.device)
        for layer in self.xca_layers:
            tokens = layer(tokens, grid)
        tokens = torch.cat((self.cls_token.expand(len(tokens), -1, -1), tokens), dim=1)
        for layer in self.ca_layers:
            tokens = layer(tokens)
        return self.norm(tokens)[:, 0]
