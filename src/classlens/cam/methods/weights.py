"""CAM methods that weigh activations with gradients: evidence -> weighted activations, one pure function each.

Summed over its channels, what they return is the raw map. Every formula, small constants included, is that of the most
used implementation (grad-cam on PyPI); docstrings say where the paper differs. A activations, G gradients, c channel,
i, j position.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from classlens.arrays import Float
from classlens.cam.evidence import Evidence
from classlens.cam.layout import Grid

POSITIONS = (2, 3)


def grad_cam(evidence: Evidence) -> Grid:
    """mean_ij(G_c) A_c. Source: Selvaraju et al., Grad-CAM, ICCV 2017, eqs. 1-2."""
    return evidence.gradients.mean(POSITIONS, keepdim=True) * evidence.activations


def grad_cam_plus_plus(evidence: Evidence) -> Grid:
    """sum_ij(alpha relu(G)) A_c, alpha = G^2 / (2 G^2 + sum_ij(A_c) G^3 + 1e-6), zero where G is zero.

    The paper differentiates exp(score), whose factor cancels, and has no 1e-6; gradients of deep networks are so small
    that this constant rules the denominator, as it does in the reference.
    Source: Chattopadhay et al., Grad-CAM++, WACV 2018, eqs. 10, 19.
    """
    gradients = evidence.gradients
    squared = gradients * gradients
    total = evidence.activations.sum(POSITIONS, keepdim=True)
    alpha = squared / (2 * squared + total * (squared * gradients) + 1e-6)
    alpha = torch.where(gradients != 0, alpha, 0)
    return (alpha * gradients.relu()).sum(POSITIONS, keepdim=True) * evidence.activations


def x_grad_cam(evidence: Evidence) -> Grid:
    """sum_ij(G A / (sum_ij(A_c) + 1e-7)) A_c.

    Ill-conditioned where the activations are signed and their sum is near zero (norm layers).
    Source: Fu et al., Axiom-based Grad-CAM, BMVC 2020, eq. 8.
    """
    total = evidence.activations.sum(POSITIONS, keepdim=True)
    shares = evidence.gradients * evidence.activations / (total + 1e-7)
    return shares.sum(POSITIONS, keepdim=True) * evidence.activations


def layer_cam(evidence: Evidence) -> Grid:
    """relu(G) A, position by position.

    The paper also bends shallow layers' maps with tanh before it fuses them; the reference does not, nor do we.
    Source: Jiang et al., LayerCAM, TIP 2021, eqs. 5-7.
    """
    return evidence.gradients.relu() * evidence.activations


def hi_res_cam(evidence: Evidence) -> Grid:
    """G A, position by position. Source: Draelos & Carin, Use HiResCAM instead of Grad-CAM, 2020, eq. 4."""
    return evidence.gradients * evidence.activations


def grad_cam_element_wise(evidence: Evidence) -> Grid:
    """relu(G A), position by position.

    Source: Pillai & Pirsiavash, Explainable models with consistent interpretations, AAAI 2021.
    """
    return (evidence.gradients * evidence.activations).relu()


def activations_only(evidence: Evidence) -> Grid:
    return evidence.activations


def shapley_cam(evidence: Evidence) -> Grid:
    """mean_ij(G_c - (H A)_c / 2) A_c, H the Hessian of the score: Grad-CAM with the second term of Taylor's series.

    Source: Cai, CAMs as Shapley value-based explainers, 2025, eq. 14.
    """
    slope = evidence.gradients - 0.5 * evidence.model.curvature()
    return slope.mean(POSITIONS, keepdim=True) * evidence.activations


def fem(evidence: Evidence) -> Grid:
    """Share of the positions where A_c is rare, more than two standard deviations above its mean, times A_c.

    Source: Fuad et al., Features understanding in 3D CNNs, IPTA 2020, section III-B.
    """
    activations = evidence.activations
    mean = activations.mean(POSITIONS, keepdim=True)
    deviation = activations.std(POSITIONS, keepdim=True, correction=0)
    rare = (activations > mean + 2 * deviation).float()
    return rare.mean(POSITIONS, keepdim=True) * activations


def random_cam(evidence: Evidence) -> Grid:
    """Random weights in -1..1, always the same: what a method has to be better than."""
    channels = evidence.activations.shape[1]
    weights = torch.rand(channels, generator=torch.Generator().manual_seed(0)) * 2 - 1
    return weights.to(evidence.activations.device)[None, :, None, None] * evidence.activations


Map = Float[Tensor, "batch height width"]


def first_component(weighted: Grid) -> Map:
    """Projection of every position on the first principal component of the channels, high where activations are strong.

    Source: Muhammad & Yeasin, Eigen-CAM, IJCNN 2020, section III; the columns are centred as in the reference.
    """
    return project(weighted, guide=lambda rows: rows.square().sum(dim=2))


def first_component_of_evidence(weighted: Grid) -> Map:
    """As `first_component`, for channels weighted by a class: high where they are evidence for it, as their sum is.

    Strength would not do: evidence against the class can be stronger than evidence for it.
    """
    return project(weighted, guide=lambda rows: rows.sum(dim=2))


def first_kernel_component(weighted: Grid) -> Map:
    """As `first_component`, with a kernel PCA of the positions, whose kernel is tanh(x y / channels + 1).

    Source: Karmani et al., KPCA-CAM, 2024; the sigmoid kernel and its settings are the reference's.
    """
    return project(weighted, guide=lambda rows: rows.square().sum(dim=2), by_kernel=True)


def project(weighted: Grid, *, guide: Callable[[Tensor], Tensor], by_kernel: bool = False) -> Map:
    """The first component of the positions, with the sign that makes it correlate with a guide: it has none of its own.

    Found in double precision (on the CPU where the device has none, as MPS) from the smaller of the two Gram matrices,
    positions x positions or channels x channels: many times cheaper than a singular value decomposition, and the same
    up to sign. NaN counts as 0.
    """
    rows = weighted.nan_to_num(nan=0.0).flatten(2).mT
    rows = (rows.cpu() if rows.device.type == "mps" else rows).double()
    positions, channels = rows.shape[1:]
    centred = rows - rows.mean(dim=1, keepdim=True)
    if by_kernel or positions <= channels:
        gram = centred @ centred.mT
        if by_kernel:
            kernel = torch.tanh(gram / channels + 1)
            across = kernel.mean(dim=1, keepdim=True)
            gram = kernel - across - across.mT + across.mean(dim=2, keepdim=True)
        values, vectors = torch.linalg.eigh(gram)
        projected = vectors[..., -1] * values[..., -1:].clamp_min(0).sqrt()
    else:
        _, vectors = torch.linalg.eigh(centred.mT @ centred)
        projected = (centred @ vectors[..., -1:]).squeeze(2)
    guiding = guide(rows)
    guiding = guiding - guiding.mean(dim=1, keepdim=True)
    agrees = (guiding * projected).sum(dim=1, keepdim=True) >= 0
    return torch.where(agrees, projected, -projected).to(weighted).reshape(len(rows), *weighted.shape[2:])
