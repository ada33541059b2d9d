"""Reading a network's settings out of a config's `dict(type=..., ...)`, and the parts that several families share.

Those are small ones, and at the end what stands between backbone and logits: poolings, and heads.

Each family states what it understands: the keywords of its class, or the fields of the record that it takes. A setting
that it does not know is an error and never skipped, because a network built without it would still run and give other
logits. Settings that do not change the logits (initial values, dropout rates, frozen stages) are the exception.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from inspect import Parameter, signature
from itertools import pairwise
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.errors import ConfigError, short_repr, suggestion

Row = TypeVar("Row")
Features = Float[Tensor, "b c h w"]
Activation = Callable[[], nn.Module]

BEFORE = {"init_cfg", "pretrained", "frozen_stages", "norm_eval", "with_cp", "zero_init_residual", "memory_efficient"}
DURING = {"drop_path_rate", "drop_rate", "attn_drop_rate", "dropout_rate", "loss", "_scope_"}
BEHIND = {"dim", "topk", "cal_acc", "use_sigmoid", "thr"}
WITHOUT_EFFECT = BEFORE | DURING | BEHIND
"""Settings that do not change the logits of a trained network in evaluation mode: they act in training or on logits.

`dim` counts the axes that a pooling takes the mean over, and the mean is the same for each.
"""

SCOPES = ("mmpretrain.", "mmcls.", "mmengine.", "mmcv.")


def plain_type(settings: Settings) -> str:
    """The `type` of a config's dict without the scope of the library that registered it."""
    name = settings.get("type")
    if not isinstance(name, str):
        raise ConfigError(
            f"part of the model has no type: {short_repr(dict(settings))}", hint="write dict(type='ResNet', ...)"
        )
    for scope in SCOPES:
        name = name.removeprefix(scope)
    return name


def build_part(builder: Any, settings: Settings) -> nn.Module:  # noqa: ANN401 - any class of this package
    """The module of a config's dict: `builder` called with the settings, or with the record of them that its `options` are.

    Lists become tuples. A setting in the builder's `NATIVE` has one value with which it is built here; one named `family`
    is the plain type; what a type does not say is in `PRESETS` where it differs from its family.
    """
    takes, native, family = signature(builder).parameters, getattr(builder, "NATIVE", {}), plain_type(settings)
    kind = takes["options"].annotation if "options" in takes else builder
    named = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)  # nothing for a class that takes no settings
    known = {name: one for name, one in signature(kind).parameters.items() if one.kind in named}
    settings = {**getattr(builder, "PRESETS", {}).get(family, {}), **settings}
    values = {name: to_tuples(value) for name, value in settings.items() if name != "type"}
    for name in values.keys() - known.keys() - native.keys() - WITHOUT_EFFECT:
        raise ConfigError(f"{family} has no setting {short_repr(name)}", hint=suggestion(name, {**known, **native}))
    for name, value in native.items():
        require_native(family, **{name: (values.get(name, value), value)})
    values = {name: value for name, value in values.items() if name in known}
    if "family" in known:
        values["family"] = family
    for name, parameter in known.items():
        if parameter.default is Parameter.empty and name not in values:
            raise ConfigError(f"{family} needs the setting {name!r}", hint=f"add {name}=... to dict(type={family!r})")
    return kind(**values) if kind is builder else builder(kind(**values))


def to_tuples(value: object) -> object:
    """Lists, at any depth, as tuples, so that options can be compared and shared."""
    return tuple(map(to_tuples, value)) if isinstance(value, list | tuple) else value


def find_arch(
    family: str,
    arch: object,
    table: Mapping[str, Row],
    *,
    sizes: Sequence[str] = (),
    kind: Callable[..., Row] | None = None,
) -> Row:
    """The row of an architecture table, by name in any case; or a `kind` of the `sizes` in a dict, for families that take one."""
    if kind is not None and isinstance(arch, Mapping):
        try:
            return kind(*(to_tuples(arch[size]) for size in sizes))
        except KeyError as error:
            example = next(iter(table))
            raise ConfigError(
                f"{family} arch lacks {error}", hint=f"or name one, e.g. arch={short_repr(example)}"
            ) from error
    rows = {name.casefold(): row for name, row in table.items()}
    if not isinstance(arch, str) or arch.casefold() not in rows:
        raise ConfigError(f"{family} has no arch {short_repr(arch)}", hint=suggestion(arch, table))
    return rows[arch.casefold()]


