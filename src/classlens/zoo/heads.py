"""What stands between backbone and logits: poolings that make one vector of a feature map, and heads."""

from collections import OrderedDict
from itertools import pairwise
from typing import ClassVar

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.config.settings import Settings
from classlens.zoo.units import Chain, Features, activation


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
