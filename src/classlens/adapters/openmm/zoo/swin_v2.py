"""Swin Transformer, second version: cosine attention, norms behind the branches, biases from a small network.

Source: Liu et al., Swin Transformer V2, CVPR 2022, sections 3.2 and 3.3, equations 2 to 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import chosen_arch, only, read_options
from classlens.adapters.openmm.zoo.swin import ARCHES as FIRST_ARCHES
from classlens.adapters.openmm.zoo.swin import PatchMerging, ShiftedAttention, SwinArch
from classlens.adapters.openmm.zoo.transformer import FeedForward, LayerOptions, PatchEmbed, Tokens
from classlens.adapters.openmm.zoo.windows import Map, Windowing, Windows, relative_index
from classlens.arrays import Float

ARCHES: Mapping[str, SwinArch] = {
    **FIRST_ARCHES,
    **dict.fromkeys(("h", "huge"), SwinArch(352, (2, 2, 18, 2), (8, 16, 32, 64))),
    **dict.fromkeys(("g", "giant"), SwinArch(512, (2, 2, 42, 4), (16, 32, 64, 128))),
}
EXTRA_NORM = {"h": 6, "huge": 6, "g": 6, "giant": 6}
"""Every so many blocks the large networks have a third norm."""

LARGEST_LOGIT_SCALE = log(100)
"""The paper's temperature is never below 0.01."""


@dataclass(frozen=True)
class SwinV2Options:
    """What a config can say; `pretrained_window_sizes` are those that offsets were first measured in."""

    arch: str = "tiny"
    img_size: int | tuple[int, int] = 256
    patch_size: int = 4
    in_channels: int = 3
    window_size: int | tuple[int, ...] = 8
    out_indices: tuple[int, ...] = (3,)
    use_abs_pos_embed: bool = False
    interpolate_mode: str = "bicubic"
    pad_small_map: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN"})
    stage_cfgs: Any = field(default_factory=dict)
    patch_cfg: Settings = field(default_factory=dict)
    pretrained_window_sizes: tuple[int, ...] = (0, 0, 0, 0)


def log_offsets(side: int, measured: int) -> Float[Tensor, "1 rows columns 2"]:
    """Offsets of a window on a logarithmic scale, -1..1 at the ends of a window of `measured` (eq. 4, in base 8).

    Made on the CPU even where networks are built on "meta": checkpoints need not bring them.
    """
    reach = torch.arange(1 - side, side, dtype=torch.float32, device="cpu")
    rows, columns = torch.meshgrid(reach, reach, indexing="ij")
    offsets = torch.stack((rows, columns), dim=-1)[None] * 8 / ((measured or side) - 1)
    return offsets.sign() * torch.log2(offsets.abs() + 1.0) / torch.log2(torch.tensor(8.0, device="cpu"))


