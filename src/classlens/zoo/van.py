"""VAN: attention made of large, decomposed convolutions.

Source: Guo et al., Visual Attention Network, Computational Visual Media 2023, section 3.1, equations 1 and 2, table 2.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import nn

from classlens.config.settings import Settings
from classlens.zoo.transformer import layer_norm
from classlens.zoo.units import Chain, Features, find_arch, stages_asked


class VanArch(NamedTuple):
    """Channels, blocks and widening of the feed-forward of each stage."""

    channels: tuple[int, ...]
    depths: tuple[int, ...]
    widen: tuple[int, ...] = (8, 8, 4, 4)


USUAL = (64, 128, 320, 512)
ARCHES: Mapping[str, VanArch] = {
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
        super().__init__()
        self.proj_1 = nn.Conv2d(channels, channels, 1)
        self.activation = nn.GELU()
        self.spatial_gating_unit = LargeKernel(channels)
        self.proj_2 = nn.Conv2d(channels, channels, 1)

    def forward(self, features: Features) -> Features:
        return features + super().forward(features)


class VANBlock(nn.Module):
    """Norm and attention, norm and feed-forward (1x1, a 3x3 of each channel, 1x1), each scaled and added."""

    def __init__(self, channels: int, widen: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)
        self.attn = SpatialAttention(channels)
        inside = channels * widen
        layers = {"fc1": nn.Conv2d(channels, inside, 1), "dwconv": nn.Conv2d(inside, inside, 3, 1, 1, groups=inside)}
        self.mlp = Chain({**layers, "act": nn.GELU(), "fc2": nn.Conv2d(inside, channels, 1)})
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(torch.ones(channels)) for _ in range(2))

    def forward(self, features: Features) -> Features:
        features = features + self.layer_scale_1[:, None, None] * self.attn(self.norm1(features))
        return features + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(features))


class VAN(nn.Module):
    """`patch_embedN`, `blocksN`, `normN` for N = 1 ... 4; returns the last stage of `out_indices`."""

    OPTIONS = VANOptions
    NATIVE: ClassVar[Settings] = {"block_cfgs": {}}

    def __init__(self, options: VANOptions) -> None:
        super().__init__()
        arch = find_arch("VAN", options.arch, ARCHES)
        norm = layer_norm(options.norm_cfg)
        entering = options.in_channels
        self.last = stages_asked(options.out_indices, len(arch.depths))[-1] + 1
        for number, (width, depth, widen) in enumerate(zip(*arch, strict=True), start=1):
            kernel, stride = options.patch_sizes[number - 1], 4 if number == 1 else 2
            overlapping = nn.Conv2d(entering, width, kernel, stride, kernel // 2)
            self.add_module(f"patch_embed{number}", Chain({"projection": overlapping, "norm": nn.BatchNorm2d(width)}))
            self.add_module(f"blocks{number}", nn.Sequential(*(VANBlock(width, widen) for _ in range(depth))))
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
