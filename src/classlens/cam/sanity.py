"""Does a map depend on what the network has learnt? Compare it with that of the same network made forgetful."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from classlens.arrays import Float32
from classlens.cam.classifier import Classifier
from classlens.cam.explain import explain
from classlens.cam.saliency import Saliency
from classlens.image import Image


def survival(classifier: Classifier, image: Image, found: Saliency) -> float:
    """Rank correlation of a map with the map of the network whose weights have been shuffled.

    Near 1 the method draws the picture, not what the network knows of it. `image` is the picture as read.

    Source: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, section 4 (independent of the order of
    layers: all weights at once).
    """
    layers = None if found.layer == "input" else [found.layer]
    with forgetful(classifier.module):
        (other,) = explain(classifier, image, methods=found.method, layers=layers, targets=found.target)
    return rank_correlation(found.values, other.values)


@contextmanager
def forgetful(module: nn.Module) -> Iterator[None]:
    """Every weight matrix and kernel shuffled within itself, always in the same way; given back afterwards."""
    generator = torch.Generator().manual_seed(0)
    kept = [(parameter, parameter.detach().clone()) for parameter in module.parameters() if parameter.ndim > 1]
    try:
        with torch.no_grad():
            for parameter, values in kept:
                order = torch.randperm(values.numel(), generator=generator).to(values.device)
                parameter.copy_(values.flatten()[order].reshape(values.shape))
        yield
    finally:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)


def rank_correlation(first: Float32[np.ndarray, "height width"], second: Float32[np.ndarray, "height width"]) -> float:
    """Spearman's correlation; 0 if one of the maps is flat."""
    one, other = (average_ranks(values.ravel()) for values in (first, second))
    if one.std() == 0 or other.std() == 0:
        return 0.0
    return float(np.corrcoef(one, other)[0, 1])


def average_ranks(values: np.ndarray) -> np.ndarray:
    """The rank of every value; equal ones share the mean of theirs."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts - 1) / 2)[places])
