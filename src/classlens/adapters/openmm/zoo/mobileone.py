"""MobileOne in its training form (many branches per block) and its deploy form (one convolution per block).

Source: Vasu et al., MobileOne, CVPR 2023, table 2 and section 3.2, figure 3. As with RepVGG no branch is what a block
computes, so the layer to look at is the last block itself.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import chosen_arch, only, read_options
from classlens.adapters.openmm.zoo.units import ACTIVATIONS, SqueezeExcite, activation, norm_layer, padded_conv
from classlens.arrays import Float

BASES = (64, 128, 256, 512)
DEPTHS = (2, 8, 10, 1)
"""Channels of the four stages before they are widened, and how many pairs of blocks each has."""


class Arch(NamedTuple):
    """Widening of each stage, branches of equal convolutions, and how many pairs at each stage's end have a gate."""

    widen: tuple[float, ...]
    branches: int = 1
    gated: tuple[int, ...] = (0, 0, 0, 0)


ARCHES: Mapping[str, Arch] = {
    "s0": Arch((0.75, 1, 1, 2), 4),
    "s1": Arch((1.5, 1.5, 2, 2.5)),
    "s2": Arch((1.5, 2, 2.5, 4)),
    "s3": Arch((2, 2.5, 3, 4)),
    "s4": Arch((3, 3.5, 3.5, 4), gated=(0, 0, 5, 1)),
}


@dataclass(frozen=True)
class MobileOneOptions:
    """What a config can say; `deploy` asks for the form with one convolution per block."""

    arch: str
    in_channels: int = 3
    out_indices: tuple[int, ...] = (3,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    se_cfg: Settings = field(default_factory=lambda: {"ratio": 16})
    conv_cfg: None = None
    deploy: bool = False


@dataclass(frozen=True)
class Place:
    """Channels in and out, kernel, stride and groups of a block; equal branches; gate or not."""

    channels: tuple[int, int]
    kernel: int
    stride: int = 1
    groups: int = 1
    branches: int = 1
    gated: bool = False

    def conv(self, kernel: int) -> nn.Conv2d:
        """One convolution of this block."""
        return padded_conv(self.channels, kernel, stride=self.stride, groups=self.groups)


class MobileOneBlock(nn.Module):
    """The activation of the (gated) sum of its branches."""

    def __init__(self, place: Place, options: MobileOneOptions) -> None:
        super().__init__()
        leaving = place.channels[1]
        gate = (ACTIVATIONS["ReLU"], ACTIVATIONS["Sigmoid"])
        ratio = options.se_cfg.get("ratio", 16)
        self.se = SqueezeExcite(leaving, leaving // ratio, gate) if place.gated else nn.Identity()
        self.deploy = options.deploy
        self.single: list[str] = []
        if options.deploy:
            self.branch_reparam = nn.Conv2d(
                *place.channels, place.kernel, place.stride, place.kernel // 2, groups=place.groups
            )
        else:
            self.add_branches(place, options.norm_cfg)
        self.act = activation(options.act_cfg)()

    def add_branches(self, place: Place, norm: Settings) -> None:
        """A bare norm where the shape is kept, a 1x1 convolution beside larger ones, and the equal branches."""
        leaving = place.channels[1]
        if place.channels[0] == leaving and place.stride == 1:
            self.branch_norm = norm_layer(leaving, norm)
            self.single.append("branch_norm")
        if place.kernel > 1:
            self.branch_scale = normed(place.conv(1), norm)
            self.single.append("branch_scale")
        equal = (normed(place.conv(place.kernel), norm) for _ in range(place.branches))
        self.branch_conv_list = nn.ModuleList(equal)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Features of the next block."""
        if self.deploy:
            summed: Tensor = self.branch_reparam(features)
        else:
            branches = [*(self.get_submodule(name) for name in self.single), *self.branch_conv_list]
            summed = torch.stack([branch(features) for branch in branches]).sum(0)
        activated: Tensor = self.act(self.se(summed))
        return activated


def normed(conv: nn.Conv2d, norm: Settings) -> nn.Sequential:
    """A convolution and its norm, `conv` and `norm`."""
    return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(conv.out_channels, norm)))


class MobileOne(nn.Module):
    """`stage0`, then `stage1` ... `stage4` of depthwise and pointwise blocks in turn."""

    def __init__(self, options: MobileOneOptions) -> None:
        super().__init__()
        arch = chosen_arch("MobileOne", options.arch, ARCHES)
        entering = min(BASES[0], int(BASES[0] * arch.widen[0]))
        self.stage0 = MobileOneBlock(Place((options.in_channels, entering), 3, 2), options)
        for stage, (depth, base) in enumerate(zip(DEPTHS, BASES, strict=True)):
            leaving = int(base * arch.widen[stage])
            blocks = []
            for pair in range(depth):
                gated = pair >= depth - arch.gated[stage]
                stride, like = 2 if pair == 0 else 1, (entering, entering)
                places = (
                    Place(like, 3, stride, entering, arch.branches, gated),
                    Place((entering, leaving), 1, branches=arch.branches, gated=gated),
                )
                blocks += [MobileOneBlock(place, options) for place in places]
                entering = leaving
            self.add_module(f"stage{stage + 1}", nn.Sequential(*blocks))
        self.last, self.norm_eps = options.out_indices[-1] + 1, options.norm_cfg.get("eps", 1e-5)
        self.default_layer = f"stage{self.last}.{2 * DEPTHS[self.last - 1] - 1}"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the stage asked for."""
        features: Tensor = self.stage0(images)
        for stage in range(1, self.last + 1):
            features = self.get_submodule(f"stage{stage}")(features)
        return features


def mobileone(settings: Settings) -> MobileOne:
    """The backbone of a config's `dict(type='MobileOne', arch='s0')`."""
    options = read_options(MobileOneOptions, settings)
    only("MobileOne", conv_cfg=(options.conv_cfg, None))
    return MobileOne(options)
