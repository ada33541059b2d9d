"""The ResNet family: ResNet, V1c, V1d, CIFAR, ResNeXt, SE-ResNet and SE-ResNeXt, 18 to 152 layers; RegNet; DenseNet.

Source: He et al., Deep Residual Learning, CVPR 2016, table 1; V1c and V1d (deep stem, average pooling on the
shortcut): He et al., Bag of Tricks, CVPR 2019, figure 2; groups: Xie et al., ResNeXt, CVPR 2017; squeeze-and-excitation:
Hu et al., CVPR 2018; RegNet: Radosavovic et al., Designing Network Design Spaces, CVPR 2020, equations 2 to 4. They differ
in options only, so one set of blocks builds them all. DenseNet: Huang et al., Densely Connected Convolutional Networks,
CVPR 2017, table 1; transitions halve the channels.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from math import log
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.zoo.units import (
    NORM_NAMES,
    RELU,
    BlockShape,
    Chain,
    Features,
    SqueezeExcite,
    activation,
    conv_unit,
    find_arch,
    norm_layer,
    padded_conv,
    require_native,
    stages_asked,
)

DEPTHS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}
"""Blocks per stage; from 50 layers on the blocks are bottlenecks."""


@dataclass(frozen=True)
class ResNetOptions:
    """What a config can say. `style` caffe puts the stride on the first 1x1 convolution of a bottleneck."""

    family: str
    depth: int
    in_channels: int = 3
    stem_channels: int = 64
    base_channels: int = 64
    expansion: int | None = None
    num_stages: int = 4
    strides: tuple[int, ...] = (1, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    out_indices: tuple[int, ...] = (3,)
    style: str = "pytorch"
    deep_stem: bool = False
    avg_down: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    groups: int = 1
    width_per_group: int = 64
    se_ratio: int | None = None
    small_stem: bool = False

    @property
    def bottleneck(self) -> bool:
        return self.depth >= 50


class ResidualBlock(nn.Module):
    """A residual block of either kind: convolutions with norms, an optional gate, a shortcut."""

    def __init__(self, shape: BlockShape, options: ResNetOptions) -> None:
        super().__init__()
        self.norms: list[str] = []
        for number, conv in enumerate(convolutions(shape, options), start=1):
            norm = norm_layer(conv.out_channels, options.norm_cfg)
            self.norms.append(f"{NORM_NAMES[type(norm)]}{number}")
            self.add_module(f"conv{number}", conv)
            self.add_module(self.norms[-1], norm)
        self.relu = nn.ReLU(inplace=True)
        if shape.stride != 1 or shape.entering != shape.leaving:
            self.downsample = shortcut(shape, options)
        if options.se_ratio is not None:
            self.se_layer = SqueezeExcite(shape.leaving, shape.leaving // options.se_ratio)

    def forward(self, features: Features) -> Float[Tensor, "b d i j"]:
        parts = dict(self.named_children())
        inside = features
        for number, norm in enumerate(self.norms, start=1):
            inside = parts[norm](parts[f"conv{number}"](inside))
            if number < len(self.norms):
                inside = self.relu(inside)
        if "se_layer" in parts:
            inside = self.se_layer(inside)
        return self.relu(inside + (self.downsample(features) if "downsample" in parts else features))


def convolutions(shape: BlockShape, options: ResNetOptions) -> list[nn.Conv2d]:
    """3x3 twice, or 1x1, 3x3, 1x1; `style` says which of the first two of a bottleneck strides."""
    entering, inside, leaving = pairwise((shape.entering, shape.inside, shape.inside, shape.leaving))
    if not options.bottleneck:
        return [padded_conv(entering, 3, stride=shape.stride, dilation=shape.dilation), padded_conv(leaving, 3)]
    first, second = (shape.stride, 1) if options.style == "caffe" else (1, shape.stride)
    return [
        padded_conv(entering, 1, stride=first),
        padded_conv(inside, 3, stride=second, dilation=shape.dilation, groups=shape.groups),
        padded_conv(leaving, 1),
    ]


def shortcut(shape: BlockShape, options: ResNetOptions) -> nn.Sequential:
    """1x1 convolution and norm; in V1d an average pool does the striding before them."""
    norm, channels = norm_layer(shape.leaving, options.norm_cfg), (shape.entering, shape.leaving)
    if options.avg_down and shape.stride != 1:
        pool = nn.AvgPool2d(shape.stride, shape.stride, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(pool, padded_conv(channels, 1), norm)
    return nn.Sequential(padded_conv(channels, 1, stride=shape.stride), norm)


class ResNet(Chain):
    """Stem and stages `layer1` ... `layer4`."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}
    PRESETS: ClassVar[Mapping[str, Settings]] = {
        "ResNetV1c": {"deep_stem": True},
        "ResNetV1d": {"deep_stem": True, "avg_down": True},
        "ResNet_CIFAR": {"small_stem": True},
        "ResNeXt": {"groups": 32, "width_per_group": 4},
        "SEResNet": {"se_ratio": 16},
        "SEResNeXt": {"groups": 32, "width_per_group": 4, "se_ratio": 16},
    }

    def __init__(self, options: ResNetOptions) -> None:
        super().__init__()
        if options.depth not in DEPTHS:
            depths = ", ".join(map(str, DEPTHS))
            raise ConfigError(f"{options.family} has no depth {options.depth!r}", hint=f"it has {depths}")
        entering = options.base_channels if options.small_stem else options.stem_channels
        add_stem(self, entering, options)
        growth = options.expansion or (4 if options.bottleneck else 1)
        stages = []
        for stage, blocks in enumerate(DEPTHS[options.depth][: options.num_stages]):
            inside = plain = options.base_channels * 2**stage
            if options.groups > 1:  # ResNeXt's table counts them group by group
                inside = options.groups * (options.width_per_group * plain // options.base_channels)
            stages.append((inside, plain * growth, blocks, options.groups))
        add_stages(self, entering, stages, options)


def add_stem(network: Chain, width: int, options: ResNetOptions) -> None:
    """The first layers: one 7x7, three 3x3 (V1c, V1d), or one 3x3 for small pictures (CIFAR, RegNet)."""
    entering, half = options.in_channels, width // 2
    if options.deep_stem:
        rows = (((entering, half), 2), ((half, half), 1), ((half, width), 1))
        network.stem = nn.Sequential(
            *(
                conv_unit(padded_conv(pair, 3, stride=stride), norm_layer(pair[1], options.norm_cfg), RELU)
                for pair, stride in rows
            )
        )
    else:
        kernel, stride = (7, 2) if not options.small_stem else (3, 2 if options.family == "RegNet" else 1)
        norm = norm_layer(width, options.norm_cfg)
        network.conv1 = padded_conv((entering, width), kernel, stride=stride)
        network.add_module(f"{NORM_NAMES[type(norm)]}1", norm)
        network.relu = nn.ReLU(inplace=True)
    if not options.small_stem:
        network.maxpool = nn.MaxPool2d(3, stride=2, padding=1)


def add_stages(network: Chain, entering: int, stages: list[tuple[int, int, int, int]], options: ResNetOptions) -> None:
    """`layer1` ... behind the stem; `stages` say the channels inside and out, the blocks and the groups of each."""
    network.order = [name for name, _ in network.named_children()]
    last = stages_asked(options.out_indices, len(stages))[-1]
    for stage, (inside, leaving, depth, groups) in enumerate(stages):
        blocks = []
        for stride in (options.strides[stage], *[1] * (depth - 1)):
            shape = BlockShape(entering, inside, leaving, 3, stride, options.dilations[stage], groups)
            blocks.append(ResidualBlock(shape, options))
            entering = leaving
        network.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        if stage <= last:
            network.order.append(f"layer{stage + 1}")
            network.default_layer = f"layer{stage + 1}.{depth - 1}.{blocks[-1].norms[-1]}"


class RegNetLine(NamedTuple):
    """First width, slope and quantisation step of the widths; channels per group; blocks."""

    first: int
    slope: float
    ratio: float
    group: int
    depth: int

    def stages(self) -> list[tuple[int, int]]:
        """(width, blocks) of each stage: the line, rounded to powers of `ratio` and multiples of 8, then to whole groups."""
        widths = []
        for block in range(self.depth):
            power = round(log((self.first + self.slope * block) / self.first) / log(self.ratio))
            widths.append(round(self.first * self.ratio**power / 8) * 8)
        stages = [(width, min(self.group, width), len(list(blocks))) for width, blocks in groupby(widths)]
        return [(round(width / group) * group, depth) for width, group, depth in stages]


REGNETS: Mapping[str, RegNetLine] = {
    "regnetx_400mf": RegNetLine(24, 24.48, 2.54, 16, 22),
    "regnetx_800mf": RegNetLine(56, 35.73, 2.28, 16, 16),
    "regnetx_1.6gf": RegNetLine(80, 34.01, 2.25, 24, 18),
    "regnetx_3.2gf": RegNetLine(88, 26.31, 2.25, 48, 25),
    "regnetx_4.0gf": RegNetLine(96, 38.65, 2.43, 40, 23),
    "regnetx_6.4gf": RegNetLine(184, 60.83, 2.07, 56, 17),
    "regnetx_8.0gf": RegNetLine(80, 49.56, 2.88, 120, 23),
    "regnetx_12gf": RegNetLine(168, 73.36, 2.37, 112, 19),
}


@dataclass(frozen=True)
class RegNetOptions:
    """What a config can say."""

    arch: Any
    in_channels: int = 3
    stem_channels: int = 32
    base_channels: int = 32
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    out_indices: tuple[int, ...] = (3,)
    style: str = "pytorch"
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})


