"""Run a model on from a layer, with other activations in the place of those that it put out: scores of many variants.

What precedes the layer need not run once for every variant. It runs on one picture, and its output is replaced by a
whole batch of variants; most networks take that as if a batch had been fed. Whether this one does is tried first.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from classlens.arrays import Float
from classlens.cam.passes import hooked, logits_of, main_tensor, replaced
from classlens.cam.probe import Probe, chunks
from classlens.errors import ModelError

GROWTH = 4
"""The largest output of a network is at least so many times as large as its picture; that much fits into memory."""

TRIED = 2
REFUSALS = (RuntimeError, ValueError, AssertionError, IndexError, TypeError, ModelError)
"""What code that counts on the size of the batch may raise."""

CLOSE = 1e-3
"""Tolerance, as a share of the largest logit, in which both ways have to agree."""


Variants = Callable[[range], Float[Tensor, "n channels height width"]]
"""Makes some of the variants of a feature map, when their turn has come: all at once could be too many to hold."""


def resumed(probe: Probe, variants: Variants, count: int, picture: int) -> Float[Tensor, " count"]:
    """The score of one picture of the batch with the layer's feature map replaced by each of `count` variants."""
    fed = probe.batch[picture : picture + 1]
    few = variants(range(min(TRIED, count)))
    growing = grows(probe, fed, few)
    at_once = probe.at_once
    if growing:
        at_once = max(at_once, at_once * GROWTH * fed.numel() // few[0].numel())
    parts = []
    for rows in chunks(count, at_once):
        some = variants(range(rows.start, min(rows.stop, count)))
        logits = replayed(probe, fed if growing else fed.expand(len(some), -1, -1, -1), some)
        parts.append(probe.objective.picked(torch.full((len(some),), picture, device=fed.device)).score(logits))
        probe.done(len(some))
    return torch.cat(parts).float()


def grows(probe: Probe, fed: Float[Tensor, "1 3 rows columns"], some: Float[Tensor, "n channels height width"]) -> bool:
    """Whether one picture may become a batch at the layer: the logits are those of as many pictures."""
    if len(some) < 2:
        return False
    usual = replayed(probe, fed.expand(len(some), -1, -1, -1), some)
    try:
        grown = replayed(probe, fed, some)
    except REFUSALS:
        return False
    return grown.shape == usual.shape and bool((grown - usual).abs().max() <= CLOSE * usual.abs().max())


def replayed(
    probe: Probe, fed: Float[Tensor, "batch 3 rows columns"], some: Float[Tensor, "n channels height width"]
) -> Float[Tensor, "n classes"]:
    """The logits with the layer's feature map replaced; extra tokens are those of the picture fed."""

    def exchange(module: nn.Module, inputs: object, output: object) -> object:
        tensor = main_tensor(output, probe.layer)
        pieces = tensor.reshape(len(fed), -1, *tensor.shape[1:])  # a picture is one, or several windows
        everywhere = pieces.expand(len(some), *pieces.shape[1:]).flatten(0, 1)
        return replaced(output, probe.layout.filled(everywhere, some.to(tensor.dtype)))

    with torch.no_grad(), hooked([(probe.layer.module, exchange)]):
        return logits_of(probe.classifier, fed, rows=len(some))
