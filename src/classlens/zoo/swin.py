"""Swin Transformer, first and second version.

Source: Liu et al., Swin Transformer, ICCV 2021, section 3.2: attention inside windows; every second block shifts the
map by half a window, and a mask keeps tokens apart that only the shift made neighbours. Liu et al., Swin Transformer V2,
CVPR 2022, section 3: norms behind what they belong to, attention by cosines, a bias computed from the offset.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import log
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float, Int
from classlens.config.settings import Settings
from classlens.zoo.transformer import FeedForward, PatchEmbed, join_heads, split_heads
from classlens.zoo.units import Chain, Features, find_arch, require_native, stages_asked

Map = Float[Tensor, "b height width channels"]
Windows = Float[Tensor, "windows places channels"]
Mask = Float[Tensor, "windows 1 places places"]
APART = -100.0  # added to the attention of tokens that are no neighbours; softmax makes it 0


@dataclass(frozen=True)
class Windowing:
    """Windows of `side` x `side` tokens on a map moved up and left by `shift`."""

    side: int
    shift: int

    def padded(self, length: int) -> int:
        return -(-length // self.side) * self.side

    def cut(self, tokens: Map) -> Windows:
        """The windows of every picture, row by row; maps that no whole number covers are padded with zeros."""
        _, height, width, channels = tokens.shape
        tall, wide, side = self.padded(height), self.padded(width), self.side
        tokens = functional.pad(tokens, (0, 0, 0, wide - width, 0, tall - height))
        moved = torch.roll(tokens, (-self.shift, -self.shift), dims=(1, 2)) if self.shift else tokens
        rows = moved.reshape(-1, tall // side, side, wide // side, side, channels)
        return rows.transpose(2, 3).reshape(-1, side * side, channels)

    def join(self, windows: Windows, height: int, width: int) -> Map:
        """The map of the windows; the inverse of `cut`."""
        tall, wide, side = self.padded(height), self.padded(width), self.side
        rows = windows.reshape(-1, tall // side, wide // side, side, side, windows.shape[-1])
        moved = rows.transpose(2, 3).reshape(-1, tall, wide, windows.shape[-1])
        tokens = torch.roll(moved, (self.shift, self.shift), dims=(1, 2)) if self.shift else moved
        return tokens[:, :height, :width]

    def mask(self, height: int, width: int) -> Float[Tensor, "windows places places"] | None:
        """What is added to the attention inside each window of one picture; None without a shift."""
        if not self.shift:
            return None
        rows, columns = (self.regions(self.padded(length)) for length in (height, width))
        regions = (rows[:, None] * 3 + columns).float()[None, :, :, None]
        inside = Windowing(self.side, 0).cut(regions).squeeze(-1)
        return (inside[:, :, None] != inside[:, None, :]).float() * APART

    def regions(self, length: int) -> Int[Tensor, " length"]:
        """Which of three regions each row or column came from: untouched, before and behind the shift's cut."""
        places = torch.arange(length)
        return (places >= length - self.side).long() + (places >= length - self.shift).long()


def relative_index(side: int) -> Int[Tensor, "places places"]:
    """For every pair of places in a window: which entry of the table of (2 side - 1)^2 offsets is theirs.

    Made on the CPU even where networks are built on "meta": checkpoints need not bring it.
    """
    places = torch.arange(side, device="cpu")
    rows, columns = (axis.flatten() for axis in torch.meshgrid(places, places, indexing="ij"))
    down = rows[:, None] - rows + side - 1
    right = columns[:, None] - columns + side - 1
    return down * (2 * side - 1) + right


def bias_by_offset(table: Float[Tensor, "offsets heads"], index: Int[Tensor, "places places"]) -> Tensor:
    """The entries of a table of offsets, as heads x places x places."""
    return table[index.flatten()].reshape(*index.shape, -1).permute(2, 0, 1)


class WindowAttention(nn.Module):
    """Attention inside windows, with a learned bias for every offset."""

    def __init__(self, channels: int, heads: int, side: int) -> None:
        super().__init__()
        self.heads = heads
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * side - 1) ** 2, heads))
        self.relative_position_index: Tensor
        self.register_buffer("relative_position_index", relative_index(side))
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)

    def forward(self, windows: Windows, mask: Mask | None) -> Windows:
        query, key, value = split_heads(self.qkv(windows), self.heads)
        bias = bias_by_offset(self.relative_position_bias_table, self.relative_position_index)[None]
        bias = (bias if mask is None else bias + mask).expand(len(windows), -1, -1, -1)
        return self.proj(join_heads(functional.scaled_dot_product_attention(query, key, value, attn_mask=bias)))


LARGEST_LOGIT_SCALE = log(100)  # the paper's temperature is never below 0.01


