"""Convolutions one after the other: VGG, LeNet5 for grey pictures of 32 x 32 pixels, and RepVGG and MobileOne.

The last two have a training form (several branches per block) and a deploy form (one convolution per block). No single
branch is what the block computes, and the deploy form has no norm layer at all, so the layer to look at is the last
block itself.

Source: Simonyan & Zisserman, Very Deep Convolutional Networks, ICLR 2015, table 1; LeCun et al., Gradient-Based
Learning Applied to Document Recognition, Proceedings of the IEEE 1998, figure 2; Ding et al., RepVGG, CVPR 2021, table 2
and section 3 (groups g2 and g4 sit in every second block; D2se adds squeeze-and-excitation behind the sum); Vasu et al.,
MobileOne, CVPR 2023, table 2.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.zoo.units import (
    Activation,
    Chain,
    Features,
    SqueezeExcite,
    activation,
    conv_unit,
    find_arch,
    norm_layer,
    padded_conv,
    require_native,
    stages_asked,
)


class LeNet(nn.Module):
    """`features`, then `classifier`; what a grey network sees of a colour picture is the mean of its channels.

    Without `num_classes` the features are given instead of logits.
    """

    def __init__(self, num_classes: int = -1) -> None:
        super().__init__()
        first = [nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)]
        second = [nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)]
        self.features = nn.Sequential(*first, *second, nn.Conv2d(16, 120, 5), nn.Tanh())
        self.classifies = num_classes > 0
        if self.classifies:
            self.classifier = nn.Sequential(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, num_classes))

    def forward(self, images: Float[Tensor, "b channels h w"]) -> Float[Tensor, "b ..."]:
        features = self.features(images.mean(1, keepdim=True))
        return self.classifier(features.flatten(1)) if self.classifies else features


CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}
"""Convolutions per stage, by depth."""

CHANNELS = (64, 128, 256, 512, 512)
LAST_MAP = 7  # height and width of the map that the classifier flattens
HIDDEN = 4096


@dataclass(frozen=True)
class VGGOptions:
    """What a config can say."""

    depth: int
    num_classes: int = -1
    num_stages: int = 5
    out_indices: tuple[int, ...] | None = None
    norm_cfg: Settings | None = None
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    ceil_mode: bool = False
    with_last_pool: bool = True


class VGG(nn.Module):
    """`features`, then `classifier` where the backbone classifies by itself."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "dilations": (1,) * 5}

    def __init__(self, options: VGGOptions) -> None:
        super().__init__()
        if options.depth not in CONVOLUTIONS:
            raise ConfigError(f"VGG has no depth {options.depth!r}", hint=f"it has {', '.join(map(str, CONVOLUTIONS))}")
        last = (options.num_stages - 1,)
        require_native("VGG", out_indices=(options.out_indices or last, last))
        act = activation(options.act_cfg)
        parts: list[nn.Module] = []
        entering = 3
        for stage, count in enumerate(CONVOLUTIONS[options.depth][: options.num_stages]):
            for _ in range(count):
                conv = nn.Conv2d(entering, CHANNELS[stage], 3, padding=1)
                norm = norm_layer(CHANNELS[stage], options.norm_cfg) if options.norm_cfg else None
                parts.append(conv_unit(conv, norm, act))
                entering = CHANNELS[stage]
            if stage < options.num_stages - 1 or options.with_last_pool:
                parts.append(nn.MaxPool2d(2, 2, ceil_mode=options.ceil_mode))
        self.features = nn.Sequential(*parts)
        self.classifies = options.num_classes > 0
        if self.classifies:
            flat = entering * LAST_MAP**2
            hidden = [nn.Linear(flat, HIDDEN), nn.ReLU(inplace=True), nn.Dropout()]
            second = [nn.Linear(HIDDEN, HIDDEN), nn.ReLU(inplace=True), nn.Dropout()]
            self.classifier = nn.Sequential(*hidden, *second, nn.Linear(HIDDEN, options.num_classes))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b ..."]:
        features = self.features(images)
        return self.classifier(features.flatten(1)) if self.classifies else features


