"""What slow methods will cost, before they start: how often they run the network, and how long that takes."""

from collections.abc import Sequence
from time import monotonic

import torch

from classlens.cam.answer import Manner
from classlens.cam.borrow import borrowed
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.layers import survey
from classlens.cam.methods import METHODS
from classlens.cam.passes import logits_of, noise
from classlens.cam.probe import quickest_order


def runs_ahead(
    classifier: Classifier, methods: Sequence[str], layers: Sequence[Layer], manner: Manner
) -> dict[str, int]:
    """For each slow method how often it will run the network for one picture and class; quick ones are left out."""
    slow = [METHODS[name] for name in methods if METHODS[name].asks]
    if not slow:
        return {}
    channels = [
        seen.shape[1 if seen.layout.kind == "channels first" else -1]
        for seen in survey(classifier, layers)
        if seen.layout
    ]
    return {
        one.name: manner.variants
        * sum(one.passes(count, manner.samples) for count in (channels[:1] if one.at == "input" else channels))
        for one in slow
    }


def seconds_a_run(classifier: Classifier, batch_size: int) -> float:
    """The time that one picture takes in a full batch, from a single try after one to warm up."""
    with borrowed(classifier.module), torch.no_grad():
        order = quickest_order(classifier, noise(classifier))
        batch = noise(classifier).expand(batch_size, -1, -1, -1).contiguous(memory_format=order)
        logits_of(classifier, batch[:2])
        start = monotonic()
        logits_of(classifier, batch)
    return (monotonic() - start) / batch_size
