"""The families of the inverted residual block: MobileNet, second and third version, and EfficientNet, first and second.

Source: Sandler et al., MobileNetV2, CVPR 2018, figure 3 and table 2 (expand, convolve each channel, project without
activation); with squeeze-and-excitation: Howard et al., MobileNetV3, ICCV 2019, figure 4, tables 1 and 2. Tan & Le,
EfficientNet, ICML 2019, table 1 (B0) and section 3.3 (compound scaling), and EfficientNetV2, ICML 2021, table 4 and figure
2 (the fused form joins the first two convolutions); the EdgeTPU (es, em, el) and Lite (lite0-lite4) variants are described
in the release notes of their authors.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import ceil
from typing import ClassVar, Literal, NamedTuple

from torch import nn

from classlens.config.settings import Settings
from classlens.zoo.units import (
    ACTIVATIONS,
    NORM_NAMES,
    RELU,
    SIGMOID,
    Activation,
    BlockShape,
    Chain,
    SamePadConv2d,
    SqueezeExcite,
    activation,
    conv_unit,
    find_arch,
    norm_layer,
    round_width,
    stages_asked,
)


@dataclass(frozen=True)
class UnitParts:
    """What every unit of one network is made of; `gate` are the two activations of squeeze-and-excitation."""

    conv: type[nn.Conv2d]
    norm: Settings
    act: Activation
    gate: tuple[Activation, Activation]

    def unit(
        self, channels: tuple[int, int], kernel: int, *, stride: int = 1, groups: int = 1, act: bool = True
    ) -> nn.Sequential:
        """Convolution, norm and activation; `channels` is (in, out)."""
        padding = kernel // 2 if self.conv is nn.Conv2d else 0
        conv = self.conv(*channels, kernel, stride, padding, groups=groups, bias=False)
        return conv_unit(conv, norm_layer(channels[1], self.norm), self.act if act else None)


Form = Literal["inverted", "fused", "plain"]


def residual_block(shape: BlockShape, parts: UnitParts, form: Form = "inverted", *, shortcut: bool = True) -> Chain:
    """Expand (where the inside is wider), convolve each channel, gate, project; then the shortcut, where shapes allow it.

    `fused` expands by a full spatial convolution, `plain` is nothing but that.
    """
    outer, inside, stride = (shape.entering, shape.leaving), shape.inside, shape.stride
    units: dict[str, nn.Module] = {}
    if form == "plain":
        units.update(parts.unit(outer, shape.kernel, stride=stride).named_children())
    elif form == "fused":
        units["conv1"] = parts.unit((shape.entering, inside), shape.kernel, stride=stride)
    elif inside != shape.entering:
        units["expand_conv"] = parts.unit((shape.entering, inside), 1)
    if form == "inverted":
        units["depthwise_conv"] = parts.unit((inside, inside), shape.kernel, stride=stride, groups=inside)
    if shape.squeezed is not None:
        units["se"] = SqueezeExcite(inside, shape.squeezed, parts.gate)
    if form == "inverted":
        units["linear_conv"] = parts.unit((inside, shape.leaving), 1, act=False)
    elif form == "fused":
        project = nn.Conv2d(inside, shape.leaving, 1, bias=False)
        units["conv2"] = conv_unit(project, norm_layer(shape.leaving, parts.norm))
    return Chain(units, shortcut=shortcut and stride == 1 and shape.entering == shape.leaving)


V2_ROWS = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
"""Expansion, channels, repeats and first stride: the rows of the paper's table."""

V2_STEM, V2_LAST = 32, 1280


@dataclass(frozen=True)
class MobileNetV2Options:
    """What a config can say; index 7 of `out_indices` is `conv2`."""

    widen_factor: float = 1.0
    out_indices: tuple[int, ...] = (7,)
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU6"})


class MobileNetV2(Chain):
    """Stem, seven layers of blocks with units `conv.0`, `conv.1`, ..., last convolution."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    def __init__(self, options: MobileNetV2Options) -> None:
        super().__init__()
        act = activation(options.act_cfg)
        parts = UnitParts(nn.Conv2d, options.norm_cfg, act, (act, SIGMOID))
        entering = round_width(V2_STEM * options.widen_factor)
        self.conv1 = parts.unit((3, entering), 3, stride=2)
        for number, (expansion, channels, repeats, first) in enumerate(V2_ROWS, start=1):
            leaving = round_width(channels * options.widen_factor)
            blocks = []
            for stride in (first, *[1] * (repeats - 1)):
                shape = BlockShape(entering, entering * expansion, leaving, 3, stride)
                block = residual_block(shape, parts)
                blocks.append(Chain({"conv": nn.Sequential(*block.children())}, shortcut=block.shortcut))
                entering = leaving
            self.add_module(f"layer{number}", nn.Sequential(*blocks))
        self.conv2 = parts.unit((entering, int(V2_LAST * max(1.0, options.widen_factor))), 1)
        names = [name for name, _ in self.named_children()]
        self.order = names[: 2 + stages_asked(options.out_indices, len(names) - 1)[-1]]


V3_STEM = 16


class V3Row(NamedTuple):
    """One bottleneck of the paper's tables: kernel, channels inside and out, gate or not, activation, stride."""

    kernel: int
    inside: int
    channels: int
    squeeze: bool
    act: str
    stride: int


