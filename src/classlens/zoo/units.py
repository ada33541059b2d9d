"""Reading a network's settings out of a config's `dict(type=..., ...)`.

Each family states what it understands as a frozen dataclass. A setting that it does not know is an error and never
skipped, because a network built without it would still run and give other logits. Settings that act in training only
(initial values, dropout rates, frozen stages) are the exception: a classifier that is only looked at does not need them.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, fields
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError, suggestion

Options = TypeVar("Options")

TRAINING_ONLY = frozenset(
    [
        "init_cfg",
        "pretrained",
        "frozen_stages",
        "norm_eval",
        "with_cp",
        "zero_init_residual",
        "_scope_",
        "drop_path_rate",
        "drop_rate",
        "attn_drop_rate",
        "loss",
        "topk",
        "cal_acc",
    ]
)
"""Settings without effect on the logits of a trained network in evaluation mode."""

SCOPES = ("mmpretrain.", "mmcls.", "mmengine.", "mmcv.")


def plain_type(settings: Settings) -> str:
    """The `type` of a config's dict without the scope of the library that registered it.

    Raises:
        ConfigError: there is no `type`.
    """
    name = settings.get("type")
    if not isinstance(name, str):
        raise ConfigError(f"part of the model has no type: {dict(settings)!r}", hint="write dict(type='ResNet', ...)")
    for scope in SCOPES:
        name = name.removeprefix(scope)
    return name


def read_options(kind: type[Options], settings: Settings) -> Options:
    """Fill the dataclass `kind` from a config's dict; lists become tuples.

    Settings in its `NATIVE` have one value with which a network is built here.

    Raises:
        ConfigError: a setting is unknown or has a value that is not built here, or a required one is missing.
    """
    family = plain_type(settings)
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    given = {name: value for name, value in settings.items() if name != "type"}
    for name in given:
        if name not in known and name not in TRAINING_ONLY:
            raise ConfigError(f"{family} has no setting {name!r}", hint=suggestion(name, known))
    for name, field in known.items():
        if field.default is MISSING and field.default_factory is MISSING and name not in given:
            raise ConfigError(f"{family} needs the setting {name!r}", hint=f"add {name}=... to dict(type={family!r})")
    indices = given.get("out_indices")
    if isinstance(indices, int) and isinstance(getattr(known.get("out_indices"), "default", None), tuple):
        given["out_indices"] = (indices,)
    options = kind(**{name: to_tuples(value) for name, value in given.items() if name in known})
    if native := getattr(kind, "NATIVE", None):
        require_native(family, **{name: (getattr(options, name), value) for name, value in native.items()})
    return options


def to_tuples(value: object) -> object:
    """Lists, at any depth, as tuples, so that options can be compared and shared."""
    if isinstance(value, list | tuple):
        return tuple(to_tuples(item) for item in value)
    return value


def find_arch(
    family: str,
    arch: object,
    table: Mapping[str, Options],
    *,
    sizes: Sequence[str] = (),
    kind: Callable[..., Options] | None = None,
) -> Options:
    """The row of an architecture table, by name in any case; or a `kind` of the `sizes` in a dict, for families that take one.

    Raises:
        ConfigError: the name is not in the table, or the dict lacks a size.
    """
    if kind is not None and isinstance(arch, Mapping):
        try:
            return kind(*(to_tuples(arch[size]) for size in sizes))
        except KeyError as error:
            example = next(iter(table))
            raise ConfigError(f"{family} arch lacks {error}", hint=f"or name one, e.g. arch={example!r}") from error
    rows = {name.casefold(): row for name, row in table.items()}
    if not isinstance(arch, str) or arch.casefold() not in rows:
        raise ConfigError(f"{family} has no arch {arch!r}", hint=suggestion(str(arch), table))
    return rows[arch.casefold()]


def require_native(family: str, **required: tuple[object, object]) -> None:
    """Refuse settings that this family reads but does not build: each given as (value seen, value supported).

    Raises:
        ConfigError: a value seen differs from the one supported.
    """
    for name, (seen, supported) in required.items():
        if seen != supported:
            raise ConfigError(
                f"{family} with {name}={seen!r} is not built natively",
                hint=f"native networks have {name}={supported!r}; pip install mmpretrain to build others",
            )


Activation = Callable[[], nn.Module]


class QuickGELU(nn.Module):
    """GELU as CLIP's networks approximate it: x * sigmoid(1.702 x) (Hendrycks & Gimpel, 2016, section 2)."""

    def forward(self, features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return features * torch.sigmoid(1.702 * features)


class Chain(nn.Module):
    """Parts that run one after the other: those that `order` names, or else all, in the order in which they were added."""

    order: list[str] | None = None
    default_layer: str | None = None
    """The layer to look at, where the family knows it better than probing would find it."""

    def __init__(self, parts: Mapping[str, nn.Module] | None = None) -> None:
        super().__init__()
        for name, part in (parts or {}).items():
            self.add_module(name, part)

    def forward(self, features: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        for part in self.children() if self.order is None else map(self.get_submodule, self.order):
            features = part(features)
        return features


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
        means = features.mean((2, 3), keepdim=True)
        gate: Tensor = self.conv2(self.conv1(means))
        return features * gate


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": output size ceil(input / stride), the odd pixel right and below."""

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b d i j"]:
        pads: list[int] = []
        for axis in (1, 0):  # functional.pad counts from the last axis
            size, stride = features.shape[2 + axis], self.stride[axis]
            reach = (self.kernel_size[axis] - 1) * self.dilation[axis] + 1
            missing = max((-(-size // stride) - 1) * stride + reach - size, 0)
            pads += [missing // 2, missing - missing // 2]
        return super().forward(functional.pad(features, pads) if any(pads) else features)


def round_width(width: float, divisor: int = 8) -> int:
    """`width` rounded to a multiple of `divisor`, never more than 10 % below it.

    Source: Sandler et al., MobileNetV2, CVPR 2018 (the rounding of its reference code, described in many papers since).
    """
    rounded = max(divisor, int(width + divisor / 2) // divisor * divisor)
    return rounded if rounded >= 0.9 * width else rounded + divisor
