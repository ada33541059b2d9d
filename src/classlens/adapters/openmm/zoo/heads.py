"""Heads: from the vector (or vectors) of the network's body to one logit per class."""

from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import plain_type, read_options
from classlens.adapters.openmm.zoo.units import activation
from classlens.arrays import Float


def is_multi_label(head: Settings) -> bool:
    """Whether upstream makes probabilities with a sigmoid of each logit, for labels by themselves."""
    kind = plain_type(head)
    return kind.startswith("MultiLabel") or kind == "CSRAClsHead" or bool(head.get("use_sigmoid"))


def has_sigmoid_loss(head: Settings) -> bool:
    """Whether a head is trained with a sigmoid of each logit, also by the defaults of its loss."""
    loss = head.get("loss")
    if not isinstance(loss, Mapping):
        return False
    usual = loss.get("type") in ("AsymmetricLoss", "FocalLoss") or loss.get("mode") == "multi_label"
    return usual if loss.get("use_sigmoid") is None else bool(loss["use_sigmoid"])


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


@dataclass(frozen=True)
class StackedOptions:
    """What a config can say."""

    num_classes: int
    in_channels: int
    mid_channels: tuple[int, ...]
    dropout_rate: float = 0.0
    norm_cfg: Settings | None = None
    act_cfg: Settings = field(default_factory=lambda: {"type": "ReLU"})


class StackedHead(nn.Module):
    """Several linear layers, `layers.N.fc`, with activations between them (MobileNetV3, VGG)."""

    def __init__(self, options: StackedOptions) -> None:
        super().__init__()
        widths = (options.in_channels, *options.mid_channels, options.num_classes)
        self.layers = nn.ModuleList()
        for number, (entering, leaving) in enumerate(pairwise(widths), start=1):
            parts: OrderedDict[str, nn.Module] = OrderedDict(fc=nn.Linear(entering, leaving))
            if number < len(widths) - 1:
                if options.norm_cfg:
                    parts["norm"] = nn.BatchNorm1d(leaving, eps=options.norm_cfg.get("eps", 1e-5))
                parts["act"] = activation(options.act_cfg)()
            self.layers.append(nn.Sequential(parts))

    def forward(self, features: Float[Tensor, "b c"]) -> Float[Tensor, "b classes"]:
        """One logit per class."""
        for layer in self.layers:
            features = layer(features)
        return features


def stacked_head(settings: Settings) -> StackedHead:
    """The head of `dict(type='StackedLinearClsHead', mid_channels=[...], ...)`."""
    return StackedHead(read_options(StackedOptions, settings))


class NoHead(nn.Module):
    """The features are the logits (`ClsHead`): the backbone ends in its own classifier."""

    def forward(self, features: Float[Tensor, "b classes"]) -> Float[Tensor, "b classes"]:
        """The logits as they come."""
        return features


@dataclass(frozen=True)
class NoHeadOptions:
    """What a config can say: nothing that changes the logits."""

    num_classes: int | None = None
    in_channels: int | None = None
    use_sigmoid: bool = False
    thr: float | None = None


def no_head(settings: Settings) -> NoHead:
    """The head of `dict(type='ClsHead')`, also in its multi-label form."""
    read_options(NoHeadOptions, settings)
    return NoHead()
