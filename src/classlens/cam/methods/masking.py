"""CAM methods that weigh a channel by what the model says when it is shown, or denied, what the channel lights up.

No gradients, but one run of the model per channel and picture: hundreds to thousands. Channels that are the same
everywhere make the same mask, and are asked about once.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from classlens.arrays import Float
from classlens.cam.probe import Evidence, chunks, resumed

Weighted = Float[Tensor, "batch channels height width"]

NOISE = 2.0
"""Standard deviation of SS-CAM's noise beside activations scaled to 0..1, as in torch-cam."""


def score_cam(evidence: Evidence) -> Weighted:
    """softmax_c(score of the picture seen through A_c alone) A_c.

    Masks are enlarged with aligned corners, as in the reference.

    Source: Wang et al., Score-CAM, CVPR Workshops 2020, eqs. 5-8.
    """
    weights = masked_scores(evidence, lambda activations: unit(enlarged(activations, evidence, aligned=True)), [1.0])
    return weights.softmax(dim=1)[:, :, None, None] * evidence.activations


def ss_cam(evidence: Evidence) -> Weighted:
    """Score-CAM with every mask replaced by `samples` noisy ones, whose scores are averaged.

    The same pictures of noise serve every channel, so that a map does not depend on what else is in the batch. Noisy
    masks are not scaled again, as in torch-cam.

    Source: Wang et al., SS-CAM, 2020, section 3.2.
    """
    generator = torch.Generator().manual_seed(0)
    samples, size = evidence.model.samples, evidence.model.batch.shape[2:]
    noise = torch.randn((samples, *size), generator=generator).to(evidence.activations.device)
    total = torch.zeros(evidence.activations.shape[:2], device=evidence.activations.device)
    for drawn in noise:

        def noisy(activations: Tensor, drawn: Tensor = drawn) -> Tensor:
            return enlarged(unit(activations), evidence, aligned=False) + NOISE * drawn

        total += masked_scores(evidence, noisy, [1.0])
    return (total / samples).softmax(dim=1)[:, :, None, None] * evidence.activations


def is_cam(evidence: Evidence) -> Weighted:
    """Score-CAM with the score averaged along a path of ever brighter masked pictures.

    The factors 0.1, 0.3, 0.6, ..., 5.5 (of ten) add up as in the paper's algorithm 1, and as in torch-cam.

    Source: Naidu et al., IS-CAM, 2020, algorithm 1.
    """
    steps = evidence.model.samples
    factors = [step * (step + 1) / (2 * steps) for step in range(1, steps + 1)]
    weights = masked_scores(evidence, lambda activations: enlarged(unit(activations), evidence, aligned=False), factors)
    return weights.softmax(dim=1)[:, :, None, None] * evidence.activations


def ablation_cam(evidence: Evidence) -> Weighted:
    """(score - score without A_c) / score, times A_c; a channel is taken away by setting it to zero.

    Source: Desai & Ramaswamy, Ablation-CAM, WACV 2020, eq. 4.
    """
    probe, activations = evidence.model, evidence.activations
    shares = torch.zeros(activations.shape[:2], device=activations.device)
    for picture, maps in enumerate(activations):
        alive = maps.flatten(1).any(dim=1).nonzero()[:, 0]

        def without(rows: range, maps: Tensor = maps, alive: Tensor = alive) -> Tensor:
            """Variant 0 is the feature map as it is, variant n that without the n-th channel that is not zero."""
            changed = maps.repeat(len(rows), 1, 1, 1)
            for variant, place in zip(changed, rows, strict=True):
                if place:
                    variant[alive[place - 1]] = 0
            return changed

        scores = resumed(probe, without, len(alive) + 1, picture)
        shares[picture, alive] = (scores[0] - scores[1:]) / scores[0]
    return shares[:, :, None, None] * activations


def masked_scores(
    evidence: Evidence,
    mask: Callable[[Float[Tensor, "n height width"]], Float[Tensor, "n rows columns"]],
    factors: list[float],
) -> Float[Tensor, "batch channels"]:
    """The score of every picture through the mask of every channel, averaged over factors on what is fed."""
    probe, activations = evidence.model, evidence.activations
    scores = torch.zeros(activations.shape[:2], device=activations.device)
    for picture, maps in enumerate(activations):
        flat = maps.flatten(1).amax(dim=1) == maps.flatten(1).amin(dim=1)
        wanted = torch.cat([(~flat).nonzero()[:, 0], flat.nonzero()[:1, 0]])
        for rows in chunks(len(wanted), probe.at_once):
            some = wanted[rows]
            masked = probe.batch[picture] * mask(maps[some])[:, None]
            of = torch.full((len(some),), picture, device=activations.device)
            scores[picture, some] = torch.stack([probe.scores(masked * factor, of) for factor in factors]).mean(0)
        scores[picture, flat] = scores[picture, wanted[-1]]
    return scores


def enlarged(
    activations: Float[Tensor, "n height width"], evidence: Evidence, *, aligned: bool
) -> Float[Tensor, "n rows columns"]:
    """Activations at the size of the pictures."""
    size = evidence.model.batch.shape[2:]
    return F.interpolate(activations[None], size, mode="bilinear", align_corners=aligned)[0]


def unit(masks: Float[Tensor, "n rows columns"]) -> Float[Tensor, "n rows columns"]:
    """Each mask scaled to 0..1."""
    low, high = masks.amin((1, 2), keepdim=True), masks.amax((1, 2), keepdim=True)
    return (masks - low) / (high - low + 1e-8)
