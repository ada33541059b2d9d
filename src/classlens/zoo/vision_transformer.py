"""VisionTransformer, DeiT with its distillation token, and DeiT III.

Source: Dosovitskiy et al., ICLR 2021; Touvron et al., DeiT, ICML 2021, figure 2 (distillation token); Touvron et al.,
DeiT III, ECCV 2022 (scaled residual branches, no position for the class token).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

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
    change_layer_options,
    interpolate_positions,
    layer_norm,
)
from classlens.zoo.units import find_arch, plain_type, read_options, require_native

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

    @property
    def grid(self) -> Grid:
        """Rows and columns of patches of a picture of `img_size`."""
        sides = (self.img_size, self.img_size) if isinstance(self.img_size, int) else self.img_size
        return sides[0] // self.patch_size, sides[1] // self.patch_size


@dataclass(frozen=True)
class TokenKind:
    """What sets the three types apart: extra tokens, and whether the class token has a position."""

    extra: int
    placed: int
    scaled: bool


class VisionTransformer(nn.Module):
    """Patches and extra tokens through the encoder; returns what `out_type` names."""

    def __init__(self, options: ViTOptions, width: Width, kind: TokenKind) -> None:
        super().__init__()
        self.options, self.placed, self.grid = options, kind.placed, options.grid
        self.extra_tokens = kind.extra
        norm = layer_norm(options.norm_cfg)
        bias = options.patch_cfg.get("bias", not options.pre_norm)
        self.patch_embed = PatchEmbed(options.in_channels, width.channels, options.patch_size, bias=bias)
        if kind.extra:
            self.cls_token = nn.Parameter(torch.zeros(1, 1, width.channels))
        count = options.grid[0] * options.grid[1] + kind.placed
        self.pos_embed = nn.Parameter(torch.zeros(1, count, width.channels))
        if kind.extra == 2:
            self.dist_token = nn.Parameter(torch.zeros(1, 1, width.channels))
        self.pre_norm = norm(width.channels) if options.pre_norm else nn.Identity()
        plain = LayerOptions(options.qkv_bias, options.norm_cfg.get("eps", 1e-5), kind.scaled)
        layer = change_layer_options(plain, options.layer_cfgs)
        self.layers = nn.ModuleList(EncoderLayer(width, layer) for _ in range(width.layers))
        self.last = last_layer(options.out_indices, width.layers)
        if options.out_type == "cls_token":
            # Behind the last attention the patch tokens decide nothing any more; this is the last norm before it.
            self.default_layer = f"layers.{self.last}.ln1"
        if options.final_norm:
            self.ln1 = norm(width.channels)
        if options.out_type == "avg_featmap":
            self.ln2 = norm(width.channels)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Tensor | tuple[Tensor, Tensor]:
        """A vector, a row of tokens, a map, or the vectors of class and distillation token."""
        tokens, grid = self.patch_embed(images)
        tokens = self.pre_norm(self.with_extras(tokens, grid))
        for layer in self.layers[: self.last + 1]:
            tokens = layer(tokens)
        if self.options.final_norm and self.last == len(self.layers) - 1:
            tokens = self.ln1(tokens)
        return self.given(tokens, grid)

    def with_extras(self, tokens: Tokens, grid: Grid) -> Tokens:
        """The patch tokens with their positions, and the extra tokens in front."""
        batch = len(tokens)
        names = ("cls_token", "dist_token")[: self.extra_tokens]
        extras = [self.get_parameter(name).expand(batch, -1, -1) for name in names]
        mode = self.options.interpolate_mode
        positions = interpolate_positions(self.pos_embed, grid, extra=self.placed, before=self.grid, mode=mode)
        if self.placed == self.extra_tokens:
            return torch.cat((*extras, tokens), dim=1) + positions
        return torch.cat((*extras, tokens + positions), dim=1)

    def given(self, tokens: Tokens, grid: Grid) -> Tensor | tuple[Tensor, Tensor]:
        """What the head gets."""
        patches = tokens[:, self.extra_tokens :]
        if self.options.out_type == "raw":
            return tokens
        if self.options.out_type == "featmap":
            return patches.transpose(1, 2).reshape(len(tokens), -1, *grid)
        if self.options.out_type == "avg_featmap":
            pooled: Tensor = self.ln2(patches.mean(1))
            return pooled
        return (tokens[:, 0], tokens[:, 1]) if self.extra_tokens == 2 else tokens[:, 0]


def last_layer(out_indices: int | tuple[int, ...], layers: int) -> int:
    last = out_indices if isinstance(out_indices, int) else out_indices[-1]
    return last % layers


def vision_transformer(settings: Settings) -> VisionTransformer:
    """The backbone of `dict(type='VisionTransformer', arch='b')`, of DistilledVisionTransformer or of DeiT3.

    Raises:
        ConfigError: the arch or the output type is unknown.
    """
    family = plain_type(settings)
    options = read_options(ViTOptions, {"arch": "deit-base", **settings} if family.startswith("Dist") else settings)
    if options.out_type not in OUT_TYPES:
        raise ConfigError(f"{family} has no out_type {options.out_type!r}", hint=f"there is: {', '.join(OUT_TYPES)}")
    require_native(family, patch_cfg=(sorted(set(options.patch_cfg) - {"bias"}), []))
    width = find_arch(family, options.arch, DEIT3_ARCHES if family == "DeiT3" else ARCHES, sizes=SIZES, kind=Width)
    if family == "DeiT3":
        return VisionTransformer(options, width, TokenKind(extra=1, placed=0, scaled=options.use_layer_scale))
    if family == "DistilledVisionTransformer":
        return VisionTransformer(options, width, TokenKind(extra=2, placed=2, scaled=False))
    extra = int(options.with_cls_token)
    return VisionTransformer(options, width, TokenKind(extra, extra, scaled=options.layer_scale_init_value > 0))


SPLITS = ((7, 4, 2), (3, 2, 1), (3, 2, 1))
"""Kernel, stride and padding of the three soft splits."""


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
    out_type: str = "cls_token"
    with_cls_token: bool = True
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
        changed: Tensor = joined + self.ffn(self.ln2(joined))
        return changed


class TokensToToken(nn.Module):
    """Three soft splits with a token transformer behind the first two."""

    def __init__(self, entering: int, inside: int, leaving: int, options: LayerOptions) -> None:
        super().__init__()
        areas = [kernel * kernel for kernel, _, _ in SPLITS]
        self.attention1 = TokenTransformer(entering * areas[0], inside, options)
        self.attention2 = TokenTransformer(inside * areas[1], inside, options)
        self.project = nn.Linear(inside * areas[2], leaving)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> tuple[Tokens, Grid]:
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

    def __init__(self, options: T2TOptions) -> None:
        super().__init__()
        self.options, self.extra_tokens, self.placed = options, 1, 1
        width = options.embed_dims
        eps = options.norm_cfg.get("eps", 1e-5)
        plain = LayerOptions(qkv_bias=False, eps=eps)
        inside = int(options.t2t_cfg.get("token_dims", 64))
        self.tokens_to_token = TokensToToken(options.in_channels, inside, width, plain)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, width))
        side = options.img_size
        for _, stride, _ in SPLITS:
            side = -(-side // stride)
        self.grid = (side, side)
        self.pos_embed: Tensor
        self.register_buffer("pos_embed", torch.zeros(1, side * side + 1, width))  # sine waves, which are not trained
        layers, cfgs = options.num_layers, options.layer_cfgs
        layer = Width(width, layers, cfgs["num_heads"], cfgs["feedforward_channels"])
        encoder = LayerOptions(cfgs.get("qkv_bias", False), eps)
        self.encoder = nn.ModuleList(EncoderLayer(layer, encoder) for _ in range(layers))
        self.last = last_layer(options.out_indices, layers)
        self.default_layer = f"encoder.{self.last}.ln1"  # as in a VisionTransformer
        if options.final_norm:
            self.norm = nn.LayerNorm(width, eps=eps)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c"]:
        """The class token behind the encoder."""
        patches, grid = self.tokens_to_token(images)
        tokens: Tensor = torch.cat((self.cls_token.expand(len(patches), -1, -1), patches), dim=1)
        mode = self.options.interpolate_mode
        tokens = tokens + interpolate_positions(self.pos_embed, grid, extra=self.placed, before=self.grid, mode=mode)
        for layer in self.encoder[: self.last + 1]:
            tokens = layer(tokens)
        if self.options.final_norm and self.last == len(self.encoder) - 1:
            tokens = self.norm(tokens)
        return tokens[:, 0]


def t2t_vit(settings: Settings) -> T2TViT:
    """The backbone of `dict(type='T2T_ViT', num_layers=14, ...)`."""
    options = read_options(T2TOptions, settings)
    known = {"num_heads", "feedforward_channels", "qkv_bias", "drop_rate", "attn_drop_rate", "drop_path_rate"}
    require_native(
        "T2T_ViT",
        out_type=(options.out_type, "cls_token"),
        with_cls_token=(options.with_cls_token, True),
        use_performer=(options.t2t_cfg.get("use_performer", False), False),
        layer_cfgs=(sorted(set(options.layer_cfgs) - known), []),
    )
    cfgs = {"num_heads": 6, "feedforward_channels": 3 * options.embed_dims, **options.layer_cfgs}
    return T2TViT(replace(options, layer_cfgs=cfgs))
