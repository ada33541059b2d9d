"""EfficientNet B0-B8 and L2, EdgeTPU (es, em, el) and Lite (lite0-lite4).

Source: Tan & Le, EfficientNet, ICML 2019, table 1 (B0) and section 3.3 (compound scaling); the EdgeTPU and Lite
variants are described in the release notes of their authors. OpenMMLab joins consecutive stages of one resolution
into one layer, and so do we: `layers.0` is the stem, `layers.6` the last 1x1 convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import NamedTuple

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.inverted import SIGMOID, FusedResidual, InvertedResidual, Parts, Shape
from classlens.adapters.openmm.zoo.options import chosen_arch, read_options
from classlens.adapters.openmm.zoo.units import ACTIVATIONS, SamePadConv2d, activation, divisible, norm_name
from classlens.arrays import Float


class Stage(NamedTuple):
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
    Stage(3, 1, 16, 1, 1),
    Stage(3, 6, 24, 2, 2),
    Stage(5, 6, 40, 2, 2),
    Stage(3, 6, 80, 3, 2),
    Stage(5, 6, 112, 3, 1),
    Stage(5, 6, 192, 4, 2),
    Stage(3, 6, 320, 1, 1),
)
LITE = tuple(stage._replace(squeeze=False) for stage in B0)
EDGE = (
    Stage(3, 4, 24, 1, 1, squeeze=False, fused=True, residual=False),
    Stage(3, 8, 32, 2, 2, squeeze=False, fused=True),
    Stage(3, 8, 48, 4, 2, squeeze=False, fused=True),
    Stage(5, 8, 96, 5, 2, squeeze=False),
    Stage(5, 8, 144, 4, 1, squeeze=False),
    Stage(5, 8, 192, 2, 2, squeeze=False),
)


@dataclass(frozen=True)
class Scaling:
    """How a variant grows out of its table; Lite keeps the stem, the head and the two outer stages as they are."""

    stages: tuple[Stage, ...]
    width: float
    depth: float
    lite: bool = False

    def channels(self, count: int) -> int:
        """`count` channels of the table, scaled."""
        return divisible(count * self.width)

    def repeats(self, index: int) -> int:
        """How often the block of stage `index` is repeated."""
        outer = index in (0, len(self.stages) - 1)
        repeats = self.stages[index].repeats
        return repeats if self.lite and outer else ceil(repeats * self.depth)


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


def blocks_of(scaling: Scaling, parts: Parts, channels: int) -> tuple[list[list[nn.Module]], int]:
    """The blocks, grouped by resolution, and the channels that leave the last one."""
    groups: list[list[nn.Module]] = [[]]
    for index, row in enumerate(scaling.stages):
        width = scaling.channels(row.channels)
        if row.stride == 2:
            groups.append([])
        for repeat in range(scaling.repeats(index)):
            stride = row.stride if repeat == 0 else 1
            # The first EdgeTPU block expands as if it came from its table's 24 channels, not from the stem's 32.
            expansion = 3 if row.fused and index == repeat == 0 else row.expansion
            squeezed = channels // 4 if row.squeeze else None
            shape = Shape(channels, channels * expansion, width, row.kernel, stride, squeezed)
            if row.fused:
                groups[-1].append(FusedResidual(shape, parts, shortcut=row.residual))
            else:
                groups[-1].append(InvertedResidual(shape, parts))
            channels = width
    return groups, channels


class EfficientNet(nn.Module):
    """Stem, groups of blocks, last convolution; returns the layer named by the last of `out_indices`."""

    def __init__(self, options: EfficientNetOptions) -> None:
        super().__init__()
        scaling = chosen_arch("EfficientNet", options.arch, ARCHES)
        act = activation(options.act_cfg) if options.act_cfg else ACTIVATIONS["ReLU6" if scaling.lite else "Swish"]
        same = options.conv_cfg.get("type") == "Conv2dAdaptivePadding"
        parts = Parts(SamePadConv2d if same else nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        stem = 32 if scaling.lite else scaling.channels(32)
        groups, channels = blocks_of(scaling, parts, stem)
        head = 1280 if scaling.lite else scaling.channels(1280)
        first, last = parts.unit((3, stem), 3, stride=2), parts.unit((channels, head), 1)
        self.layers = nn.ModuleList([first, *(nn.Sequential(*group) for group in groups), last])
        self.last = options.out_indices[-1]
        if self.last == len(self.layers) - 1:
            self.default_layer = f"layers.{self.last}.{norm_name(last[1])}"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the layer asked for."""
        features = images
        for layer in self.layers[: self.last + 1]:
            features = layer(features)
        return features


def efficientnet(settings: Settings) -> EfficientNet:
    """The backbone of a config's `dict(type='EfficientNet', ...)`."""
    return EfficientNet(read_options(EfficientNetOptions, settings))
