"""VisionTransformer, DeiT with its distillation token, DeiT III, T2T-ViT, and XCiT.

Source: Dosovitskiy et al., ICLR 2021; Touvron et al., DeiT, ICML 2021, figure 2 (distillation token); Touvron et al.,
DeiT III, ECCV 2022 (scaled residual branches, no position for the class token); Yuan et al., Tokens-to-Token ViT, ICCV
2021, section 3.1; El-Nouby et al., XCiT: Cross-Covariance Image Transformers, NeurIPS 2021, section 3, equation 2, figure 1
(attention between channels instead of places, and two layers in which a class token reads the result; the class attention
is that of Touvron et al., Going Deeper with Image Transformers, ICCV 2021, section 3).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from math import log2, pi
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.zoo.transformer import (
    SIZES,
    Attention,
    EncoderLayer,
    FeedForward,
    Grid,
    LayerOptions,
    PatchEmbed,
    Tokens,
    Width,
    interpolate_positions,
    join_heads,
    layer_norm,
    split_heads,
)
from classlens.zoo.units import ACTIVATIONS, Features, activation, conv_unit, find_arch, require_native, stages_asked

BASE, LARGE, HUGE = Width(768, 12, 12, 3072), Width(1024, 24, 16, 4096), Width(1280, 32, 16, 5120)
DEIT_SMALL = Width(384, 12, 6, 1536)
ARCHES: Mapping[str, Width] = {
    **dict.fromkeys(("s", "small"), Width(768, 8, 8, 2304)),
    **dict.fromkeys(("b", "base", "deit-b", "deit-base"), BASE),
    **dict.fromkeys(("l", "large"), LARGE),
    **dict.fromkeys(("h", "huge"), HUGE),
    **dict.fromkeys(("eva-g", "eva-giant"), Width(1408, 40, 16, 6144)),
    **dict.fromkeys(("deit-t", "deit-tiny"), Width(192, 12, 3, 768)),
    **dict.fromkeys(("deit-s", "deit-small", "dinov2-s", "dinov2-small"), DEIT_SMALL),
    **dict.fromkeys(("dinov2-g", "dinov2-giant"), Width(1536, 40, 24, 6144)),
}
DEIT3_ARCHES: Mapping[str, Width] = {
    **dict.fromkeys(("s", "small"), DEIT_SMALL),
    **dict.fromkeys(("m", "medium"), Width(512, 12, 8, 2048)),
    **dict.fromkeys(("b", "base"), BASE),
    **dict.fromkeys(("l", "large"), LARGE),
    **dict.fromkeys(("h", "huge"), HUGE),
}
OUT_TYPES = ("cls_token", "raw", "featmap", "avg_featmap")


@dataclass(frozen=True)
class ViTOptions:
    """What a config can say; `out_type` is what the head gets."""

    family: str
    arch: Any = "base"
    img_size: int | tuple[int, int] = 224
    patch_size: int = 16
    in_channels: int = 3
    out_indices: int | tuple[int, ...] = -1
    qkv_bias: bool = True
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN", "eps": 1e-6})
    final_norm: bool = True
    out_type: str = "cls_token"
    with_cls_token: bool = True
    output_cls_token: bool = True
    avg_token: bool = False
    interpolate_mode: str = "bicubic"
    layer_scale_init_value: float = 0.0
    use_layer_scale: bool = True
    patch_cfg: Settings = field(default_factory=dict)
    layer_cfgs: Settings = field(default_factory=dict)
    pre_norm: bool = False


def layer_options(options: ViTOptions, *, scaled: bool) -> LayerOptions:
    """How the encoder layers of a config are built; its `layer_cfgs` have the last word."""
    settings, kind = options.layer_cfgs, options.layer_cfgs.get("ffn_type", "origin")
    known = {"act_cfg", "ffn_type", "drop_rate", "drop_path_rate", "attn_drop_rate", "num_fcs", "with_cp"}
    require_native(
        "an encoder layer", layer_cfgs=(sorted(set(settings) - known), []), num_fcs=(settings.get("num_fcs", 2), 2)
    )
    if kind not in ("origin", "swiglu_fused"):
        raise ConfigError(f"no feed-forward of type {kind!r}", hint="there is: origin, swiglu_fused")
    act = activation(settings["act_cfg"]) if "act_cfg" in settings else ACTIVATIONS["GELU"]
    eps = options.norm_cfg.get("eps", 1e-5)
    return LayerOptions(options.qkv_bias, eps, scaled=scaled, gated=kind == "swiglu_fused", act=act)


class VisionTransformer(nn.Module):
    """Patches and extra tokens through the encoder; returns what `out_type` names."""

    PRESETS: ClassVar[Mapping[str, Settings]] = {"DistilledVisionTransformer": {"arch": "deit-base"}}

    def __init__(self, options: ViTOptions) -> None:
        super().__init__()
        family, out_type = options.family, options.out_type
        if out_type not in OUT_TYPES:
            raise ConfigError(f"{family} has no out_type {out_type!r}", hint=f"there is: {', '.join(OUT_TYPES)}")
        require_native(family, patch_cfg=(sorted(set(options.patch_cfg) - {"bias"}), []))
        width = find_arch(family, options.arch, DEIT3_ARCHES if family == "DeiT3" else ARCHES, sizes=SIZES, kind=Width)
        third, distilled = family == "DeiT3", family == "DistilledVisionTransformer"
        self.extra_tokens = 2 if distilled else int(third or options.with_cls_token)
        # In DeiT III the class token has no position.
        self.placed = 0 if third else self.extra_tokens
        self.options = options
        rows, columns = (options.img_size,) * 2 if isinstance(options.img_size, int) else options.img_size
        self.grid = rows // options.patch_size, columns // options.patch_size
        norm = layer_norm(options.norm_cfg)
        bias = options.patch_cfg.get("bias", not options.pre_norm)
        self.patch_embed = PatchEmbed(options.in_channels, width.channels, options.patch_size, bias=bias)
        self.extras = ("cls_token", "dist_token")[: self.extra_tokens]
        for name in self.extras:
            self.register_parameter(name, nn.Parameter(torch.zeros(1, 1, width.channels)))
        self.pos_embed = nn.Parameter(torch.zeros(1, self.grid[0] * self.grid[1] + self.placed, width.channels))
        self.pre_norm = norm(width.channels) if options.pre_norm else nn.Identity()
        scaled = options.use_layer_scale if third else options.layer_scale_init_value > 0 and not distilled
        layer = layer_options(options, scaled=scaled)
        self.layers = nn.ModuleList(EncoderLayer(width, layer) for _ in range(width.layers))
        self.last = stages_asked(options.out_indices, width.layers)[-1]
        if out_type == "cls_token":
            # Behind the last attention the patch tokens decide nothing any more; this is the last norm before it.
            self.default_layer = f"layers.{self.last}.ln1"
        if options.final_norm:
            self.ln1 = norm(width.channels)
        if out_type == "avg_featmap":
            self.ln2 = norm(width.channels)

    def forward(self, images: Features) -> Tensor | tuple[Tensor, Tensor]:
        """A vector, a row of tokens, a map, or the vectors of class and distillation token."""
        patches, grid = self.patch_embed(images)
        extras = [self.get_parameter(name).expand(len(patches), -1, -1) for name in self.extras]
        mode = self.options.interpolate_mode
        positions = interpolate_positions(self.pos_embed, grid, extra=self.placed, before=self.grid, mode=mode)
        if self.placed == self.extra_tokens:
            tokens = torch.cat((*extras, patches), dim=1) + positions
        else:
            tokens = torch.cat((*extras, patches + positions), dim=1)
        tokens = self.pre_norm(tokens)
        for layer in self.layers[: self.last + 1]:
            tokens = layer(tokens)
        if self.options.final_norm and self.last == len(self.layers) - 1:
            tokens = self.ln1(tokens)
        return self.pick_output(tokens, grid)

    def pick_output(self, tokens: Tokens, grid: Grid) -> Tensor | tuple[Tensor, Tensor]:
        """What the head gets."""
        patches = tokens[:, self.extra_tokens :]
        if self.options.out_type == "raw":
            return tokens
        if self.options.out_type == "featmap":
            return patches.transpose(1, 2).reshape(len(tokens), -1, *grid)
        if self.options.out_type == "avg_featmap":
            return self.ln2(patches.mean(1))
        return (tokens[:, 0], tokens[:, 1]) if self.extra_tokens == 2 else tokens[:, 0]


SPLITS = ((7, 4, 2), (3, 2, 1), (3, 2, 1))  # kernel, stride and padding of the three soft splits


@dataclass(frozen=True)
class T2TOptions:
    """What a config can say."""

    img_size: int = 224
    in_channels: int = 3
    embed_dims: int = 384
    num_layers: int = 14
    out_indices: int | tuple[int, ...] = -1
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN"})
    final_norm: bool = True
    interpolate_mode: str = "bicubic"
    t2t_cfg: Settings = field(default_factory=dict)
    layer_cfgs: Settings = field(default_factory=dict)


class TokenTransformer(nn.Module):
    """One layer with one head that brings tokens of any width to `channels`."""

    def __init__(self, entering: int, channels: int, options: LayerOptions) -> None:
        super().__init__()
        self.ln1 = nn.LayerNorm(entering, eps=options.eps)
        self.attn = Attention(entering, channels, 1, options)
        self.ln2 = nn.LayerNorm(channels, eps=options.eps)
        self.ffn = FeedForward(channels, channels, options)

    def forward(self, tokens: Tokens) -> Tokens:
        mixed, values = self.attn(self.ln1(tokens))
        joined = values + mixed
        return joined + self.ffn(self.ln2(joined))


class TokensToToken(nn.Module):
    """Three soft splits with a token transformer behind the first two."""

    def __init__(self, entering: int, inside: int, leaving: int, options: LayerOptions) -> None:
        super().__init__()
        areas = [kernel * kernel for kernel, _, _ in SPLITS]
        self.attention1 = TokenTransformer(entering * areas[0], inside, options)
        self.attention2 = TokenTransformer(inside * areas[1], inside, options)
        self.project = nn.Linear(inside * areas[2], leaving)

    def forward(self, images: Features) -> tuple[Tokens, Grid]:
        features, grid = images, (0, 0)
        for number, (kernel, stride, padding) in enumerate(SPLITS):
            height, width = features.shape[2:]
            grid = ((height + 2 * padding - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1)
            tokens = functional.unfold(features, kernel, padding=padding, stride=stride).transpose(1, 2)
            if number < len(SPLITS) - 1:
                tokens = self.get_submodule(f"attention{number + 1}")(tokens)
                features = tokens.transpose(1, 2).unflatten(2, grid)
        return self.project(tokens), grid


class T2TViT(nn.Module):
    """Token maker, class token, `encoder`, `norm`; returns the class token."""

    NATIVE: ClassVar[Settings] = {"out_type": "cls_token", "with_cls_token": True}

    def __init__(self, options: T2TOptions) -> None:
        super().__init__()
        known = {"num_heads", "feedforward_channels", "qkv_bias", "drop_rate", "attn_drop_rate", "drop_path_rate"}
        performer = options.t2t_cfg.get("use_performer", False)
        unknown = sorted(set(options.layer_cfgs) - known)
        require_native("T2T_ViT", use_performer=(performer, False), layer_cfgs=(unknown, []))
        self.options, self.extra_tokens, self.placed = options, 1, 1
        channels, eps, side = options.embed_dims, options.norm_cfg.get("eps", 1e-5), options.img_size
        inside = int(options.t2t_cfg.get("token_dims", 64))
        self.tokens_to_token = TokensToToken(options.in_channels, inside, channels, LayerOptions(False, eps))
        self.cls_token = nn.Parameter(torch.zeros(1, 1, channels))
        for _, stride, _ in SPLITS:
            side = -(-side // stride)
        self.grid = (side, side)
        self.pos_embed: Tensor  # sine waves, which are not trained
        self.register_buffer("pos_embed", torch.zeros(1, side * side + 1, channels))
        sizes = {"num_heads": 6, "feedforward_channels": 3 * channels, **options.layer_cfgs}
        width = Width(channels, options.num_layers, sizes["num_heads"], sizes["feedforward_channels"])
        layer = LayerOptions(sizes.get("qkv_bias", False), eps)
        self.encoder = nn.ModuleList(EncoderLayer(width, layer) for _ in range(width.layers))
        self.last = stages_asked(options.out_indices, width.layers)[-1]
        self.default_layer = f"encoder.{self.last}.ln1"  # as in a VisionTransformer
        if options.final_norm:
            self.norm = nn.LayerNorm(channels, eps=eps)

    def forward(self, images: Features) -> Float[Tensor, "b c"]:
        """The class token behind the encoder."""
        patches, grid = self.tokens_to_token(images)
        mode = self.options.interpolate_mode
        positions = interpolate_positions(self.pos_embed, grid, extra=self.placed, before=self.grid, mode=mode)
        tokens = torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1) + positions
        for layer in self.encoder[: self.last + 1]:
            tokens = layer(tokens)
        if self.options.final_norm and self.last == len(self.encoder) - 1:
            tokens = self.norm(tokens)
        return tokens[:, 0]


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
