"""ConvNeXt, first and second version.

Source: Liu et al., A ConvNet for the 2020s, CVPR 2022, figure 4; global response normalisation (`grn`): Woo et al.,
ConvNeXt V2, CVPR 2023, equations 1 to 3.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import Activation, Features, activation, find_arch, require_native, stages_asked


class ConvNeXtArch(NamedTuple):
    """Blocks and channels of each stage, under the names that they have in a config."""

    depths: tuple[int, ...]
    channels: tuple[int, ...]


SHALLOW, DEEP = (2, 2, 6, 2), (3, 3, 27, 3)


def doubling(first: int) -> tuple[int, ...]:
    return tuple(first * 2**stage for stage in range(4))


ARCHES: Mapping[str, ConvNeXtArch] = {
    "atto": ConvNeXtArch(SHALLOW, doubling(40)),
    "femto": ConvNeXtArch(SHALLOW, doubling(48)),
    "pico": ConvNeXtArch(SHALLOW, doubling(64)),
    "nano": ConvNeXtArch((2, 2, 8, 2), doubling(80)),
    "tiny": ConvNeXtArch((3, 3, 9, 3), doubling(96)),
    "small": ConvNeXtArch(DEEP, doubling(96)),
    "base": ConvNeXtArch(DEEP, doubling(128)),
    "large": ConvNeXtArch(DEEP, doubling(192)),
    "xlarge": ConvNeXtArch(DEEP, doubling(256)),
    "huge": ConvNeXtArch(DEEP, doubling(352)),
}


@dataclass(frozen=True)
class ConvNeXtOptions:
    """What a config can say."""

    arch: Any = "tiny"
    in_channels: int = 3
    stem_patch_size: int = 4
    norm_cfg: Settings = field(default_factory=lambda: {"type": "LN2d", "eps": 1e-6})
    act_cfg: Settings = field(default_factory=lambda: {"type": "GELU"})
    linear_pw_conv: bool = True
    use_grn: bool = False
    layer_scale_init_value: float = 1e-6
    out_indices: int | tuple[int, ...] = -1
    gap_before_final_norm: bool = True

    @property
    def eps(self) -> float:
        return float(self.norm_cfg.get("eps", 1e-5))


class LayerNorm2d(nn.LayerNorm):
    """A layer norm over the channels of a map that has them first."""

    def forward(self, features: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c *places"]:
        last = features.movedim(1, -1)
        normed = functional.layer_norm(last, self.normalized_shape, self.weight, self.bias, self.eps)
        return normed.movedim(-1, 1)


class ResponseNorm(nn.Module):
    """Channels compete: each is scaled by its norm over the picture, relative to the mean of all channels'."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.gamma, self.beta = (nn.Parameter(torch.zeros(channels)) for _ in range(2))

    def forward(self, features: Float[Tensor, "b h w c"]) -> Float[Tensor, "b h w c"]:
        strength = features.square().sum((1, 2), keepdim=True).sqrt()
        relative = strength / (strength.mean(dim=-1, keepdim=True) + 1e-6)
        return features + features * relative * self.gamma + self.beta


class ConvNeXtBlock(nn.Module):
    """A 7x7 convolution of each channel, norm, and two layers on each place; channels last from the norm on."""

    def __init__(self, channels: int, options: ConvNeXtOptions, act: Activation) -> None:
        super().__init__()
        self.linear = options.linear_pw_conv
        self.depthwise_conv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        norm = nn.LayerNorm if self.linear else LayerNorm2d
        self.norm = norm(channels, eps=options.eps)
        wide = 4 * channels
        self.pointwise_conv1 = nn.Linear(channels, wide) if self.linear else nn.Conv2d(channels, wide, 1)
        self.pointwise_conv2 = nn.Linear(wide, channels) if self.linear else nn.Conv2d(wide, channels, 1)
        self.act = act()
        self.grn = ResponseNorm(wide) if options.use_grn else nn.Identity()
        self.scaled = options.layer_scale_init_value > 0
        if self.scaled:
            self.gamma = nn.Parameter(torch.ones(channels))

    def forward(self, features: Features) -> Features:
        inside = self.depthwise_conv(features)
        inside = self.norm(inside.permute(0, 2, 3, 1) if self.linear else inside)
        inside = self.act(self.pointwise_conv1(inside))
        if self.linear:
            inside = self.pointwise_conv2(self.grn(inside)).permute(0, 3, 1, 2)
        else:
            inside = self.pointwise_conv2(self.grn(inside.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
        return features + (inside * self.gamma[:, None, None] if self.scaled else inside)


class ConvNeXt(nn.Module):
    """`downsample_layers` and `stages` in turn, then the norm of the last stage asked for.

    With `gap_before_final_norm` the norm sees the mean over all places, and a vector leaves.
    """

    OPTIONS = ConvNeXtOptions

    def __init__(self, options: ConvNeXtOptions) -> None:
        super().__init__()
        require_native("ConvNeXt", norm_cfg=(options.norm_cfg.get("type", "LN2d"), "LN2d"))
        depths, channels = find_arch("ConvNeXt", options.arch, ARCHES, sizes=ConvNeXtArch._fields, kind=ConvNeXtArch)
        act = activation(options.act_cfg)
        self.downsample_layers, self.stages = nn.ModuleList(), nn.ModuleList()
        patch, entering = options.stem_patch_size, options.in_channels
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            if stage == 0:
                parts: list[nn.Module] = [nn.Conv2d(entering, width, patch, patch), LayerNorm2d(width, eps=options.eps)]
            else:
                parts = [LayerNorm2d(entering, eps=options.eps), nn.Conv2d(entering, width, 2, 2)]
            self.downsample_layers.append(nn.Sequential(*parts))
            self.stages.append(nn.Sequential(*(ConvNeXtBlock(width, options, act) for _ in range(depth))))
            entering = width
        asked = stages_asked(options.out_indices, len(depths))
        for index in asked:
            self.add_module(f"norm{index}", LayerNorm2d(channels[index], eps=options.eps))
        self.last, self.pooled = asked[-1], options.gap_before_final_norm

    def forward(self, images: Features) -> Float[Tensor, "b c *places"]:
        features = images
        for stage in range(self.last + 1):
            features = self.stages[stage](self.downsample_layers[stage](features))
        if self.pooled:
            features = features.mean((2, 3))
        return self.get_submodule(f"norm{self.last}")(features)
