"""What stands between backbone and head: poolings that make one vector of a feature map."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import only, read_options
from classlens.arrays import Float


class GlobalAveragePooling(nn.Module):
    """The mean over all places."""

    def forward(self, features: Float[Tensor, "b c *places"]) -> Float[Tensor, "b c"]:
        """One number per channel."""
        return features.flatten(2).mean(2)


class GeneralizedMeanPooling(nn.Module):
    """The p-norm mean over all places, p learned (Radenovic et al., TPAMI 2019, eq. 3)."""

    def __init__(self, options: "GeneralizedMeanOptions") -> None:
        super().__init__()
        self.p = nn.Parameter(torch.ones(1) * options.p)
        self.eps = options.eps
        self.clamps = options.clamp

    def forward(self, features: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c"]:
        """One number per channel."""
        positive = features.clamp(min=self.eps) if self.clamps else features
        return positive.pow(self.p).mean((2, 3)).pow(1 / self.p)


@dataclass(frozen=True)
class AverageOptions:
    """What a config can say; `dim` counts the axes of places, and the mean is the same for each."""

    dim: int = 2


@dataclass(frozen=True)
class GeneralizedMeanOptions:
    """What a config can say."""

    p: float = 3.0
    eps: float = 1e-6
    clamp: bool = True
    p_trainable: bool = True


def average_pooling(settings: Settings) -> nn.Module:
    """The neck of `dict(type='GlobalAveragePooling')`."""
    read_options(AverageOptions, settings)
    return GlobalAveragePooling()


def generalized_mean_pooling(settings: Settings) -> nn.Module:
    """The neck of `dict(type='GeneralizedMeanPooling')`."""
    options = read_options(GeneralizedMeanOptions, settings)
    only("GeneralizedMeanPooling", p_trainable=(options.p_trainable, True))
    return GeneralizedMeanPooling(options)


@dataclass(frozen=True)
class BatchNormOptions:
    """What a config can say."""

    input_features: int
    affine: bool = False
    eps: float = 1e-6


class BatchNormNeck(nn.Module):
    """A batch norm on the features of a frozen backbone (He et al., Masked Autoencoders, CVPR 2022, appendix A.1)."""

    def __init__(self, options: BatchNormOptions) -> None:
        super().__init__()
        self.bn = nn.BatchNorm1d(options.input_features, eps=options.eps, affine=options.affine)

    def forward(self, features: Float[Tensor, "b c"]) -> Float[Tensor, "b c"]:
        """Each channel normalised."""
        normed: Tensor = self.bn(features)
        return normed


def batch_norm_neck(settings: Settings) -> nn.Module:
    """The neck of `dict(type='ClsBatchNormNeck', input_features=...)`."""
    return BatchNormNeck(read_options(BatchNormOptions, settings))
