"""Heads: from the vector (or vectors) of the network's body to one logit per class."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import read_options


@dataclass(frozen=True)
class LinearOptions:
    """What a config can say; `use_sigmoid`, `thr` and `metric` turn logits into labels later."""

    num_classes: int
    in_channels: int
    use_sigmoid: bool = False
    thr: float | None = None


class LinearHead(nn.Module):
    """One linear layer, `fc`."""

    def __init__(self, channels: int, classes: int) -> None:
        super().__init__()
        self.fc = nn.Linear(channels, classes)

    def forward(self, features: Float[Tensor, "b c"]) -> Float[Tensor, "b classes"]:
        """One logit per class."""
        logits: Tensor = self.fc(features)
        return logits


def linear_head(settings: Settings) -> LinearHead:
    """The head of `dict(type='LinearClsHead', num_classes=..., in_channels=...)`, also in its multi-label form."""
    options = read_options(LinearOptions, settings)
    return LinearHead(options.in_channels, options.num_classes)
