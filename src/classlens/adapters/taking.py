"""The batch as a network takes it: colour, or one channel where its first convolution has one.

Everything in classlens is fed as three channels; networks for grey pictures get their mean, through which gradients
flow back to all three.
"""

from torch import Tensor, nn

from classlens.arrays import Float


def takes_grey(module: nn.Module) -> bool:
    """Whether the first convolution of a network has one channel."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


def as_taken(
    batch: Float[Tensor, "batch 3 height width"], *, grey: bool
) -> Float[Tensor, "batch channels height width"]:
    """The batch itself, or its mean over the channels."""
    return batch.mean(dim=1, keepdim=True) if grey else batch