def log_offsets(side: int, measured: int) -> Float[Tensor, "1 rows columns 2"]:
    """Offsets of a window on a logarithmic scale, -1..1 at the ends of a window of `measured` (eq. 4, in base 8).

    Made on the CPU even where networks are built on "meta": checkpoints need not bring them.
    """
    reach = torch.arange(1 - side, side, dtype=torch.float32, device="cpu")
    rows, columns = torch.meshgrid(reach, reach, indexing="ij")
    offsets = torch.stack((rows, columns), dim=-1)[None] * 8 / ((measured or side) - 1)
    return offsets.sign() * torch.log2(offsets.abs() + 1.0) / torch.log2(torch.tensor(8.0, device="cpu"))


class CosineAttention(nn.Module):
    """Attention by the cosine of query and key, times a learned scale, plus a bias of 0..16 computed from the offset."""

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

    def forward(self, windows: Windows, mask: Mask | None) -> Windows:
        """The windows' tokens, mixed; the keys have no bias."""
        bias = torch.cat((self.q_bias, torch.zeros_like(self.v_bias), self.v_bias))
        query, key, value = split_heads(functional.linear(windows, self.qkv.weight, bias), self.heads)
        scale = self.logit_scale.clamp(max=LARGEST_LOGIT_SCALE).exp()
        cosines = functional.normalize(query, dim=-1) @ functional.normalize(key, dim=-1).transpose(-2, -1) * scale
        table = self.cpb_mlp(self.relative_coords_table).reshape(-1, self.heads)
        scores = cosines + 16 * torch.sigmoid(bias_by_offset(table, self.relative_position_index))
        scores = scores if mask is None else scores + mask
        return self.proj(join_heads(scores.softmax(-1) @ value))


class ShiftedAttention(nn.Module):
    """`w_msa` on the windows of a map, which is shifted where `shift` is not 0."""

    def __init__(self, w_msa: nn.Module, windowing: Windowing, *, pad_small_map: bool) -> None:
        super().__init__()
        self.w_msa = w_msa
        self.windowing, self.pad_small_map = windowing, pad_small_map

    def forward(self, tokens: Map) -> Map:
        """The map of mixed tokens."""
        windowing, (height, width) = self.windowing, tokens.shape[1:3]
        side, least = windowing.side, min(height, width)
        if least < side and not self.pad_small_map:
            raise ValueError(f"a map of {height} x {width} tokens is smaller than a window of {side} x {side}")
        if least == side and not self.pad_small_map:
            windowing = Windowing(side, 0)
        mask = windowing.mask(height, width)
        if mask is not None:
            mask = mask.to(tokens.device)[:, None].repeat(len(tokens), 1, 1, 1)
        return windowing.join(self.w_msa(windowing.cut(tokens), mask), height, width)


class SwinBlock(nn.Module):
    """Attention and feed-forward, each added to its input.

    The first version has norms in front of both (`norm_first`), the second behind, and sometimes a third on the sum.
    """

    def __init__(self, attention: nn.Module, channels: int, eps: float, *, norm_first: bool, extra_norm: bool) -> None:
        super().__init__()
        self.norm_first = norm_first
        self.norm1 = nn.LayerNorm(channels, eps=eps)
        self.attn = attention
        self.norm2 = nn.LayerNorm(channels, eps=eps)
        self.ffn = FeedForward(channels, 4 * channels)
        if not norm_first:
            self.norm3 = nn.LayerNorm(channels, eps=eps) if extra_norm else nn.Identity()

    def forward(self, tokens: Map) -> Map:
        if self.norm_first:
            tokens = tokens + self.attn(self.norm1(tokens))
            return tokens + self.ffn(self.norm2(tokens))
        tokens = tokens + self.norm1(self.attn(tokens))
        return self.norm3(tokens + self.norm2(self.ffn(tokens)))


class PatchMerging(nn.Module):
    """Four neighbours become one token, twice as wide; OpenMMLab orders them channel by channel.

    The first version has the norm before the reduction (`norm_first`), the second behind it.
    """

    def __init__(self, channels: int, eps: float, *, norm_first: bool) -> None:
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
        return self.reduction(self.norm(merged)) if self.norm_first else self.norm(self.reduction(merged))


@dataclass(frozen=True)
class SwinArch:
    """Channels of the first stage; blocks and heads of each; every so many blocks the largest have a third norm."""

    channels: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]
    extra_norm_every: int = 0