BASES = (64, 128, 256, 512)  # channels of the four stages before they are widened


@dataclass(frozen=True)
class ConvPlace:
    """Channels in and out, kernel, stride and groups of a block, and its norm."""

    channels: tuple[int, int]
    kernel: int
    stride: int
    groups: int
    norm: Settings

    def normed_conv(self, kernel: int) -> nn.Sequential:
        conv = padded_conv(self.channels, kernel, stride=self.stride, groups=self.groups)
        return nn.Sequential(OrderedDict(conv=conv, norm=norm_layer(self.channels[1], self.norm)))

    def bare_norm(self) -> dict[str, nn.Module]:
        """The branch that is a norm only, where input and output have one shape."""
        keeps = self.stride == 1 and self.channels[0] == self.channels[1]
        return {"branch_norm": norm_layer(self.channels[1], self.norm)} if keeps else {}

    def folded_conv(self) -> dict[str, nn.Module]:
        """The one convolution that the branches were folded into."""
        conv = nn.Conv2d(*self.channels, self.kernel, self.stride, self.kernel // 2, groups=self.groups)
        return {"branch_reparam": conv}


class BranchedBlock(nn.Module):
    """The activation of the (gated) sum of its branches, of which one may be a list."""

    def __init__(self, branches: Mapping[str, nn.Module], gate: Mapping[str, nn.Module], act: Activation) -> None:
        super().__init__()
        self.branches, self.gate = tuple(branches), tuple(gate)
        for name, part in {**branches, **gate}.items():
            self.add_module(name, part)
        self.act = act()

    def forward(self, features: Features) -> Float[Tensor, "b d i j"]:
        branches: list[nn.Module] = []
        for part in map(self.get_submodule, self.branches):
            branches += part if isinstance(part, nn.ModuleList) else [part]
        summed = torch.stack([branch(features) for branch in branches]).sum(0)
        for name in self.gate:
            summed = self.get_submodule(name)(summed)
        return self.act(summed)


class RepVGGArch(NamedTuple):
    """Blocks and widening of each stage, groups of every second block, and the reduction of D2se's gate."""

    blocks: tuple[int, ...]
    widen: tuple[float, ...]
    groups: int = 1
    se_ratio: int | None = None


A, B = (2, 4, 14, 1), (4, 6, 16, 1)
GROUPS = {"": 1, "g2": 2, "g4": 4}
REPVGG_ARCHES: Mapping[str, RepVGGArch] = {
    "A0": RepVGGArch(A, (0.75, 0.75, 0.75, 2.5)),
    "A1": RepVGGArch(A, (1, 1, 1, 2.5)),
    "A2": RepVGGArch(A, (1.5, 1.5, 1.5, 2.75)),
    "B0": RepVGGArch(B, (1, 1, 1, 2.5)),
    **{f"B1{name}": RepVGGArch(B, (2, 2, 2, 4), groups) for name, groups in GROUPS.items()},
    **{f"B2{name}": RepVGGArch(B, (2.5, 2.5, 2.5, 5), groups) for name, groups in GROUPS.items()},
    **{f"B3{name}": RepVGGArch(B, (3, 3, 3, 5), groups) for name, groups in GROUPS.items()},
    "D2se": RepVGGArch((8, 14, 24, 1), (2.5, 2.5, 2.5, 5), se_ratio=16),
}


@dataclass(frozen=True)
class RepVGGOptions:
    """What a config can say; `deploy` asks for the form with one convolution per block."""

    arch: str
    in_channels: int = 3
    base_channels: int = 64
    out_indices: tuple[int, ...] = (3,)
    strides: tuple[int, ...] = (2, 2, 2, 2)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    deploy: bool = False


class RepVGG(Chain):
    """`stem`, then `stage_1` ... `stage_4`."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "add_ppf": False, "dilations": (1,) * 4}

    def __init__(self, options: RepVGGOptions) -> None:
        super().__init__()
        arch = find_arch("RepVGG", options.arch, REPVGG_ARCHES)
        act = activation(options.act_cfg)

        def block(channels: tuple[int, int], stride: int, groups: int = 1) -> BranchedBlock:
            place = ConvPlace(channels, 3, stride, groups, options.norm_cfg)
            sizes = {f"branch_{side}x{side}": place.normed_conv(side) for side in (3, 1)}
            gate = {"se_layer": SqueezeExcite(channels[1], channels[1] // arch.se_ratio)} if arch.se_ratio else {}
            return BranchedBlock(place.folded_conv() if options.deploy else {**place.bare_norm(), **sizes}, gate, act)

        entering = min(64, int(options.base_channels * arch.widen[0]))
        self.stem = block((options.in_channels, entering), 2)
        count = 1
        for stage, depth in enumerate(arch.blocks):
            leaving = int(BASES[stage] * options.base_channels / BASES[0] * arch.widen[stage])
            rows = []
            for stride in (options.strides[stage], *[1] * (depth - 1)):
                rows.append(block((entering, leaving), stride, arch.groups if count % 2 == 0 else 1))
                entering = leaving
                count += 1
            self.add_module(f"stage_{stage + 1}", nn.Sequential(*rows))
        last = stages_asked(options.out_indices, 4)[-1] + 1
        self.order = ["stem", *(f"stage_{stage}" for stage in range(1, last + 1))]
        self.default_layer = f"stage_{last}.{arch.blocks[last - 1] - 1}"


DEPTHS = (2, 8, 10, 1)  # how many pairs of blocks each stage of MobileOne has


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

    arch: str
    in_channels: int = 3
    out_indices: tuple[int, ...] = (3,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    se_cfg: Settings = field(default_factory=lambda: {"ratio": 16})
    deploy: bool = False


class MobileOne(Chain):
    """`stage0`, then `stage1` ... `stage4` of depthwise and pointwise blocks in turn."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    def __init__(self, options: MobileOneOptions) -> None:
        super().__init__()
        arch = find_arch("MobileOne", options.arch, MOBILEONE_ARCHES)
        act = activation(options.act_cfg)

        def block(place: ConvPlace, count: int = 1, *, gated: bool = False) -> BranchedBlock:
            equal = nn.ModuleList(place.normed_conv(place.kernel) for _ in range(count))
            scale = {"branch_scale": place.normed_conv(1)} if place.kernel > 1 else {}
            branches = {**place.bare_norm(), **scale, "branch_conv_list": equal}
            channels = place.channels[1]
            gate = SqueezeExcite(channels, channels // options.se_cfg.get("ratio", 16)) if gated else nn.Identity()
            return BranchedBlock(place.folded_conv() if options.deploy else branches, {"se": gate}, act)

        norm = options.norm_cfg
        entering = min(BASES[0], int(BASES[0] * arch.widen[0]))
        self.stage0 = block(ConvPlace((options.in_channels, entering), 3, 2, 1, norm))
        for stage, (depth, base) in enumerate(zip(DEPTHS, BASES, strict=True)):
            leaving = int(base * arch.widen[stage])
            blocks = []
            for pair in range(depth):
                gated = pair >= depth - arch.gated[stage]
                depthwise = ConvPlace((entering, entering), 3, 2 if pair == 0 else 1, entering, norm)
                pointwise = ConvPlace((entering, leaving), 1, 1, 1, norm)
                blocks += [block(place, arch.branches, gated=gated) for place in (depthwise, pointwise)]
                entering = leaving
            self.add_module(f"stage{stage + 1}", nn.Sequential(*blocks))
        last = stages_asked(options.out_indices, 4)[-1] + 1
        self.order = [f"stage{stage}" for stage in range(last + 1)]
        self.default_layer = f"stage{last}.{2 * DEPTHS[last - 1] - 1}"
