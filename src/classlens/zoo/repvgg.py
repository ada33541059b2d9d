"""RepVGG in its training form (three branches per block) and its deploy form (one convolution per block).

Source: Ding et al., RepVGG, CVPR 2021, table 2 and section 3; groups g2 and g4 sit in every second block. D2se adds
squeeze-and-excitation behind the sum. No single branch is what the block computes, and the deploy form has no norm
layer at all, so the layer to look at is the last block itself.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import (
    ACTIVATIONS,
    Activation,
    Chain,
    SqueezeExcite,
    activation,
    find_arch,
    norm_layer,
    padded_conv,
)

BASES = (64, 128, 256, 512)
"""Channels of the four stages before they are widened."""


class RepVggArch(NamedTuple):
    """Blocks and widening of each stage, groups of every second block, and the reduction of D2se's gate."""

    blocks: tuple[int, ...]
    widen: tuple[float, ...]
    groups: int = 1
    se_ratio: int | None = None


A, B = (2, 4, 14, 1), (4, 6, 16, 1)
REPVGG_ARCHES: Mapping[str, RepVggArch] = {
    "A0": RepVggArch(A, (0.75, 0.75, 0.75, 2.5)),
    "A1": RepVggArch(A, (1, 1, 1, 2.5)),
    "A2": RepVggArch(A, (1.5, 1.5, 1.5, 2.75)),
    "B0": RepVggArch(B, (1, 1, 1, 2.5)),
    **{f"B1{name}": RepVggArch(B, (2, 2, 2, 4), groups) for name, groups in (("", 1), ("g2", 2), ("g4", 4))},
    **{f"B2{name}": RepVggArch(B, (2.5, 2.5, 2.5, 5), groups) for name, groups in (("", 1), ("g2", 2), ("g4", 4))},
    **{f"B3{name}": RepVggArch(B, (3, 3, 3, 5), groups) for name, groups in (("", 1), ("g2", 2), ("g4", 4))},
    "D2se": RepVggArch((8, 14, 24, 1), (2.5, 2.5, 2.5, 5), se_ratio=16),
}


@dataclass(frozen=True)
class RepVGGOptions:
    """What a config can say; `deploy` asks for the form with one convolution per block."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "add_ppf": False, "dilations": (1,) * 4}

    arch: str
    in_channels: int = 3
    base_channels: int = 64
    out_indices: tuple[int, ...] = (3,)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    conv_cfg: None = None
    deploy: bool = False
    add_ppf: bool = False


@dataclass(frozen=True)
class ConvPlace:
    """Channels in and out, kernel, stride and groups of a block; in MobileOne also equal branches, and gate or not."""

    channels: tuple[int, int]
    kernel: int = 3
    stride: int = 1
    groups: int = 1
    branches: int = 1
    gated: bool = False

    def normed_conv(self, kernel: int, norm: Settings) -> nn.Sequential:
        conv = padded_conv(self.channels, kernel, stride=self.stride, groups=self.groups)
        return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(self.channels[1], norm)))

    def folded_conv(self) -> nn.Conv2d:
        """The one convolution that the branches were folded into."""
        return nn.Conv2d(*self.channels, self.kernel, self.stride, self.kernel // 2, groups=self.groups)

    @property
    def keeps(self) -> bool:
        return self.stride == 1 and self.channels[0] == self.channels[1]


class RepVGGBlock(nn.Module):
    """The activation of the (gated) sum of its branches."""

    def __init__(self, place: ConvPlace, options: RepVGGOptions, se_ratio: int | None) -> None:
        super().__init__()
        branches = (
            {"branch_reparam": place.folded_conv()} if options.deploy else training_branches(place, options.norm_cfg)
        )
        for name, branch in branches.items():
            self.add_module(name, branch)
        self.branches = tuple(branches)
        if se_ratio is not None:
            gate: tuple[Activation, Activation] = (ACTIVATIONS["ReLU"], ACTIVATIONS["Sigmoid"])
            self.se_layer = SqueezeExcite(place.channels[1], place.channels[1] // se_ratio, gate)
        self.gated = se_ratio is not None
        self.act = activation(options.act_cfg)()

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        branches: list[Tensor] = [self.get_submodule(name)(features) for name in self.branches]
        summed = torch.stack(branches).sum(0)
        activated: Tensor = self.act(self.se_layer(summed) if self.gated else summed)
        return activated


def training_branches(place: ConvPlace, norm: Settings) -> Mapping[str, nn.Module]:
    """3x3 and 1x1 with their norms, and a bare norm where input and output have one shape."""
    branches: dict[str, nn.Module] = {}
    if place.keeps:
        branches["branch_norm"] = norm_layer(place.channels[1], norm)
    return {**branches, **{f"branch_{side}x{side}": place.normed_conv(side, norm) for side in (3, 1)}}


class RepVGG(Chain):
    """`stem`, then `stage_1` ... `stage_4`; returns the last stage of `out_indices`."""

    OPTIONS = RepVGGOptions

    def __init__(self, options: RepVGGOptions) -> None:
        super().__init__()
        arch = find_arch("RepVGG", options.arch, REPVGG_ARCHES)
        entering = min(64, int(options.base_channels * arch.widen[0]))
        self.stem = RepVGGBlock(ConvPlace((options.in_channels, entering), stride=2), options, arch.se_ratio)
        place = 1
        for stage, blocks in enumerate(arch.blocks):
            leaving = int(BASES[stage] * options.base_channels / BASES[0] * arch.widen[stage])
            rows = []
            for block in range(blocks):
                groups = arch.groups if place % 2 == 0 else 1
                stride = options.strides[stage] if block == 0 else 1
                rows.append(RepVGGBlock(ConvPlace((entering, leaving), 3, stride, groups), options, arch.se_ratio))
                entering = leaving
                place += 1
            self.add_module(f"stage_{stage + 1}", nn.Sequential(*rows))
        last, self.norm_eps = options.out_indices[-1] + 1, options.norm_cfg.get("eps", 1e-5)
        self.order = ["stem", *(f"stage_{stage}" for stage in range(1, last + 1))]
        self.default_layer = f"stage_{last}.{arch.blocks[last - 1] - 1}"


DEPTHS = (2, 8, 10, 1)
"""Channels of the four stages before they are widened, and how many pairs of blocks each has."""


class MobileOneArch(NamedTuple):
    """Widening of each stage, branches of equal convolutions, and how many pairs at each stage's end have a gate."""

    widen: tuple[float, ...]
    branches: int = 1
    gated: tuple[int, ...] = (0, 0, 0, 0)


