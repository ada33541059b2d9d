"""Explain the pictures of a batch: one forward pass, one gradient per class, then every method's formula."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pkgutil import resolve_name

import torch
from torch import Tensor

from classlens.arrays import Float
from classlens.cam.classifier import Classifier, Layer, encode_batch, in_bf16, placement_of, preserved, scale_whole
from classlens.cam.evidence import NO_GRADIENT, Captured, Evidence, Probe, observe, quickest_order
from classlens.cam.forward import OUTPUTS, Objective, probabilities, read_targets
from classlens.cam.layers import find_layers, is_signed
from classlens.cam.methods import PCA, PCA_OF_EVIDENCE, Method, find_method
from classlens.cam.saliency import ExplainedClass, Explanation, Saliency
from classlens.cam.targets import PREDICTED, Target
from classlens.errors import ModelError, WrongValue
from classlens.image import Image

PRECISIONS = ("float32", "bf16")
SATURATED = 1e-5  # what a probability in float32 lacks of one is rounding in good part below this
VARIANTS = tuple((flipped, factor) for flipped in (False, True) for factor in (0.9, 1.0, 1.1))
AS_IT_IS = VARIANTS.index((False, 1.0))  # of the variants for aug-smooth: mirrored or not, darker to brighter
ROUNDING = 1e-5  # a sum of float32 below this share of its terms: measured where it must be zero, it is up to 3e-6


@dataclass(frozen=True)
class ExplainOptions:
    """How `explain` goes about it.

    `whole` feeds the picture uncropped, its short side as long as the model's. `eigen_smooth` replaces the sum over
    channels by their first principal component, where a method has such a sum (`Method.adds_channels`). `aug_smooth`
    averages over six variants of the picture. `batch_size` pictures (variants count) go through the model at once.
    `precision` "bf16" runs the model under autocast; maps are float32 nevertheless. `samples` is how often methods run
    the model that take samples or steps (`Method.asks` by default). `progress` is called with what is counted, how many
    are done, and of how many: "pictures" after every batch, and a method's name after its passes if it has many.
    So many `ranks` of the likeliest classes are named in `Saliency.ranking`, where the network runs to its end.
    """

    whole: bool = False
    eigen_smooth: bool = False
    aug_smooth: bool = False
    batch_size: int = 16
    precision: str = "float32"
    progress: Callable[[str, int, int], None] | None = None
    samples: int | None = None
    ranks: int = 0

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise WrongValue(f"a method takes at least one sample, not {self.samples}")
        if self.batch_size < 1:
            raise WrongValue(f"a batch holds at least one picture, not {self.batch_size}")
        if self.precision not in PRECISIONS:
            raise WrongValue(f"a precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")


@dataclass(frozen=True, eq=False)
class ExplainJob:
    """What is wanted of every batch."""

    classifier: Classifier
    methods: tuple[Method, ...]
    layers: tuple[Layer, ...]
    targets: tuple[Target, ...]
    options: ExplainOptions


def explain(
    classifier: Classifier,
    images: Image | Sequence[Image],
    *,
    methods: str | Sequence[str] = ("GradCAM",),
    layers: str | Sequence[str] | None = None,
    targets: Target | Sequence[Target] | None = None,
    options: ExplainOptions | None = None,
) -> Explanation:
    """`classlens.explain`, whose words these are, for pictures that are read already: in batches of one size.

    The classifier's test pipeline prepares them; those that carry encoded numbers are fed as they are.
    """
    pictures = [images] if isinstance(images, Image) else list(images)
    if not pictures:
        raise WrongValue("explain needs at least one picture")
    names = [methods] if isinstance(methods, str) else methods
    chosen = tuple({method.name: method for method in map(find_method, names)}.values())
    if isinstance(targets, (int, str)) or (isinstance(targets, tuple) and all(isinstance(one, int) for one in targets)):
        targets = [targets]  # a bare tuple of numbers is a single target, one class for each picture
    options = options or ExplainOptions()
    feed = partial(scale_whole, classifier) if options.whole else classifier.prepare
    fed = [picture if picture.encoded is not None else feed(picture) for picture in pictures]
    fed = [replace(one, name=picture.name) for one, picture in zip(fed, pictures, strict=True)]
    where = find_layers(classifier, [layers] if isinstance(layers, str) else layers, fed[0].size)
    for target in targets or ():
        if isinstance(target, tuple) and len(target) != len(fed):
            raise WrongValue(f"{len(target)} target classes for {len(fed)} pictures")
    classifier = in_bf16(classifier) if options.precision == "bf16" else classifier
    job = ExplainJob(classifier, chosen, where, tuple(targets or ()), options)
    sizes: dict[tuple[int, int], list[int]] = {}  # pictures of one size go together
    for index, one in enumerate(fed):
        sizes.setdefault(one.size, []).append(index)
    at_once = max(1, options.batch_size // (len(VARIANTS) if options.aug_smooth else 1))
    batches = [some[start : start + at_once] for some in sizes.values() for start in range(0, len(some), at_once)]
    maps: dict[tuple[object, ...], Saliency] = {}
    done = 0
    with preserved(classifier.module):
        for indices in batches:
            for map_ in explain_batch(job, fed, indices):
                # A class that is asked for twice, by name and as top 1, is explained once.
                maps.setdefault((map_.index, map_.method, map_.layer, map_.subject), map_)
            done += len(indices)
            if options.progress:
                options.progress("pictures", done, len(fed))
    return Explanation(tuple(sorted(maps.values(), key=lambda map_: map_.index)))


def explain_batch(job: ExplainJob, pictures: list[Image], indices: list[int]) -> Iterator[Saliency]:
    """Inside `preserved`, the maps of some of the pictures, of one size: by class, by method, by layer."""
    classifier, smooth = job.classifier, job.options.aug_smooth
    batch = encode_batch(classifier, [pictures[index] for index in indices]).to(placement_of(classifier.module)[0])
    if smooth:  # every picture's first variant, then every picture's second, ...
        batch = torch.cat([(batch.flip(-1) if flipped else batch) * factor for flipped, factor in VARIANTS])
    no_class = not job.targets and all(method.needs == "activations" for method in job.methods)
    captured = observe(classifier, batch, job.layers, stop=no_class)
    wanted: Sequence[Objective | None] = [None]
    ranked: Sequence[Sequence[ExplainedClass]] = ()
    predicted: Sequence[ExplainedClass | None] = [None] * len(indices)
    if captured.logits is not None:
        logits = captured.logits.detach()[AS_IT_IS * len(indices) if smooth else 0 :][: len(indices)]
        targets = [
            tuple(target[index] for index in indices) if isinstance(target, tuple) else target
            for target in job.targets or (PREDICTED,)
        ]
        best, *wanted = read_targets([PREDICTED, *targets], logits, OUTPUTS[classifier].names)
        predicted = describe_classes(job, best, logits)
        top = read_targets([f"top{job.options.ranks}"] if job.options.ranks else [], logits, OUTPUTS[classifier].names)
        ranked = [describe_classes(job, one, logits) for one in top]
    kinds = sorted({method.score for method in job.methods})
    for objective in wanted:  # the gradients of one class are dropped before the next one's are made
        subjects: Sequence[ExplainedClass | None] = [None] * len(indices)
        if objective is not None:
            subjects = describe_classes(job, objective, logits)
            if OUTPUTS[classifier].ends == "probabilities":
                refuse_saturated(job, objective, subjects)
        evidence: dict[str, list[Evidence]] = {}
        for kind in kinds:
            last = objective is wanted[-1] and kind == kinds[-1]
            evidence[kind] = collect_evidence(job, batch, captured, objective, kind, keep=not last)
        for method in job.methods:
            at_input = method.at == "input"
            for layer, shown in zip(job.layers[:1] if at_input else job.layers, evidence[method.score], strict=False):
                values = make_map(method, shown, job.options).cpu().numpy()
                signed = method.assumes_non_negative and is_signed(shown.activations)
                place = (method.name, "input" if at_input else layer.name)
                for number, index in enumerate(indices):
                    facts = (*place, subjects[number], index, signed, method.cap)
                    ranking = tuple(classes[number] for classes in ranked)
                    yield Saliency(pictures[index], values[:, number], *facts, predicted[number], ranking)


def describe_classes(job: ExplainJob, objective: Objective, logits: Tensor) -> list[ExplainedClass]:
    """The class of each picture with its score, its probability, and its name, or its number if it has none."""
    output = OUTPUTS[job.classifier]
    targets, scores = objective.target.tolist(), objective.score(logits).tolist()
    rivals = [None] * len(targets) if objective.against is None else objective.against.tolist()
    shares = probabilities(logits.float(), output.kind).tolist()
    classes = []
    for target, rival, score, share in zip(targets, rivals, scores, shares, strict=True):
        sides = [target] if rival is None else [target, rival]
        name = " - ".join(output.names[side] if output.names else str(side) for side in sides)
        beside = None if rival is None else share[rival]
        classes.append(ExplainedClass(target, score, share[target], name, rival, beside, output.kind))
    return classes


def refuse_saturated(job: ExplainJob, objective: Objective, classes: Sequence[ExplainedClass]) -> None:
    """Refuse probabilities of which there is no way back to logits that have a gradient."""
    by_gradients = objective.against is None and any(method.needs != "activations" for method in job.methods)
    known = [one.probability for one in classes] if by_gradients else []
    if any(one > 1 - SATURATED or one <= torch.finfo(torch.float32).tiny for one in known):
        raise ModelError(
            f"the {OUTPUTS[job.classifier].kind} at the end of {job.classifier.name} is saturated: it gives the class "
            f"{max(known):.4%}, and its gradient is rounding only",
            hint="give the network without what turns its logits into probabilities",
        )


def collect_evidence(
    job: ExplainJob, batch: Tensor, captured: Captured, objective: Objective | None, kind: str, *, keep: bool
) -> list[Evidence]:
    """The evidence of every layer about one class, by one kind of score, in float32; `keep` the graph for more.

    All variants explain the class of the picture itself. Without a gradient, zeros stand for it.
    """
    slopes: Sequence[Tensor | None] = [None] * len(job.layers)
    by_gradients = any(method.needs == "gradients" for method in job.methods)
    if objective is not None and captured.logits is not None:
        if job.options.aug_smooth:
            objective = objective.select(torch.arange(len(batch), device=batch.device) % len(objective.target))
        score = objective.finer(captured.logits) if kind == "finer" else objective.score(captured.logits)
        if by_gradients and score.requires_grad:
            slopes = torch.autograd.grad(score.sum(), captured.outputs, retain_graph=keep, allow_unused=True)
    evidence = []
    for layer, layout, output, slope in zip(job.layers, captured.layouts, captured.outputs, slopes, strict=True):
        activations = layout.grid(output.detach()).float()
        gradients = activations.new_zeros(()).expand_as(activations) if slope is None else layout.grid(slope)
        if by_gradients and slope is None:
            hint = f"choose a layer before the head; if {layer.name} is one, what follows {NO_GRADIENT}"
            raise ModelError(f"the logits do not depend on layer {layer.name!r}", hint=hint)
        if not gradients.isfinite().all():
            hint = "numbers grow too large on the way back: compute in float32, or choose a later layer"
            raise ModelError(f"the gradient of the score at layer {layer.name!r} is not finite", hint=hint)
        if by_gradients and not gradients.any():
            because = (
                "the head reads the class token only: choose the norm in front of the last attention, or an earlier"
            )
            hint = f"{because if layout.extra else 'choose an earlier'} layer"
            raise ModelError(f"the gradient of the score at layer {layer.name!r} is zero everywhere", hint=hint)
        probe = None
        if objective is not None:
            probe = Probe(job.classifier, batch, objective, layer, layout, job.options.batch_size)
        evidence.append(Evidence(activations, gradients.float(), probe))
    return evidence


def make_map(
    method: Method, evidence: Evidence, options: ExplainOptions
) -> Float[Tensor, "variants pictures height width"]:
    """The map of one method, zero where what is left of a sum over channels is rounding, to be drawn as noise otherwise.

    So it is with a layer norm right behind: the score does not change with the length of what is normalised.
    """
    if method.asks and evidence.probe is not None:
        probe, done = evidence.probe, 0
        total = len(probe.batch) * method.passes(evidence.activations.shape[1], options.samples)

        def count(more: int) -> None:
            nonlocal done
            done = min(done + more, total)
            if options.progress:
                options.progress(method.name, done, total)

        order = quickest_order(probe.classifier, probe.batch)
        probe = replace(probe, samples=options.samples or method.asks, order=order, count=count)
        evidence = replace(evidence, probe=probe)
    weighted: Tensor = resolve_name(f"classlens.cam.methods.{method.weigh}")(evidence)
    collapse = method.collapse
    if options.eigen_smooth and method.adds_channels:
        collapse = PCA_OF_EVIDENCE if method.needs == "gradients" else PCA
    values: Tensor = resolve_name(f"classlens.cam.methods.{collapse}")(weighted) if collapse else weighted.sum(dim=1)
    terms = weighted.abs().sum(dim=1).flatten(1).amax(dim=1)
    is_evidence = values.abs().flatten(1).amax(dim=1) > ROUNDING * terms
    values = (values * is_evidence[:, None, None]).detach().float()
    if not options.aug_smooth:
        return values[None]
    turned = zip(values.chunk(len(VARIANTS)), VARIANTS, strict=True)
    return torch.stack([one.flip(-1) if flipped else one for one, (flipped, _) in turned])
