"""EfficientNet B0-B8 and L2, EdgeTPU (es, em, el) and Lite (lite0-lite4).

Source: Tan & Le, EfficientNet, ICML 2019, table 1 (B0) and section 3.3 (compound scaling); the EdgeTPU and Lite
variants are described in the release notes of their authors. OpenMMLab joins consecutive stages of one resolution
into one layer, and so do we: `layers.0` is the stem, `layers.6` the last 1x1 convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from torch import nn

from classlens.config.settings import Settings
from classlens.zoo.mobilenet import SIGMOID, BlockShape, Residual, UnitParts, fused_residual, inverted_residual
from classlens.zoo.units import ACTIVATIONS, Chain, SamePadConv2d, activation, find_arch, norm_name, round_width


class StageRow(NamedTuple):
    """One row of the paper's table. `fused` joins expansion and spatial convolution into one (EdgeTPU)."""

    kernel: int
    expansion: int
    channels: int
    repeats: int
    stride: int
    squeeze: bool = True
    fused: bool = False
    residual: bool = True


B0 = (
    StageRow(3, 1, 16, 1, 1),
    StageRow(3, 6, 24, 2, 2),
    StageRow(5, 6, 40, 2, 2),
    StageRow(3, 6, 80, 3, 2),
    StageRow(5, 6, 112, 3, 1),
    StageRow(5, 6, 192, 4, 2),
    StageRow(3, 6, 320, 1, 1),
)
LITE = tuple(stage._replace(squeeze=False) for stage in B0)
EDGE = (
    StageRow(3, 4, 24, 1, 1, squeeze=False, fused=True, residual=False),
    StageRow(3, 8, 32, 2, 2, squeeze=False, fused=True),
    StageRow(3, 8, 48, 4, 2, squeeze=False, fused=True),
    StageRow(5, 8, 96, 5, 2, squeeze=False),
    StageRow(5, 8, 144, 4, 1, squeeze=False),
    StageRow(5, 8, 192, 2, 2, squeeze=False),
)


@dataclass(frozen=True)
class Scaling:
    """How a variant grows out of its table; Lite keeps the stem, the head and the two outer stages as they are."""

    stages: tuple[StageRow, ...]
    width: float
    depth: float
    lite: bool = False


COEFFICIENTS = (
    (1.0, 1.0),
    (1.0, 1.1),
    (1.1, 1.2),
    (1.2, 1.4),
    (1.4, 1.8),
    (1.6, 2.2),
    (1.8, 2.6),
    (2.0, 3.1),
    (2.2, 3.6),
)
ARCHES: Mapping[str, Scaling] = {
    **{f"b{size}": Scaling(B0, *pair) for size, pair in enumerate(COEFFICIENTS)},
    **{f"lite{size}": Scaling(LITE, *pair, lite=True) for size, pair in enumerate(COEFFICIENTS[:5])},
    "l2": Scaling(B0, 4.3, 5.3),
    "es": Scaling(EDGE, 1.0, 1.0),
    "em": Scaling(EDGE, 1.0, 1.1),
    "el": Scaling(EDGE, 1.2, 1.4),
}


