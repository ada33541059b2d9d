"""Does a map depend on what the network has learnt? Shuffle its weights, from the head down, and look again.

A method whose maps stay as they are shows the picture, not what the network knows of it.

Source: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, section 4 (cascading randomisation).
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import nn

from classlens.arrays import Float32
from classlens.cam.classifier import Classifier
from classlens.cam.explain import ExplainJob, ExplainOptions, explain_fed
from classlens.cam.layers import find_layers
from classlens.cam.methods import METHODS
from classlens.cam.saliency import Fused, Saliency, fuse
from classlens.errors import ModelError
from classlens.sharing import ALONE

STEPS = 5
"""The head alone, then ever more of the layers, at last all. Methods that take long are looked at once, after the last."""

WINDOW = 7
STEADY = (0.01**2, 0.03**2)
"""Side of the windows of SSIM, and the constants that keep it from dividing by nothing, for maps in 0..1."""

Values = Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class RandomizationTest:
    """How like itself a map stays: step by step the layer down to which all weights are shuffled, and two measures.

    `rank` is Spearman's correlation of the raw maps, `ssim` the structural similarity of the heat maps: 1 is the same
    map, 0 another one. None stands where the shuffled network gave no map, or where a slow method was not asked.
    """

    layers: tuple[str, ...]
    rank: tuple[float | None, ...]
    ssim: tuple[float | None, ...]


def randomization_test(
    classifier: Classifier, maps: Sequence[Saliency | Fused], *, options: ExplainOptions | None = None
) -> list[RandomizationTest]:
    """Make the maps of one picture and one class again, each time with the weights of more layers shuffled.

    Five passes serve all quick methods. The weights of the caller's model are shuffled on the way, and given back.

    Raises:
        ValueError: the maps are of several pictures or classes.
    """
    if len({(saliency.index, saliency.subject) for saliency in maps}) > 1:
        raise ValueError("maps of one picture and one class can be made again together")
    steps = cascade(classifier.module)
    measured: list[list[tuple[float | None, float | None]]] = [[] for _ in maps]
    for number, (_, weights) in enumerate(steps, 1):
        wanted = [saliency for saliency in maps if number == len(steps) or METHODS[saliency.method].needs != "scores"]
        with shuffle_weights(weights):
            again = explain_again(classifier, wanted, options or ExplainOptions())
        for saliency, pairs in zip(maps, measured, strict=True):
            repeated = [again[place] for part in saliency.parts if (place := (part.method, part.layer)) in again]
            if repeated:
                both = zip(saliency.parts, repeated, strict=True)
                rank = float(np.mean([rank_correlation(one.values, other.values) for one, other in both]))
                pairs.append((rank, structural_similarity(saliency.heatmap().values, fuse(repeated).values)))
            else:
                pairs.append((None, None))
    layers = tuple(name for name, _ in steps)
    return [
        RandomizationTest(layers, tuple(rank for rank, _ in pairs), tuple(ssim for _, ssim in pairs))
        for pairs in measured
    ]


def explain_again(
    classifier: Classifier, maps: Sequence[Saliency | Fused], options: ExplainOptions
) -> dict[tuple[str, str], Saliency]:
    """The maps of the network as it is now, by method and layer; none if its gradients have become zero."""
    if not maps:
        return {}
    layers = list(dict.fromkeys(part.layer for saliency in maps for part in saliency.parts if part.layer != "input"))
    subject, image = maps[0].subject, maps[0].image
    job = ExplainJob(
        classifier,
        tuple(METHODS[name] for name in dict.fromkeys(saliency.method for saliency in maps)),
        find_layers(classifier, layers or None, image.size),
        () if subject is None else (subject.as_target,),
        replace(options, progress=None),
    )
    try:
        return {(one.method, one.layer): one for one in explain_fed(job, [image])}
    except ModelError:
        return {}


def cascade(module: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """Ever more of the weight matrices and kernels, from the head down to the first; with the last layer of each step."""
    weights = [
        (name or type(part).__name__, parameter)
        for name, part in module.named_modules()
        for parameter in part.parameters(recurse=False)
        if parameter.ndim > 1
    ][::-1]
    ends = sorted({round(end) for end in np.linspace(1, len(weights), STEPS).tolist()}) if weights else []
    return [(weights[end - 1][0], [parameter for _, parameter in weights[:end]]) for end in ends]


@contextmanager
def shuffle_weights(weights: Sequence[nn.Parameter]) -> Iterator[None]:
    """Each of the weights shuffled within itself, always in the same way; given back afterwards."""
    with ALONE, ExitStack() as undo:
        for seed, parameter in enumerate(weights):
            values = parameter.detach().clone()
            undo.callback(parameter.detach().copy_, values)
            order = torch.randperm(values.numel(), generator=torch.Generator().manual_seed(seed)).to(values.device)
            parameter.detach().copy_(values.flatten()[order].reshape(values.shape))
        yield


def rank_correlation(first: Values, second: Values) -> float:
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


def structural_similarity(first: Values, second: Values) -> float:
    """Mean over all windows of the similarity of their means, deviations and structure, for maps in 0..1.

    Source: Wang et al., Image quality assessment, TIP 2004, eq. 13, with flat windows and sample covariances.
    """
    one, other = first.astype(np.float64), second.astype(np.float64)

    def mean(values: np.ndarray) -> np.ndarray:
        edge = WINDOW // 2
        return np.asarray(cv2.blur(values, (WINDOW, WINDOW)))[edge:-edge, edge:-edge]

    sample = WINDOW**2 / (WINDOW**2 - 1)
    means = mean(one), mean(other)
    spreads = [sample * (mean(a * b) - mean(a) * mean(b)) for a, b in ((one, one), (other, other), (one, other))]
    luminance = (2 * means[0] * means[1] + STEADY[0]) / (means[0] ** 2 + means[1] ** 2 + STEADY[0])
    structure = (2 * spreads[2] + STEADY[1]) / (spreads[0] + spreads[1] + STEADY[1])
    return float((luminance * structure).mean())
