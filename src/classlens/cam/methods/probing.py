"""Methods that run the model again: on masked, noisy or changed pictures, or with activations taken away.

What weighs channels, shown alone or missing, needs one run for each: hundreds to thousands. Others map the pixels.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import product

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.classifier import Layer
from classlens.cam.evidence import Evidence, Probe, observe
from classlens.cam.layout import Grid
from classlens.errors import ModelError

Mask = Callable[[Float[Tensor, "n height width"]], Float[Tensor, "n rows columns"]]

NOISE = 2.0  # standard deviation of SS-CAM's noise beside activations scaled to 0..1, as in torch-cam
SPREAD = 0.15  # standard deviation of SmoothGrad's noise, as a share of the picture's range of values
FULL = 1e-7  # added to a range before it divides, as in FullGrad's reference
CELLS = 7
SHOWN = 0.5  # A mask of RISE has `CELLS` x `CELLS` cells, of which `SHOWN` are shown on average


def score_cam(evidence: Evidence) -> Grid:
    """softmax_c(score of the picture seen through A_c alone) A_c.

    Masks are enlarged with aligned corners, as in the reference.
    Source: Wang et al., Score-CAM, CVPR Workshops 2020, eqs. 5-8.
    """
    size = evidence.model.batch.shape[2:]
    return weigh_by_masks(evidence, [lambda maps: unit(enlarge(maps[None], size, aligned=True)[0])])


def ss_cam(evidence: Evidence) -> Grid:
    """Score-CAM with every mask replaced by `samples` noisy ones, whose scores are averaged.

    The same pictures of noise serve every channel, so that a map does not depend on what else is in the batch. Noisy
    masks are not scaled again, as in torch-cam.
    Source: Wang et al., SS-CAM, 2020, section 3.2.
    """
    generator = torch.Generator().manual_seed(0)
    samples, size = evidence.model.samples, evidence.model.batch.shape[2:]
    noise = torch.randn((samples, *size), generator=generator).to(evidence.activations.device)
    masks = [lambda maps, one=one: enlarge(unit(maps)[None], size)[0] + NOISE * one for one in noise]
    return weigh_by_masks(evidence, masks)


def is_cam(evidence: Evidence) -> Grid:
    """Score-CAM with the score averaged along a path of ever brighter masked pictures.

    The factors 0.1, 0.3, 0.6, ..., 5.5 (of ten) add up as in the paper's algorithm 1, and as in torch-cam.
    Source: Naidu et al., IS-CAM, 2020, algorithm 1.
    """
    steps, size = evidence.model.samples, evidence.model.batch.shape[2:]
    factors = [step * (step + 1) / (2 * steps) for step in range(1, steps + 1)]
    masks = [lambda maps, factor=factor: enlarge(unit(maps)[None], size)[0] * factor for factor in factors]
    return weigh_by_masks(evidence, masks)


def weigh_by_masks(evidence: Evidence, masks: Sequence[Mask]) -> Grid:
    """softmax_c(score of the picture through masks made of A_c, averaged over them) A_c.

    Channels that are the same everywhere make the same mask, and are asked about once.
    """
    probe, activations = evidence.model, evidence.activations
    total = torch.zeros(activations.shape[:2], device=activations.device)
    for mask, (picture, maps) in product(masks, enumerate(activations)):
        flat = maps.flatten(1).amax(dim=1) == maps.flatten(1).amin(dim=1)
        wanted = torch.cat([(~flat).nonzero()[:, 0], flat.nonzero()[:1, 0]])
        for some in torch.split(wanted, probe.at_once):
            masked = probe.batch[picture] * mask(maps[some])[:, None]
            total[picture, some] += probe.scores(masked, torch.full_like(some, picture))
        total[picture, flat] = total[picture, wanted[-1]]
    return (total / len(masks)).softmax(dim=1)[:, :, None, None] * activations


def ablation_cam(evidence: Evidence) -> Grid:
    """(score - score without A_c) / score, times A_c; a channel is taken away by setting it to zero.

    Source: Desai & Ramaswamy, Ablation-CAM, WACV 2020, eq. 4.
    """
    activations = evidence.activations
    shares = torch.zeros(activations.shape[:2], device=activations.device)
    for picture, maps in enumerate(activations):
        alive = maps.flatten(1).any(dim=1).nonzero()[:, 0]
        scores = evidence.model.scores_without(alive, maps, picture)
        shares[picture, alive] = (scores[0] - scores[1:]) / scores[0]
    return shares[:, :, None, None] * activations


def enlarge(maps: Grid, size: torch.Size, *, aligned: bool = False) -> Float[Tensor, "maps channels rows columns"]:
    return F.interpolate(maps, size, mode="bilinear", align_corners=aligned)


def unit(maps: Float[Tensor, "... height width"], epsilon: float = 1e-8) -> Float[Tensor, "... height width"]:
    low, high = maps.amin((-2, -1), keepdim=True), maps.amax((-2, -1), keepdim=True)
    return (maps - low) / (high - low + epsilon)


def full_grad(evidence: Evidence) -> Grid:
    """|x * gradient| and, for every convolution and BatchNorm with a bias, |bias * gradient| summed over its channels.

    Each part is scaled to 0..1 at the size of the picture before they are added up, as in the reference.
    Source: Srinivas & Fleuret, Full-gradient representation for neural network visualization, NeurIPS 2019, eq. 8.
    """
    probe = evidence.model
    biased: dict[Layer, Tensor] = {}
    for name, module in probe.classifier.module.named_modules():
        if type(module) is nn.Conv2d and module.bias is not None:
            biased[Layer(name, module)] = module.bias.detach()
        elif type(module) is nn.BatchNorm2d and module.bias is not None and module.running_mean is not None:
            deviation = (torch.as_tensor(module.running_var) + module.eps).sqrt()
            # What it adds to every channel: beta - gamma * mean / deviation.
            biased[Layer(name, module)] = (module.bias - module.running_mean * module.weight / deviation).detach()
    if not biased:
        message = "has no convolution or BatchNorm with a bias, which FullGrad looks at"
        raise ModelError(f"{probe.classifier.name} {message}")
    leaf = probe.batch.detach().clone().requires_grad_()
    captured = observe(probe.classifier, leaf, list(biased))
    score = probe.objective.score(captured.logits).sum()  # type: ignore[arg-type] # it was not stopped
    by_input, *by_layers = torch.autograd.grad(score, (leaf, *captured.outputs), materialize_grads=True)
    size = probe.batch.shape[2:]
    parts = [enlarge(unit((probe.batch * by_input).abs(), FULL), size)]
    for bias, slope in zip(biased.values(), by_layers, strict=True):
        # Enlarging is linear: the channels may be added up before it, which saves thousands of large maps.
        channels = unit((bias[None, :, None, None] * slope).abs(), FULL)
        parts.append(enlarge(channels.sum(dim=1, keepdim=True), size))
    return torch.cat(parts, dim=1)


def variants(probe: Probe, count: int) -> Iterator[tuple[slice, Tensor]]:
    """Of `count` variants of every picture those that go together, and the pictures that they belong to."""
    pictures = torch.arange(len(probe.batch), device=probe.batch.device)
    together = max(1, probe.at_once // len(pictures))
    for start in range(0, count, together):
        few = slice(start, min(start + together, count))
        yield few, pictures.repeat(few.stop - few.start)


def integrated_gradients(evidence: Evidence) -> Grid:
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


def smooth_grad(evidence: Evidence) -> Grid:
    """|mean gradient| over 25 noisy copies of the picture; the noise has a seed of its own.

    Source: Smilkov et al., SmoothGrad, 2017, section 3.
    """
    probe = evidence.model
    reach = probe.batch.amax((1, 2, 3), keepdim=True) - probe.batch.amin((1, 2, 3), keepdim=True)
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros_like(probe.batch)
    for few, of in variants(probe, probe.samples):
        each = [torch.randn(probe.batch.shape[1:], generator=generator) for _ in range(few.start, few.stop)]
        noisy = probe.batch + SPREAD * reach * torch.stack(each).to(probe.batch.device)[:, None]
        total += probe.input_gradients(noisy.flatten(0, 1), of).reshape(-1, *probe.batch.shape).sum(dim=0)
    return (total / probe.samples).abs()


def rise(evidence: Evidence) -> Grid:
    """Mean of a thousand random masks, each weighted by the probability that is left when only it is shown.

    Source: Petsiuk et al., RISE, BMVC 2018, eq. 6 and section 3.2 (masks). The masks are always the same.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    generator = torch.Generator().manual_seed(0)
    total = torch.zeros((batch, height, width), device=probe.batch.device)
    for few, of in variants(probe, probe.samples):
        each = [random_mask(height, width, generator) for _ in range(few.start, few.stop)]
        masks = torch.stack(each).to(probe.batch.device)
        masked = (probe.batch * masks[:, None, None]).flatten(0, 1)
        left = probe.scores(masked, of, as_probability=True).reshape(-1, batch)
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


