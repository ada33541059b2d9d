"""EfficientNet B0-B8 and L2, EdgeTPU (es, em, el), Lite (lite0-lite4), and EfficientNetV2.

Source: Tan & Le, EfficientNet, ICML 2019, table 1 (B0) and section 3.3 (compound scaling), and EfficientNetV2, ICML 2021,
table 4; the EdgeTPU and Lite variants are described in the release notes of their authors. OpenMMLab joins consecutive
stages of one resolution of the first version into one layer, and so do we: `layers.0` is the stem, the last of `layers`
a 1x1 convolution.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import ceil
from typing import ClassVar, Literal, NamedTuple

from torch import nn

from classlens.config.settings import Settings
from classlens.zoo.mobilenet import BlockShape, Residual, UnitParts, inverted_units
from classlens.zoo.units import (
    ACTIVATIONS,
    SIGMOID,
    Chain,
    SamePadConv2d,
    SqueezeExcite,
    activation,
    conv_unit,
    find_arch,
    norm_layer,
    norm_name,
    round_width,
    stages_asked,
)


class StageRow(NamedTuple):
    """One row of a paper's table. `fused` joins expansion and spatial convolution into one; `plain` has nothing else."""

    kernel: int
    expansion: int
    channels: int
    repeats: int
    stride: int
    squeeze: bool = True
    form: Literal["inverted", "fused", "plain"] = "inverted"
    shortcut: bool = True


B0 = (
    StageRow(3, 1, 16, 1, 1),
    StageRow(3, 6, 24, 2, 2),
    StageRow(5, 6, 40, 2, 2),
    StageRow(3, 6, 80, 3, 2),
    StageRow(5, 6, 112, 3, 1),
    StageRow(5, 6, 192, 4, 2),
    StageRow(3, 6, 320, 1, 1),
)
LITE = tuple(stage._replace(squeeze=False) for stage in B0)
EDGE = (
    StageRow(3, 4, 24, 1, 1, squeeze=False, form="fused", shortcut=False),
    StageRow(3, 8, 32, 2, 2, squeeze=False, form="fused"),
    StageRow(3, 8, 48, 4, 2, squeeze=False, form="fused"),
    StageRow(5, 8, 96, 5, 2, squeeze=False),
    StageRow(5, 8, 144, 4, 1, squeeze=False),
    StageRow(5, 8, 192, 2, 2, squeeze=False),
)


class Arch(NamedTuple):
    """Channels of the stem, stages, channels of the last convolution; whether stages of one resolution are one layer."""

    stem: int
    stages: tuple[StageRow, ...]
    last: int = 1280
    joined: bool = False


def grow(stages: tuple[StageRow, ...], width: float, depth: float, *, lite: bool = False) -> Arch:
    """A variant of the first version; Lite keeps the stem, the head and the two outer stages as they are."""
    grown = []
    for index, row in enumerate(stages):
        kept = lite and index in (0, len(stages) - 1)
        repeats = row.repeats if kept else ceil(row.repeats * depth)
        grown.append(row._replace(channels=round_width(row.channels * width), repeats=repeats))
    stem, last = (size if lite else round_width(size * width) for size in (32, 1280))
    return Arch(stem, tuple(grown), last, joined=True)


WIDER, DEEPER = (1.0, 1.0, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.2), (1.0, 1.1, 1.2, 1.4, 1.8, 2.2, 2.6, 3.1, 3.6)
"""How much B0 ... B8 are wider and deeper than B0."""

COEFFICIENTS = tuple(zip(WIDER, DEEPER, strict=True))
ARCHES: Mapping[str, Arch] = {
    **{f"b{size}": grow(B0, *pair) for size, pair in enumerate(COEFFICIENTS)},
    **{f"lite{size}": grow(LITE, *pair, lite=True) for size, pair in enumerate(COEFFICIENTS[:5])},
    "l2": grow(B0, 4.3, 5.3),
    "es": grow(EDGE, 1.0, 1.0),
    "em": grow(EDGE, 1.0, 1.1),
    "el": grow(EDGE, 1.2, 1.4),
}


def second_version(stem: int, repeats: tuple[int, ...], channels: tuple[int, ...], last: int = 1280) -> Arch:
    """The first stage is plain convolutions, the next two are fused, later ones are inverted with a gate."""
    strides, expansions = (1, 2, 2, 2, 1, 2, 1), (1, 4, 4, 4, 6, 6, 6)
    forms: tuple[Literal["inverted", "fused", "plain"], ...] = ("plain", "fused", "fused", *("inverted",) * 4)
    rows = zip(expansions, channels, repeats, strides, (form == "inverted" for form in forms), forms, strict=False)
    return Arch(stem, tuple(StageRow(3, *row) for row in rows), last)


