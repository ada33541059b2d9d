"""MobileNetV2 of any width.

Source: Sandler et al., MobileNetV2, CVPR 2018, table 2. `conv1`, `layer1` ... `layer7`, `conv2`.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.inverted import SIGMOID, Parts
from classlens.adapters.openmm.zoo.options import only, read_options
from classlens.adapters.openmm.zoo.units import activation, divisible
from classlens.arrays import Float


class Row(NamedTuple):
    """One row of the paper's table."""

    expansion: int
    channels: int
    repeats: int
    stride: int


ROWS = (
    Row(1, 16, 1, 1),
    Row(6, 24, 2, 2),
    Row(6, 32, 3, 2),
    Row(6, 64, 4, 2),
    Row(6, 96, 3, 1),
    Row(6, 160, 3, 2),
    Row(6, 320, 1, 1),
)
STEM, LAST = 32, 1280


@dataclass(frozen=True)
class MobileNetV2Options:
    """What a config can say; index 7 of `out_indices` is `conv2`."""

    widen_factor: float = 1.0
    out_indices: tuple[int, ...] = (7,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU6"})
    conv_cfg: None = None


class Bottleneck(nn.Module):
    """Expand, convolve each channel, project: units `conv.0`, `conv.1`, ...; then the shortcut."""

    def __init__(self, channels: tuple[int, int], stride: int, expansion: int, parts: Parts) -> None:
        super().__init__()
        inside = channels[0] * expansion
        units = [parts.unit((channels[0], inside), 1)] if expansion != 1 else []
        units.append(parts.unit((inside, inside), 3, stride=stride, groups=inside))
        units.append(parts.unit((inside, channels[1]), 1, act=False))
        self.conv = nn.Sequential(*units)
        self.shortcut = stride == 1 and channels[0] == channels[1]

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Features of the next block."""
        inside: Tensor = self.conv(features)
        return features + inside if self.shortcut else inside


class MobileNetV2(nn.Module):
    """Stem, seven layers, last convolution; returns the layer named by the last of `out_indices`."""

    def __init__(self, options: MobileNetV2Options) -> None:
        super().__init__()
        act = activation(options.act_cfg)
        parts = Parts(nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        entering = divisible(STEM * options.widen_factor)
        self.conv1 = parts.unit((3, entering), 3, stride=2)
        for number, row in enumerate(ROWS, start=1):
            leaving = divisible(row.channels * options.widen_factor)
            blocks = []
            for repeat in range(row.repeats):
                stride = row.stride if repeat == 0 else 1
                blocks.append(Bottleneck((entering, leaving), stride, row.expansion, parts))
                entering = leaving
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.conv2 = parts.unit((entering, int(LAST * max(1.0, options.widen_factor))), 1)
        names = [*(f"layer{number}" for number in range(1, len(ROWS) + 1)), "conv2"]
        self.order = ["conv1", *names[: options.out_indices[-1] + 1]]

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the layer asked for."""
        features = images
        for name in self.order:
            features = self.get_submodule(name)(features)
        return features


def mobilenet_v2(settings: Settings) -> MobileNetV2:
    """The backbone of a config's `dict(type='MobileNetV2', widen_factor=1.0)`."""
    options = read_options(MobileNetV2Options, settings)
    only("MobileNetV2", conv_cfg=(options.conv_cfg, None))
    return MobileNetV2(options)
