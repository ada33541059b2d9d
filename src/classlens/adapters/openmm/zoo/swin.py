"""Swin Transformer, first version.

Source: Liu et al., Swin Transformer, ICCV 2021, section 3 and table 7. The layer to look at is the norm behind the
last stage, `norm3`, which puts out a row of tokens.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import chosen_arch, only, read_options
from classlens.adapters.openmm.zoo.transformer import FeedForward, LayerOptions, PatchEmbed, Tokens
from classlens.adapters.openmm.zoo.windows import Map, Windowing, Windows, relative_index
from classlens.arrays import Float
from classlens.errors import ConfigError


@dataclass(frozen=True)
class SwinArch:
    """Channels of the first stage; blocks and heads of each."""

    channels: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]


ARCHES: Mapping[str, SwinArch] = {
    **dict.fromkeys(("t", "tiny"), SwinArch(96, (2, 2, 6, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("s", "small"), SwinArch(96, (2, 2, 18, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("b", "base"), SwinArch(128, (2, 2, 18, 2), (4, 8, 16, 32))),
    **dict.fromkeys(("l", "large"), SwinArch(192, (2, 2, 18, 2), (6, 12, 24, 48))),
}


@dataclass(frozen=True)
class SwinOptions:
    """What a config can say; `img_size` matters to absolute positions only, which are not built."""

    arch: Any = "tiny"
    img_size: int | tuple[int, int] = 224
    patch_size: int = 4
    in_channels: int = 3
    window_size: int = 7
    out_indices: tuple[int, ...] = (3,)
    out_after_downsample: bool = False
    use_abs_pos_embed: bool = False
    interpolate_mode: str = "bicubic"
    pad_small_map: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN"})
    stage_cfgs: Any = field(default_factory=dict)
    patch_cfg: Settings = field(default_factory=dict)

    @property
    def eps(self) -> float:
        """What keeps the norms from dividing by zero."""
        return float(self.norm_cfg.get("eps", 1e-5))


class WindowAttention(nn.Module):
    """Attention inside windows, with a learned bias for every offset."""

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads, self.side = heads, side
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_index(side))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Windows, mask: Float[Tensor, "w p p"] | None) -> Windows:
        """The windows' tokens, mixed; `mask` holds one picture's windows."""
        count, places, channels = windows.shape
        qkv = self.qkv(windows).reshape(count, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        query, key, value = qkv.unbind(0)
        table = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = table.reshape(places, places, -1).permute(2, 0, 1)[None]
        if mask is not None:
            pictures = count // len(mask)
            bias = bias + mask.to(bias.device)[:, None].repeat(pictures, 1, 1, 1)
        mixed = functional.scaled_dot_product_attention(query, key, value, attn_mask=bias.expand(count, -1, -1, -1))
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, places, channels))
        return joined


class ShiftedAttention(nn.Module):
    """`w_msa` on the windows of a map, which is shifted where `shift` is not 0."""

    def __init__(self, w_msa: nn.Module, windowing: Windowing, *, pad_small_map: bool = False) -> None:
        super().__init__()
        self.w_msa = w_msa
        self.windowing, self.pad_small_map = windowing, pad_small_map

    def forward(self, tokens: Map) -> Map:
        """The map of mixed tokens.

        Raises:
            ValueError: the map is smaller than a window.
        """
        windowing, least = self.windowing, min(tokens.shape[1:3])
        if least < windowing.side and not self.pad_small_map:
            seen = f"{tokens.shape[1]} x {tokens.shape[2]}"
            raise ValueError(f"a map of {seen} tokens is smaller than a window of {windowing.side} x {windowing.side}")
        if least == windowing.side and not self.pad_small_map:
            windowing = Windowing(windowing.side, 0)
        height, width = tokens.shape[1:3]
        return windowing.join(self.w_msa(windowing.cut(tokens), windowing.mask(height, width)), height, width)


class SwinBlock(nn.Module):
    """Norm and attention, norm and feed-forward, each added to its input."""

    def __init__(self, channels: int, heads: int, windowing: Windowing, options: SwinOptions) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(channels, eps=options.eps)
        inside = WindowAttention(channels, heads, windowing.side)
        self.attn = ShiftedAttention(inside, windowing, pad_small_map=options.pad_small_map)
        self.norm2 = nn.LayerNorm(channels, eps=options.eps)
        self.ffn = FeedForward(channels, 4 * channels, LayerOptions())

    def forward(self, tokens: Map) -> Map:
        """The tokens of the next block."""
        tokens = tokens + self.attn(self.norm1(tokens))
        changed: Tensor = tokens + self.ffn(self.norm2(tokens))
        return changed


class PatchMerging(nn.Module):
    """Four neighbours become one token, twice as wide; OpenMMLab orders them channel by channel.

    The first version has the norm before the reduction (`norm_first`), the second behind it.
    """

    def __init__(self, channels: int, eps: float, *, norm_first: bool = True) -> None:
        super().__init__()
        self.norm = nn.LayerNorm((4 if norm_first else 2) * channels, eps=eps)
        self.reduction = nn.Linear(4 * channels, 2 * channels, bias=False)
        self.norm_first = norm_first

    def forward(self, tokens: Map) -> Map:
        """A map half as tall and wide; odd sides are padded with zeros."""
        batch, height, width, channels = tokens.shape
        tokens = functional.pad(tokens, (0, 0, 0, width % 2, 0, height % 2))
        pairs = tokens.reshape(batch, -(-height // 2), 2, -(-width // 2), 2, channels)
        merged = pairs.permute(0, 1, 3, 5, 2, 4).flatten(3)
        reduced: Tensor = self.reduction(self.norm(merged)) if self.norm_first else self.norm(self.reduction(merged))
        return reduced


class Stage(nn.Module):
    """Blocks with plain and shifted windows in turn, then the merging, which the backbone calls."""

    def __init__(self, blocks: list[nn.Module], downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(blocks)
        if downsample is not None:
            self.downsample = downsample

    def forward(self, tokens: Map) -> Map:
        """The tokens behind the last block."""
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class Swin(nn.Module):
    """Patches, stages and the norm of the last stage of `out_indices`, as a map."""

    def __init__(self, options: SwinOptions, arch: SwinArch) -> None:
        super().__init__()
        self.extra_tokens = 0
        self.patch_embed = PatchEmbed(options.in_channels, arch.channels, options.patch_size, norm=True)
        self.stages = nn.ModuleList()
        self.last = options.out_indices[-1]
        self.default_layer = f"norm{self.last}"
        for number, (depth, heads) in enumerate(zip(arch.depths, arch.heads, strict=True)):
            width = arch.channels * 2**number
            side = window_side(options, number)
            blocks: list[nn.Module] = [
                SwinBlock(width, heads, Windowing(side, side // 2 * (block % 2)), options) for block in range(depth)
            ]
            merging = PatchMerging(width, options.eps) if number < len(arch.depths) - 1 else None
            self.stages.append(Stage(blocks, merging))
            if number in options.out_indices:
                self.add_module(f"norm{number}", nn.LayerNorm(width, eps=options.eps))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the stage asked for."""
        rows, grid = self.patch_embed(images)
        tokens = rows.reshape(len(rows), *grid, -1)
        for number in range(self.last + 1):
            tokens = self.stages[number](tokens)
            if number < self.last:
                tokens = self.get_submodule(f"stages.{number}.downsample")(tokens)
        normed: Tokens = self.get_submodule(f"norm{self.last}")(tokens.flatten(1, 2))
        return normed.transpose(1, 2).reshape(len(rows), -1, *tokens.shape[1:3])


