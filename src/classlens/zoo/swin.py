"""Cutting a map of tokens into windows and joining them again, shifted or not.

Source: Liu et al., Swin Transformer, ICCV 2021, section 3.2: attention inside windows; every second block shifts the
map by half a window, and a mask keeps tokens apart that only the shift made neighbours.
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
from classlens.zoo.transformer import FeedForward, LayerOptions, PatchEmbed, Tokens
from classlens.zoo.units import Chain, find_arch, require_native

Map = Float[Tensor, "b height width channels"]
Windows = Float[Tensor, "windows places channels"]
APART = -100.0
"""Added to the attention of tokens that are no neighbours; softmax makes it 0."""


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


@dataclass(frozen=True)
class SwinArch:
    """Channels of the first stage; blocks and heads of each."""

    channels: int
    depths: tuple[int, ...]
    heads: tuple[int, ...]


SIZES = ("embed_dims", "depths", "num_heads")
"""The sizes of a `SwinArch` by the names that they have in a config."""

ARCHES: Mapping[str, SwinArch] = {
    **dict.fromkeys(("t", "tiny"), SwinArch(96, (2, 2, 6, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("s", "small"), SwinArch(96, (2, 2, 18, 2), (3, 6, 12, 24))),
    **dict.fromkeys(("b", "base"), SwinArch(128, (2, 2, 18, 2), (4, 8, 16, 32))),
    **dict.fromkeys(("l", "large"), SwinArch(192, (2, 2, 18, 2), (6, 12, 24, 48))),
}


@dataclass(frozen=True)
class SwinOptions:
    """What a config can say; `img_size` matters to absolute positions only, which are not built."""

    NATIVE: ClassVar[Settings] = {"out_after_downsample": False, "use_abs_pos_embed": False}

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


class SwinStage(Chain):
    """Blocks with plain and shifted windows in turn; a merging `before` them runs first, one `behind` is called later."""

    def __init__(
        self, blocks: list[nn.Module], *, before: nn.Module | None = None, behind: nn.Module | None = None
    ) -> None:
        super().__init__({} if before is None else {"downsample": before})
        self.blocks = nn.ModuleList(blocks)
        if behind is not None:
            self.downsample = behind
        first = [] if before is None else ["downsample"]
        self.order = [*first, *(f"blocks.{number}" for number in range(len(blocks)))]


class WindowNetwork(nn.Module):
    """Patches, the parts that `order` names, and the norm of the last stage of `out_indices`, as a map."""

    extra_tokens = 0
    order: list[str]

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the stage asked for."""
        rows, grid = self.get_submodule("patch_embed")(images)
        tokens = rows.reshape(len(rows), *grid, -1)
        for name in self.order:
            tokens = self.get_submodule(name)(tokens)
        normed: Tokens = self.get_submodule(str(self.default_layer))(tokens.flatten(1, 2))
        return normed.transpose(1, 2).reshape(len(rows), -1, *tokens.shape[1:3])


class Swin(WindowNetwork):
    """Patches, stages and the norm of the last stage of `out_indices`, as a map."""

    OPTIONS = SwinOptions

    def __init__(self, options: SwinOptions) -> None:
        super().__init__()
        require_native("SwinTransformer", patch_cfg=(dict(options.patch_cfg), {}))
        arch = find_arch("SwinTransformer", options.arch, ARCHES, sizes=SIZES, kind=SwinArch)
        self.patch_embed = PatchEmbed(options.in_channels, arch.channels, options.patch_size, norm=True)
        self.stages = nn.ModuleList()
        last = options.out_indices[-1]
        self.default_layer = f"norm{last}"
        self.order = [f"stages.{number // 2}{'.downsample' * (number % 2)}" for number in range(2 * last + 1)]
        for number, (depth, heads) in enumerate(zip(arch.depths, arch.heads, strict=True)):
            width = arch.channels * 2**number
            side = window_side(options, number)
            blocks: list[nn.Module] = [
                SwinBlock(width, heads, Windowing(side, side // 2 * (block % 2)), options) for block in range(depth)
            ]
            merging = PatchMerging(width, options.eps) if number < len(arch.depths) - 1 else None
            self.stages.append(SwinStage(blocks, behind=merging))
            if number in options.out_indices:
                self.add_module(f"norm{number}", nn.LayerNorm(width, eps=options.eps))


def window_side(options: SwinOptions, number: int) -> int:
    """The side of the windows of stage `number`; `stage_cfgs` may set it for all stages or for each."""
    given = options.stage_cfgs
    settings = given[number] if isinstance(given, tuple) else given
    blocks = settings.get("block_cfgs", {})
    known = {"window_size", "pad_small_map"}
    require_native(
        "Swin", stage_cfgs=(sorted(set(settings) - {"block_cfgs"}), []), block_cfgs=(sorted(set(blocks) - known), [])
    )
    return int(blocks.get("window_size", options.window_size))


V2_ARCHES: Mapping[str, SwinArch] = {
    **ARCHES,
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

    NATIVE: ClassVar[Settings] = {"use_abs_pos_embed": False, "stage_cfgs": {}, "patch_cfg": {}}

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
        tokens = tokens + self.norm1(self.attn(tokens))
        changed: Tensor = self.norm3(tokens + self.norm2(self.ffn(tokens)))
        return changed


class SwinV2(WindowNetwork):
    """Patches, stages and the norm of the last stage of `out_indices`, as a map."""

    OPTIONS = SwinV2Options

    def __init__(self, options: SwinV2Options) -> None:
        super().__init__()
        arch = find_arch("SwinTransformerV2", options.arch, V2_ARCHES)
        self.eps = float(options.norm_cfg.get("eps", 1e-5))
        self.patch_embed = PatchEmbed(options.in_channels, arch.channels, options.patch_size, norm=True)
        self.stages = nn.ModuleList()
        last = options.out_indices[-1]
        self.default_layer = f"norm{last}"
        self.order = [f"stages.{number}" for number in range(last + 1)]
        for number in range(len(arch.depths)):
            width = arch.channels * 2**number
            merging = PatchMerging(width // 2, self.eps, norm_first=False) if number else None
            self.stages.append(SwinStage(self.blocks_of(number, arch, options), before=merging))
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