V2_ARCHES: Mapping[str, Arch] = {
    **dict.fromkeys(("s", "small"), second_version(24, (2, 4, 4, 6, 9, 15), (24, 48, 64, 128, 160, 256))),
    **dict.fromkeys(("m", "medium"), second_version(24, (3, 5, 5, 7, 14, 18, 5), (24, 48, 80, 160, 176, 304, 512))),
    **dict.fromkeys(("l", "large"), second_version(32, (4, 7, 7, 10, 19, 25, 7), (32, 64, 96, 192, 224, 384, 640))),
    "xl": second_version(32, (4, 8, 8, 16, 24, 32, 8), (32, 64, 96, 192, 256, 512, 640)),
    "b0": second_version(32, (1, 2, 2, 3, 5, 8), (16, 32, 48, 96, 112, 192)),
    "b1": second_version(32, (2, 3, 3, 4, 6, 9), (16, 32, 48, 96, 112, 192)),
    "b2": second_version(32, (2, 3, 3, 4, 6, 10), (16, 32, 56, 104, 120, 208), 1408),
    "b3": second_version(40, (2, 3, 3, 5, 7, 12), (16, 40, 56, 112, 136, 232), 1536),
}


@dataclass(frozen=True)
class EfficientNetOptions:
    """What a config can say; without `act_cfg`, Lite takes ReLU6 and the others Swish."""

    family: str
    arch: str = "b0"
    in_channels: int = 3
    out_indices: tuple[int, ...] = (-1,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN", "eps": 1e-3})
    act_cfg: Settings | None = None
    conv_cfg: Settings = field(default_factory=lambda: {"type": "Conv2dAdaptivePadding"})


class EfficientNet(Chain):
    """Stem, stages of blocks, last convolution."""

    OPTIONS = EfficientNetOptions
    PRESETS: ClassVar[Mapping[str, Settings]] = {"EfficientNetV2": {"arch": "s"}}

    def __init__(self, options: EfficientNetOptions) -> None:
        super().__init__()
        arch = find_arch(options.family, options.arch, V2_ARCHES if options.family == "EfficientNetV2" else ARCHES)
        act = ACTIVATIONS["ReLU6" if options.arch.casefold().startswith("lite") else "Swish"]
        act = activation(options.act_cfg) if options.act_cfg else act
        same = options.conv_cfg.get("type") == "Conv2dAdaptivePadding"
        parts = UnitParts(SamePadConv2d if same else nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        layers: list[list[nn.Module]] = [[parts.unit((options.in_channels, arch.stem), 3, stride=2)]]
        entering = arch.stem
        for index, row in enumerate(arch.stages):
            if row.stride == 2 or index == 0 or not arch.joined:
                layers.append([])
            for repeat in range(row.repeats):
                # The first EdgeTPU block expands as if it came from its table's 24 channels, not from the stem's 32.
                expansion = 3 if row.form == "fused" and index == repeat == 0 else row.expansion
                stride, squeezed = row.stride if repeat == 0 else 1, entering // 4 if row.squeeze else None
                shape = BlockShape(entering, entering * expansion, row.channels, row.kernel, stride, squeezed)
                layers[-1].append(Residual(units_of(row, shape, parts), shape, shortcut=row.shortcut))
                entering = row.channels
        last = parts.unit((entering, arch.last), 1)
        self.layers = nn.ModuleList([*layers[0], *(nn.Sequential(*blocks) for blocks in layers[1:]), last])
        asked = stages_asked(options.out_indices, len(self.layers))[-1]
        self.order = [f"layers.{number}" for number in range(asked + 1)]
        if asked == len(self.layers) - 1:
            self.default_layer = f"layers.{asked}.{norm_name(last[1])}"


def units_of(row: StageRow, shape: BlockShape, parts: UnitParts) -> Mapping[str, nn.Module]:
    """The units of a block in the form of its row."""
    if row.form == "plain":
        return dict(parts.unit((shape.entering, shape.leaving), shape.kernel, stride=shape.stride).named_children())
    if row.form == "inverted":
        return inverted_units(shape, parts)
    units: dict[str, nn.Module] = {
        "conv1": parts.unit((shape.entering, shape.inside), shape.kernel, stride=shape.stride)
    }
    if shape.squeezed is not None:
        units["se"] = SqueezeExcite(shape.inside, shape.squeezed, parts.gate)
    project = nn.Conv2d(shape.inside, shape.leaving, 1, bias=False)
    return {**units, "conv2": conv_unit(project, norm_layer(shape.leaving, parts.norm))}
