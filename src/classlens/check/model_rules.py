"""Family M: a network whose weights are not what its owner believes: missing, random, broken, or of another form."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np

from classlens.check.finding import Finding
from classlens.check.inspection import Array, Inspection, layers_with, run, spaced
from classlens.check.rule import Need, Rule
from classlens.errors import DataError, count_of, join_first

if TYPE_CHECKING:
    from torch import Tensor, nn

    from classlens.cam.classifier import Layer

NAMED = 4  # layers that a message names
FORMS = (".rbr_", ".branch_", "_reparam.", ".lk_origin", ".small_conv")  # in names of a form that is merged to deploy
PICTURES, DEAD = 32, 0.5  # that show silent channels, and a share of them that no healthy layer has
MANY, ALL = 20, 0.98  # pictures, and the share of one answer among them that no healthy network gives
HEADS = ("head.", "fc.", "classifier.", "heads.", "last_linear.", "logits.")


def describe_misfit(side: str, inspection: Inspection) -> Iterator[Finding]:
    """How checkpoint and network differ on one side, or in their form; any other trouble with them is raised."""
    from classlens.checkpoints.load_checkpoint import Misfit

    try:
        inspection.classifier  # noqa: B018 - opened for its error
    except Misfit as error:
        sides = {"missing": error.missing, "unexpected": error.unexpected, "of another shape": error.unlike}
        forms = [any(part in name for name in sides[one] for part in FORMS) for one in ("unexpected", "missing")]
        is_head = all(any(f".{head}" in f".{name}" for head in HEADS) for name in error.unlike)
        shape = "the head has another number of classes ({})" if is_head else "{} have another shape"
        names, is_this = sides.get(side, error.unexpected), any(forms)
        if side != "form":
            is_this = bool(names) and (side == "of another shape" or not is_this)
        words = {
            "missing": "the checkpoint lacks {} of the network: {}",
            "unexpected": "the network lacks {} of the checkpoint: {}",
            "of another shape": shape + ": {}",
            "form": "the checkpoint is in the training form, the network in its deploy form ({} differ): {}"
            if forms[0]
            else "the network is in its training form, the checkpoint in the deploy form ({} differ): {}",
        }
        if is_this:
            message = words[side].format(count_of(len(names), "tensor"), join_first(names, NAMED))
            counts = {one: len(tensors) for one, tensors in sides.items()}
            yield Finding(message, inspection.checkpoint or inspection.source.origin, counts, cure=error.hint)


def no_numbers(inspection: Inspection) -> Iterator[Finding]:
    tensors = inspection.classifier.module.state_dict()
    counts = {name: int((~one.isfinite()).sum()) for name, one in tensors.items() if one.is_floating_point()}
    if bad := {name: count for name, count in counts.items() if count}:
        weights, where = sum(bad.values()), f"{len(bad)} of {len(tensors)} tensors"
        message = f"{weights} weights in {where} are no numbers: {join_first(list(bad), NAMED)}"
        yield Finding(message, next(iter(bad)), {"weights": weights, "tensors": len(bad)})


def starts_of(shape: Sequence[int]) -> Iterator[tuple[float, bool]]:
    """How torch, timm, transformers and OpenMMLab initialise a weight of this shape: the deviation, and if uniform."""
    fan_in, fan_out = (shape[side] * int(np.prod(shape[2:])) for side in (1, 0))
    yield sqrt(1 / (3 * fan_in)), True  # torch's own: kaiming_uniform with a = sqrt(5)
    for variance in (2 / fan_in, 2 / fan_out, 1 / fan_in, 1 / fan_out, 2 / (fan_in + fan_out)):
        yield from ((sqrt(variance), True), (sqrt(variance), False))
    yield from ((deviation, False) for deviation in (0.01, 0.02, 0.001))


FEWEST, DRAWN = 1_000, 20_000  # weights that are enough to judge a layer by, and as many as are sorted
STRICT = 1.95  # Kolmogorov & Smirnov: the distance, times the root of their number, that a sample of a thousand exceeds


def is_initial(module: nn.Module) -> bool | None:
    """Whether the weights of a layer are spread as at the start of training; None if there are too few to tell.

    Deviation and mean must be within the error of a random sample, and the distribution pass a test of Kolmogorov and
    Smirnov; training leaves tails that fail both.
    """
    import torch

    weight: Tensor = module.state_dict()["weight"]
    if weight.ndim < 2 or weight.numel() < FEWEST or not weight.is_floating_point():
        return None
    bias: Tensor | None = getattr(module, "bias", None)
    bound = 0.0 if bias is None else float(bias.detach().abs().max())
    values = weight.flatten().double().cpu().numpy()
    deviation, mean, error = values.std(), abs(values.mean()), 4 / sqrt(len(values))
    for spread, is_uniform in starts_of(weight.shape):
        # only torch's own start has biases other than 0, and it is uniform
        is_bias_of_start = bound == 0 or (is_uniform and bound <= 1.0001 / sqrt(weight[0].numel()))
        if not is_bias_of_start or max(abs(deviation / spread - 1), mean / spread) > error:
            continue
        sample = np.sort(values[:: max(1, len(values) // DRAWN)]) / spread
        below = torch.special.ndtr(torch.from_numpy(sample)).numpy()
        expected, count = (sample / sqrt(3) + 1) / 2 if is_uniform else below, len(sample)
        distance = (np.abs(expected - (np.arange(count) + 0.5) / count) + 0.5 / count).max()
        if distance < STRICT / sqrt(count) and (not is_uniform or np.abs(sample).max() < 1.001 * sqrt(3)):
            return True
    return False


def random_weights(inspection: Inspection) -> Iterator[Finding]:
    """Tells if the head, or half of all layers, are as at the start."""
    verdicts = {one.name: is_initial(one.module) for one in layers_with(inspection.classifier, "weight")}
    judged = [name for name, verdict in verdicts.items() if verdict is not None]
    initial = [name for name in judged if verdicts[name]]
    if initial and (judged[-1] in initial or 2 * len(initial) >= len(judged)):
        which = f"{len(initial)} of {len(judged)} layers have" if initial != judged[-1:] else "the last layer has"
        message = f"{which} weights as at the start of training: {join_first(initial[::-1], NAMED)}"
        yield Finding(message, initial[-1], {"layers as at the start": len(initial), "layers": len(judged)})


def idle_norms(inspection: Inspection) -> Iterator[Finding]:
    norms = {one.name: one.module.state_dict() for one in layers_with(inspection.classifier, "running_mean")}
    idle = [name for name, one in norms.items() if not one["running_mean"].any() and (one["running_var"] == 1).all()]
    if idle:
        words = f"{len(idle)} of {len(norms)} batch norms never saw a batch: mean 0 and variance 1"
        evidence = {"idle": len(idle), "batch norms": len(norms)}
        yield Finding(f"{words} ({join_first(idle, NAMED)})", idle[0], evidence)


def dead_channels(inspection: Inspection) -> Iterator[Finding]:
    spans = {name: span for name, span in channel_ranges(inspection).items() if len(span) > 1}
    shares = {name: float(np.mean(span <= 1e-6 * max(span.max(), 1e-30))) for name, span in spans.items()}
    dead = {name: share for name, share in shares.items() if share >= DEAD}
    if dead:
        name, share = max(dead.items(), key=lambda pair: pair[1])
        others = f", and as many in {len(dead) - 1} other layers" if len(dead) > 1 else ""
        evidence = {"share": share, "channels": len(spans[name]), "layers": len(dead)}
        yield Finding(f"{share:.0%} of the channels of {name} give the same number everywhere{others}", name, evidence)


def channel_ranges(inspection: Inspection) -> Mapping[str, Array]:
    """How far the numbers of each channel go, in every layer that puts out maps, over some pictures."""
    from classlens.cam.classifier import layers_of
    from classlens.cam.forward import hook_layers

    ends: dict[str, Array] = {}  # the highest numbers, and the lowest ones with the other sign

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        if leaving.ndim == 4 and leaving.shape[0] == 1:
            numbers = leaving[0].flatten(1).cpu().numpy()
            here = np.stack([numbers.max(axis=1), -numbers.min(axis=1)])
            ends[layer.name] = np.maximum(ends.get(layer.name, here), here)

    leaves = [layer for layer in layers_of(inspection.classifier) if not [*layer.module.children()]]
    places = spaced(inspection.held_out[1].length, PICTURES)
    with hook_layers(leaves, note):
        shown = [run(inspection.classifier, [one.numbers]) for one in inspection.serve(places)]
    if len(shown) < PICTURES // 4:
        raise DataError(f"{len(shown)} pictures are too few to tell a silent channel")
    return {name: high + low for name, (high, low) in ends.items()}


def one_answer(inspection: Inspection) -> Iterator[Finding]:
    predictions = inspection.predictions
    count, answers = len(predictions.labels), np.bincount(predictions.answers)
    share, of_label = answers.max() / count, np.unique(predictions.labels, return_counts=True)[1].max() / count
    if count >= MANY and share >= ALL and of_label <= 0.7:
        message = f"{share:.0%} of {count} pictures get the answer {answers.argmax()}, and "
        message += f"no label is on more than {of_label:.0%}"
        evidence = {"share": float(share), "pictures": count, "most frequent label": float(of_label)}
        yield Finding(message, inspection.place(), evidence)


NET: tuple[Need, ...] = ("classifier",)
LABELS: tuple[Need, ...] = ("classifier", "dataset", "labels")
MISSING, UNUSED, UNLIKE, FORM = (
    partial(describe_misfit, side) for side in ("missing", "unexpected", "of another shape", "form")
)
RULES = (
    Rule("M001", "weights missing from the checkpoint", "error", NET, MISSING, """Layers that it does not hold.
        Why it matters: with `strict=False` they stay random, and nobody is told. Example: a self-supervised backbone
        alone. Cure: take the checkpoint that belongs to this network, or train the layers that are missing."""),
    Rule("M002", "weights that the network lacks", "error", NET, UNUSED, """Layers that only the checkpoint has.
        Why it matters: with `strict=False` they are dropped in silence. Example: ResNet-50-D in a config of ResNet-50;
        `neck` or `with_cp` left out. Cure: give the config the layers that the checkpoint has; compare the names."""),
    Rule("M003", "weights of another shape", "error", NET, UNLIKE, """Most often the head. Why it matters: loaders that
        skip it leave it random. Example: 1,000 classes, and `num_classes=10`. Cure: set the number of classes to that
        of the checkpoint; where others differ, compare depth, width and picture size."""),
    Rule("M004", "training form and deploy form", "error", NET, FORM, """Checkpoint and config are in different forms.
        Why it matters: nearly nothing is loaded. Example: `RepVGG-A0_deploy.py` with a training checkpoint. Cure: set
        `model.backbone.deploy` to match, or convert the checkpoint (tools/model_converters)."""),
    Rule("M005", "weights that are no numbers", "error", NET, no_numbers, """NaN or infinite, in statistics too.
        Why it matters: scores become NaN, whose `argmax` is class 0: accuracy looks like chance. Example: a run whose
        loss became NaN. Cure: take an earlier checkpoint; train with a lower rate, gradient clipping, or bfloat16."""),
    Rule("M006", "random weights", "error", NET, random_weights, """The head, or most layers, are spread as torch, timm,
        transformers and OpenMMLab draw them at the start. Why it matters: the checkpoint was not loaded, or not for
        these layers. Example: `pretrained=False`; a new head, not yet trained; a key that did not match and was
        skipped. Cure: load the checkpoint with `strict=True`, and look at which names do not match."""),
    Rule("M007", "batch norms that never saw a batch", "error", NET, idle_norms, """Mean 0 and variance 1.
        Why it matters: training does not use these and is fine; testing is wrong. Example: `momentum=0`; training in
        evaluation mode; an averaged checkpoint. Cure: run some hundred batches through the network in training mode
        without a step of the optimizer (`torch.optim.swa_utils.update_bn`), and save it again."""),
    Rule("M008", "silent channels", "warning", ("classifier", "dataset"), dead_channels, """In 32 real pictures half of
        a layer's channels give the same number everywhere. Why it matters: the network has the capacity of one that is
        half as wide. Example: ReLUs that died at a high rate; channels that pruning or weight decay set to 0. Cure:
        train again with a lower rate or a warm-up; look at the rate at which the loss jumped."""),
    Rule("M009", "one answer to every picture", "warning", LABELS, one_answer, """At least 98 % of the pictures get it.
        Why it matters: it learnt nothing, or these are not the weights, or it is fed what it never saw. Example: a
        checkpoint of the first epoch; a head that was not loaded; pictures divided by 255 twice. Cure: look at the loss
        of the run; load the checkpoint with `strict=True`; compare how training feeds the network."""),
)  # fmt: skip
