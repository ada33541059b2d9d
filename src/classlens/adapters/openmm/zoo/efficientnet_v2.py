"""EfficientNetV2, B0-B3 and S, M, L, XL.

Source: Tan & Le, EfficientNetV2, ICML 2021, table 4 (S) and section 3.3. `layers.0` is the stem, the last layer a 1x1
convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.inverted import SIGMOID, FusedResidual, InvertedResidual, Parts, Shape
from classlens.adapters.openmm.zoo.options import chosen_arch, read_options
from classlens.adapters.openmm.zoo.units import SamePadConv2d, activation, norm_name
from classlens.arrays import Float


class Arch(NamedTuple):
    """Channels of the stem; repeats and channels of six stages; channels of the last convolution."""

    stem: int
    repeats: tuple[int, ...]
    channels: tuple[int, ...]
    last: int = 1280


ARCHES: Mapping[str, Arch] = {
    **dict.fromkeys(("s", "small"), Arch(24, (2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256))),
    **dict.fromkeys(("m", "medium"), Arch(24, (3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512))),
    **dict.fromkeys(("l", "large"), Arch(32, (4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640))),
    "xl": Arch(32, (4, 8, 8, 16, 24, 32, 8), (32, 64, 96, 192, 256, 512, 640)),
    "b0": Arch(32, (1, 2, 2, 3, 5, 8), (16, 32, 48, 96, 112, 192)),
    "b1": Arch(32, (2, 3, 3, 4, 6, 9), (16, 32, 48, 96, 112, 192)),
    "b2": Arch(32, (2, 3, 3, 4, 6, 10), (16, 32, 56, 104, 120, 208), 1408),
    "b3": Arch(40, (2, 3, 3, 5, 7, 12), (16, 40, 56, 112, 136, 232), 1536),
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


class ResidualUnit(nn.Module):
    """A convolution unit with a shortcut where input and output have one shape."""

    def __init__(self, channels: tuple[int, int], parts: Parts) -> None:
        super().__init__()
        for name, part in parts.unit(channels, 3).named_children():
            self.add_module(name, part)
        self.shortcut = channels[0] == channels[1]

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d h w"]:
        """Features of the next block."""
        inside = features
        for part in self.children():
            inside = part(inside)
        return features + inside if self.shortcut else inside


class EfficientNetV2(nn.Module):
    """Returns the layer named by the last of `out_indices`."""

    def __init__(self, options: EfficientNetV2Options) -> None:
        super().__init__()
        arch = chosen_arch("EfficientNetV2", options.arch, ARCHES)
        act = activation(options.act_cfg)
        same = options.conv_cfg.get("type") == "Conv2dAdaptivePadding"
        parts = Parts(SamePadConv2d if same else nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
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
        self.last = options.out_indices[-1] % len(self.layers)
        if self.last == len(self.layers) - 1:
            self.default_layer = f"layers.{self.last}.{norm_name(last[1])}"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the layer asked for."""
        features = images
        for layer in self.layers[: self.last + 1]:
            features = layer(features)
        return features


def block_of(stage: int, channels: tuple[int, int], parts: Parts, *, first: bool) -> nn.Module:
    """One block of a stage; the first one strides."""
    if stage == 0:
        return ResidualUnit(channels, parts)
    stride = STRIDES[stage] if first else 1
    inside = channels[0] * EXPANSIONS[stage]
    if stage < FUSED:
        return FusedResidual(Shape(channels[0], inside, channels[1], 3, stride), parts)
    return InvertedResidual(Shape(channels[0], inside, channels[1], 3, stride, channels[0] // 4), parts)


def efficientnet_v2(settings: Settings) -> EfficientNetV2:
    """The backbone of a config's `dict(type='EfficientNetV2', arch='s')`."""
    return EfficientNetV2(read_options(EfficientNetV2Options, settings))