def occlusion(evidence: Evidence) -> Grid:
    """How much the score drops when a grey square hides a place, averaged over the squares that cover it.

    Fifteen places on the short side make a square an eighth of it, which moves by half of itself.
    Source: Zeiler & Fergus, Visualizing and understanding convolutional networks, ECCV 2014, section 4.2.
    """
    probe = evidence.model
    batch, _, height, width = probe.batch.shape
    side = max(1, 2 * min(height, width) // (probe.samples + 1))
    step = max(1, side // 2)
    tops, lefts = (range(0, max(length - side, 0) + step, step) for length in (height, width))
    corners = list(product(tops, lefts))
    usual = probe.scores(probe.batch, torch.arange(batch, device=probe.batch.device))
    total = torch.zeros((batch, height, width), device=probe.batch.device)
    covered = torch.zeros((height, width), device=probe.batch.device)
    for few, of in variants(probe, len(corners)):
        masks = torch.ones((few.stop - few.start, height, width), device=probe.batch.device)
        for mask, (top, left) in zip(masks, corners[few], strict=True):
            mask[top : top + side, left : left + side] = 0
        left_over = probe.scores((probe.batch * masks[:, None, None]).flatten(0, 1), of).reshape(-1, batch)
        total += torch.einsum("vb,vij->bij", usual - left_over, 1 - masks)
        covered += (1 - masks).sum(dim=0)
    return (total / covered)[:, None]
