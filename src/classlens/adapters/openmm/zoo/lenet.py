"""LeNet5 for grey pictures of 32 x 32 pixels.

Source: LeCun et al., Gradient-Based Learning Applied to Document Recognition, Proceedings of the IEEE 1998, figure 2.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from classlens.adapters.openmm.setup import Settings
from classlens.adapters.openmm.zoo.options import read_options
from classlens.arrays import Float


@dataclass(frozen=True)
class LeNetOptions:
    """What a config can say; without `num_classes` the features are given instead of logits."""

    num_classes: int = -1


class LeNet(nn.Module):
    """`features`, then `classifier`; what a grey network sees of a colour picture is the mean of its channels."""

    def __init__(self, options: LeNetOptions) -> None:
        super().__init__()
        first = [nn.Conv2d(1, 6, 5), nn.Tanh(), nn.AvgPool2d(2)]
        second = [nn.Conv2d(6, 16, 5), nn.Tanh(), nn.AvgPool2d(2)]
        self.features = nn.Sequential(*first, *second, nn.Conv2d(16, 120, 5), nn.Tanh())
        self.classifies = options.num_classes > 0
        if self.classifies:
            self.classifier = nn.Sequential(nn.Linear(120, 84), nn.Tanh(), nn.Linear(84, options.num_classes))

    def forward(self, images: Float[Tensor, "b channels h w"]) -> Float[Tensor, "b ..."]:
        """Logits, or the last map."""
        features: Tensor = self.features(images.mean(1, keepdim=True))
        return self.classifier(features.flatten(1)) if self.classifies else features


def lenet(settings: Settings) -> LeNet:
    """The backbone of a config's `dict(type='LeNet5', num_classes=10)`."""
    return LeNet(read_options(LeNetOptions, settings))