MOBILEONE_ARCHES: Mapping[str, MobileOneArch] = {
    "s0": MobileOneArch((0.75, 1, 1, 2), 4),
    "s1": MobileOneArch((1.5, 1.5, 2, 2.5)),
    "s2": MobileOneArch((1.5, 2, 2.5, 4)),
    "s3": MobileOneArch((2, 2.5, 3, 4)),
    "s4": MobileOneArch((3, 3.5, 3.5, 4), gated=(0, 0, 5, 1)),
}


@dataclass(frozen=True)
class MobileOneOptions:
    """What a config can say; `deploy` asks for the form with one convolution per block."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    arch: str
    in_channels: int = 3
    out_indices: tuple[int, ...] = (3,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    se_cfg: Settings = field(default_factory=lambda: {"ratio": 16})
    conv_cfg: None = None
    deploy: bool = False


class MobileOneBlock(nn.Module):
    """The activation of the (gated) sum of its branches."""

    def __init__(self, place: ConvPlace, options: MobileOneOptions) -> None:
        super().__init__()
        leaving = place.channels[1]
        gate = (ACTIVATIONS["ReLU"], ACTIVATIONS["Sigmoid"])
        ratio = options.se_cfg.get("ratio", 16)
        self.se = SqueezeExcite(leaving, leaving // ratio, gate) if place.gated else nn.Identity()
        self.deploy = options.deploy
        self.single: list[str] = []
        if options.deploy:
            self.branch_reparam = place.folded_conv()
        else:
            self.add_branches(place, options.norm_cfg)
        self.act = activation(options.act_cfg)()

    def add_branches(self, place: ConvPlace, norm: Settings) -> None:
        """A bare norm where the shape is kept, a 1x1 convolution beside larger ones, and the equal branches."""
        leaving = place.channels[1]
        if place.keeps:
            self.branch_norm = norm_layer(leaving, norm)
            self.single.append("branch_norm")
        if place.kernel > 1:
            self.branch_scale = place.normed_conv(1, norm)
            self.single.append("branch_scale")
        equal = (place.normed_conv(place.kernel, norm) for _ in range(place.branches))
        self.branch_conv_list = nn.ModuleList(equal)

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        if self.deploy:
            summed: Tensor = self.branch_reparam(features)
        else:
            branches = [*(self.get_submodule(name) for name in self.single), *self.branch_conv_list]
            summed = torch.stack([branch(features) for branch in branches]).sum(0)
        activated: Tensor = self.act(self.se(summed))
        return activated


class MobileOne(Chain):
    """`stage0`, then `stage1` ... `stage4` of depthwise and pointwise blocks in turn."""

    OPTIONS = MobileOneOptions

    def __init__(self, options: MobileOneOptions) -> None:
        super().__init__()
        arch = find_arch("MobileOne", options.arch, MOBILEONE_ARCHES)
        entering = min(BASES[0], int(BASES[0] * arch.widen[0]))
        self.stage0 = MobileOneBlock(ConvPlace((options.in_channels, entering), 3, 2), options)
        for stage, (depth, base) in enumerate(zip(DEPTHS, BASES, strict=True)):
            leaving = int(base * arch.widen[stage])
            blocks = []
            for pair in range(depth):
                gated = pair >= depth - arch.gated[stage]
                stride, like = 2 if pair == 0 else 1, (entering, entering)
                places = (
                    ConvPlace(like, 3, stride, entering, arch.branches, gated),
                    ConvPlace((entering, leaving), 1, branches=arch.branches, gated=gated),
                )
                blocks += [MobileOneBlock(place, options) for place in places]
                entering = leaving
            self.add_module(f"stage{stage + 1}", nn.Sequential(*blocks))
        last, self.norm_eps = options.out_indices[-1] + 1, options.norm_cfg.get("eps", 1e-5)
        self.order = [f"stage{stage}" for stage in range(last + 1)]
        self.default_layer = f"stage{last}.{2 * DEPTHS[last - 1] - 1}"
