"""FullGrad: the score taken apart into the contributions of the input and of every bias of the network."""

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.capture import observe
from classlens.cam.classifier import Layer
from classlens.cam.probe import Evidence, Probe, chunks
from classlens.errors import ModelError


def full_grad(evidence: Evidence) -> Float[Tensor, "batch parts rows columns"]:
    """|x * gradient| and, for every convolution and BatchNorm with a bias, |bias * gradient| summed over its channels.

    Each part is scaled to 0..1 at the size of the picture before they are added up, as in the reference.

    Source: Srinivas & Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019, eq. 8.

    Raises:
        ModelError: the network has no convolution or BatchNorm with a bias.
    """
    probe = evidence.model
    layers = [
        Layer(name, module) for name, module in probe.classifier.module.named_modules() if bias_of(module) is not None
    ]
    if not layers:
        raise ModelError(
            f"{probe.classifier.name} has no convolution or BatchNorm with a bias, which FullGrad looks at"
        )
    by_input, by_layers = slopes(probe, layers)
    size = probe.batch.shape[2:]
    parts = [enlarged(scaled((probe.batch * by_input).abs()), size)]
    for layer, slope in zip(layers, by_layers, strict=True):
        bias = bias_of(layer.module)
        if bias is not None:
            # Enlarging is linear: the channels may be added up before it, which saves thousands of large maps.
            channels = scaled((bias[None, :, None, None] * slope).abs())
            parts.append(enlarged(channels.sum(dim=1, keepdim=True), size))
    return torch.cat(parts, dim=1)


