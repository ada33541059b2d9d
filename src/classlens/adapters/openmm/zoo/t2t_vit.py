"""T2T-ViT: tokens are made by attention over overlapping patches, then a deep and narrow encoder.

Source: Yuan et al., Tokens-to-Token ViT, ICCV 2021, section 3 and figure 3. The token transformers change the width of
tokens, so their shortcut is the attention's values (the authors' choice), scaled by the width that enters.
"""

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import only, read_options
from classlens.adapters.openmm.zoo.transformer import (
    Attention,
    EncoderLayer,
    FeedForward,
    Grid,
    LayerOptions,
    Tokens,
    Width,
    resized_positions,
)
from classlens.adapters.openmm.zoo.vision_transformer import last_layer
from classlens.arrays import Float

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
        """Tokens of the new width."""
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
        """The tokens, row by row, and how many rows and columns there are."""
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
        tokens = tokens + resized_positions(self.pos_embed, grid, extra=self.placed, before=self.grid, mode=mode)
        for layer in self.encoder[: self.last + 1]:
            tokens = layer(tokens)
        if self.options.final_norm and self.last == len(self.encoder) - 1:
            tokens = self.norm(tokens)
        return tokens[:, 0]


def t2t_vit(settings: Settings) -> T2TViT:
    """The backbone of `dict(type='T2T_ViT', num_layers=14, ...)`."""
    options = read_options(T2TOptions, settings)
    known = {"num_heads", "feedforward_channels", "qkv_bias", "drop_rate", "attn_drop_rate", "drop_path_rate"}
    only(
        "T2T_ViT",
        out_type=(options.out_type, "cls_token"),
        with_cls_token=(options.with_cls_token, True),
        use_performer=(options.t2t_cfg.get("use_performer", False), False),
        layer_cfgs=(sorted(set(options.layer_cfgs) - known), []),
    )
    cfgs = {"num_heads": 6, "feedforward_channels": 3 * options.embed_dims, **options.layer_cfgs}
    return T2TViT(replace(options, layer_cfgs=cfgs))
