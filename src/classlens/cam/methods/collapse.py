"""From weighted activations to a raw map: sum over the channels, or project on their first principal component.

The sign of a principal component is arbitrary, and differs between linear-algebra libraries. The rule here: the map
correlates with the energy of its input (the sum of squares over channels), so strong places come out positive.
"""

import torch
from jaxtyping import Float
from torch import Tensor

Weighted = Float[Tensor, "batch channels height width"]
Map = Float[Tensor, "batch height width"]


def channel_sum(weighted: Weighted) -> Map:
    """What a CAM is by definition: the channels added up."""
    return weighted.sum(dim=1)


def first_component(weighted: Weighted) -> Map:
    """Projection of every position on the first principal component of the channels; NaN counts as 0.

    Found in double precision from the smaller of the two Gram matrices, positions x positions or channels x channels:
    many times cheaper than a singular value decomposition, and the same up to sign.

    Source: Muhammad & Yeasin, Eigen-CAM, IJCNN 2020, section III; the columns are centred as in the reference.
    """
    batch, channels, height, width = weighted.shape
    energy = weighted.nan_to_num(nan=0.0).flatten(2).transpose(1, 2)
    centred = (energy - energy.mean(dim=1, keepdim=True)).double()
    if height * width <= channels:
        values, vectors = torch.linalg.eigh(centred @ centred.mT)
        projected = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred.mT @ centred)
        projected = (centred @ vectors[..., -1:]).squeeze(2)
    strength = energy.double().square().sum(dim=2)
    strength -= strength.mean(dim=1, keepdim=True)
    agrees = (strength * projected).sum(dim=1, keepdim=True) >= 0
    return torch.where(agrees, projected, -projected).to(weighted.dtype).reshape(batch, height, width)