class CosineAttention(nn.Module):
    """Attention by the cosine of query and key, times a learned scale, plus a bias computed from the offset."""

    def __init__(self, channels: int, heads: int, side: int, measured: int) -> None:
        super().__init__()
        self.heads = heads
        self.logit_scale = nn.Parameter(torch.full((heads, 1, 1), log(10)))
        self.q_bias = nn.Parameter(torch.zeros(channels))
        self.v_bias = nn.Parameter(torch.zeros(channels))
        self.relative_coords_table: Tensor
        self.relative_position_index: Tensor
        self.register_buffer("relative_coords_table", log_offsets(side, measured))
        self.register_buffer("relative_position_index", relative_index(side))
        self.cpb_mlp = nn.Sequential(nn.Linear(2, 512), nn.ReLU(inplace=True), nn.Linear(512, heads, bias=False))
        self.qkv = nn.Linear(channels, 3 * channels, bias=False)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Windows, mask: Float[Tensor, "w p p"] | None) -> Windows:
        """The windows' tokens, mixed; `mask` holds one picture's windows."""
        count, places, channels = windows.shape
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        qkv = functional.linear(windows, self.qkv.weight, bias)
        query, key, value = qkv.reshape(count, places, 3, self.heads, -1).permute(2, 0, 3, 1, 4).unbind(0)
        scale = self.logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
        cosines = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(-2, -1) * scale
        scores = cosines + self.offset_bias(places)
        if mask is not None:
            scores = scores + mask.to(scores.device)[:, None].repeat(count // len(mask), 1, 1, 1)
        mixed = scores.softmax(-1) @ value
        joined: Tensor = self.proj(mixed.transpose(1, 2).reshape(count, places, channels))
        return joined

    def offset_bias(self, places: int) -> Float[Tensor, "heads places places"]:
        """A number in 0..16 for every head and pair of places."""
        table = self.cpb_mlp(self.relative_coords_table).reshape(-1, self.heads)
        bias = table[self.relative_position_index.flatten()].reshape(places, places, -1)
        return 16 * torch.sigmoid(bias.permute(2, 0, 1))


class SwinBlockV2(nn.Module):
    """Attention and norm, feed-forward and norm, each added to its input; sometimes a third norm on the sum."""

    def __init__(self, attention: ShiftedAttention, channels: int, *, eps: float, extra_norm: bool) -> None:
        super().__init__()
        self.attn = attention
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.ffn = FeedForward(channels, 4 * channels, LayerOptions())
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.norm3 = nn.LayerNorm(channels, eps=eps) if extra_norm else nn.Identity()

    def forward(self, tokens: Map) -> Map:
        """The tokens of the next block."""
        tokens = tokens + self.norm1(self.attn(tokens))
        changed: Tensor = self.norm3(tokens + self.norm2(self.ffn(tokens)))
        return changed


class StageV2(nn.Module):
    """The merging in front of all stages but the first, then the blocks."""

    def __init__(self, downsample: nn.Module | None, blocks: list[nn.Module]) -> None:
        super().__init__()
        if downsample is not None:
            self.downsample = downsample
        self.merges = downsample is not None
        self.blocks = nn.ModuleList(blocks)

    def forward(self, tokens: Map) -> Map:
        """The tokens behind the last block."""
        if self.merges:
            tokens = self.downsample(tokens)
        for block in self.blocks:
            tokens = block(tokens)
        return tokens


class SwinV2(nn.Module):
    """Patches, stages and the norm of the last stage of `out_indices`, as a map."""

    def __init__(self, options: SwinV2Options) -> None:
        super().__init__()
        self.extra_tokens = 0
        arch = chosen_arch("SwinTransformerV2", options.arch, ARCHES)
        self.eps = float(options.norm_cfg.get("eps", 1e-5))
        self.patch_embed = PatchEmbed(options.in_channels, arch.channels, options.patch_size, norm=True)
        self.stages = nn.ModuleList()
        self.last = options.out_indices[-1]
        self.default_layer = f"norm{self.last}"
        for number in range(len(arch.depths)):
            width = arch.channels * 2**number
            merging = PatchMerging(width // 2, self.eps, norm_first=False) if number else None
            self.stages.append(StageV2(merging, self.blocks_of(number, arch, options)))
            if number in options.out_indices:
                self.add_module(f"norm{number}", nn.LayerNorm(width, eps=self.eps))

    def blocks_of(self, number: int, arch: SwinArch, options: SwinV2Options) -> list[nn.Module]:
        """The blocks of one stage."""
        width, heads = arch.channels * 2**number, arch.heads[number]
        side = options.window_size if isinstance(options.window_size, int) else options.window_size[number]
        measured, every = options.pretrained_window_sizes[number], EXTRA_NORM.get(options.arch.casefold(), 0)
        blocks: list[nn.Module] = []
        for block in range(arch.depths[number]):
            windowing = Windowing(side, side // 2 * (block % 2))
            inside = CosineAttention(width, heads, side, measured)
            attention = ShiftedAttention(inside, windowing, pad_small_map=options.pad_small_map)
            extra = bool(every) and (block + 1) % every == 0
            blocks.append(SwinBlockV2(attention, width, eps=self.eps, extra_norm=extra))
        return blocks

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the stage asked for."""
        rows, grid = self.patch_embed(images)
        tokens = rows.reshape(len(rows), *grid, -1)
        for stage in self.stages[: self.last + 1]:
            tokens = stage(tokens)
        normed: Tokens = self.get_submodule(f"norm{self.last}")(tokens.flatten(1, 2))
        return normed.transpose(1, 2).reshape(len(rows), -1, *tokens.shape[1:3])


def swin_v2(settings: Settings) -> SwinV2:
    """The backbone of `dict(type='SwinTransformerV2', arch='tiny')`."""
    options = read_options(SwinV2Options, settings)
    only(
        "SwinTransformerV2",
        use_abs_pos_embed=(options.use_abs_pos_embed, False),
        stage_cfgs=(options.stage_cfgs, {}),
        patch_cfg=(dict(options.patch_cfg), {}),
    )
    return SwinV2(options)
