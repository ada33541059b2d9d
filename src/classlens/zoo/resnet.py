"""The ResNet family: ResNet, V1c, V1d, CIFAR, ResNeXt, SE-ResNet and SE-ResNeXt, 18 to 152 layers.

Source: He et al., Deep Residual Learning, CVPR 2016, table 1; V1c and V1d (deep stem, average pooling on the
shortcut): He et al., Bag of Tricks, CVPR 2019, figure 2; groups: Xie et al., ResNeXt, CVPR 2017; squeeze-and-excitation:
Hu et al., CVPR 2018. The variants differ in options only, so one set of blocks builds them all.
"""

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import log
from typing import Any, ClassVar, NamedTuple

from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.zoo.units import (
    ACTIVATIONS,
    Chain,
    SqueezeExcite,
    conv_unit,
    find_arch,
    norm_layer,
    norm_name,
    padded_conv,
    plain_type,
    read_options,
    require_native,
)

DEPTHS = {
    18: (2, 2, 2, 2),
    34: (3, 4, 6, 3),
    50: (3, 4, 6, 3),
    101: (3, 4, 23, 3),
    152: (3, 8, 36, 3),
}
"""Blocks per stage; from 50 layers on the blocks are bottlenecks."""


@dataclass(frozen=True)
class ResNetOptions:
    """What a config can say. `style` caffe puts the stride on the first 1x1 convolution of a bottleneck."""

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
    conv_cfg: None = None
    groups: int = 1
    width_per_group: int = 64
    se_ratio: int | None = None
    small_stem: bool = False

    @property
    def bottleneck(self) -> bool:
        return self.depth >= 50


@dataclass(frozen=True)
class BlockPlace:
    """Where a block sits: channels in, inside and out; stride, dilation and groups of its 3x3."""

    entering: int
    inside: int
    leaving: int
    stride: int
    dilation: int = 1
    groups: int = 1


