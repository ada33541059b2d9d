"""PoolFormer, and RIFormer in its training and deploy form: the transformer's frame with next to nothing as mixer.

Source: Yu et al., MetaFormer is Actually What You Need for Vision, CVPR 2022, section 3.2 (the mixer is a 3x3 mean,
less the input); Wang et al., RIFormer, CVPR 2023, section 3 (it is a learned scale and shift, less the input, which the
deploy form folds into the norm in front).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import nn

from classlens.config.settings import Settings
from classlens.zoo.units import Activation, Chain, Features, activation, find_arch, require_native, stages_asked

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

    family: str
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
        return self.pool(features) - features


class ChannelAffine(nn.Module):
    """A scale and a shift of each channel, less the channel itself."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.affine = nn.Conv2d(channels, channels, 1, groups=channels)

    def forward(self, features: Features) -> Features:
        return self.affine(features) - features


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
        wide = 4 * channels
        layers = {"fc1": nn.Conv2d(channels, wide, 1), "act": act(), "fc2": nn.Conv2d(wide, channels, 1)}
        self.mlp = Chain(layers)
        self.layer_scale_1, self.layer_scale_2 = (nn.Parameter(torch.ones(channels)) for _ in range(2))

    def forward(self, features: Features) -> Features:
        mixed = self.token_mixer(self.norm1(features)) if self.mixes else self.norm_reparam(features)
        features = features + self.layer_scale_1[:, None, None] * mixed
        return features + self.layer_scale_2[:, None, None] * self.mlp(self.norm2(features))


class PoolFormer(Chain):
    """`patch_embed`, then stages and embeddings in turn, and the norm of the last one asked for."""

    OPTIONS = PoolFormerOptions

    def __init__(self, options: PoolFormerOptions) -> None:
        super().__init__()
        depths, channels = find_arch(options.family, options.arch, ARCHES)
        last = stages_asked(options.out_indices, LAST + 1)[-1]
        require_native(options.family, norm_cfg=(options.norm_cfg.get("type"), "GN"), out_indices=(last, LAST))
        act, groups = activation(options.act_cfg), options.norm_cfg.get("num_groups", 1)

        def norm(width: int) -> nn.Module:
            return nn.GroupNorm(groups, width, eps=options.norm_cfg.get("eps", 1e-5))

        def mixer(width: int) -> nn.Module | None:
            if options.family == "PoolFormer":
                return Pooling(options.pool_size)
            return None if options.deploy else ChannelAffine(width)

        first = nn.Conv2d(options.in_channels, channels[0], options.in_patch_size, options.in_stride, options.in_pad)
        self.patch_embed = Chain({"proj": first})
        parts: list[nn.Module] = []
        for stage, (depth, width) in enumerate(zip(depths, channels, strict=True)):
            parts.append(nn.Sequential(*(PoolFormerBlock(width, mixer(width), norm, act) for _ in range(depth))))
            if stage < len(depths) - 1:
                shape = (options.down_patch_size, options.down_stride, options.down_pad)
                parts.append(Chain({"proj": nn.Conv2d(width, channels[stage + 1], *shape)}))
        self.network = nn.ModuleList(parts)
        self.order = ["patch_embed", *(f"network.{number}" for number in range(len(parts))), f"norm{LAST}"]
        self.add_module(f"norm{LAST}", norm(channels[-1]))
