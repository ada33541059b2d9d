"""Heads of the transformers: from the vectors of the extra tokens to logits."""

from collections import OrderedDict
from dataclasses import dataclass, field

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import read_options
from classlens.adapters.openmm.zoo.units import activation
from classlens.arrays import Float


@dataclass(frozen=True)
class TokenHeadOptions:
    """What a config can say; `hidden_dim` adds a layer, as in pre-training."""

    num_classes: int
    in_channels: int
    hidden_dim: int | None = None
    act_cfg: Settings = field(default_factory=lambda: {"type": "Tanh"})


class ViTHead(nn.Module):
    """`layers.head`, behind `layers.pre_logits` where there is one."""

    def __init__(self, options: TokenHeadOptions) -> None:
        super().__init__()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        if options.hidden_dim is not None:
            parts["pre_logits"] = nn.Linear(options.in_channels, options.hidden_dim)
            parts["act"] = activation(options.act_cfg)()
        parts["head"] = nn.Linear(options.hidden_dim or options.in_channels, options.num_classes)
        self.layers = nn.Sequential(parts)

    def forward(self, vector: Float[Tensor, "b c"]) -> Float[Tensor, "b classes"]:
        """One logit per class."""
        logits: Tensor = self.layers(vector)
        return logits


class DeiTHead(nn.Module):
    """The mean of two heads, one for each extra token (Touvron et al., ICML 2021, section 4)."""

    def __init__(self, options: TokenHeadOptions) -> None:
        super().__init__()
        heads = {name: nn.Linear(options.in_channels, options.num_classes) for name in ("head", "head_dist")}
        self.layers = nn.ModuleDict(heads)

    def forward(self, vectors: tuple[Float[Tensor, "b c"], Float[Tensor, "b c"]]) -> Float[Tensor, "b classes"]:
        """One logit per class."""
        label, distilled = vectors
        mean: Tensor = (self.layers["head"](label) + self.layers["head_dist"](distilled)) / 2
        return mean


def vit_head(settings: Settings) -> ViTHead:
    """The head of `dict(type='VisionTransformerClsHead', num_classes=..., in_channels=...)`."""
    return ViTHead(read_options(TokenHeadOptions, settings))


def deit_head(settings: Settings) -> DeiTHead:
    """The head of `dict(type='DeiTClsHead', num_classes=..., in_channels=...)`."""
    return DeiTHead(read_options(TokenHeadOptions, settings))