def require_native(family: str, **required: tuple[object, object]) -> None:
    """Refuse settings that this family reads but does not build: each given as (its value, the value supported)."""
    for name, (value, supported) in required.items():
        if value != supported:
            raise ConfigError(
                f"{family} with {name}={short_repr(value)} is not built natively",
                hint=f"native networks have {name}={short_repr(supported)}; pip install mmpretrain to build others",
            )


def stages_asked(out_indices: int | tuple[int, ...], count: int) -> list[int]:
    """The stages that a config's `out_indices` name, of `count`, counted from 0; the head gets the last of them."""
    return [index % count for index in ((out_indices,) if isinstance(out_indices, int) else out_indices)]


class QuickGELU(nn.Module):
    """GELU as CLIP's networks approximate it: x * sigmoid(1.702 x) (Hendrycks & Gimpel, 2016, section 2)."""

    def forward(self, features: Float[Tensor, "..."]) -> Float[Tensor, "..."]:
        return features * torch.sigmoid(1.702 * features)


class Chain(nn.Module):
    """Parts that run one after the other: those that `order` names, or else all, in the order in which they were added.

    With a `shortcut` their input is added to what comes out.
    """

    order: Iterable[str] | None = None
    default_layer: str | None = None
    """The layer to look at, where the family knows it better than probing would find it."""

    def __init__(self, parts: Mapping[str, nn.Module] | None = None, *, shortcut: bool = False) -> None:
        super().__init__()
        self.shortcut = shortcut
        for name, part in (parts or {}).items():
            self.add_module(name, part)

    def forward(self, features: Float[Tensor, "b ..."]) -> Float[Tensor, "b ..."]:
        inside = features
        for part in self.children() if self.order is None else map(self.get_submodule, self.order):
            inside = part(inside)
        return features + inside if self.shortcut else inside


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

RELU, SIGMOID = ACTIVATIONS["ReLU"], ACTIVATIONS["Sigmoid"]


def activation(settings: Settings) -> Activation:
    name = plain_type(settings)
    if name not in ACTIVATIONS:
        raise ConfigError(f"no activation named {short_repr(name)}", hint=suggestion(name, ACTIVATIONS))
    return ACTIVATIONS[name]


def norm_layer(channels: int, settings: Settings) -> nn.BatchNorm2d | nn.GroupNorm:
    """The norm of a config's `norm_cfg`: batch (synchronised statistics are the same when evaluating) or group."""
    kind, eps = settings.get("type", "BN"), settings.get("eps", 1e-5)
    if kind == "GN":
        return nn.GroupNorm(settings["num_groups"], channels, eps=eps)
    if kind not in ("BN", "BN2d", "SyncBN"):
        raise ConfigError(
            f"norm {short_repr(kind)} is not built natively in this family", hint="it has BN, SyncBN or GN"
        )
    return nn.BatchNorm2d(channels, eps=eps, momentum=settings.get("momentum", 0.1))


NORM_NAMES: Mapping[type[nn.Module], str] = {nn.BatchNorm2d: "bn", nn.GroupNorm: "gn"}
"""What OpenMMLab calls norms; a number may follow."""


def conv_unit(conv: nn.Conv2d, norm: nn.Module | None = None, act: Activation | None = None) -> nn.Sequential:
    """Convolution, norm, activation, under the names `conv`, `bn` (or `gn`), `activate`; absent parts leave no name."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if norm is not None:
        parts[NORM_NAMES[type(norm)]] = norm
    if act is not None:
        parts["activate"] = act()
    return nn.Sequential(parts)


def padded_conv(
    channels: tuple[int, int], kernel: int, *, stride: int = 1, dilation: int = 1, groups: int = 1
) -> nn.Conv2d:
    """A convolution without bias that keeps the size at stride 1; `channels` is (in, out)."""
    return nn.Conv2d(*channels, kernel, stride, kernel // 2 * dilation, dilation, groups, bias=False)


@dataclass(frozen=True)
class BlockShape:
    """Channels in, inside and out; the kernel inside and how it goes; the width of a gate's waist, None without a gate."""

    entering: int
    inside: int
    leaving: int
    kernel: int
    stride: int
    dilation: int = 1
    groups: int = 1
    squeezed: int | None = None


