"""From weighted activations to a raw map: sum over the channels, or project on their first principal component.

The sign of a principal component is arbitrary, and differs between linear-algebra libraries. The rule here: the map
correlates with the energy of its input (the sum of squares over channels), so strong places come out positive.
"""

import torch
from torch import Tensor

from classlens.arrays import Float

Weighted = Float[Tensor, "batch channels height width"]
Map = Float[Tensor, "batch height width"]


def channel_sum(weighted: Weighted) -> Map:
    """What a CAM is by definition: the channels added up."""
    return weighted.sum(dim=1)


def first_component(weighted: Weighted) -> Map:
    """Projection of every position on the first principal component of the channels; NaN counts as 0.

    Found in double precision from the smaller of the two Gram matrices, positions x positions or channels x channels:
    many times cheaper than a singular value decomposition, and the same up to sign.

    A component has no sign of its own: it gets the one with which it is high where the activations are strong.

    Source: Muhammad & Yeasin, Eigen-CAM, IJCNN 2020, section III; the columns are centred as in the reference.
    """
    return signed_component(weighted, rows_of(weighted).square().sum(dim=2))


def first_component_of_evidence(weighted: Weighted) -> Map:
    """As `first_component`, for channels weighted by a class: high where they speak for it, as their sum says.

    Strength would not do: what speaks against the class can be stronger than what speaks for it.
    """
    return signed_component(weighted, rows_of(weighted).sum(dim=2))


def rows_of(weighted: Weighted) -> Float[Tensor, "batch positions channels"]:
    """The channels of every position, in double precision: on the CPU where the device has none (MPS). NaN counts as 0."""
    rows = weighted.nan_to_num(nan=0.0).flatten(2).mT
    return (rows.cpu() if rows.device.type == "mps" else rows).double()


def signed_component(weighted: Weighted, guide: Float[Tensor, "batch positions"]) -> Map:
    """The first principal component with the sign that makes it correlate with `guide`."""
    batch, channels, height, width = weighted.shape
    rows = rows_of(weighted)
    centred = rows - rows.mean(dim=1, keepdim=True)
    if height * width <= channels:
        values, vectors = torch.linalg.eigh(centred @ centred.mT)
        projected = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred.mT @ centred)
        projected = (centred @ vectors[..., -1:]).squeeze(2)
    return upright(projected, guide).to(weighted).reshape(batch, height, width)


def first_kernel_component(weighted: Weighted) -> Map:
    """First component of a kernel PCA of the positions, with the kernel tanh(x y / channels + 1); sign as above.

    Source: Karmani et al., KPCA-CAM, 2024; the sigmoid kernel and its settings are the reference's.
    """
    batch, channels, height, width = weighted.shape
    rows = rows_of(weighted)
    strength = rows.square().sum(dim=2)
    rows = rows - rows.mean(dim=1, keepdim=True)
    kernel = torch.tanh(rows @ rows.mT / channels + 1)
    across = kernel.mean(dim=1, keepdim=True)
    kernel = kernel - across - across.mT + across.mean(dim=2, keepdim=True)
    values, vectors = torch.linalg.eigh(kernel)
    projected = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    return upright(projected, strength).to(weighted).reshape(batch, height, width)


def upright(
    projected: Float[Tensor, "batch positions"], strength: Float[Tensor, "batch positions"]
) -> Float[Tensor, "batch positions"]:
    """A component with the sign that makes it correlate with the strength of the positions."""
    centred = strength - strength.mean(dim=1, keepdim=True)
    agrees = (centred * projected).sum(dim=1, keepdim=True) >= 0
    return torch.where(agrees, projected, -projected)
