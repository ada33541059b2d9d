"""PoolFormer, and RIFormer in its training and deploy form: the transformer's frame with next to nothing as mixer.

Source: Yu et al., MetaFormer is Actually What You Need for Vision, CVPR 2022, section 3.2 (the mixer is a 3x3 mean,
less the input); Wang et al., RIFormer, CVPR 2023, section 3 (it is a learned scale and shift, less the input, which the
deploy form folds into the norm in front).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import Activation, Chain, activation, find_arch, plain_type, read_options, require_native

Features = Float[Tensor, "b c h w"]
PoolFormerArch = tuple[tuple[int, ...], tuple[int, ...]]
"""Blocks and channels of the four stages."""

NARROW, WIDE = (64, 128, 320, 512), (96, 192, 384, 768)
ARCHES: Mapping[str, PoolFormerArch] = {
    "s12": ((2, 2, 6, 2), NARROW),
    "s24": ((4, 4, 12, 4), NARROW),
    "s36": ((6, 6, 18, 6), NARROW),
    "m36": ((6, 6, 18, 6), WIDE),
    "m48": ((8, 8, 24, 8), WIDE),
}
LAST = 6
"""Index of the last stage in `network`, where stages and embeddings take turns."""


@dataclass(frozen=True)
class PoolFormerOptions:
    """What a config can say; `deploy` is RIFormer's."""

    arch: str = "s12"
    in_channels: int = 3
    pool_size: int = 3
    norm_cfg: Settings = field(default_factory=lambda: {"type": "GN", "num_groups": 1})
    act_cfg: Settings = field(default_factory=lambda: {"type": "GELU"})
    in_patch_size: int = 7
    in_stride: int = 4
    in_pad: int = 2
    down_patch_size: int = 3
    down_stride: int = 2
    down_pad: int = 1
    out_indices: int | tuple[int, ...] = -1
    deploy: bool = False


class Pooling(nn.Module):
    """The mean of the neighbours, less the place itself."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.pool = nn.AvgPool2d(size, 1, size // 2, count_include_pad=False)

    def forward(self, features: Features) -> Features:
        means: Tensor = self.pool(features)
        return means - features


class ChannelAffine(nn.Module):
    """A scale and a shift of each channel, less the channel itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, features: Features) -> Features:
        moved: Tensor = self.affine(features)
        return moved - features


class Mlp(Chain):
    """Two 1x1 convolutions with an activation between them."""

    def __init__(self, channels: int, act: Activation) -> None:
        super().__init__()
        self.fc1 = nn.Conv2d(channels, 4 * channels, 1)
        self.act = act()
        self.fc2 = nn.Conv2d(4 * channels, channels, 1)


class PoolFormerBlock(nn.Module):
    """Norm and mixer, norm and layers, each scaled and added; without a mixer one norm does the work of both."""

    def __init__(
        self, channels: int, mixer: nn.Module | None, norm: Callable[[int], nn.Module], act: Activation
    ) -> None:
        super().__init__()
        self.mixes = mixer is not None
        if mixer is not None:
            self.norm1, self.token_mixer = norm(channels), mixer
        else:
            self.norm_reparam = norm(channels)
        self.norm2 = norm(channels)
        self.mlp = Mlp(channels, act)
        self.layer_scale_1 = nn.Parameter(torch.ones(channels))
        self.layer_scale_2 = nn.Parameter(torch.ones(channels))

    def forward(self, features: Features) -> Features:
        mixed = self.token_mixer(self.norm1(features)) if self.mixes else self.norm_reparam(features)
        features = features + self.layer_scale_1[:, None, None] * mixed
        changed: Tensor = features + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(features))
        return changed


class Embed(Chain):
    """A strided convolution, `proj`."""

    def __init__(self, channels: tuple[int, int], kernel: int, stride: int, padding: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(*channels, kernel, stride, padding)


class PoolFormer(Chain):
    """`patch_embed`, then stages and embeddings in turn, and the norm of the last one asked for."""

    def __init__(self, options: PoolFormerOptions, mixer: Callable[[int], nn.Module | None]) -> None:
        super().__init__()
        depths, channels = find_arch("PoolFormer", options.arch, ARCHES)
        act = activation(options.act_cfg)
        groups, eps = options.norm_cfg.get("num_groups", 1), options.norm_cfg.get("eps", 1e-5)

        def norm(width: int) -> nn.Module:
            return nn.GroupNorm(groups, width, eps=eps)

        first = (options.in_channels, channels[0])
        self.patch_embed = Embed(first, options.in_patch_size, options.in_stride, options.in_pad)
        parts: list[nn.Module] = []
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            parts.append(nn.Sequential(*(PoolFormerBlock(width, mixer(width), norm, act) for _ in range(depth))))
            if stage < len(depths) - 1:
                pair = (width, channels[stage + 1])
                parts.append(Embed(pair, options.down_patch_size, options.down_stride, options.down_pad))
        self.network = nn.ModuleList(parts)
        self.order = ["patch_embed", *(f"network.{number}" for number in range(len(parts))), f"norm{LAST}"]
        self.add_module(f"norm{LAST}", norm(channels[-1]))


def poolformer(settings: Settings) -> PoolFormer:
    """The backbone of a config's `dict(type='PoolFormer', arch='s12')`, or of RIFormer."""
    family = plain_type(settings)
    options = read_options(PoolFormerOptions, settings)
    last = options.out_indices if isinstance(options.out_indices, int) else options.out_indices[-1]
    require_native(family, norm_cfg=(options.norm_cfg.get("type"), "GN"), out_indices=(last % (LAST + 1), LAST))
    if family == "PoolFormer":
        return PoolFormer(options, lambda width: Pooling(options.pool_size))
    return PoolFormer(options, lambda width: None if options.deploy else ChannelAffine(width))
