"""How many pictures go through a model at once when memory is short. An estimate, from one pass on one picture.

A forward pass without a graph holds a few layers' outputs at a time: counted here as four of the largest.
"""

from math import prod

from classlens.cam.classifier import Classifier, layers_of
from classlens.cam.layers import survey

HELD = 4
"""Largest outputs held at once; in a ResNet-50 they were measured to be 3.5."""

MEGABYTE = 1_000_000
FLOAT = 4


def affordable(classifier: Classifier, batch_size: int, megabytes: float) -> int:
    """The batch size, halved until what a batch holds fits into the budget; never less than one picture."""
    largest = max((prod(seen.shape) for seen in survey(classifier, layers_of(classifier))), default=0)
    while batch_size > 1 and batch_size * HELD * FLOAT * largest > megabytes * MEGABYTE:
        batch_size //= 2
    return batch_size
