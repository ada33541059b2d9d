"""DenseNet with 121 to 201 layers.

Source: Huang et al., Densely Connected Convolutional Networks, CVPR 2017, table 1; transitions halve the channels.
"""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import Chain, Features, activation, find_arch, norm_layer, stages_asked

ARCHES: Mapping[str, tuple[int, tuple[int, ...], int]] = {
    "121": (32, (6, 12, 24, 16), 64),
    "169": (32, (6, 12, 32, 32), 64),
    "201": (32, (6, 12, 48, 32), 64),
    "161": (48, (6, 12, 36, 24), 96),
}
"""New channels per layer, layers per stage, channels of the stem."""


@dataclass(frozen=True)
class DenseNetOptions:
    """What a config can say; `bn_size` times the growth is the width inside a layer."""

    arch: str | int = "121"
    in_channels: int = 3
    bn_size: int = 4
    compression_factor: float = 0.5
    norm_cfg: Settings = field(default_factory=lambda: {"type": "BN"})
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})
    out_indices: int | tuple[int, ...] = -1


class DenseLayer(nn.Module):
    """Norm, 1x1, norm, 3x3 on all that came before."""

    def __init__(self, entering: int, growth: int, options: DenseNetOptions) -> None:
        super().__init__()
        inside = options.bn_size * growth
        self.norm1 = norm_layer(entering, options.norm_cfg)
        self.conv1 = nn.Conv2d(entering, inside, 1, bias=False)
        self.norm2 = norm_layer(inside, options.norm_cfg)
        self.conv2 = nn.Conv2d(inside, growth, 3, padding=1, bias=False)
        self.act = activation(options.act_cfg)()

    def forward(self, features: Features) -> Float[Tensor, "b growth h w"]:
        inside = self.conv1(self.act(self.norm1(features)))
        return self.conv2(self.act(self.norm2(inside)))


class DenseStage(nn.Module):
    """Layers that each see the output of all before them; what leaves is that, and the last one's new channels."""

    def __init__(self, layers: list[DenseLayer]) -> None:
        super().__init__()
        self.block = nn.ModuleList(layers)

    def forward(self, features: Features) -> Float[Tensor, "b d h w"]:
        for layer in self.block:
            features = torch.cat((features, layer(features)), dim=1)
        return features


class DenseNet(Chain):
    """`stem`, `stages` and `transitions` in turn; the last transition is a norm only."""

    OPTIONS = DenseNetOptions

    def __init__(self, options: DenseNetOptions) -> None:
        super().__init__()
        growth, depths, width = find_arch("DenseNet", str(options.arch), ARCHES)
        act = activation(options.act_cfg)
        conv = nn.Conv2d(options.in_channels, width, 7, 2, 3, bias=False)
        self.stem = nn.Sequential(conv, norm_layer(width, options.norm_cfg), act(), nn.MaxPool2d(3, 2, 1))
        self.stages, self.transitions = nn.ModuleList(), nn.ModuleList()
        for stage, depth in enumerate(depths):
            layers = [DenseLayer(width + place * growth, growth, options) for place in range(depth)]
            self.stages.append(DenseStage(layers))
            width += depth * growth
            norm = norm_layer(width, options.norm_cfg)
            if stage == len(depths) - 1:
                self.transitions.append(nn.Sequential(norm, act()))
                continue
            half = int(width * options.compression_factor)
            smaller = nn.Conv2d(width, half, 1, bias=False)
            parts: OrderedDict[str, nn.Module] = OrderedDict(norm=norm, act=act(), conv=smaller, pool=nn.AvgPool2d(2))
            self.transitions.append(nn.Sequential(parts))
            width = half
        stages = range(stages_asked(options.out_indices, len(depths))[-1] + 1)
        self.order = ["stem", *(f"{part}.{stage}" for stage in stages for part in ("stages", "transitions"))]