class SqueezeExcite(nn.Module):
    """Channels scaled by a gate that sees their means (Hu et al., Squeeze-and-Excitation Networks, CVPR 2018)."""

    def __init__(self, channels: int, squeezed: int, acts: tuple[Activation, Activation] = (RELU, SIGMOID)) -> None:
        super().__init__()
        self.conv1 = conv_unit(nn.Conv2d(channels, squeezed, 1), act=acts[0])
        self.conv2 = conv_unit(nn.Conv2d(squeezed, channels, 1), act=acts[1])

    def forward(self, features: Features) -> Features:
        return features * self.conv2(self.conv1(features.mean((2, 3), keepdim=True)))


class SamePadConv2d(nn.Conv2d):
    """A convolution padded as TensorFlow's "same": output size ceil(input / stride), the odd pixel right and below."""

    def forward(self, features: Features) -> Float[Tensor, "b d i j"]:
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


class GlobalAveragePooling(nn.Module):
    """The mean over all places."""

    def forward(self, features: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c"]:
        return features.flatten(2).mean(2)


class GeneralizedMeanPooling(nn.Module):
    """The p-norm mean over all places, p learned (Radenovic et al., TPAMI 2019, eq. 3)."""

    NATIVE: ClassVar[Settings] = {"p_trainable": True}

    def __init__(self, *, p: float = 3.0, eps: float = 1e-6, clamp: bool = True) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * p)
        self.eps, self.clamps = eps, clamp

    def forward(self, features: Features) -> Float[Tensor, "b c"]:
        positive = features.clamp(min=self.eps) if self.clamps else features
        return positive.pow(self.p).mean((2, 3)).pow(1 / self.p)


class BatchNormNeck(Chain):
    """A batch norm on the features of a frozen backbone (He et al., Masked Autoencoders, CVPR 2022, appendix A.1)."""

    def __init__(self, input_features: int, *, affine: bool = False, eps: float = 1e-6) -> None:
        super().__init__({"bn": nn.BatchNorm1d(input_features, eps=eps, affine=affine)})


class LinearHead(Chain):
    """One linear layer, `fc`; also in its multi-label form."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__({"fc": nn.Linear(in_channels, num_classes)})


class NoHead(Chain):
    """The features are the logits (`ClsHead`, also in its multi-label form): the backbone ends in its own classifier."""

    def __init__(self, num_classes: int | None = None, in_channels: int | None = None) -> None:
        super().__init__()


class StackedHead(Chain):
    """Several linear layers, `layers.N.fc`, with activations between them (MobileNetV3, VGG)."""

    def __init__(
        self,
        num_classes: int,
        in_channels: int,
        mid_channels: tuple[int, ...],
        *,
        norm_cfg: Settings | None = None,
        act_cfg: Settings | None = None,
    ) -> None:
        super().__init__()
        act = activation(act_cfg or {"type": "ReLU"})
        widths = (in_channels, *mid_channels, num_classes)
        units: list[nn.Module] = []
        for number, (entering, leaving) in enumerate(pairwise(widths), start=1):
            parts: OrderedDict[str, nn.Module] = OrderedDict(fc=nn.Linear(entering, leaving))
            if number < len(widths) - 1:
                if norm_cfg:
                    parts["norm"] = nn.BatchNorm1d(leaving, eps=norm_cfg.get("eps", 1e-5))
                parts["act"] = act()
            units.append(nn.Sequential(parts))
        self.layers = nn.ModuleList(units)
        self.order = [f"layers.{number}" for number in range(len(units))]


class ViTHead(Chain):
    """`layers.head`; `hidden_dim` puts `layers.pre_logits` in front of it, as in pre-training."""

    def __init__(
        self, num_classes: int, in_channels: int, *, hidden_dim: int | None = None, act_cfg: Settings | None = None
    ) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if hidden_dim is not None:
            parts["pre_logits"] = nn.Linear(in_channels, hidden_dim)
            parts["act"] = activation(act_cfg or {"type": "Tanh"})()
        parts["head"] = nn.Linear(hidden_dim or in_channels, num_classes)
        self.layers = nn.Sequential(parts)


class DeiTHead(nn.Module):
    """The mean of two heads, one for each extra token (Touvron et al., ICML 2021, section 4)."""

    NATIVE: ClassVar[Settings] = {"hidden_dim": None}

    def __init__(self, num_classes: int, in_channels: int, *, act_cfg: Settings | None = None) -> None:
        super().__init__()
        self.layers = nn.ModuleDict({name: nn.Linear(in_channels, num_classes) for name in ("head", "head_dist")})

    def forward(self, vectors: tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]) -> Float[Tensor, "b classes"]:
        label, distilled = vectors
        return (self.layers["head"](label) + self.layers["head_dist"](distilled)) / 2
