"""VGG, and LeNet5 for grey pictures of 32 x 32 pixels.

Source: Simonyan & Zisserman, Very Deep Convolutional Networks, ICLR 2015, table 1; LeCun et al., Gradient-Based
Learning Applied to Document Recognition, Proceedings of the IEEE 1998, figure 2.
"""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError
from classlens.zoo.units import activation, conv_unit, norm_layer, require_native


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


DEPTHS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}  # convolutions per stage
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

    OPTIONS = VGGOptions
    NATIVE: ClassVar[Settings] = {"conv_cfg": None, "dilations": (1,) * 5}

    def __init__(self, options: VGGOptions) -> None:
        super().__init__()
        if options.depth not in DEPTHS:
            raise ConfigError(f"VGG has no depth {options.depth!r}", hint=f"it has {', '.join(map(str, DEPTHS))}")
        last = (options.num_stages - 1,)
        require_native("VGG", out_indices=(options.out_indices or last, last))
        act = activation(options.act_cfg)
        parts: list[nn.Module] = []
        entering = 3
        for stage, count in enumerate(DEPTHS[options.depth][: options.num_stages]):
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
