"""RegNetX, 400 MF to 12 GF: a ResNet whose widths follow a line.

Source: Radosavovic et al., Designing Network Design Spaces, CVPR 2020, section 3.3, equations 2 to 4.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import groupby
from math import log
from typing import Any, NamedTuple

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import chosen_arch, only, read_options
from classlens.adapters.openmm.zoo.resnet import Block, Place, ResNetOptions
from classlens.adapters.openmm.zoo.units import norm_layer, norm_name, padded_conv
from classlens.arrays import Float
from classlens.errors import ConfigError

STEP = 8
"""Widths are multiples of it."""


class Line(NamedTuple):
    """First width, slope and quantisation step of the widths; channels per group; blocks."""

    first: int
    slope: float
    ratio: float
    group: int
    depth: int


ARCHES: Mapping[str, Line] = {
    "regnetx_400mf": Line(24, 24.48, 2.54, 16, 22),
    "regnetx_800mf": Line(56, 35.73, 2.28, 16, 16),
    "regnetx_1.6gf": Line(80, 34.01, 2.25, 24, 18),
    "regnetx_3.2gf": Line(88, 26.31, 2.25, 48, 25),
    "regnetx_4.0gf": Line(96, 38.65, 2.43, 40, 23),
    "regnetx_6.4gf": Line(184, 60.83, 2.07, 56, 17),
    "regnetx_8.0gf": Line(80, 49.56, 2.88, 120, 23),
    "regnetx_12gf": Line(168, 73.36, 2.37, 112, 19),
}


@dataclass(frozen=True)
class RegNetOptions:
    """What a config can say."""

    arch: Any
    in_channels: int = 3
    stem_channels: int = 32
    base_channels: int = 32
    strides: tuple[int, ...] = (2, 2, 2, 2)
    dilations: tuple[int, ...] = (1, 1, 1, 1)
    out_indices: tuple[int, ...] = (3,)
    style: str = "pytorch"
    deep_stem: bool = False
    avg_down: bool = False
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    conv_cfg: None = None


def line_of(arch: object) -> Line:
    """The line of an arch by its name, or by a dict as in `arch=dict(w0=..., wa=..., wm=..., group_w=..., depth=...)`.

    Raises:
        ConfigError: the name is unknown, or the dict lacks a number.
    """
    if not isinstance(arch, Mapping):
        return chosen_arch("RegNet", arch, ARCHES)
    only("RegNet", bot_mul=(arch.get("bot_mul", 1.0), 1.0))
    try:
        return Line(arch["w0"], arch["wa"], arch["wm"], arch["group_w"], arch["depth"])
    except KeyError as error:
        raise ConfigError(f"RegNet arch lacks {error}", hint="or name one, e.g. arch='regnetx_400mf'") from error


def stages_of(line: Line) -> list[tuple[int, int]]:
    """(width, blocks) of each stage: the line, rounded to powers of `ratio`, then to whole groups."""
    widths = []
    for block in range(line.depth):
        power = round(log((line.first + line.slope * block) / line.first) / log(line.ratio))
        widths.append(round(line.first * line.ratio**power / STEP) * STEP)
    stages = [(width, len(list(blocks))) for width, blocks in groupby(widths)]
    return [(whole_groups(width, line.group), blocks) for width, blocks in stages]


def whole_groups(width: int, group: int) -> int:
    """The width rounded to a multiple of the group's."""
    group = min(group, width)
    return round(width / group) * group


class RegNet(nn.Module):
    """Stem, then stages `layer1` ... `layer4`; returns the last stage of `out_indices`."""

    def __init__(self, options: RegNetOptions) -> None:
        super().__init__()
        line = line_of(options.arch)
        norm = norm_layer(options.stem_channels, options.norm_cfg)
        self.conv1 = padded_conv((options.in_channels, options.stem_channels), 3, stride=2)
        self.add_module(f"{norm_name(norm)}1", norm)
        self.relu = nn.ReLU(inplace=True)
        self.order = ["conv1", f"{norm_name(norm)}1", "relu"]
        blocks_like = ResNetOptions(depth=50, norm_cfg=options.norm_cfg, style=options.style)
        entering = options.stem_channels
        for stage, (width, blocks) in enumerate(stages_of(line)):
            rows = []
            for block in range(blocks):
                stride = options.strides[stage] if block == 0 else 1
                groups = width // min(line.group, width)
                place = Place(entering, width, width, stride, options.dilations[stage], groups)
                rows.append(Block(place, blocks_like))
                entering = width
            self.add_module(f"layer{stage + 1}", nn.Sequential(*rows))
            if stage <= options.out_indices[-1]:
                self.order.append(f"layer{stage + 1}")
                self.default_layer = f"layer{stage + 1}.{blocks - 1}.{rows[-1].norms[-1]}"

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c i j"]:
        """Features of the stage asked for."""
        features = images
        for name in self.order:
            features = self.get_submodule(name)(features)
        return features


def regnet(settings: Settings) -> RegNet:
    """The backbone of a config's `dict(type='RegNet', arch='regnetx_400mf')`."""
    options = read_options(RegNetOptions, settings)
    only(
        "RegNet",
        conv_cfg=(options.conv_cfg, None),
        deep_stem=(options.deep_stem, False),
        avg_down=(options.avg_down, False),
    )
    return RegNet(options)
