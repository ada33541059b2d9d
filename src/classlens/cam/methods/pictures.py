"""Methods that look at pixels instead of a layer, for comparison with the class activation maps.

What they return lies at the size of the picture as fed; the layer is called `input`. Most run the model many times.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from classlens.arrays import Float
from classlens.cam.probe import Evidence

Weighted = Float[Tensor, "batch channels rows columns"]

STEPS = 50
"""Points on the path of integrated gradients."""

NOISY = 25
"""Noisy pictures of SmoothGrad; `SPREAD` is their noise, as a share of the picture's range of values."""
SPREAD = 0.15

MASKS = 1000
"""Random masks of RISE, each of `CELLS` x `CELLS` cells, of which `SHOWN` are shown on average."""
CELLS = 7
SHOWN = 0.5

WINDOWS = 8
"""An occluding square is an eighth of the short side, and moves by half of itself."""


def integrated_gradients(evidence: Evidence) -> Weighted:
    """(x - x0) times the mean gradient on the straight path from x0 to x; x0 is the encoding's zero (mean grey).

    The path is integrated by Gauss-Legendre, 50 points. Summed up it gives the score less that of x0.

    Source: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017, eqs. 1, 3.
    """
    probe = evidence.model
    points, weights = np.polynomial.legendre.leggauss(STEPS)
    pictures = torch.arange(len(probe.batch), device=probe.batch.device)
    total = torch.zeros_like(probe.batch)
    for point, weight in zip((1 + points) / 2, weights / 2, strict=True):
        total += float(weight) * probe.input_gradients(probe.batch * float(point), pictures)
    return probe.batch * total


def smooth_grad(evidence: Evidence) -> Weighted:
    """|mean gradient| over 25 noisy copies of the picture; the noise is drawn from a seed of its own.

    Source: Smilkov et al., SmoothGrad, 2017, section 3.
    """
    probe = evidence.model
    pictures = torch.arange(len(probe.batch), device=probe.batch.device)
    reach = probe.batch.amax((1, 2, 3), keepdim=True) - probe.batch.amin((1, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(probe.batch)
    for _ in range(NOISY):
        noise = torch.randn(probe.batch.shape[1:], generator=generator).to(probe.batch.device)
        total += probe.input_gradients(probe.batch + SPREAD * reach * noise, pictures)
    return (total / NOISY).abs()


def rise(evidence: Evidence) -> Weighted:
    """Mean of a thousand random masks, each weighted by the probability that is left when only it is shown.

    Source: Petsiuk et al., RISE, BMVC 2018, eq. 6 and section 3.2 (masks). The masks are always the same.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((batch, 1, height, width), device=probe.batch.device)
    for _ in range(MASKS):
        mask = random_mask(height, width, generator).to(probe.batch.device)
        left = probe.probabilities(probe.batch * mask, torch.arange(batch, device=probe.batch.device))
        total += left[:, None, None, None] * mask
    return total / (MASKS * SHOWN)


def random_mask(height: int, width: int, generator: torch.Generator) -> Float[Tensor, "height width"]:
    """A coarse random grid, enlarged beyond the picture and cut out at random."""
    cell = (-(-height // CELLS), -(-width // CELLS))
    coarse = (torch.rand((1, 1, CELLS, CELLS), generator=generator) < SHOWN).float()
    size = ((CELLS + 1) * cell[0], (CELLS + 1) * cell[1])
    large = F.interpolate(coarse, size, mode="bilinear", align_corners=False)[0, 0]
    top, left = (int(torch.randint(side, (), generator=generator)) for side in cell)
    return large[top : top + height, left : left + width]


def occlusion(evidence: Evidence) -> Weighted:
    """How much the score drops when a grey square hides a place, averaged over the squares that cover it.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    pictures = torch.arange(batch, device=probe.batch.device)
    side = max(1, min(height, width) // WINDOWS)
    step = max(1, side // 2)
    usual = probe.scores(probe.batch, pictures)
    total = torch.zeros((batch, height, width), device=probe.batch.device)
    covered = torch.zeros((height, width), device=probe.batch.device)
    for top in starts(height, side, step):
        for left in starts(width, side, step):
            hidden = probe.batch.clone()
            hidden[:, :, top : top + side, left : left + side] = 0
            drop = usual - probe.scores(hidden, pictures)
            total[:, top : top + side, left : left + side] += drop[:, None, None]
            covered[top : top + side, left : left + side] += 1
    return (total / covered)[:, None]


def starts(length: int, side: int, step: int) -> list[int]:
    """Where squares begin so that the last one ends at, or beyond, the border."""
    return list(range(0, max(length - side, 0) + step, step))