class RegNet(Chain):
    """A ResNet of bottlenecks that do not widen, as wide as a line says."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "deep_stem": False, "avg_down": False}

    def __init__(self, options: RegNetOptions) -> None:
        super().__init__()
        if isinstance(options.arch, Mapping):
            require_native("RegNet", bot_mul=(options.arch.get("bot_mul", 1.0), 1.0))
        line = find_arch("RegNet", options.arch, REGNETS, sizes=("w0", "wa", "wm", "group_w", "depth"), kind=RegNetLine)
        same = ("in_channels", "norm_cfg", "style", "strides", "dilations", "out_indices")
        like = ResNetOptions("RegNet", 50, small_stem=True, **{name: getattr(options, name) for name in same})
        add_stem(self, options.stem_channels, like)
        stages = [(width, width, depth, width // min(line.group, width)) for width, depth in line.stages()]
        add_stages(self, options.stem_channels, stages, like)


DENSENETS: Mapping[str, tuple[int, tuple[int, ...], int]] = {
    "121": (32, (6, 12, 24, 16), 64),
    "169": (32, (6, 12, 32, 32), 64),
    "201": (32, (6, 12, 48, 32), 64),
    "161": (48, (6, 12, 36, 24), 96),
}
"""New channels per layer, layers per stage, channels of the stem."""


@dataclass(frozen=True)
class DenseNetOptions:
    """What a config can say; `bn_size` times the growth is the width inside a layer."""

    arch: str | int = "121"
    in_channels: int = 3
    bn_size: int = 4
    compression_factor: float = 0.5
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    out_indices: int | tuple[int, ...] = -1


class DenseLayer(Chain):
    """Norm, 1x1, norm, 3x3 on all that came before."""

    order = ("norm1", "act", "conv1", "norm2", "act", "conv2")

    def __init__(self, entering: int, growth: int, options: DenseNetOptions) -> None:
        super().__init__()
        inside = options.bn_size * growth
        self.norm1 = norm_layer(entering, options.norm_cfg)
        self.conv1 = nn.Conv2d(entering, inside, 1, bias=False)
        self.norm2 = norm_layer(inside, options.norm_cfg)
        self.conv2 = nn.Conv2d(inside, growth, 3, padding=1, bias=False)
        self.act = activation(options.act_cfg)()


class DenseStage(nn.Module):
    """Layers that each see the output of all before them; what leaves is that, and the last one's new channels."""

    def __init__(self, layers: list[DenseLayer]) -> None:
        super().__init__()
        self.block = nn.ModuleList(layers)

    def forward(self, features: Features) -> Float[Tensor, "b d h w"]:
        for layer in self.block:
            features = torch.cat((features, layer(features)), dim=1)
        return features


