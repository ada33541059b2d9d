"""Methods for transformers that read the attention itself. Their map lies on the grid of the tokens.

Only attention over all tokens of a picture tells which token came from where; windows and pooled keys are refused.
"""

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.attention import watching
from classlens.cam.grids import Layout, Place, layout_of
from classlens.cam.passes import logits_of
from classlens.cam.probe import Evidence, Probe
from classlens.cam.reading import extra_tokens
from classlens.errors import ModelError

Weighted = Float[Tensor, "batch one height width"]


def attention_rollout(evidence: Evidence) -> Weighted:
    """Product over layers of (mean over heads + identity) / 2, from the class token, or from all, to the patches.

    The same for every class.

    Source: Abnar & Zuidema, Quantifying attention flow in transformers, ACL 2020, eq. 1.
    """
    probe = evidence.model
    weights, layout, _ = attended(probe)
    flow = torch.eye(weights[0].shape[-1], device=weights[0].device)
    for layer in weights:
        mixed = (layer.detach().float().mean(dim=1) + torch.eye(layer.shape[-1], device=layer.device)) / 2
        flow = mixed / mixed.sum(dim=-1, keepdim=True) @ flow
    return layout.grid(readers(flow, layout))


def attention_gradients(evidence: Evidence) -> Weighted:
    """relu(d score / d attention), averaged over layers, heads and the tokens that attend.

    This is LeGrad's map with the score of the whole model for every layer; the paper reads a score out after each.

    Source: Bousselham et al., LeGrad, ICCV 2025, eqs. 5-7.
    """
    probe = evidence.model
    weights, layout, logits = attended(probe)
    slopes = torch.autograd.grad(probe.objective.score(logits).sum(), weights, allow_unused=True)
    found = [slope.float().relu().mean(dim=(1, 2)) for slope in slopes if slope is not None]
    return layout.grid(torch.stack(found).mean(dim=0)[:, :, None])


def readers(flow: Float[Tensor, "batch tokens tokens"], layout: Layout) -> Float[Tensor, "batch tokens 1"]:
    """What reaches the tokens that the head reads: the first extra one, or all where there is none."""
    reached = flow[:, 0] if layout.extra else flow.mean(dim=1)
    return reached[:, :, None]


def attended(probe: Probe) -> tuple[list[Tensor], Layout, Tensor]:
    """The attention over all tokens, layer by layer, how the tokens lie on the picture, and the logits.

    Raises:
        ModelError: there is no attention over all tokens of a picture, or their number changes on the way.
    """
    with watching() as seen:
        logits = logits_of(probe.classifier, probe.batch)
    whole = [weights for weights in seen if len(weights) == len(probe.batch)]
    if not whole or len(whole) < len(seen) or len({weights.shape[-1] for weights in whole}) > 1:
        raise ModelError(
            f"{probe.classifier.name} has no attention over all tokens of a picture from its first layer to its last",
            hint="attention methods need a plain transformer, such as ViT or DeiT",
        )
    picture = (probe.batch.shape[2], probe.batch.shape[3])
    place = Place("attention", nn.Identity(), picture, extra_tokens(probe.classifier), len(probe.batch))
    return whole, layout_of(whole[0][:, 0, :, :1].detach(), place), logits