@dataclass(frozen=True)
class EfficientNetOptions:
    """What a config can say; without `act_cfg`, Lite takes ReLU6 and the others Swish."""

    arch: str = "b0"
    out_indices: tuple[int, ...] = (6,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN", "eps": 1e-3})
    act_cfg: Settings | None = None
    conv_cfg: Settings = field(default_factory=lambda: {"type": "Conv2dAdaptivePadding"})


def blocks_of(scaling: Scaling, parts: UnitParts, channels: int) -> tuple[list[list[nn.Module]], int]:
    """The blocks, grouped by resolution, and the channels that leave the last one."""
    groups: list[list[nn.Module]] = [[]]
    for index, row in enumerate(scaling.stages):
        width = round_width(row.channels * scaling.width)
        outer = index in (0, len(scaling.stages) - 1)
        if row.stride == 2:
            groups.append([])
        for repeat in range(row.repeats if scaling.lite and outer else ceil(row.repeats * scaling.depth)):
            stride = row.stride if repeat == 0 else 1
            # The first EdgeTPU block expands as if it came from its table's 24 channels, not from the stem's 32.
            expansion = 3 if row.fused and index == repeat == 0 else row.expansion
            squeezed = channels // 4 if row.squeeze else None
            shape = BlockShape(channels, channels * expansion, width, row.kernel, stride, squeezed)
            if row.fused:
                groups[-1].append(fused_residual(shape, parts, shortcut=row.residual))
            else:
                groups[-1].append(inverted_residual(shape, parts))
            channels = width
    return groups, channels


class EfficientNet(Chain):
    """Stem, groups of blocks, last convolution; returns the layer named by the last of `out_indices`."""

    OPTIONS = EfficientNetOptions

    def __init__(self, options: EfficientNetOptions) -> None:
        super().__init__()
        scaling = find_arch("EfficientNet", options.arch, ARCHES)
        act = activation(options.act_cfg) if options.act_cfg else ACTIVATIONS["ReLU6" if scaling.lite else "Swish"]
        same = options.conv_cfg.get("type") == "Conv2dAdaptivePadding"
        parts = UnitParts(SamePadConv2d if same else nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        stem = 32 if scaling.lite else round_width(32 * scaling.width)
        groups, channels = blocks_of(scaling, parts, stem)
        head = 1280 if scaling.lite else round_width(1280 * scaling.width)
        first, last = parts.unit((3, stem), 3, stride=2), parts.unit((channels, head), 1)
        self.layers = nn.ModuleList([first, *(nn.Sequential(*group) for group in groups), last])
        asked = options.out_indices[-1] % len(self.layers)
        self.order = [f"layers.{number}" for number in range(asked + 1)]
        if asked == len(self.layers) - 1:
            self.default_layer = f"layers.{asked}.{norm_name(last[1])}"


class V2Arch(NamedTuple):
    """Channels of the stem; repeats and channels of six stages; channels of the last convolution."""

    stem: int
    repeats: tuple[int, ...]
    channels: tuple[int, ...]
    last: int = 1280


V2_ARCHES: Mapping[str, V2Arch] = {
    **dict.fromkeys(("s", "small"), V2Arch(24, (2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256))),
    **dict.fromkeys(("m", "medium"), V2Arch(24, (3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512))),
    **dict.fromkeys(("l", "large"), V2Arch(32, (4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640))),
    "xl": V2Arch(32, (4, 8, 8, 16, 24, 32, 8), (32, 64, 96, 192, 256, 512, 640)),
    "b0": V2Arch(32, (1, 2, 2, 3, 5, 8), (16, 32, 48, 96, 112, 192)),
    "b1": V2Arch(32, (2, 3, 3, 4, 6, 9), (16, 32, 48, 96, 112, 192)),
    "b2": V2Arch(32, (2, 3, 3, 4, 6, 10), (16, 32, 56, 104, 120, 208), 1408),
    "b3": V2Arch(40, (2, 3, 3, 5, 7, 12), (16, 40, 56, 112, 136, 232), 1536),
}
STRIDES = (1, 2, 2, 2, 1, 2, 1)
EXPANSIONS = (1, 4, 4, 4, 6, 6, 6)
FUSED = 3
"""The first stage is plain convolutions, stages up to this one are fused, later ones are inverted with a gate."""


@dataclass(frozen=True)
class EfficientNetV2Options:
    """What a config can say."""

    arch: str = "s"
    in_channels: int = 3
    out_indices: tuple[int, ...] = (-1,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN", "eps": 1e-3, "momentum": 0.1})
    act_cfg: Settings = field(default_factory=lambda: {"type": "Swish"})
    conv_cfg: Settings = field(default_factory=lambda: {"type": "Conv2dAdaptivePadding"})


class EfficientNetV2(Chain):
    """Returns the layer named by the last of `out_indices`."""

    OPTIONS = EfficientNetV2Options

    def __init__(self, options: EfficientNetV2Options) -> None:
        super().__init__()
        arch = find_arch("EfficientNetV2", options.arch, V2_ARCHES)
        act = activation(options.act_cfg)
        same = options.conv_cfg.get("type") == "Conv2dAdaptivePadding"
        parts = UnitParts(SamePadConv2d if same else nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        self.layers = nn.ModuleList([parts.unit((options.in_channels, arch.stem), 3, stride=2)])
        entering = arch.stem
        for stage, (repeats, leaving) in enumerate(zip(arch.repeats, arch.channels, strict=True)):
            blocks: list[nn.Module] = []
            for repeat in range(repeats):
                blocks.append(block_of(stage, (entering, leaving), parts, first=repeat == 0))
                entering = leaving
            self.layers.append(nn.Sequential(*blocks))
        last = parts.unit((entering, arch.last), 1)
        self.layers.append(last)
        asked = options.out_indices[-1] % len(self.layers)
        self.order = [f"layers.{number}" for number in range(asked + 1)]
        if asked == len(self.layers) - 1:
            self.default_layer = f"layers.{asked}.{norm_name(last[1])}"


def block_of(stage: int, channels: tuple[int, int], parts: UnitParts, *, first: bool) -> nn.Module:
    """One block of a stage; the first one strides."""
    if stage == 0:
        return Residual(dict(parts.unit(channels, 3).named_children()), shortcut=channels[0] == channels[1])
    stride = STRIDES[stage] if first else 1
    inside = channels[0] * EXPANSIONS[stage]
    if stage < FUSED:
        return fused_residual(BlockShape(channels[0], inside, channels[1], 3, stride), parts)
    return inverted_residual(BlockShape(channels[0], inside, channels[1], 3, stride, channels[0] // 4), parts)