class DenseNet(Chain):
    """`stem`, `stages` and `transitions` in turn; the last transition is a norm only."""

    def __init__(self, options: DenseNetOptions) -> None:
        super().__init__()
        growth, depths, width = find_arch("DenseNet", str(options.arch), DENSENETS)
        act = activation(options.act_cfg)
        conv = nn.Conv2d(options.in_channels, width, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(conv, norm_layer(width, options.norm_cfg), act(), nn.MaxPool2d(3, 2, 1))
        self.stages, self.transitions = nn.ModuleList(), nn.ModuleList()
        for stage, depth in enumerate(depths):
            layers = [DenseLayer(width + place * growth, growth, options) for place in range(depth)]
            self.stages.append(DenseStage(layers))
            width += depth * growth
            norm = norm_layer(width, options.norm_cfg)
            if stage == len(depths) - 1:
                self.transitions.append(nn.Sequential(norm, act()))
                continue
            half = int(width * options.compression_factor)
            smaller = nn.Conv2d(width, half, 1, bias=False)
            parts: OrderedDict[str, nn.Module] = OrderedDict(norm=norm, act=act(), conv=smaller, pool=nn.AvgPool2d(2))
            self.transitions.append(nn.Sequential(parts))
            width = half
        stages = range(stages_asked(options.out_indices, len(depths))[-1] + 1)
        self.order = ["stem", *(f"{part}.{stage}" for stage in stages for part in ("stages", "transitions"))]
