"""What stands between backbone and head: poolings that make one vector of a feature map."""

from collections import OrderedDict
from dataclasses import dataclass, field
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import Chain, activation


@dataclass(frozen=True)
class AverageOptions:
    """What a config can say; `dim` counts the axes of places, and the mean is the same for each."""

    dim: int = 2


class GlobalAveragePooling(nn.Module):
    """The mean over all places."""

    OPTIONS = AverageOptions

    def __init__(self, options: AverageOptions) -> None:
        super().__init__()

    def forward(self, features: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c"]:
        return features.flatten(2).mean(2)


@dataclass(frozen=True)
class GeneralizedMeanOptions:
    """What a config can say."""

    NATIVE: ClassVar[Settings] = {"p_trainable": True}

    p: float = 3.0
    eps: float = 1e-6
    clamp: bool = True
    p_trainable: bool = True


class GeneralizedMeanPooling(nn.Module):
    """The p-norm mean over all places, p learned (Radenovic et al., TPAMI 2019, eq. 3)."""

    OPTIONS = GeneralizedMeanOptions

    def __init__(self, options: GeneralizedMeanOptions) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * options.p)
        self.eps = options.eps
        self.clamps = options.clamp

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        positive = features.clamp(min=self.eps) if self.clamps else features
        return positive.pow(self.p).mean((2, 3)).pow(1 / self.p)


@dataclass(frozen=True)
class BatchNormOptions:
    """What a config can say."""

    input_features: int
    affine: bool = False
    eps: float = 1e-6


class BatchNormNeck(Chain):
    """A batch norm on the features of a frozen backbone (He et al., Masked Autoencoders, CVPR 2022, appendix A.1)."""

    OPTIONS = BatchNormOptions

    def __init__(self, options: BatchNormOptions) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(options.input_features, eps=options.eps, affine=options.affine)


@dataclass(frozen=True)
class LinearOptions:
    """What a config can say; `use_sigmoid`, `thr` and `metric` turn logits into labels later."""

    num_classes: int
    in_channels: int
    use_sigmoid: bool = False
    thr: float | None = None


class LinearHead(Chain):
    """One linear layer, `fc`; also in its multi-label form."""

    OPTIONS = LinearOptions

    def __init__(self, options: LinearOptions) -> None:
        super().__init__()
        self.fc = nn.Linear(options.in_channels, options.num_classes)


@dataclass(frozen=True)
class StackedOptions:
    """What a config can say."""

    num_classes: int
    in_channels: int
    mid_channels: tuple[int, ...]
    dropout_rate: float = 0.0
    norm_cfg: Settings | None = None
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})


class StackedHead(Chain):
    """Several linear layers, `layers.N.fc`, with activations between them (MobileNetV3, VGG)."""

    OPTIONS = StackedOptions

    def __init__(self, options: StackedOptions) -> None:
        super().__init__()
        widths = (options.in_channels, *options.mid_channels, options.num_classes)
        units: list[nn.Module] = []
        for number, (entering, leaving) in enumerate(pairwise(widths), start=1):
            parts: OrderedDict[str, nn.Module] = OrderedDict(fc=nn.Linear(entering, leaving))
            if number < len(widths) - 1:
                if options.norm_cfg:
                    parts["norm"] = nn.BatchNorm1d(leaving, eps=options.norm_cfg.get("eps", 1e-5))
                parts["act"] = activation(options.act_cfg)()
            units.append(nn.Sequential(parts))
        self.layers = nn.ModuleList(units)
        self.order = [f"layers.{number}" for number in range(len(units))]


@dataclass(frozen=True)
class NoHeadOptions:
    """What a config can say: nothing that changes the logits."""

    num_classes: int | None = None
    in_channels: int | None = None
    use_sigmoid: bool = False
    thr: float | None = None


class NoHead(nn.Module):
    """The features are the logits (`ClsHead`, also in its multi-label form): the backbone ends in its own classifier."""

    OPTIONS = NoHeadOptions

    def __init__(self, options: NoHeadOptions) -> None:
        super().__init__()

    def forward(self, features: Float[Tensor, "b classes"]) -> Float[Tensor, "b classes"]:
        return features


@dataclass(frozen=True)
class TokenHeadOptions:
    """What a config can say; `hidden_dim` adds a layer, as in pre-training."""

    num_classes: int
    in_channels: int
    hidden_dim: int | None = None
    act_cfg: Settings = field(default_factory=lambda: {"type": "Tanh"})


class ViTHead(Chain):
    """`layers.head`, behind `layers.pre_logits` where there is one."""

    OPTIONS = TokenHeadOptions

    def __init__(self, options: TokenHeadOptions) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if options.hidden_dim is not None:
            parts["pre_logits"] = nn.Linear(options.in_channels, options.hidden_dim)
            parts["act"] = activation(options.act_cfg)()
        parts["head"] = nn.Linear(options.hidden_dim or options.in_channels, options.num_classes)
        self.layers = nn.Sequential(parts)


class DeiTHead(nn.Module):
    """The mean of two heads, one for each extra token (Touvron et al., ICML 2021, section 4)."""

    OPTIONS = TokenHeadOptions

    def __init__(self, options: TokenHeadOptions) -> None:
        super().__init__()
        heads = {name: nn.Linear(options.in_channels, options.num_classes) for name in ("head", "head_dist")}
        self.layers = nn.ModuleDict(heads)

    def forward(self, vectors: tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]) -> Float[Tensor, "b classes"]:
        label, distilled = vectors
        mean: Tensor = (self.layers["head"](label) + self.layers["head_dist"](distilled)) / 2
        return mean
