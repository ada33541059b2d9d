"""Methods for transformers that read the attention itself. Their map lies on the grid of the tokens.

Only attention over all tokens of a picture tells which token came from where; windows and pooled keys are refused.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.attention import watching
from classlens.cam.classifier import Layer
from classlens.cam.grids import Layout, Place, layout_of
from classlens.cam.passes import hooked, logits_of, main_tensor, replaced
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
    with watching() as seen:
        weights, layout, _ = attended(probe, seen)
    flow = torch.eye(weights[0].shape[-1], device=weights[0].device)
    for layer in weights:
        mixed = (layer.detach().float().mean(dim=1) + torch.eye(layer.shape[-1], device=layer.device)) / 2
        flow = mixed / mixed.sum(dim=-1, keepdim=True) @ flow
    return layout.grid(readers(flow, layout))


def attention_gradients(evidence: Evidence) -> Weighted:
    """relu(d score_l / d attention_l), averaged over layers l, heads and the tokens that attend.

    score_l is what the head of the network says when every token it reads is the mean of those that layer l puts out.

    Source: Bousselham et al., LeGrad, ICCV 2025, eqs. 3-7.
    """
    probe = evidence.model
    with watching() as seen, noting_blocks(probe.classifier.module, seen) as blocks:
        weights, layout, _ = attended(probe, seen)
    if len(blocks) < len(weights):
        raise ModelError(
            f"{probe.classifier.name} has attention that is not in a block of its own with tokens as its output",
            hint="LeGrad needs a plain transformer, such as ViT or DeiT",
        )
    outputs = [blocks[number][1] for number in range(len(weights))]
    scores = read_out(probe, blocks[len(weights) - 1][0], outputs)
    slopes = [
        torch.autograd.grad(score.sum(), layer, retain_graph=True)[0]
        for score, layer in zip(scores, weights, strict=True)
    ]
    found = torch.stack([slope.float().relu().mean(dim=(1, 2)) for slope in slopes])
    return layout.grid(found.mean(dim=0)[:, :, None])


def read_out(probe: Probe, last: nn.Module, outputs: list[Tensor]) -> Float[Tensor, "layers batch"]:
    """The score of every picture, once for each layer, as if the last block had put out the mean of that layer's tokens."""
    layers, pictures = len(outputs), probe.batch.repeat(len(outputs), 1, 1, 1)
    means = torch.cat([tokens.mean(dim=1, keepdim=True) for tokens in outputs])

    def exchange(module: nn.Module, inputs: object, output: object) -> object:
        tokens = main_tensor(output, Layer("last block", module))
        return replaced(output, means.expand(-1, tokens.shape[1], -1))

    with hooked([(last, exchange)]):
        logits = logits_of(probe.classifier, pictures)
    of = torch.arange(len(probe.batch), device=probe.batch.device).repeat(layers)
    return probe.objective.picked(of).score(logits).reshape(layers, -1)


@contextmanager
def noting_blocks(module: nn.Module, seen: list[Tensor]) -> Iterator[dict[int, tuple[nn.Module, Tensor]]]:
    """For each attention of `seen`, by its number: the largest part of the network around it alone, and its tokens."""
    begun: list[int] = []
    blocks: dict[int, tuple[nn.Module, Tensor]] = {}

    def enter(part: nn.Module, inputs: object) -> None:
        begun.append(len(seen))

    def leave(part: nn.Module, inputs: object, output: object) -> None:
        number = begun.pop()
        tokens = output[0] if isinstance(output, tuple) and output else output
        if len(seen) == number + 1 and isinstance(tokens, Tensor) and tokens.ndim == 3:
            blocks[number] = part, tokens

    handles = [part.register_forward_pre_hook(enter) for part in module.modules()]
    try:
        with hooked([(part, leave) for part in module.modules()]):
            yield blocks
    finally:
        for handle in handles:
            handle.remove()


def readers(flow: Float[Tensor, "batch tokens tokens"], layout: Layout) -> Float[Tensor, "batch tokens 1"]:
    """What reaches the tokens that the head reads: the first extra one, or all where there is none."""
    reached = flow[:, 0] if layout.extra else flow.mean(dim=1)
    return reached[:, :, None]


def attended(probe: Probe, seen: list[Tensor]) -> tuple[list[Tensor], Layout, Tensor]:
    """Run the model while its attention is `seen`: the attention over all tokens, how they lie, and the logits.

    Raises:
        ModelError: there is no attention over all tokens of a picture, or their number changes on the way.
    """
    logits = logits_of(probe.classifier, probe.batch)
    shapes = {(len(weights), weights.ndim, *weights.shape[-2:]) for weights in seen}
    tokens = seen[0].shape[-1] if seen else 0
    if shapes != {(len(probe.batch), 4, tokens, tokens)}:
        raise ModelError(
            f"{probe.classifier.name} has no attention over all tokens of a picture from its first layer to its last",
            hint="attention methods need a plain transformer, such as ViT or DeiT",
        )
    picture = (probe.batch.shape[2], probe.batch.shape[3])
    place = Place("attention", nn.Identity(), picture, extra_tokens(probe.classifier), len(probe.batch))
    return seen, layout_of(seen[0][:, 0, :, :1].detach(), place), logits
