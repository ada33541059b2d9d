"""Networks of one frame: norm and mixer, norm and feed-forward, each added to its input. They differ in the mixer.

Source of the frame: Yu et al., MetaFormer is Actually What You Need for Vision, CVPR 2022, section 3.1. ConvNeXt, first
and second version (a 7x7 of each channel; one norm for both): Liu et al., A ConvNet for the 2020s, CVPR 2022, figure 4;
global response normalisation (`grn`): Woo et al., ConvNeXt V2, CVPR 2023, equations 1 to 3. VAN (attention made of large,
decomposed convolutions): Guo et al., Visual Attention Network, Computational Visual Media 2023, section 3.1, equations 1
and 2, table 2. PoolFormer (a 3x3 mean, less the input): section 3.2 of the first. RIFormer, training and deploy form (a
learned scale and shift, less the input, which the deploy form folds into the norm in front): Wang et al., CVPR 2023,
section 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.transformer import layer_norm
from classlens.zoo.units import Activation, Chain, Features, activation, find_arch, require_native, stages_asked


class ConvNeXtArch(NamedTuple):
    """Blocks and channels of each stage, under the names that they have in a config."""

    depths: tuple[int, ...]
    channels: tuple[int, ...]


SHALLOW, DEEP = (2, 2, 6, 2), (3, 3, 27, 3)
CONVNEXTS: Mapping[str, ConvNeXtArch] = {
    name: ConvNeXtArch(depths, tuple(first * 2**stage for stage in range(4)))  # every stage doubles the channels
    for name, depths, first in (
        ("atto", SHALLOW, 40),
        ("femto", SHALLOW, 48),
        ("pico", SHALLOW, 64),
        ("nano", (2, 2, 8, 2), 80),
        ("tiny", (3, 3, 9, 3), 96),
        ("small", DEEP, 96),
        ("base", DEEP, 128),
        ("large", DEEP, 192),
        ("xlarge", DEEP, 256),
        ("huge", DEEP, 352),
    )
}


@dataclass(frozen=True)
class ConvNeXtOptions:
    """What a config can say."""

    arch: Any = "tiny"
    in_channels: int = 3
    stem_patch_size: int = 4
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN2d", "eps": 1e-6})
    act_cfg: Settings = field(default_factory=lambda: {"type": "GELU"})
    linear_pw_conv: bool = True
    use_grn: bool = False
    layer_scale_init_value: float = 1e-6
    out_indices: int | tuple[int, ...] = -1
    gap_before_final_norm: bool = True

    @property
    def eps(self) -> float:
        return float(self.norm_cfg.get("eps", 1e-5))


class LayerNorm2d(nn.LayerNorm):
    """A layer norm over the channels of a map that has them first."""

    def forward(self, features: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c *places"]:
        last = features.movedim(1, -1)
        normed = functional.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.movedim(-1, 1)


class ResponseNorm(nn.Module):
    """Channels compete: each is scaled by its norm over the picture, relative to the mean of all channels'."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(channels)) for _ in range(2))

    def forward(self, features: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        strength = features.square().sum((1, 2), keepdim=True).sqrt()
        relative = strength / (strength.mean(dim=-1, keepdim=True) + 1e-6)
        return features + features * relative * self.gamma + self.beta


class ConvNeXtBlock(nn.Module):
    """A 7x7 convolution of each channel, norm, and two layers on each place; channels last from the norm on."""

    def __init__(self, channels: int, options: ConvNeXtOptions, act: Activation) -> None:
        super().__init__()
        self.linear = options.linear_pw_conv
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        norm = nn.LayerNorm if self.linear else LayerNorm2d
        self.norm = norm(channels, eps=options.eps)
        wide = 4 * channels
        self.pointwise_conv1 = nn.Linear(channels, wide) if self.linear else nn.Conv2d(channels, wide, 1)
        self.pointwise_conv2 = nn.Linear(wide, channels) if self.linear else nn.Conv2d(wide, channels, 1)
        self.act = act()
        self.grn = ResponseNorm(wide) if options.use_grn else nn.Identity()
        self.scaled = options.layer_scale_init_value > 0
        if self.scaled:
            self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, features: Features) -> Features:
        inside = self.depthwise_conv(features)
        inside = self.norm(inside.permute(0, 2, 3, 1) if self.linear else inside)
        inside = self.act(self.pointwise_conv1(inside))
        if self.linear:
            inside = self.pointwise_conv2(self.grn(inside)).permute(0, 3, 1, 2)
        else:
            inside = self.pointwise_conv2(self.grn(inside.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return features + (inside * self.gamma[:, None, None] if self.scaled else inside)


class ConvNeXt(nn.Module):
    """`downsample_layers` and `stages` in turn, then the norm of the last stage asked for.

    With `gap_before_final_norm` the norm sees the mean over all places, and a vector leaves.
    """

    def __init__(self, options: ConvNeXtOptions) -> None:
        super().__init__()
        require_native("ConvNeXt", norm_cfg=(options.norm_cfg.get("type", "LN2d"), "LN2d"))
        depths, channels = find_arch("ConvNeXt", options.arch, CONVNEXTS, sizes=ConvNeXtArch._fields, kind=ConvNeXtArch)
        act = activation(options.act_cfg)
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        patch, entering = options.stem_patch_size, options.in_channels
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            if stage == 0:
                parts: list[nn.Module] = [nn.Conv2d(entering, width, patch, patch), LayerNorm2d(width, eps=options.eps)]
            else:
                parts = [LayerNorm2d(entering, eps=options.eps), nn.Conv2d(entering, width, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*parts))
            self.stages.append(nn.Sequential(*(ConvNeXtBlock(width, options, act) for _ in range(depth))))
            entering = width
        asked = stages_asked(options.out_indices, len(depths))
        for index in asked:
            self.add_module(f"norm{index}", LayerNorm2d(channels[index], eps=options.eps))
        self.last, self.pooled = asked[-1], options.gap_before_final_norm

    def forward(self, images: Features) -> Float[Tensor, "b c *places"]:
        features = images
        for stage in range(self.last + 1):
            features = self.stages[stage](self.downsample_layers[stage](features))
        if self.pooled:
            features = features.mean((2, 3))
        return self.get_submodule(f"norm{self.last}")(features)


class VanArch(NamedTuple):
    """Channels, blocks and widening of the feed-forward of each stage."""

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    widen: tuple[int, ...] = (8, 8, 4, 4)


USUAL = (64, 128, 320, 512)
VANS: Mapping[str, VanArch] = {
    **dict.fromkeys(("t", "tiny", "b0"), VanArch((32, 64, 160, 256), (3, 3, 5, 2))),
    **dict.fromkeys(("s", "small", "b1"), VanArch(USUAL, (2, 2, 4, 2))),
    **dict.fromkeys(("b", "base", "b2"), VanArch(USUAL, (3, 3, 12, 3))),
    **dict.fromkeys(("l", "large", "b3"), VanArch(USUAL, (3, 5, 27, 3))),
    "b4": VanArch(USUAL, (3, 6, 40, 3)),
    "b5": VanArch((96, 192, 480, 768), (3, 3, 24, 3)),
    "b6": VanArch((96, 192, 384, 768), (6, 6, 90, 6)),
}


@dataclass(frozen=True)
class VANOptions:
    """What a config can say."""

    arch: str = "tiny"
    patch_sizes: tuple[int, ...] = (7, 3, 3, 3)
    in_channels: int = 3
    out_indices: tuple[int, ...] = (3,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN"})


class LargeKernel(Chain):
    """The features, scaled by what a wide neighbourhood says: 5x5, then 7x7 with gaps, then all channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.DW_conv = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.DW_D_conv = nn.Conv2d(channels, channels, 7, padding=9, groups=channels, dilation=3)
        self.conv1 = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Features) -> Features:
        return features * super().forward(features)


class SpatialAttention(Chain):
    """1x1, activation, large kernel, 1x1, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__(shortcut=True)
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = LargeKernel(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)


class ScaledBlock(nn.Module):
    """The frame of VAN and PoolFormer: `mixing`, then norm and layers on each place, each scaled and added."""

    def __init__(self, channels: int, mixing: Mapping[str, nn.Module], norm: nn.Module, mlp: Chain) -> None:
        super().__init__()
        self.mixing = tuple(mixing)
        for name, part in mixing.items():
            self.add_module(name, part)
        self.norm2, self.mlp = norm, mlp
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(torch.ones(channels)) for _ in range(2))

    def forward(self, features: Features) -> Features:
        mixed = features
        for part in map(self.get_submodule, self.mixing):
            mixed = part(mixed)
        features = features + self.layer_scale_1[:, None, None] * mixed
        return features + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(features))


def van_block(channels: int, widen: int) -> ScaledBlock:
    """Norm and attention, norm and feed-forward: 1x1, a 3x3 of each channel, 1x1."""
    mixing = {"norm1": nn.BatchNorm2d(channels), "attn": SpatialAttention(channels)}
    inside = channels * widen
    layers = {"fc1": nn.Conv2d(channels, inside, 1), "dwconv": nn.Conv2d(inside, inside, 3, 1, 1, groups=inside)}
    mlp = Chain({**layers, "act": nn.GELU(), "fc2": nn.Conv2d(inside, channels, 1)})
    return ScaledBlock(channels, mixing, nn.BatchNorm2d(channels), mlp)


class VAN(nn.Module):
    """`patch_embedN`, `blocksN`, `normN` for N = 1 ... 4; returns the last stage of `out_indices`."""

    NATIVE: ClassVar[Settings] = {"block_cfgs": {}}

    def __init__(self, options: VANOptions) -> None:
        super().__init__()
        arch = find_arch("VAN", options.arch, VANS)
        norm = layer_norm(options.norm_cfg)
        entering = options.in_channels
        self.last = stages_asked(options.out_indices, len(arch.depths))[-1] + 1
        for number, (width, depth, widen) in enumerate(zip(*arch, strict=True), start=1):
            kernel, stride = options.patch_sizes[number - 1], 4 if number == 1 else 2
            overlapping = nn.Conv2d(entering, width, kernel, stride, kernel // 2)
            self.add_module(f"patch_embed{number}", Chain({"projection": overlapping, "norm": nn.BatchNorm2d(width)}))
            self.add_module(f"blocks{number}", nn.Sequential(*(van_block(width, widen) for _ in range(depth))))
            self.add_module(f"norm{number}", norm(width))
            entering = width

    def forward(self, images: Features) -> Features:
        """Features of the stage asked for; every stage ends in a norm of its tokens."""
        features = images
        for number in range(1, self.last + 1):
            features = self.get_submodule(f"patch_embed{number}")(features)
            features = self.get_submodule(f"blocks{number}")(features)
            tokens = self.get_submodule(f"norm{number}")(features.flatten(2).transpose(1, 2))
            features = tokens.transpose(1, 2).reshape(features.shape)
        return features


PoolFormerArch = tuple[tuple[int, ...], tuple[int, ...]]  # blocks and channels of the four stages

NARROW, WIDE = (64, 128, 320, 512), (96, 192, 384, 768)
POOLFORMERS: Mapping[str, PoolFormerArch] = {
    "s12": ((2, 2, 6, 2), NARROW),
    "s24": ((4, 4, 12, 4), NARROW),
    "s36": ((6, 6, 18, 6), NARROW),
    "m36": ((6, 6, 18, 6), WIDE),
    "m48": ((8, 8, 24, 8), WIDE),
}
LAST = 6  # index of the last stage in `network`, where stages and embeddings take turns


@dataclass(frozen=True)
class PoolFormerOptions:
    """What a config can say; `deploy` is RIFormer's."""

    family: str
    arch: str = "s12"
    in_channels: int = 3
    pool_size: int = 3
    norm_cfg: Settings = field(default_factory=lambda: {"type": "GN", "num_groups": 1})
    act_cfg: Settings = field(default_factory=lambda: {"type": "GELU"})
    in_patch_size: int = 7
    in_stride: int = 4
    in_pad: int = 2
    down_patch_size: int = 3
    down_stride: int = 2
    down_pad: int = 1
    out_indices: int | tuple[int, ...] = -1
    deploy: bool = False


class Pooling(nn.Module):
    """The mean of the neighbours, less the place itself."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(size, 1, size // 2, count_include_pad=False)

    def forward(self, features: Features) -> Features:
        return self.pool(features) - features


class ChannelAffine(nn.Module):
    """A scale and a shift of each channel, less the channel itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, features: Features) -> Features:
        return self.affine(features) - features


class PoolFormer(Chain):
    """`patch_embed`, then stages and embeddings in turn, and the norm of the last one asked for."""

    def __init__(self, options: PoolFormerOptions) -> None:
        super().__init__()
        depths, channels = find_arch(options.family, options.arch, POOLFORMERS)
        last = stages_asked(options.out_indices, LAST + 1)[-1]
        require_native(options.family, norm_cfg=(options.norm_cfg.get("type"), "GN"), out_indices=(last, LAST))
        act, groups = activation(options.act_cfg), options.norm_cfg.get("num_groups", 1)

        def norm(width: int) -> nn.Module:
            return nn.GroupNorm(groups, width, eps=options.norm_cfg.get("eps", 1e-5))

        def block(width: int) -> ScaledBlock:
            pools = options.family == "PoolFormer"
            mixer = Pooling(options.pool_size) if pools else ChannelAffine(width)
            mixing = {"norm1": norm(width), "token_mixer": mixer}
            if options.deploy and not pools:
                mixing = {"norm_reparam": norm(width)}  # one norm does the work of both
            layers = {"fc1": nn.Conv2d(width, 4 * width, 1), "act": act(), "fc2": nn.Conv2d(4 * width, width, 1)}
            return ScaledBlock(width, mixing, norm(width), Chain(layers))

        first = nn.Conv2d(options.in_channels, channels[0], options.in_patch_size, options.in_stride, options.in_pad)
        self.patch_embed = Chain({"proj": first})
        parts: list[nn.Module] = []
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            parts.append(nn.Sequential(*(block(width) for _ in range(depth))))
            if stage < len(depths) - 1:
                shape = (options.down_patch_size, options.down_stride, options.down_pad)
                parts.append(Chain({"proj": nn.Conv2d(width, channels[stage + 1], *shape)}))
        self.network = nn.ModuleList(parts)
        self.order = ["patch_embed", *(f"network.{number}" for number in range(len(parts))), f"norm{LAST}"]
        self.add_module(f"norm{LAST}", norm(channels[-1]))
