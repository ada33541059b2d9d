"""The batch as a network takes it: colour, or one channel where its first convolution has one.

Everything in classlens is fed as three channels; networks for grey pictures get their mean, through which gradients
flow back to all three.
"""

from collections.abc import Callable

from torch import Tensor, nn

from classlens.arrays import Float
from classlens.errors import DataError


def takes_grey(module: nn.Module) -> bool:
    """Whether the first convolution of a network has one channel."""
    first = next((part for part in module.modules() if isinstance(part, nn.Conv2d)), None)
    return first is not None and first.in_channels == 1


def to_input_channels(
    batch: Float[Tensor, "batch 3 height width"], *, grey: bool
) -> Float[Tensor, "batch channels height width"]:
    return batch.mean(dim=1, keepdim=True) if grey else batch


def grey_scores(
    network: Callable[[Tensor], Tensor], batch: Float[Tensor, "batch 3 height width"]
) -> Float[Tensor, "batch classes"]:
    return network(to_input_channels(batch, grey=True))


def check_channels(count: int, where: str) -> bool:
    """Whether pictures of `count` channels are grey; others than those and colours cannot be fed.

    Raises:
        DataError: the network takes something else than pictures.
    """
    if count not in (1, 3):
        raise DataError(f"{where} takes {count} channels: pictures have three, or one where they are grey")
    return count == 1
