"""Family M: a network whose weights are not what its owner believes: missing, random, broken, or of another form.

Rules about single layers look at the weights alone; those about answers and channels run the network on real pictures.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.check.finding import Finding
from classlens.check.inspection import UNREADABLE, Inspection
from classlens.check.rule import Need, Rule
from classlens.dataset.conventions import join_first
from classlens.errors import DataError

if TYPE_CHECKING:
    from torch import Tensor, nn

    from classlens.cam.classifier import Layer
    from classlens.checkpoints.load_checkpoint import Misfit

Array = np.ndarray[Any, np.dtype[Any]]

NAMED = 4  # layers that a message names
FORMS = (".rbr_", ".branch_", "_reparam.", ".lk_origin", ".small_conv")
"""Parts of names that tell the training form of a network that is merged for deployment."""

HEADS = ("head.", "fc.", "classifier.", "heads.", "last_linear.", "logits.")


def misfit_of(inspection: Inspection) -> Misfit | None:
    """How the checkpoint and the network differ; None if it fits. Any other reason why it cannot be opened is raised."""
    from classlens.checkpoints.load_checkpoint import Misfit

    try:
        inspection.classifier  # noqa: B018 - opened for its error
    except Misfit as error:
        return error
    return None


def is_other_form(misfit: Misfit) -> bool:
    return any(part in name for name in (*misfit.missing, *misfit.unexpected) for part in FORMS)


def missing_weights(inspection: Inspection) -> Iterator[Finding]:
    """The network has layers for which the checkpoint holds no weights.

    Why it matters: loaded with `strict=False`, as many scripts do, these layers stay random, and nobody is told.

    Example: a checkpoint of a backbone alone, from self-supervised training, in a network with a head.

    Cure: take the checkpoint that belongs to this network, or train the layers that are missing.
    """
    misfit = misfit_of(inspection)
    if misfit and misfit.missing and not is_other_form(misfit):
        yield describe_misfit(inspection, misfit, misfit.missing, "the checkpoint lacks {} of the network: {}")


def unused_weights(inspection: Inspection) -> Iterator[Finding]:
    """The checkpoint holds weights for layers that the network lacks.

    Why it matters: loaded with `strict=False` they are dropped in silence: a neck, an attention, a second head.

    Example: a checkpoint of ResNet-50-D in a config of ResNet-50; `with_cp`, `neck` or `frozen` parts left out.

    Cure: give the config the layers that the checkpoint has; compare the names.
    """
    misfit = misfit_of(inspection)
    if misfit and misfit.unexpected and not is_other_form(misfit):
        yield describe_misfit(inspection, misfit, misfit.unexpected, "the network lacks {} of the checkpoint: {}")


def other_shapes(inspection: Inspection) -> Iterator[Finding]:
    """Layers of the checkpoint have another shape than those of the network: most often the head, for other classes.

    Why it matters: loaders that skip what does not fit leave the head random: right answers by chance only.

    Example: a checkpoint for 1,000 classes in a config with `num_classes=10`.

    Cure: set the number of classes to that of the checkpoint; where others differ, compare depth, width and picture size.
    """
    misfit = misfit_of(inspection)
    if misfit and misfit.unlike:
        is_head = all(any(f".{name}".find(f".{head}") >= 0 for head in HEADS) for name in misfit.unlike)
        words = "the head has another number of classes" if is_head else "{} have another shape"
        yield describe_misfit(
            inspection, misfit, misfit.unlike, words + ": {}" if "{}" in words else words + " ({}): {}"
        )


def other_form(inspection: Inspection) -> Iterator[Finding]:
    """One of checkpoint and config is in the training form of a network, with several branches, the other in its deploy form.

    Why it matters: one does not fit the other; with `strict=False` nearly nothing is loaded.

    Example: `RepVGG-A0_deploy.py` with the checkpoint of the training.

    Cure: set `model.backbone.deploy` to match, or convert the checkpoint (tools/model_converters).
    """
    misfit = misfit_of(inspection)
    if misfit and is_other_form(misfit):
        trained = any(part in name for name in misfit.unexpected for part in FORMS)
        sides = "the checkpoint is in the training form, the network in its deploy form"
        sides = sides if trained else "the network is in its training form, the checkpoint in the deploy form"
        yield describe_misfit(inspection, misfit, misfit.unexpected, sides + " ({} differ): {}")


def describe_misfit(inspection: Inspection, misfit: Misfit, names: Sequence[str], words: str) -> Finding:
    """A finding about tensors by name."""
    counts = {
        "missing": len(misfit.missing),
        "unexpected": len(misfit.unexpected),
        "of another shape": len(misfit.unlike),
    }
    message = words.format(f"{len(names)} tensor{'s' * (len(names) != 1)}", join_first(names, NAMED))
    return Finding(message, where=inspection.checkpoint or inspection.source.origin, evidence=counts, cure=misfit.hint)


def layers_with_weights(inspection: Inspection) -> list[Layer]:
    """Every layer that has a weight of its own."""
    from classlens.cam.classifier import layers_of

    return [
        layer
        for layer in layers_of(inspection.classifier)
        if hasattr(getattr(layer.module, "weight", None), "isfinite")
    ]


def no_numbers(inspection: Inspection) -> Iterator[Finding]:
    """Weights or statistics that are NaN or infinite.

    Why it matters: every score that they touch is NaN, and `argmax` of NaN is class 0: accuracy looks like chance.

    Example: the last checkpoint of a run whose loss became NaN in mixed precision.

    Cure: take an earlier checkpoint; train with a lower rate, gradient clipping, or bfloat16.
    """
    tensors = inspection.classifier.module.state_dict()
    bad = {
        name: int((~one.isfinite()).sum())
        for name, one in tensors.items()
        if one.is_floating_point() and not one.isfinite().all()
    }
    if bad:
        yield Finding(
            f"{sum(bad.values())} weights in {len(bad)} of {len(tensors)} tensors are no numbers: {join_first(list(bad), NAMED)}",
            where=next(iter(bad)),
            evidence={"weights": sum(bad.values()), "tensors": len(bad)},
        )


@dataclass(frozen=True)
class Start:
    """A distribution from which weights are drawn at the start, by its standard deviation; uniform or normal."""

    deviation: float
    uniform: bool


def starts_of(shape: Sequence[int]) -> Iterator[Start]:
    """How torch, timm, transformers and OpenMMLab initialise a weight of this shape."""
    area = int(np.prod(shape[2:])) if len(shape) > 2 else 1
    fan_in, fan_out = shape[1] * area, shape[0] * area
    yield Start(sqrt(1 / (3 * fan_in)), uniform=True)  # torch's own: kaiming_uniform with a = sqrt(5)
    for variance in (2 / fan_in, 2 / fan_out, 1 / fan_in, 1 / fan_out, 2 / (fan_in + fan_out)):
        yield Start(sqrt(variance), uniform=True)
        yield Start(sqrt(variance), uniform=False)
    for deviation in (0.01, 0.02, 0.001):
        yield Start(deviation, uniform=False)


FEWEST, DRAWN = 1_000, 20_000  # weights that are enough to judge a layer by, and as many as are sorted
STRICT = (
    1.95  # Kolmogorov & Smirnov: the distance that one sample in a thousand exceeds, times the root of their number
)


def is_initial(module: nn.Module) -> bool | None:
    """Whether the weights of a layer are spread as at the start of training; None if there are too few to tell.

    Deviation and mean must be within the error of a random sample, and the whole distribution pass a test of Kolmogorov
    and Smirnov; training leaves tails that fail both. A bias is all 0 at the start, or as small as torch makes it.
    """
    weight: Tensor = module.state_dict()["weight"]
    if weight.ndim < 2 or weight.numel() < FEWEST or not weight.is_floating_point():
        return None
    bias: Tensor | None = getattr(module, "bias", None)
    fan_in = weight[0].numel()
    bound = 0.0 if bias is None else float(bias.detach().abs().max())
    if bound > 1.0001 / sqrt(fan_in):
        return False
    values = weight.float().flatten().cpu().numpy().astype(np.float64)
    error = 4 / sqrt(len(values))
    for start in starts_of(weight.shape):
        spread = start.deviation
        if bound and not start.uniform:  # only torch's own start has biases other than 0, and it is uniform
            continue
        if abs(values.std() / spread - 1) > error or abs(values.mean()) > error * spread:
            continue
        sample = np.sort(values[:: max(1, len(values) // DRAWN)]) / spread
        expected = (sample / sqrt(3) + 1) / 2 if start.uniform else normal(sample)
        places = np.arange(len(sample))
        distance = max(
            np.abs(expected - places / len(sample)).max(), np.abs((places + 1) / len(sample) - expected).max()
        )
        if distance < STRICT / sqrt(len(sample)) and (not start.uniform or np.abs(sample).max() < 1.001 * sqrt(3)):
            return True
    return False


def normal(values: Array) -> Array:
    """The share of a normal distribution below each value.

    Source: Abramowitz & Stegun, Handbook of Mathematical Functions, 7.1.26 (to 1.5e-7).
    """
    x = np.abs(values) / sqrt(2)
    t = 1 / (1 + 0.3275911 * x)
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    error = 1 - series * np.exp(-x * x)
    return np.asarray(np.where(values < 0, 1 - error, 1 + error) / 2)


def random_weights(inspection: Inspection) -> Iterator[Finding]:
    """The head, or most layers, have weights as they are at the start of training.

    The distribution of a layer's weights is compared with those from which torch, timm, transformers and OpenMMLab draw.

    Why it matters: the checkpoint was not loaded, or not for these layers; the answers are chance.

    Example: `pretrained=False`; a new head on a pretrained backbone, tested before it was trained; a key that did not
    match and was skipped.

    Cure: load the checkpoint with `strict=True`, and look at which names do not match.
    """
    verdicts = {layer.name: is_initial(layer.module) for layer in layers_with_weights(inspection)}
    judged = [name for name, verdict in verdicts.items() if verdict is not None]
    initial = [name for name in judged if verdicts[name]]
    if not initial or (judged[-1] not in initial and 2 * len(initial) < len(judged)):
        return
    which = (
        "the last layer has"
        if len(initial) == 1 and judged[-1] in initial
        else f"{len(initial)} of {len(judged)} layers have"
    )
    yield Finding(
        f"{which} weights as at the start of training: {join_first(initial[::-1], NAMED)}",
        where=initial[-1],
        evidence={"layers as at the start": len(initial), "layers": len(judged)},
    )


def idle_norms(inspection: Inspection) -> Iterator[Finding]:
    """Batch norms whose statistics are those of the start: mean 0 and variance 1, in every channel.

    Why it matters: in training they use those of the batch and the loss is fine; in testing they use these, and the
    answers are wrong.

    Example: a network trained with `momentum=0`, or in evaluation mode; statistics left out of an averaged checkpoint.

    Cure: run some hundred batches through the network in training mode without a step of the optimizer
    (`torch.optim.swa_utils.update_bn`), and save it again.
    """
    norms = [
        layer for layer in layers_with_weights(inspection) if getattr(layer.module, "running_mean", None) is not None
    ]
    states = {layer.name: layer.module.state_dict() for layer in norms}
    is_idle = {
        name: not one["running_mean"].any() and bool((one["running_var"] == 1).all()) for name, one in states.items()
    }
    idle = [name for name, idle in is_idle.items() if idle]
    if idle:
        yield Finding(
            f"{len(idle)} of {len(norms)} batch norms never saw a batch: mean 0 and variance 1 ({join_first(idle, NAMED)})",
            where=idle[0],
            evidence={"idle": len(idle), "batch norms": len(norms)},
        )


PICTURES = 32
DEAD = 0.5  # a share of silent channels that no healthy layer has


def dead_channels(inspection: Inspection) -> Iterator[Finding]:
    """A layer in which at least half of the channels give the same number everywhere, in 32 real pictures.

    Why it matters: they carry nothing; the network has the capacity of one that is half as wide.

    Example: ReLUs that died at a high learning rate; channels that pruning or a wrong weight decay set to 0.

    Cure: train again with a lower rate or a warm-up; look at the rate at which the loss jumped.
    """
    layers = {layer.name: layer for layer in layers_with_weights(inspection)}
    spans = inspection.once("channels", lambda: channel_ranges(inspection))
    dead = {
        name: float(np.mean(span <= 1e-6 * max(span.max(), 1e-30))) for name, span in spans.items() if len(span) > 1
    }
    worst = {name: share for name, share in dead.items() if share >= DEAD}
    if worst and layers:
        name = max(worst, key=lambda one: worst[one])
        yield Finding(
            f"{worst[name]:.0%} of the channels of {name} give the same number everywhere"
            + (f", and as many in {len(worst) - 1} other layers" if len(worst) > 1 else ""),
            where=name,
            evidence={"share": worst[name], "channels": len(spans[name]), "layers": len(worst)},
        )


def channel_ranges(inspection: Inspection) -> dict[str, Array]:
    """How far the numbers of each channel go, in every layer that puts out maps or vectors, over some pictures."""
    import torch

    from classlens.cam.classifier import encode_batch, layers_of, preserved
    from classlens.cam.forward import hook_layers, logits_of

    classifier, (_, dataset) = inspection.classifier, inspection.held_out
    low: dict[str, Array] = {}
    high: dict[str, Array] = {}

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if leaving.ndim == 4 and leaving.shape[0] == 1:
            channels = leaving[0].flatten(1)
            least, most = channels.amin(dim=1).cpu().numpy(), channels.amax(dim=1).cpu().numpy()
            low[layer.name] = np.minimum(low.get(layer.name, least), least)
            high[layer.name] = np.maximum(high.get(layer.name, most), most)

    leaves = [layer for layer in layers_of(classifier) if not any(True for _ in layer.module.children())]
    shown = 0
    for index in np.linspace(0, dataset.length - 1, min(PICTURES, dataset.length)).round().astype(int).tolist():
        try:
            picture = classifier.prepare(dataset.to_image(dataset.load(index)))
        except UNREADABLE:
            continue
        shown += 1
        with preserved(classifier.module), torch.no_grad(), hook_layers(leaves, note):
            logits_of(classifier, encode_batch(classifier, [picture]))
    if shown < PICTURES // 4:
        raise DataError(f"{shown} pictures are too few to tell a silent channel")
    return {name: high[name] - low[name] for name in low if high[name].shape == low[name].shape}


MANY, ALL = 20, 0.98


def one_answer(inspection: Inspection) -> Iterator[Finding]:
    """The network answers the same class to nearly every picture, whatever is in it.

    Why it matters: it learnt nothing, or what it learnt is not in these weights, or it is fed something it never saw.

    Example: a checkpoint of the first epoch; a head that was not loaded; pictures divided by 255 twice.

    Cure: look at the loss of the run; load the checkpoint with `strict=True`; compare how training feeds the network.
    """
    predictions = inspection.predictions
    answers, counts = np.unique(predictions.answers, return_counts=True)
    label_share = np.unique(predictions.labels, return_counts=True)[1].max() / len(predictions.labels)
    share = counts.max() / counts.sum()
    if len(predictions.labels) >= MANY and share >= ALL and label_share <= 0.7:
        yield Finding(
            f"{share:.0%} of {counts.sum()} pictures get the answer {answers[counts.argmax()]}, and no label is on more than {label_share:.0%}",
            where=f"{inspection.source.origin}, {predictions.split}",
            evidence={"share": float(share), "pictures": int(counts.sum()), "most frequent label": float(label_share)},
        )


NETWORK: tuple[Need, ...] = ("classifier",)
RULES = (
    Rule("M001", "weights missing from the checkpoint", "error", NETWORK, missing_weights),
    Rule("M002", "weights that the network lacks", "error", NETWORK, unused_weights),
    Rule("M003", "weights of another shape", "error", NETWORK, other_shapes),
    Rule("M004", "training form and deploy form", "error", NETWORK, other_form),
    Rule("M005", "weights that are no numbers", "error", NETWORK, no_numbers),
    Rule("M006", "random weights", "error", NETWORK, random_weights),
    Rule("M007", "batch norms that never saw a batch", "error", NETWORK, idle_norms),
    Rule("M008", "silent channels", "warning", ("classifier", "dataset"), dead_channels),
    Rule("M009", "one answer to every picture", "warning", ("classifier", "dataset", "labels"), one_answer),
)  # fmt: skip
