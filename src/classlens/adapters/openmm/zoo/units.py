"""The small parts that all families share: convolution units, norms, activations, squeeze-and-excitation.

The rule here and in every family: child names are OpenMMLab's (`conv`, `bn`, `activate`, ...), because checkpoints
and `--target-layers` speak them; and every number that a checkpoint lacks is computed on the CPU when a network is
built, so that building on the "meta" device and assigning the weights leaves nothing undefined.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import plain_type
from classlens.arrays import Float
from classlens.errors import ConfigError, suggestion

Activation = Callable[[], nn.Module]


class QuickGELU(nn.Module):
    """GELU as CLIP's networks approximate it: x * sigmoid(1.702 x) (Hendrycks & Gimpel, 2016, section 2)."""

    def forward(self, features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        """Each number by itself."""
        return features * torch.sigmoid(1.702 * features)


ACTIVATIONS: Mapping[str, Activation] = {
    "ReLU": partial(nn.ReLU, inplace=True),
    "ReLU6": partial(nn.ReLU6, inplace=True),
    "LeakyReLU": partial(nn.LeakyReLU, inplace=True),
    "Swish": partial(nn.SiLU, inplace=True),
    "SiLU": partial(nn.SiLU, inplace=True),
    "HSwish": partial(nn.Hardswish, inplace=True),
    "HSigmoid": nn.Hardsigmoid,
    "Sigmoid": nn.Sigmoid,
    "GELU": nn.GELU,
    "QuickGELU": QuickGELU,
    "Tanh": nn.Tanh,
}
"""Activations by OpenMMLab's names."""


def activation(settings: Settings) -> Activation:
    """What makes the activation named by a config's `act_cfg`.

    Raises:
        ConfigError: the name is unknown.
    """
    name = plain_type(settings)
    if name not in ACTIVATIONS:
        raise ConfigError(f"no activation named {name!r}", hint=suggestion(name, ACTIVATIONS))
    return ACTIVATIONS[name]


def norm_layer(channels: int, settings: Settings) -> nn.BatchNorm2d | nn.GroupNorm:
    """The norm of a config's `norm_cfg`: batch (synchronised statistics are the same when evaluating) or group.

    Raises:
        ConfigError: the config asks for another norm.
    """
    kind, eps = settings.get("type", "BN"), settings.get("eps", 1e-5)
    if kind == "GN":
        return nn.GroupNorm(settings["num_groups"], channels, eps=eps)
    if kind not in ("BN", "BN2d", "SyncBN"):
        raise ConfigError(f"norm {kind!r} is not built natively in this family", hint="it has BN, SyncBN or GN")
    return nn.BatchNorm2d(channels, eps=eps, momentum=settings.get("momentum", 0.1))


def norm_name(norm: nn.Module) -> str:
    """What OpenMMLab calls a norm where its name follows from its kind."""
    return "gn" if isinstance(norm, nn.GroupNorm) else "bn"


def conv_unit(conv: nn.Conv2d, norm: nn.Module | None, act: Activation | None) -> nn.Sequential:
    """Convolution, norm, activation, under the names `conv`, `bn` (or `gn`), `activate`; absent parts leave no name."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if norm is not None:
        parts[norm_name(norm)] = norm
    if act is not None:
        parts["activate"] = act()
    return nn.Sequential(parts)


def padded_conv(
    channels: tuple[int, int], kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1; `channels` is (in, out)."""
    padding = kernel // 2 * dilation
    return nn.Conv2d(*channels, kernel, stride, padding, dilation, groups, bias=False)


class SqueezeExcite(nn.Module):
    """Channels scaled by a gate that sees their means (Hu et al., Squeeze-and-Excitation Networks, CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int, acts: tuple[Activation, Activation]) -> None:
        super().__init__()
        self.conv1 = conv_unit(nn.Conv2d(channels, squeezed, 1), None, acts[0])
        self.conv2 = conv_unit(nn.Conv2d(squeezed, channels, 1), None, acts[1])

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Scale each channel."""
        means = features.mean((2, 3), keepdim=True)
        gate: Tensor = self.conv2(self.conv1(means))
        return features * gate


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": output size ceil(input / stride), the odd pixel right and below."""

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        """Pad by what this input needs, then convolve."""
        pads: list[int] = []
        for axis in (1, 0):  # functional.pad counts from the last axis
            size, stride = features.shape[2 + axis], self.stride[axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(features, pads) if any(pads) else features)


def divisible(width: float, divisor: int = 8) -> int:
    """`width` rounded to a multiple of `divisor`, never more than 10 % below it.

    Source: Sandler et al., MobileNetV2, CVPR 2018 (the rounding of its reference code, described in many papers since).
    """
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * width else rounded + divisor
