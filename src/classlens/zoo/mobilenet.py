"""MobileNet, second and third version, and the blocks that they share with the EfficientNets.

Source: Sandler et al., MobileNetV2, CVPR 2018, figure 3 and table 2 (expand, convolve each channel, project without
activation); with squeeze-and-excitation: Howard et al., MobileNetV3, ICCV 2019, figure 4, tables 1 and 2. The fused form
joins the first two convolutions into one: Tan & Le, EfficientNetV2, ICML 2021, figure 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import (
    ACTIVATIONS,
    RELU,
    SIGMOID,
    Activation,
    Chain,
    Features,
    SqueezeExcite,
    activation,
    conv_unit,
    find_arch,
    norm_layer,
    norm_name,
    round_width,
    stages_asked,
)


@dataclass(frozen=True)
class BlockShape:
    """Channels in, inside and out; kernel and stride; the width of the gate's waist, None without a gate."""

    entering: int
    inside: int
    leaving: int
    kernel: int
    stride: int
    squeezed: int | None = None


@dataclass(frozen=True)
class UnitParts:
    """What every unit of one network is made of; `gate` are the two activations of squeeze-and-excitation."""

    conv: type[nn.Conv2d]
    norm: Settings
    act: Activation
    gate: tuple[Activation, Activation]

    def unit(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> nn.Sequential:
        """Convolution, norm and activation; `channels` is (in, out)."""
        padding = kernel // 2 if self.conv is nn.Conv2d else 0
        conv = self.conv(*channels, kernel, stride, padding, groups=groups, bias=False)
        return conv_unit(conv, norm_layer(channels[1], self.norm), self.act if act else None)


class Residual(Chain):
    """Units in a row, each under its name; then the shortcut, where input and output have one shape."""

    def __init__(self, units: Mapping[str, nn.Module], shape: BlockShape, *, shortcut: bool = True) -> None:
        super().__init__(units)
        self.shortcut = shortcut and shape.stride == 1 and shape.entering == shape.leaving

    def forward(self, features: Features) -> Float[Tensor, "b d i j"]:
        inside = super().forward(features)
        return features + inside if self.shortcut else inside


def inverted_units(shape: BlockShape, parts: UnitParts) -> dict[str, nn.Module]:
    """Expand (where the inside is wider), convolve each channel, gate, project."""
    inside = shape.inside
    units: dict[str, nn.Module] = {}
    if inside != shape.entering:
        units["expand_conv"] = parts.unit((shape.entering, inside), 1)
    units["depthwise_conv"] = parts.unit((inside, inside), shape.kernel, stride=shape.stride, groups=inside)
    if shape.squeezed is not None:
        units["se"] = SqueezeExcite(inside, shape.squeezed, parts.gate)
    return {**units, "linear_conv": parts.unit((inside, shape.leaving), 1, act=False)}


class V2Row(NamedTuple):
    """One row of the paper's table."""

    expansion: int
    channels: int
    repeats: int
    stride: int


V2_ROWS = (
    V2Row(1, 16, 1, 1),
    V2Row(6, 24, 2, 2),
    V2Row(6, 32, 3, 2),
    V2Row(6, 64, 4, 2),
    V2Row(6, 96, 3, 1),
    V2Row(6, 160, 3, 2),
    V2Row(6, 320, 1, 1),
)
V2_STEM, V2_LAST = 32, 1280


@dataclass(frozen=True)
class MobileNetV2Options:
    """What a config can say; index 7 of `out_indices` is `conv2`."""

    widen_factor: float = 1.0
    out_indices: tuple[int, ...] = (7,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU6"})


class MobileNetV2(Chain):
    """Stem, seven layers of blocks with units `conv.0`, `conv.1`, ..., last convolution."""

    OPTIONS = MobileNetV2Options
    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    def __init__(self, options: MobileNetV2Options) -> None:
        super().__init__()
        act = activation(options.act_cfg)
        parts = UnitParts(nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        entering = round_width(V2_STEM * options.widen_factor)
        self.conv1 = parts.unit((3, entering), 3, stride=2)
        for number, row in enumerate(V2_ROWS, start=1):
            leaving = round_width(row.channels * options.widen_factor)
            blocks = []
            for stride in (row.stride, *[1] * (row.repeats - 1)):
                shape = BlockShape(entering, entering * row.expansion, leaving, 3, stride)
                blocks.append(Residual({"conv": nn.Sequential(*inverted_units(shape, parts).values())}, shape))
                entering = leaving
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.conv2 = parts.unit((entering, int(V2_LAST * max(1.0, options.widen_factor))), 1)
        names = [name for name, _ in self.named_children()]
        self.order = names[: 2 + stages_asked(options.out_indices, len(names) - 1)[-1]]


V3_STEM = 16


class V3Row(NamedTuple):
    """One bottleneck of the paper's tables: kernel, channels inside and out, gate or not, activation, stride."""

    kernel: int
    inside: int
    channels: int
    squeeze: bool
    act: str
    stride: int


SMALL = (
    V3Row(3, 16, 16, True, "ReLU", 2),
    V3Row(3, 72, 24, False, "ReLU", 2),
    V3Row(3, 88, 24, False, "ReLU", 1),
    V3Row(5, 96, 40, True, "HSwish", 2),
    *(V3Row(5, 240, 40, True, "HSwish", 1),) * 2,
    V3Row(5, 120, 48, True, "HSwish", 1),
    V3Row(5, 144, 48, True, "HSwish", 1),
    V3Row(5, 288, 96, True, "HSwish", 2),
    *(V3Row(5, 576, 96, True, "HSwish", 1),) * 2,
)
LARGE = (
    V3Row(3, 16, 16, False, "ReLU", 1),
    V3Row(3, 64, 24, False, "ReLU", 2),
    V3Row(3, 72, 24, False, "ReLU", 1),
    V3Row(5, 72, 40, True, "ReLU", 2),
    *(V3Row(5, 120, 40, True, "ReLU", 1),) * 2,
    V3Row(3, 240, 80, False, "HSwish", 2),
    V3Row(3, 200, 80, False, "HSwish", 1),
    *(V3Row(3, 184, 80, False, "HSwish", 1),) * 2,
    V3Row(3, 480, 112, True, "HSwish", 1),
    V3Row(3, 672, 112, True, "HSwish", 1),
    V3Row(5, 672, 160, True, "HSwish", 2),
    *(V3Row(5, 960, 160, True, "HSwish", 1),) * 2,
)
V3_ARCHES: Mapping[str, tuple[tuple[V3Row, ...], float]] = {
    "small": (SMALL, 1.0),
    "small_075": (SMALL, 0.75),
    "small_050": (SMALL, 0.5),
    "large": (LARGE, 1.0),
}
LAST_EXPANSION = 6
"""How much wider the last convolution is than what enters it."""


class MobileNetV3(Chain):
    """`layer0`, `layer1`, ..., the last one a convolution."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    def __init__(
        self, arch: str = "small", *, out_indices: tuple[int, ...] | None = None, norm_cfg: Settings | None = None
    ) -> None:
        super().__init__()
        rows, width = find_arch("MobileNetV3", arch, V3_ARCHES)
        norm = norm_cfg or {"type": "BN", "eps": 1e-3, "momentum": 0.01}
        parts = UnitParts(nn.Conv2d, norm, ACTIVATIONS["HSwish"], (RELU, ACTIVATIONS["HSigmoid"]))
        self.layer0 = parts.unit((3, V3_STEM), 3, stride=2)
        entering, in_table = V3_STEM, V3_STEM
        for number, row in enumerate(rows, start=1):
            inside, leaving = round_width(entering * row.inside / in_table), round_width(row.channels * width)
            squeezed = round_width(inside / 4) if row.squeeze else None
            shape = BlockShape(entering, inside, leaving, row.kernel, row.stride, squeezed)
            self.add_module(
                f"layer{number}", Residual(inverted_units(shape, replace(parts, act=ACTIVATIONS[row.act])), shape)
            )
            entering, in_table = leaving, row.channels
        last = parts.unit((entering, round_width(entering * LAST_EXPANSION)), 1)
        self.add_module(f"layer{len(rows) + 1}", last)
        asked = stages_asked(out_indices or -1, len(rows) + 2)[-1]
        self.order = [f"layer{number}" for number in range(asked + 1)]
        if asked > len(rows):
            self.default_layer = f"layer{asked}.{norm_name(last[1])}"