def slopes(probe: Probe, layers: list[Layer]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The gradients of the score with respect to the encoded picture and to the output of every layer."""
    leaf = probe.batch.detach().clone().requires_grad_()
    seen = observe(probe.classifier, leaf, layers)
    if seen.logits is None:
        raise ValueError("the forward pass was stopped")
    found = torch.autograd.grad(probe.objective.score(seen.logits).sum(), (leaf, *seen.outputs), allow_unused=True)
    filled = [
        torch.zeros_like(node) if one is None else one for one, node in zip(found, (leaf, *seen.outputs), strict=True)
    ]
    return filled[0], tuple(filled[1:])


def bias_of(module: nn.Module) -> Tensor | None:
    """The constant that a layer adds to every channel; a BatchNorm's is beta - gamma * mean / deviation."""
    bias: Tensor | None = None
    if type(module) is nn.Conv2d:
        bias = module.bias
    elif type(module) is nn.BatchNorm2d and module.bias is not None and module.running_mean is not None:
        deviation = (torch.as_tensor(module.running_var) + module.eps).sqrt()
        bias = module.bias - module.running_mean * module.weight / deviation
    return None if bias is None else bias.detach()


def scaled(parts: Float[Tensor, "batch channels height width"]) -> Float[Tensor, "batch channels height width"]:
    """Every channel scaled to 0..1."""
    shifted = parts - parts.amin((2, 3), keepdim=True)
    return shifted / (1e-7 + shifted.amax((2, 3), keepdim=True))


def enlarged(
    parts: Float[Tensor, "batch channels height width"], size: torch.Size
) -> Float[Tensor, "batch channels rows columns"]:
    return F.interpolate(parts, size, mode="bilinear", align_corners=False)


Weighted = Float[Tensor, "batch channels rows columns"]

SPREAD = 0.15
"""Standard deviation of SmoothGrad's noise, as a share of the picture's range of values."""

CELLS = 7
SHOWN = 0.5
"""A mask of RISE has `CELLS` x `CELLS` cells, of which `SHOWN` are shown on average."""


def variants(probe: Probe, count: int) -> Iterator[tuple[slice, Tensor]]:
    """Of `count` variants of every picture those that go together, and the pictures that they belong to."""
    pictures = torch.arange(len(probe.batch), device=probe.batch.device)
    for rows in chunks(count, max(1, probe.at_once // len(pictures))):
        few = slice(rows.start, min(rows.stop, count))
        yield few, pictures.repeat(few.stop - few.start)


def integrated_gradients(evidence: Evidence) -> Weighted:
    """(x - x0) times the mean gradient on the straight path from x0 to x; x0 is the encoding's zero (mean grey).

    The path is integrated by Gauss-Legendre, 50 points. Summed up it gives the score less that of x0.

    Source: Sundararajan et al., Axiomatic attribution for deep networks, ICML 2017, eqs. 1, 3.
    """
    probe = evidence.model
    points, weights = (torch.from_numpy(one).to(probe.batch) for one in np.polynomial.legendre.leggauss(probe.samples))
    total = torch.zeros_like(probe.batch)
    for few, of in variants(probe, probe.samples):
        on_path = (1 + points[few, None, None, None, None]) / 2 * probe.batch
        slopes = probe.input_gradients(on_path.flatten(0, 1), of).reshape(-1, *probe.batch.shape)
        total += torch.einsum("v,vbcij->bcij", weights[few] / 2, slopes)
    return probe.batch * total


def smooth_grad(evidence: Evidence) -> Weighted:
    """|mean gradient| over 25 noisy copies of the picture; the noise is drawn from a seed of its own.

    Source: Smilkov et al., SmoothGrad, 2017, section 3.
    """
    probe = evidence.model
    reach = probe.batch.amax((1, 2, 3), keepdim=True) - probe.batch.amin((1, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(probe.batch)
    for few, of in variants(probe, probe.samples):
        noise = torch.stack(
            [torch.randn(probe.batch.shape[1:], generator=generator) for _ in range(few.start, few.stop)]
        )
        noisy = probe.batch + SPREAD * reach * noise.to(probe.batch.device)[:, None]
        total += probe.input_gradients(noisy.flatten(0, 1), of).reshape(-1, *probe.batch.shape).sum(dim=0)
    return (total / probe.samples).abs()


def rise(evidence: Evidence) -> Weighted:
    """Mean of a thousand random masks, each weighted by the probability that is left when only it is shown.

    Source: Petsiuk et al., RISE, BMVC 2018, eq. 6 and section 3.2 (masks). The masks are always the same.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((batch, height, width), device=probe.batch.device)
    for few, of in variants(probe, probe.samples):
        masks = torch.stack([random_mask(height, width, generator) for _ in range(few.start, few.stop)]).to(
            probe.batch.device
        )
        left = probe.probabilities((probe.batch * masks[:, None, None]).flatten(0, 1), of).reshape(-1, batch)
        total += torch.einsum("vb,vij->bij", left, masks)
    return total[:, None] / (probe.samples * SHOWN)


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

    Fifteen places on the short side make a square an eighth of it, which moves by half of itself.

    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    side = max(1, 2 * min(height, width) // (probe.samples + 1))
    corners = [
        (top, left)
        for top in starts(height, side, max(1, side // 2))
        for left in starts(width, side, max(1, side // 2))
    ]
    usual = probe.scores(probe.batch, torch.arange(batch, device=probe.batch.device))
    total = torch.zeros((batch, height, width), device=probe.batch.device)
    covered = torch.zeros((height, width), device=probe.batch.device)
    for few, of in variants(probe, len(corners)):
        seen = torch.ones((few.stop - few.start, height, width), device=probe.batch.device)
        for mask, (top, left) in zip(seen, corners[few], strict=True):
            mask[top : top + side, left : left + side] = 0
        left_over = probe.scores((probe.batch * seen[:, None, None]).flatten(0, 1), of).reshape(-1, batch)
        total += torch.einsum("vb,vij->bij", usual - left_over, 1 - seen)
        covered += (1 - seen).sum(dim=0)
    return (total / covered)[:, None]


def starts(length: int, side: int, step: int) -> list[int]:
    return list(range(0, max(length - side, 0) + step, step))
