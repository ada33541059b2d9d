"""MobileNetV3, small (also three quarters and half as wide) and large.

Source: Howard et al., Searching for MobileNetV3, ICCV 2019, tables 1 and 2. `layer0` is the stem, the last layer a 1x1
convolution; the paper's final layers are the head's (StackedLinearClsHead).
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.inverted import InvertedResidual, Parts, Shape
from classlens.adapters.openmm.zoo.options import chosen_arch, only, read_options
from classlens.adapters.openmm.zoo.units import ACTIVATIONS, divisible, norm_name
from classlens.arrays import Float

STEM = 16


class Row(NamedTuple):
    """One bottleneck of the paper's tables: kernel, channels inside and out, gate or not, activation, stride."""

    kernel: int
    inside: int
    channels: int
    squeeze: bool
    act: str
    stride: int


SMALL = (
    Row(3, 16, 16, True, "ReLU", 2),
    Row(3, 72, 24, False, "ReLU", 2),
    Row(3, 88, 24, False, "ReLU", 1),
    Row(5, 96, 40, True, "HSwish", 2),
    Row(5, 240, 40, True, "HSwish", 1),
    Row(5, 240, 40, True, "HSwish", 1),
    Row(5, 120, 48, True, "HSwish", 1),
    Row(5, 144, 48, True, "HSwish", 1),
    Row(5, 288, 96, True, "HSwish", 2),
    Row(5, 576, 96, True, "HSwish", 1),
    Row(5, 576, 96, True, "HSwish", 1),
)
LARGE = (
    Row(3, 16, 16, False, "ReLU", 1),
    Row(3, 64, 24, False, "ReLU", 2),
    Row(3, 72, 24, False, "ReLU", 1),
    Row(5, 72, 40, True, "ReLU", 2),
    Row(5, 120, 40, True, "ReLU", 1),
    Row(5, 120, 40, True, "ReLU", 1),
    Row(3, 240, 80, False, "HSwish", 2),
    Row(3, 200, 80, False, "HSwish", 1),
    Row(3, 184, 80, False, "HSwish", 1),
    Row(3, 184, 80, False, "HSwish", 1),
    Row(3, 480, 112, True, "HSwish", 1),
    Row(3, 672, 112, True, "HSwish", 1),
    Row(5, 672, 160, True, "HSwish", 2),
    Row(5, 960, 160, True, "HSwish", 1),
    Row(5, 960, 160, True, "HSwish", 1),
)
ARCHES: Mapping[str, tuple[tuple[Row, ...], float]] = {
    "small": (SMALL, 1.0),
    "small_075": (SMALL, 0.75),
    "small_050": (SMALL, 0.5),
    "large": (LARGE, 1.0),
}
LAST_EXPANSION = 6
"""How much wider the last convolution is than what enters it."""


@dataclass(frozen=True)
class MobileNetV3Options:
    """What a config can say."""

    arch: str = "small"
    out_indices: tuple[int, ...] | None = None
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN", "eps": 1e-3, "momentum": 0.01})
    conv_cfg: None = None


class MobileNetV3(nn.Module):
    """`layer0`, `layer1`, ...; returns the layer named by the last of `out_indices`, by default the last one."""

    def __init__(self, options: MobileNetV3Options) -> None:
        super().__init__()
        rows, width = chosen_arch("MobileNetV3", options.arch, ARCHES)
        gate = (ACTIVATIONS["ReLU"], ACTIVATIONS["HSigmoid"])
        parts = Parts(nn.Conv2d, options.norm_cfg, ACTIVATIONS["HSwish"], gate)
        self.layer0 = parts.unit((3, STEM), 3, stride=2)
        entering, in_table = STEM, STEM
        for number, row in enumerate(rows, start=1):
            inside, leaving = divisible(entering * row.inside / in_table), divisible(row.channels * width)
            squeezed = divisible(inside / 4) if row.squeeze else None
            shape = Shape(entering, inside, leaving, row.kernel, row.stride, squeezed)
            block = InvertedResidual(shape, replace(parts, act=ACTIVATIONS[row.act]))
            self.add_module(f"layer{number}", block)
            entering, in_table = leaving, row.channels
        last = parts.unit((entering, divisible(entering * LAST_EXPANSION)), 1)
        self.add_module(f"layer{len(rows) + 1}", last)
        self.last = options.out_indices[-1] if options.out_indices else len(rows) + 1
        if self.last > len(rows):
            self.default_layer = f"layer{self.last}.{norm_name(last[1])}"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the layer asked for."""
        features = images
        for number in range(self.last + 1):
            features = self.get_submodule(f"layer{number}")(features)
        return features


def mobilenet_v3(settings: Settings) -> MobileNetV3:
    """The backbone of a config's `dict(type='MobileNetV3', arch='large')`."""
    options = read_options(MobileNetV3Options, settings)
    only("MobileNetV3", conv_cfg=(options.conv_cfg, None))
    return MobileNetV3(options)