SMALL = (
    V3Row(3, 16, 16, True, "ReLU", 2),
    V3Row(3, 72, 24, False, "ReLU", 2),
    V3Row(3, 88, 24, False, "ReLU", 1),
    V3Row(5, 96, 40, True, "HSwish", 2),
    *(V3Row(5, 240, 40, True, "HSwish", 1),) * 2,
    V3Row(5, 120, 48, True, "HSwish", 1),
    V3Row(5, 144, 48, True, "HSwish", 1),
    V3Row(5, 288, 96, True, "HSwish", 2),
    *(V3Row(5, 576, 96, True, "HSwish", 1),) * 2,
)
LARGE = (
    V3Row(3, 16, 16, False, "ReLU", 1),
    V3Row(3, 64, 24, False, "ReLU", 2),
    V3Row(3, 72, 24, False, "ReLU", 1),
    V3Row(5, 72, 40, True, "ReLU", 2),
    *(V3Row(5, 120, 40, True, "ReLU", 1),) * 2,
    V3Row(3, 240, 80, False, "HSwish", 2),
    V3Row(3, 200, 80, False, "HSwish", 1),
    *(V3Row(3, 184, 80, False, "HSwish", 1),) * 2,
    V3Row(3, 480, 112, True, "HSwish", 1),
    V3Row(3, 672, 112, True, "HSwish", 1),
    V3Row(5, 672, 160, True, "HSwish", 2),
    *(V3Row(5, 960, 160, True, "HSwish", 1),) * 2,
)
V3_ARCHES: Mapping[str, tuple[tuple[V3Row, ...], float]] = {
    "small": (SMALL, 1.0),
    "small_075": (SMALL, 0.75),
    "small_050": (SMALL, 0.5),
    "large": (LARGE, 1.0),
}
LAST_EXPANSION = 6  # how much wider the last convolution is than what enters it


class MobileNetV3(Chain):
    """`layer0`, `layer1`, ..., the last one a convolution."""

    NATIVE: ClassVar[Settings] = {"conv_cfg": None}

    def __init__(
        self, arch: str = "small", *, out_indices: tuple[int, ...] | None = None, norm_cfg: Settings | None = None
    ) -> None:
        super().__init__()
        rows, width = find_arch("MobileNetV3", arch, V3_ARCHES)
        norm = norm_cfg or {"type": "BN", "eps": 1e-3, "momentum": 0.01}
        parts = UnitParts(nn.Conv2d, norm, ACTIVATIONS["HSwish"], (RELU, ACTIVATIONS["HSigmoid"]))
        self.layer0 = parts.unit((3, V3_STEM), 3, stride=2)
        entering, in_table = V3_STEM, V3_STEM
        for number, row in enumerate(rows, start=1):
            inside, leaving = round_width(entering * row.inside / in_table), round_width(row.channels * width)
            squeezed = round_width(inside / 4) if row.squeeze else None
            shape = BlockShape(entering, inside, leaving, row.kernel, row.stride, squeezed=squeezed)
            self.add_module(f"layer{number}", residual_block(shape, replace(parts, act=ACTIVATIONS[row.act])))
            entering, in_table = leaving, row.channels
        last = parts.unit((entering, round_width(entering * LAST_EXPANSION)), 1)
        self.add_module(f"layer{len(rows) + 1}", last)
        asked = stages_asked(out_indices or -1, len(rows) + 2)[-1]
        self.order = [f"layer{number}" for number in range(asked + 1)]
        if asked > len(rows):
            self.default_layer = f"layer{asked}.{NORM_NAMES[type(last[1])]}"


class StageRow(NamedTuple):
    """One row of a paper's table. `fused` joins expansion and spatial convolution into one; `plain` has nothing else."""

    kernel: int
    expansion: int
    channels: int
    repeats: int
    stride: int
    squeeze: bool = True
    form: Form = "inverted"
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
    forms: tuple[Form, ...] = ("plain", "fused", "fused", *("inverted",) * 4)
    rows = zip(expansions, channels, repeats, strides, (form == "inverted" for form in forms), forms, strict=False)
    return Arch(stem, tuple(StageRow(3, *row) for row in rows), last)


SECOND_ARCHES: Mapping[str, Arch] = {
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
    """`layers`: stem, stages of blocks, last convolution.

    OpenMMLab joins consecutive stages of one resolution of the first version into one layer, and so do we.
    """

    PRESETS: ClassVar[Mapping[str, Settings]] = {"EfficientNetV2": {"arch": "s"}}

    def __init__(self, options: EfficientNetOptions) -> None:
        super().__init__()
        arch = find_arch(options.family, options.arch, SECOND_ARCHES if options.family == "EfficientNetV2" else ARCHES)
        usual = {"type": "ReLU6" if options.arch.casefold().startswith("lite") else "Swish"}
        act = activation(options.act_cfg or usual)
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
                shape = BlockShape(entering, entering * expansion, row.channels, row.kernel, stride, squeezed=squeezed)
                layers[-1].append(residual_block(shape, parts, row.form, shortcut=row.shortcut))
                entering = row.channels
        last = parts.unit((entering, arch.last), 1)
        self.layers = nn.ModuleList([*layers[0], *(nn.Sequential(*blocks) for blocks in layers[1:]), last])
        asked = stages_asked(options.out_indices, len(self.layers))[-1]
        self.order = [f"layers.{number}" for number in range(asked + 1)]
        if asked == len(self.layers) - 1:
            self.default_layer = f"layers.{asked}.{NORM_NAMES[type(last[1])]}"