class ResidualBlock(nn.Module):
    """A residual block of either kind: convolutions with norms, an optional gate, a shortcut."""

    def __init__(self, place: BlockPlace, options: ResNetOptions) -> None:
        super().__init__()
        self.norms: list[str] = []
        convs = bottleneck_convs(place, options) if options.bottleneck else basic_convs(place)
        for number, conv in enumerate(convs, start=1):
            norm = norm_layer(conv.out_channels, options.norm_cfg)
            self.norms.append(f"{norm_name(norm)}{number}")
            self.add_module(f"conv{number}", conv)
            self.add_module(self.norms[-1], norm)
        self.relu = nn.ReLU(inplace=True)
        if place.stride != 1 or place.entering != place.leaving:
            self.downsample = shortcut(place, options)
        if options.se_ratio is not None:
            gate = (ACTIVATIONS["ReLU"], ACTIVATIONS["Sigmoid"])
            self.se_layer = SqueezeExcite(place.leaving, place.leaving // options.se_ratio, gate)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Features of the next block."""
        parts = dict(self.named_children())
        inside = features
        for number, norm in enumerate(self.norms, start=1):
            inside = parts[norm](parts[f"conv{number}"](inside))
            if number < len(self.norms):
                inside = self.relu(inside)
        if "se_layer" in parts:
            inside = self.se_layer(inside)
        kept = self.downsample(features) if "downsample" in parts else features
        summed: Tensor = self.relu(inside + kept)
        return summed


def basic_convs(place: BlockPlace) -> list[nn.Conv2d]:
    return [
        padded_conv((place.entering, place.inside), 3, stride=place.stride, dilation=place.dilation),
        padded_conv((place.inside, place.leaving), 3),
    ]


def bottleneck_convs(place: BlockPlace, options: ResNetOptions) -> list[nn.Conv2d]:
    """1x1, 3x3, 1x1; `style` says which of the first two strides."""
    first, second = (place.stride, 1) if options.style == "caffe" else (1, place.stride)
    inside = (place.inside, place.inside)
    return [
        padded_conv((place.entering, place.inside), 1, stride=first),
        padded_conv(inside, 3, stride=second, dilation=place.dilation, groups=place.groups),
        padded_conv((place.inside, place.leaving), 1),
    ]


def shortcut(place: BlockPlace, options: ResNetOptions) -> nn.Sequential:
    """1x1 convolution and norm; in V1d an average pool does the striding before them."""
    norm = norm_layer(place.leaving, options.norm_cfg)
    if options.avg_down and place.stride != 1:
        pool = nn.AvgPool2d(place.stride, place.stride, ceil_mode=True, count_include_pad=False)
        return nn.Sequential(pool, padded_conv((place.entering, place.leaving), 1), norm)
    return nn.Sequential(padded_conv((place.entering, place.leaving), 1, stride=place.stride), norm)


def stem(options: ResNetOptions) -> OrderedDict[str, nn.Module]:
    """The first layers: one 7x7, three 3x3 (V1c, V1d), or one 3x3 for CIFAR's 32-pixel pictures."""
    entering, width, half = options.in_channels, options.stem_channels, options.stem_channels // 2
    if options.deep_stem:
        rows = (((entering, half), 2), ((half, half), 1), ((half, width), 1))
        deep = (
            conv_unit(padded_conv(pair, 3, stride=stride), norm_layer(pair[1], options.norm_cfg), ACTIVATIONS["ReLU"])
            for pair, stride in rows
        )
        return OrderedDict(stem=nn.Sequential(*deep))
    if options.small_stem:
        conv = padded_conv((entering, options.base_channels), 3)
    else:
        conv = padded_conv((entering, width), 7, stride=2)
    norm = norm_layer(conv.out_channels, options.norm_cfg)
    return OrderedDict({"conv1": conv, f"{norm_name(norm)}1": norm, "relu": nn.ReLU(inplace=True)})


class ResNet(Chain):
    """Stem and stages `layer1` ... `layer4`; returns the last stage of `out_indices`."""

    def __init__(self, options: ResNetOptions) -> None:
        super().__init__()
        entering = options.base_channels if options.small_stem else options.stem_channels
        first = stem(options)
        if not options.small_stem:
            first["maxpool"] = nn.MaxPool2d(3, stride=2, padding=1)
        for name, part in first.items():
            self.add_module(name, part)
        growth = options.expansion or (4 if options.bottleneck else 1)
        stages = []
        for stage, blocks in enumerate(DEPTHS[options.depth][: options.num_stages]):
            inside = plain = options.base_channels * 2**stage
            if options.groups > 1:  # ResNeXt's table counts them group by group
                inside = options.groups * (options.width_per_group * plain // options.base_channels)
            stages.append((inside, plain * growth, blocks, options.groups))
        add_stages(self, entering, stages, options)


def add_stages(
    network: Chain, entering: int, stages: Iterable[tuple[int, int, int, int]], options: ResNetOptions
) -> None:
    """Put `layer1` ... behind the stem; `stages` say the channels inside and out, the blocks and the groups of each."""
    network.order = [name for name, _ in network.named_children()]
    for stage, (inside, leaving, blocks, groups) in enumerate(stages):
        rows = []
        for block in range(blocks):
            stride = options.strides[stage] if block == 0 else 1
            rows.append(
                ResidualBlock(BlockPlace(entering, inside, leaving, stride, options.dilations[stage], groups), options)
            )
            entering = leaving
        network.add_module(f"layer{stage + 1}", nn.Sequential(*rows))
        if stage <= options.out_indices[-1]:
            network.order.append(f"layer{stage + 1}")
            network.default_layer = f"layer{stage + 1}.{blocks - 1}.{rows[-1].norms[-1]}"


VARIANTS: Mapping[str, Settings] = {
    "ResNet": {},
    "ResNetV1c": {"deep_stem": True},
    "ResNetV1d": {"deep_stem": True, "avg_down": True},
    "ResNet_CIFAR": {"small_stem": True},
    "ResNeXt": {"groups": 32, "width_per_group": 4},
    "SEResNet": {"se_ratio": 16},
    "SEResNeXt": {"groups": 32, "width_per_group": 4, "se_ratio": 16},
}
"""What each type of the config adds to a plain ResNet, unless the config says otherwise."""


def resnet(settings: Settings) -> ResNet:
    """The backbone of a config's `dict(type='ResNet', depth=50, ...)` or of one of its variants.

    Raises:
        ConfigError: there is no such depth, or a variant's settings are not its own.
    """
    family = plain_type(settings)
    options = read_options(ResNetOptions, {**VARIANTS[family], **settings})
    if options.depth not in DEPTHS:
        raise ConfigError(f"{family} has no depth {options.depth!r}", hint=f"it has {', '.join(map(str, DEPTHS))}")
    if options.conv_cfg is not None:
        raise ConfigError(f"{family} with conv_cfg={options.conv_cfg!r} is not built natively", hint="leave it out")
    return ResNet(options)


STEP = 8
"""Widths are multiples of it."""


class RegNetLine(NamedTuple):
    """First width, slope and quantisation step of the widths; channels per group; blocks."""

    first: int
    slope: float
    ratio: float
    group: int
    depth: int


ARCHES: Mapping[str, RegNetLine] = {
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

    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "deep_stem": False, "avg_down": False}

    arch: Any
    in_channels: int = 3
    stem_channels: int = 32
    base_channels: int = 32
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    out_indices: tuple[int, ...] = (3,)
    style: str = "pytorch"
    deep_stem: bool = False
    avg_down: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    conv_cfg: None = None


def stages_of(line: RegNetLine) -> list[tuple[int, int]]:
    """(width, blocks) of each stage: the line, rounded to powers of `ratio`, then to whole groups."""
    widths = []
    for block in range(line.depth):
        power = round(log((line.first + line.slope * block) / line.first) / log(line.ratio))
        widths.append(round(line.first * line.ratio**power / STEP) * STEP)
    stages = [(width, len(list(blocks))) for width, blocks in groupby(widths)]
    groups = {width: min(line.group, width) for width, _ in stages}
    return [(round(width / groups[width]) * groups[width], blocks) for width, blocks in stages]


class RegNet(Chain):
    """Stem, then stages `layer1` ... `layer4`; returns the last stage of `out_indices`."""

    OPTIONS = RegNetOptions

    def __init__(self, options: RegNetOptions) -> None:
        super().__init__()
        if isinstance(options.arch, Mapping):
            require_native("RegNet", bot_mul=(options.arch.get("bot_mul", 1.0), 1.0))
        line = find_arch("RegNet", options.arch, ARCHES, sizes=("w0", "wa", "wm", "group_w", "depth"), kind=RegNetLine)
        norm = norm_layer(options.stem_channels, options.norm_cfg)
        self.conv1 = padded_conv((options.in_channels, options.stem_channels), 3, stride=2)
        self.add_module(f"{norm_name(norm)}1", norm)
        self.relu = nn.ReLU(inplace=True)
        same = ("norm_cfg", "style", "strides", "dilations", "out_indices")
        like = ResNetOptions(depth=50, **{name: getattr(options, name) for name in same})
        stages = [(width, width, blocks, width // min(line.group, width)) for width, blocks in stages_of(line)]
        add_stages(self, options.stem_channels, stages, like)