SIZES = ("embed_dims", "depths", "num_heads")  # the sizes of a `SwinArch` by the names that they have in a config
ARCHES: Mapping[str, SwinArch] = {
    **dict.fromkeys(("t", "tiny"), SwinArch(96, (2, 2, 6, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("s", "small"), SwinArch(96, (2, 2, 18, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("b", "base"), SwinArch(128, (2, 2, 18, 2), (4, 8, 16, 32))),
    **dict.fromkeys(("l", "large"), SwinArch(192, (2, 2, 18, 2), (6, 12, 24, 48))),
}
V2_ARCHES: Mapping[str, SwinArch] = {
    **ARCHES,
    **dict.fromkeys(("h", "huge"), SwinArch(352, (2, 2, 18, 2), (8, 16, 32, 64), 6)),
    **dict.fromkeys(("g", "giant"), SwinArch(512, (2, 2, 42, 4), (16, 32, 64, 128), 6)),
}


@dataclass(frozen=True)
class SwinOptions:
    """What a config can say; `img_size` matters to absolute positions only, which are not built.

    `pretrained_window_sizes` are those that the offsets of the second version were first measured in.
    """

    family: str
    arch: Any = "tiny"
    img_size: int | tuple[int, int] = 224
    patch_size: int = 4
    in_channels: int = 3
    window_size: int | tuple[int, ...] = 7
    out_indices: tuple[int, ...] = (3,)
    interpolate_mode: str = "bicubic"
    pad_small_map: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN"})
    stage_cfgs: Any = field(default_factory=dict)
    pretrained_window_sizes: tuple[int, ...] = (0, 0, 0, 0)


class Swin(nn.Module):
    """Patches, stages of plain and shifted windows in turn, and the norm of the last of `out_indices`, as a map.

    A merging is called `stages.N.downsample`: that of stage N runs behind it in the first version, in front in the second.
    """

    NATIVE: ClassVar[Settings] = {"out_after_downsample": False, "use_abs_pos_embed": False, "patch_cfg": {}}
    PRESETS: ClassVar[Mapping[str, Settings]] = {"SwinTransformerV2": {"window_size": 8}}
    extra_tokens = 0

    def __init__(self, options: SwinOptions) -> None:
        super().__init__()
        self.second = options.family == "SwinTransformerV2"
        arch = find_arch(options.family, options.arch, V2_ARCHES if self.second else ARCHES, sizes=SIZES, kind=SwinArch)
        self.eps, count = float(options.norm_cfg.get("eps", 1e-5)), len(arch.depths)
        self.patch_embed = PatchEmbed(options.in_channels, arch.channels, options.patch_size, norm=True)
        self.stages = nn.ModuleList()
        asked = stages_asked(options.out_indices, count)
        self.last, self.default_layer = asked[-1], f"norm{asked[-1]}"
        for number in range(count):
            width = arch.channels * 2**number
            stage = Chain()
            if self.second and number:
                stage.downsample = PatchMerging(width // 2, self.eps, norm_first=False)
            stage.blocks = nn.Sequential(*self.blocks_of(number, arch, options))
            if not self.second and number < count - 1:
                stage.downsample = PatchMerging(width, self.eps, norm_first=True)
            self.stages.append(stage)
            if number in asked:
                self.add_module(f"norm{number}", nn.LayerNorm(width, eps=self.eps))

    def blocks_of(self, number: int, arch: SwinArch, options: SwinOptions) -> list[nn.Module]:
        """The blocks of one stage."""
        width, heads, every = arch.channels * 2**number, arch.heads[number], arch.extra_norm_every
        side = window_side(options, number)
        blocks: list[nn.Module] = []
        for block in range(arch.depths[number]):
            inside = (
                CosineAttention(width, heads, side, options.pretrained_window_sizes[number])
                if self.second
                else WindowAttention(width, heads, side)
            )
            windowing = Windowing(side, side // 2 * (block % 2))
            attention = ShiftedAttention(inside, windowing, pad_small_map=options.pad_small_map)
            extra = bool(every) and (block + 1) % every == 0
            blocks.append(SwinBlock(attention, width, self.eps, norm_first=not self.second, extra_norm=extra))
        return blocks

    def forward(self, images: Features) -> Features:
        rows, grid = self.patch_embed(images)
        tokens = rows.reshape(len(rows), *grid, -1)
        for number, stage in enumerate(self.stages[: self.last + 1]):
            parts = dict(stage.named_children())
            if number == self.last and not self.second:
                parts.pop("downsample", None)
            for part in parts.values():
                tokens = part(tokens)
        normed = self.get_submodule(self.default_layer)(tokens.flatten(1, 2))
        return normed.transpose(1, 2).unflatten(2, tokens.shape[1:3])


def window_side(options: SwinOptions, number: int) -> int:
    """The side of the windows of stage `number`; in the first version `stage_cfgs` may set it for all stages or for each."""
    if options.family == "SwinTransformerV2":
        require_native(options.family, stage_cfgs=(options.stage_cfgs, {}))
    settings = options.stage_cfgs[number] if isinstance(options.stage_cfgs, tuple) else options.stage_cfgs
    blocks = settings.get("block_cfgs", {})
    known = {"window_size", "pad_small_map"}
    require_native(
        "Swin", stage_cfgs=(sorted(set(settings) - {"block_cfgs"}), []), block_cfgs=(sorted(set(blocks) - known), [])
    )
    side = options.window_size if isinstance(options.window_size, int) else options.window_size[number]
    return int(blocks.get("window_size", side))
