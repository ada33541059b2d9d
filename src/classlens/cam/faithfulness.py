"""How true a map is: the picture is changed where the map is hot or cold, and the network asked again.

Pixels that are left out are filled in from their surroundings, so that a network cannot see the shape of what was removed:
Rong et al., A consistent and efficient evaluation strategy for attribution methods, ICML 2022, section 5. And does a map
depend on what the network has learnt? It is made again with weights shuffled, from the head down: one that stays as it
is shows the picture, not what the network knows of it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, fields, replace
from functools import partial
from itertools import islice
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor, nn

from classlens.arrays import Bool, Float, Float32
from classlens.cam.classifier import Classifier, encode_batch, in_bf16, placement_of, preserved
from classlens.cam.evidence import quickest_order
from classlens.cam.explain import ExplainOptions, explain
from classlens.cam.forward import OUTPUTS, logits_of, probabilities
from classlens.cam.methods import METHODS
from classlens.cam.saliency import ExplainedClass, Fused, Heatmap, Saliency, fuse
from classlens.errors import ModelError
from classlens.image import Image
from classlens.sharing import ALONE

Maps = Sequence[Saliency | Fused]
Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels; right and bottom are not inside
NEIGHBOURS = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]], np.float32) / 12  # weights; none outside the picture counts
ROUNDS, TOLERANCE = 600, 1e-4
STEPS = 50
SHARES = range(10, 100, 10)


@dataclass(frozen=True)
class Faithfulness:
    """How true one map is, by measures that do not agree with each other; which end is good stands in `BETTER`.

    `deletion` and `insertion`: area under the probability as the hottest pixels go first, or come first (Petsiuk et
    al., RISE, 2018). `drop`: how much of the probability is lost when only what is hot is shown, in percent of it, and
    `increase`: whether there was a gain (Chattopadhay et al., 2018). `road`: the logit when the coldest pixels are
    filled in from their surroundings, less that when the hottest are, halved, over nine shares (Rong et al., 2022).
    `pointing`: whether the hottest pixel lies in the box; `energy`: share of the map inside it; None without a box.
    """

    deletion: float
    insertion: float
    drop: float
    increase: bool
    road: float
    pointing: float | None = None
    energy: float | None = None


BETTER = {one.name: "lower" if one.name in ("deletion", "drop") else "higher" for one in fields(Faithfulness)}


@dataclass(frozen=True)
class Evaluation:
    """The scores of a map, of a uniform one, and of a random one, always the same, as coarse as that of a last layer."""

    own: Faithfulness
    uniform: Faithfulness
    random: Faithfulness


def evaluate(
    classifier: Classifier, saliency: Saliency | Fused, *, box: Box | None = None, options: ExplainOptions | None = None
) -> Evaluation:
    """The scores of a single map; see `evaluations`."""
    return next(evaluations(classifier, [saliency], box=box, options=options))


def evaluations(
    classifier: Classifier, maps: Maps, *, box: Box | None = None, options: ExplainOptions | None = None
) -> Iterator[Evaluation]:
    """Score maps of one picture and one class, one by one, and a uniform and a random one beside them.

    About 360 forward passes for the first, a third of it for every other one. Of the options with which the maps were
    made, the size of a batch and the precision count here.

    Raises:
        ValueError: the maps are of several pictures or classes, or of none; the box is empty or outside the picture.
    """
    if len({(saliency.index, saliency.subject) for saliency in maps}) != 1:
        raise ValueError("maps of one picture and one class can be evaluated together")
    subject, image = maps[0].subject, maps[0].image
    if subject is None:
        raise ValueError(f"a {maps[0].method} map made without a class cannot be evaluated: name a target")
    height, width = image.size
    if box is not None and not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise ValueError(f"box {box} does not lie in a picture of {height} x {width}")
    options = options or ExplainOptions()
    if options.precision == "bf16":
        classifier = in_bf16(classifier)
    judge_map = partial(
        judge, encode_batch(classifier, [image])[0], partial(ask, classifier, subject, options.batch_size)
    )
    uniform = Heatmap(np.ones((height, width), np.float32))
    coarse = np.random.default_rng(0).random((max(2, height // 32), max(2, width // 32)), dtype=np.float32)
    random = Heatmap(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR).clip(0, 1))
    baselines = [judge_map(one, box) for one in (uniform, random)]
    for saliency in maps:
        yield Evaluation(judge_map(saliency.heatmap(), box), *baselines)


def mean(scores: Sequence[Faithfulness]) -> dict[str, float | None]:
    """Each measure averaged over pictures: `drop` becomes the average drop, `increase` and `pointing` become shares."""
    known = {name: [float(one) for one in (getattr(of, name) for of in scores) if one is not None] for name in BETTER}
    return {name: sum(values) / len(values) if values else None for name, values in known.items()}


def box_as_fed(feed: Callable[[Image], Image], size: tuple[int, int], box: Box) -> Box | None:
    """Where a box of a picture of that size, as read, lies after `feed`; None if it is cut off.

    A picture that is white in the box and black elsewhere goes the same way: whatever a pipeline does, this follows it.
    """
    left, top, right, bottom = box
    marked = np.zeros((*size, 3), np.uint8)
    marked[top:bottom, left:right] = 255
    rows, columns = (np.flatnonzero((feed(Image(marked)).pixels[..., 1] > 127).any(axis=axis)) for axis in (1, 0))
    if not rows.size:
        return None
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def ask(
    classifier: Classifier, subject: ExplainedClass, at_once: int, pictures: Iterable[Tensor]
) -> tuple[Float32[np.ndarray, " n"], Float32[np.ndarray, " n"]]:
    """The logit and the probability of the class for changed pictures.

    Of a contrast, the two classes compete alone: the score is the difference of their logits, and the probability
    that of the first if just one of the two is there. Of a network with a single logit that is what it gives.
    """
    device, waiting = placement_of(classifier.module)[0], iter(pictures)
    parts: list[Tensor] = []
    order: torch.memory_format | None = None
    with preserved(classifier.module), torch.no_grad():
        while some := list(islice(waiting, at_once)):
            fed = torch.stack(some).to(device)
            order = order or quickest_order(classifier, fed[:1])
            parts.append(logits_of(classifier, fed.contiguous(memory_format=order)).cpu())
    logits, output, target = torch.cat(parts).float(), OUTPUTS[classifier], subject.target
    if subject.against is None:
        return logits[:, target].numpy(), probabilities(logits, output.kind)[:, target].numpy()
    logits = logits[:, [target, subject.against]] / (2 if output.single else 1)
    return (logits[:, 0] - logits[:, 1]).numpy(), probabilities(logits)[:, 0].numpy()


def judge(
    picture: Float[Tensor, "3 height width"], trial: Callable[..., Any], heatmap: Heatmap, box: Box | None
) -> Faithfulness:
    """All scores of one map of an encoded picture; the trial is `ask` for its class."""
    values = heatmap.values
    blurred = torch.from_numpy(blur(picture.numpy()))
    _, (before, hot_only) = trial([picture, picture * torch.from_numpy(values)])
    ways = ((picture, torch.zeros_like(picture)), (blurred, picture))
    left = [trial(replaced_hottest_first(start, end, heatmap))[1] for start, end in ways]
    deletion, insertion = (float((one[1:] + one[:-1]).sum() / 2 / STEPS) for one in left)  # areas, by trapezoids
    missing = (heat >= np.percentile(heat, share) for heat in (1 - values, values) for share in SHARES)
    logits, _ = trial(torch.from_numpy(fill_in(picture.numpy(), pixels)) for pixels in missing)
    road = float((logits[: len(SHARES)].mean() - logits[len(SHARES) :].mean()) / 2)
    drop = 100 * max(0.0, float(before - hot_only)) / max(float(before), 1e-7)
    in_box = (None, None) if box is None else pointing_and_energy(heatmap, box)
    return Faithfulness(deletion, insertion, drop, bool(hot_only > before), road, *in_box)


def replaced_hottest_first(start: Tensor, end: Tensor, heatmap: Heatmap) -> Iterator[Tensor]:
    """Pictures on the way from `start` to `end`, whose pixels are exchanged hottest first; both ends included."""
    order = np.argsort(-heatmap.values, axis=None, kind="stable")
    rank = np.empty(order.size, np.int64)
    rank[order] = np.arange(order.size)
    place = torch.from_numpy(rank.reshape(heatmap.values.shape))
    for step in range(STEPS + 1):
        yield torch.where(place < round(order.size * step / STEPS), end, start)


def blur(picture: Float32[np.ndarray, "3 height width"]) -> Float32[np.ndarray, "3 height width"]:
    return np.stack([cv2.GaussianBlur(channel, (11, 11), 5) for channel in picture])


def pointing_and_energy(heatmap: Heatmap, box: Box) -> tuple[float, float]:
    """1 if the hottest pixel lies in the box, else 0, of several the share inside; and the share of the map's sum inside.

    An empty map points nowhere. Sources: Zhang et al., Excitation backprop, ECCV 2016, section 4.1, without their margin;
    Wang et al., Score-CAM, 2020, section 4.3.
    """
    if heatmap.empty:
        return 0.0, 0.0
    hottest, inside = heatmap.values == heatmap.values.max(), np.s_[box[1] : box[3], box[0] : box[2]]
    points = float(hottest[inside].sum() / hottest.sum())
    return points, float(heatmap.values[inside].sum()) / float(heatmap.values.sum())


def fill_in(
    picture: Float32[np.ndarray, "3 height width"], missing: Bool[np.ndarray, "height width"]
) -> Float32[np.ndarray, "3 height width"]:
    """Solve for all missing pixels at once, by conjugate gradients; all missing gives zeros, none the picture itself."""
    if missing.all():
        return np.zeros_like(picture)
    if not missing.any():
        return picture
    gap = missing[:, :, None]
    inside = gap.astype(np.float32)
    known = np.ascontiguousarray(picture.transpose(1, 2, 0)) * (1 - inside)
    weights = spread(np.ones((*missing.shape, 1), np.float32))[:, :, None]
    right = spread(known) * inside
    solution, left, side = known.copy(), missing.copy(), 3
    while left.any():  # start near the solution: the mean over ever larger squares until every gap is reached
        share, total = (cv2.blur(one, (side, side), borderType=cv2.BORDER_CONSTANT) for one in (1 - inside, known))
        reached = left & (share > 1e-6)
        solution[reached] = total[reached] / share[reached][:, None]
        left &= ~reached
        side = 2 * side + 1
    solution *= inside
    residual = right - (weights * solution - spread(solution)) * inside
    direction, size = residual.copy(), float(np.vdot(residual, residual))
    goal = TOLERANCE**2 * float(np.vdot(right, right))
    for _ in range(ROUNDS):
        if size <= goal:
            break
        image = weights * direction
        image -= spread(direction)
        image *= inside
        step = np.float32(size / float(np.vdot(direction, image)))
        solution += step * direction
        image *= step
        residual -= image
        last, size = size, float(np.vdot(residual, residual))
        direction *= np.float32(size / last)
        direction += residual
    return np.ascontiguousarray((solution + known).transpose(2, 0, 1))


def spread(values: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.filter2D(values, -1, NEIGHBOURS, borderType=cv2.BORDER_CONSTANT))


SHUFFLES = 5  # the head alone, then ever more of the layers, at last all
WINDOW, STEADY = 7, (0.01**2, 0.03**2)  # side of the windows of SSIM, and what keeps it from dividing by nothing
Values = Float32[np.ndarray, "height width"]


@dataclass(frozen=True)
class RandomizationTest:
    """How like itself a map stays: step by step the layer down to which all weights are shuffled, and two measures.

    `rank` is Spearman's correlation of the raw maps, `ssim` the structural similarity of the heat maps: 1 is the same
    map, 0 another one. None stands where the shuffled network gave no map. Slow methods are asked once, after the last.
    Source: Adebayo et al., Sanity checks for saliency maps, NeurIPS 2018, section 4 (cascading randomisation).
    """

    layers: tuple[str, ...]
    rank: tuple[float | None, ...]
    ssim: tuple[float | None, ...]


def randomization_test(
    classifier: Classifier, maps: Maps, *, options: ExplainOptions | None = None
) -> list[RandomizationTest]:
    """Make the maps of one picture and one class again, each time with the weights of more layers shuffled.

    Five passes serve all quick methods. The weights of the caller's model are shuffled on the way, and given back.

    Raises:
        ValueError: the maps are of several pictures or classes.
    """
    if len({(saliency.index, saliency.subject) for saliency in maps}) != 1:
        raise ValueError("maps of one picture and one class can be made again together")
    subject, image, steps = maps[0].subject, maps[0].image, cascade(classifier.module)
    as_fed = replace(image, encoded=encode_batch(classifier, [image])[0].numpy())
    target = None if subject is None else subject.as_target
    options = replace(options or ExplainOptions(), progress=None)
    measured: list[list[tuple[float | None, float | None]]] = [[] for _ in maps]
    for number, (_, weights) in enumerate(steps, 1):
        wanted = [one for one in maps if number == len(steps) or METHODS[one.method].needs != "scores"]
        methods = [one.method for one in wanted]
        layers = [part.layer for one in wanted for part in one.parts if part.layer != "input"]
        again: dict[tuple[str, str], Saliency] = {}
        with shuffle_weights(weights), suppress(ModelError):  # its gradients may have become zero
            if wanted:
                made = explain(classifier, as_fed, methods=methods, layers=layers, targets=target, options=options)
                again = {(one.method, one.layer): one for one in made}
        for saliency, pairs in zip(maps, measured, strict=True):
            repeated = [again[place] for part in saliency.parts if (place := (part.method, part.layer)) in again]
            both = zip(saliency.parts, repeated, strict=False)
            ranks = [rank_correlation(one.values, other.values) for one, other in both]
            likeness = structural_similarity(saliency.heatmap().values, fuse(repeated).values) if repeated else None
            pairs.append((float(np.mean(ranks)) if ranks else None, likeness))
    layers_shuffled = tuple(name for name, _ in steps)
    return [
        RandomizationTest(layers_shuffled, tuple(rank for rank, _ in pairs), tuple(like for _, like in pairs))
        for pairs in measured
    ]


def cascade(module: nn.Module) -> list[tuple[str, list[nn.Parameter]]]:
    """Ever more of the weight matrices and kernels, from the head down to the first; with the last layer of each step."""
    weights = [
        (name or type(part).__name__, parameter)
        for name, part in module.named_modules()
        for parameter in part.parameters(recurse=False)
        if parameter.ndim > 1
    ][::-1]
    ends = sorted({round(end) for end in np.linspace(1, len(weights), SHUFFLES).tolist()}) if weights else []
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