def window_side(options: SwinOptions, number: int) -> int:
    """The side of the windows of stage `number`; `stage_cfgs` may set it for all stages or for each."""
    given = options.stage_cfgs
    settings = given[number] if isinstance(given, tuple) else given
    blocks = settings.get("block_cfgs", {})
    known = {"window_size", "pad_small_map"}
    only("Swin", stage_cfgs=(sorted(set(settings) - {"block_cfgs"}), []), block_cfgs=(sorted(set(blocks) - known), []))
    return int(blocks.get("window_size", options.window_size))


def arch_of(family: str, arch: Any) -> SwinArch:  # noqa: ANN401  (a name or a dict)
    """The arch by its name, or by a dict as in `arch=dict(embed_dims=..., depths=..., num_heads=...)`.

    Raises:
        ConfigError: the name is unknown, or the dict lacks a size.
    """
    if not isinstance(arch, Mapping):
        return chosen_arch(family, arch, ARCHES)
    try:
        return SwinArch(arch["embed_dims"], tuple(arch["depths"]), tuple(arch["num_heads"]))
    except KeyError as error:
        raise ConfigError(f"{family} arch lacks {error}", hint="or name one, e.g. arch='tiny'") from error


def swin(settings: Settings) -> Swin:
    """The backbone of `dict(type='SwinTransformer', arch='tiny')`."""
    options = read_options(SwinOptions, settings)
    only(
        "SwinTransformer",
        out_after_downsample=(options.out_after_downsample, False),
        use_abs_pos_embed=(options.use_abs_pos_embed, False),
        patch_cfg=(dict(options.patch_cfg), {}),
    )
    return Swin(options, arch_of("SwinTransformer", options.arch))
