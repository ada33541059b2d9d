"""Answer a question about one batch: one forward pass, one gradient per class, then every method's formula."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

from torch import Tensor

from classlens.arrays import Float
from classlens.cam.capture import Captured, observe
from classlens.cam.classifier import PRECISIONS, Classifier, Layer, computing_in
from classlens.cam.feeding import AS_IT_IS, VARIANTS, encoded, prepared, scaled_whole, turned_back, varied
from classlens.cam.layers import find_layers
from classlens.cam.methods import METHODS, Method, find_method
from classlens.cam.methods.method_functions import functions
from classlens.cam.methods.weights import first_component, first_component_of_evidence
from classlens.cam.model_state import device_of, preserved
from classlens.cam.output import check_unsaturated, names_of, output_of
from classlens.cam.probe import Evidence, Probe, quickest_order
from classlens.cam.saliency import ExplainedClass, Explanation, Saliency
from classlens.cam.targets import PREDICTED, Objective, Target, objectives, probabilities
from classlens.image import Image

ROUNDING = 1e-5
"""Below this share of its terms a sum of float32 is rounding: measured where it must be zero, it is up to 3e-6."""


@dataclass(frozen=True)
class ExplainOptions:
    """How `explain` goes about it.

    `whole` feeds the picture uncropped, its short side as long as the model's. `eigen_smooth` replaces the sum over
    channels by their first principal component, where a method has such a sum (`Method.adds_channels`). `aug_smooth`
    averages over six variants of the picture. `batch_size` pictures (variants count) go through the model at once.
    `precision` "bf16" runs the model under autocast; maps are float32 nevertheless. `samples` is how often methods ask
    that draw or go in steps (`Method.asks` if not given). `progress` is told what is counted, how many of them are done,
    and of how many: "pictures" after every batch; and the passes of a method that runs the model again and again, by its
    name.
    """

    whole: bool = False
    eigen_smooth: bool = False
    aug_smooth: bool = False
    batch_size: int = 16
    precision: str = "float32"
    progress: Callable[[str, int, int], None] | None = None
    samples: int | None = None

    def __post_init__(self) -> None:
        if self.samples is not None and self.samples < 1:
            raise ValueError(f"a method draws at least one sample, not {self.samples}")
        if self.batch_size < 1:
            raise ValueError(f"a batch holds at least one picture, not {self.batch_size}")
        if self.precision not in PRECISIONS:
            raise ValueError(f"a precision is one of {', '.join(PRECISIONS)}, not {self.precision!r}")

    @property
    def variants(self) -> int:
        """How many variants of each picture are fed."""
        return len(VARIANTS) if self.aug_smooth else 1


@dataclass(frozen=True, eq=False)
class ExplainJob:
    """What is asked of every batch."""

    classifier: Classifier
    methods: tuple[Method, ...]
    layers: tuple[Layer, ...]
    wishes: tuple[Target, ...]
    manner: ExplainOptions

    @property
    def classless(self) -> bool:
        return not self.wishes and all(method.needs == "activations" for method in self.methods)

    @property
    def wants_gradients(self) -> bool:
        return any(method.needs == "gradients" for method in self.methods)


@dataclass(frozen=True, eq=False)
class MethodMaps:
    """The maps of one method at one layer for one class: variants x pictures of the batch."""

    method: str
    layer: str
    subjects: tuple[ExplainedClass | None, ...]
    values: Float[Tensor, "variants batch height width"]
    signed: bool


def answer(question: ExplainJob, pictures: list[Image], indices: list[int]) -> list[list[Saliency]]:
    """The maps of some of the pictures, all of one size: for each, class by class, method by method, layer by layer.

    To be called inside `borrowed(question.classifier.module)`.
    """
    classifier, manner = question.classifier, question.manner
    batch = encoded(classifier, [pictures[index] for index in indices]).to(device_of(classifier.module))
    inputs = varied(batch) if manner.aug_smooth else batch
    seen = observe(classifier, inputs, question.layers, stop=question.classless)
    maps = list(all_maps(question, inputs, seen, indices))
    return [of_picture(maps, place, pictures[index], index) for place, index in enumerate(indices)]


def of_picture(maps: list[MethodMaps], place: int, picture: Image, index: int) -> list[Saliency]:
    """The maps of the picture at a place of the batch; a class that was asked for twice, by name and as top 1, once."""
    found: dict[tuple[str, str, ExplainedClass | None], Saliency] = {}
    for one in maps:
        subject = one.subjects[place]
        if (one.method, one.layer, subject) not in found:
            values, cap = one.values[:, place].cpu().numpy(), METHODS[one.method].cap
            found[one.method, one.layer, subject] = Saliency(
                picture, values, one.method, one.layer, subject, index, one.signed, cap
            )
    return list(found.values())


def all_maps(question: ExplainJob, batch: Tensor, seen: Captured, indices: list[int]) -> Iterator[MethodMaps]:
    """Every class, method and layer; the gradients of one class are dropped before the next one's are made."""
    variants = question.manner.variants
    wanted = asked(question, seen, indices)
    for objective in wanted:
        subjects: tuple[ExplainedClass | None, ...] = (None,) * len(indices)
        if seen.logits is not None and objective is not None:
            subjects = subjects_of(objective, as_fed(seen.logits, variants), question.classifier)
            if objective.against is None and any(method.needs != "activations" for method in question.methods):
                check_unsaturated(question.classifier, [subject.probability for subject in subjects])
        evidence = collect(question, batch, seen, objective, last=objective is wanted[-1])
        for method in question.methods:
            weigh, collapse = functions(method)
            if question.manner.eigen_smooth and method.adds_channels:
                collapse = first_component_of_evidence if method.needs == "gradients" else first_component
            for layer, shown in zip(seen.layers, evidence[method.score], strict=True):
                weighted = weigh(equipped(question, method, shown))
                values = meaningful(collapse(weighted), weighted).detach().float()
                values = turned_back(values.reshape(variants, -1, *values.shape[1:]))
                at = "input" if method.at == "input" else layer.name
                yield MethodMaps(method.name, at, subjects, values, method.amounts and is_signed(shown.activations))
                if method.at == "input":
                    break


def meaningful(
    values: Float[Tensor, "batch height width"], weighted: Float[Tensor, "batch channels height width"]
) -> Float[Tensor, "batch height width"]:
    """The maps, zero where what is left of a sum over channels is rounding only.

    With a layer norm right behind a layer, G A adds up to nothing at every position: the score does not change with the
    length of what is normalised. Scaled to 0..1, the rest would be drawn as a map of noise.
    """
    terms = weighted.abs().sum(dim=1).flatten(1).amax(dim=1)
    told = values.abs().flatten(1).amax(dim=1) > ROUNDING * terms
    return values * told[:, None, None]


def collect(
    question: ExplainJob, batch: Tensor, seen: Captured, objective: Objective | None, *, last: bool
) -> dict[str, list[Evidence]]:
    """The evidence of every layer about one class, for each score that methods differentiate; `last` frees the graph."""
    variants = question.manner.variants
    kinds = sorted({method.score for method in question.methods})
    found: dict[str, list[Evidence]] = {}
    for kind in kinds:
        gradients: tuple[Tensor | None, ...] = (None,) * len(seen.layers)
        probes: list[Probe | None] = [None] * len(seen.layers)
        if seen.logits is not None and objective is not None:
            full = repeated(objective, variants)
            probes = [
                Probe(question.classifier, batch, full, layer, layout, question.manner.batch_size)
                for layer, layout in zip(seen.layers, seen.layouts, strict=True)
            ]
            if question.wants_gradients:
                score = full.finer(seen.logits) if kind == "finer" else full.score(seen.logits)
                gradients = seen.gradients(score, keep=not last or kind != kinds[-1])
        found[kind] = [evidence_of(seen, place, gradients[place], probes[place]) for place in range(len(seen.layers))]
    return found


def equipped(question: ExplainJob, method: Method, shown: Evidence) -> Evidence:
    """The evidence for one method: if it runs the model again and again, with a probe that is quick and keeps count."""
    if not method.asks or shown.probe is None:
        return shown
    manner, tell = question.manner, question.manner.progress
    batch, channels = shown.activations.shape[:2]
    total, done = batch * method.passes(channels, manner.samples), 0

    def count(more: int) -> None:
        nonlocal done
        done = min(done + more, total)
        if tell:
            tell(method.name, done, total)

    samples = method.asks if manner.samples is None else manner.samples
    order = quickest_order(question.classifier, shown.probe.batch)
    return replace(shown, probe=replace(shown.probe, samples=samples, order=order, tell=count))


def evidence_of(seen: Captured, place: int, gradient: Tensor | None, probe: Probe | None) -> Evidence:
    """What was seen of one layer, read as feature maps in float32; without a gradient, zeros stand for it."""
    grid = seen.layouts[place].grid
    activations = grid(seen.outputs[place].detach()).float()
    if gradient is None:
        return Evidence(activations, activations.new_zeros(()).expand_as(activations), probe)
    return Evidence(activations, grid(gradient).float(), probe)


def asked(question: ExplainJob, seen: Captured, indices: list[int]) -> list[Objective | None]:
    """The classes asked for, read against the logits of the pictures as they are; one None if no class matters."""
    if seen.logits is None:
        return [None]
    wishes = [
        tuple(wish[index] for index in indices) if isinstance(wish, tuple) else wish
        for wish in question.wishes or (PREDICTED,)
    ]
    logits = as_fed(seen.logits, question.manner.variants)
    return list(objectives(tuple(wishes), logits, names_of(question.classifier)))


def as_fed(logits: Float[Tensor, "variants_batch classes"], variants: int) -> Float[Tensor, "batch classes"]:
    return logits.detach().chunk(variants)[AS_IT_IS if variants > 1 else 0]


def repeated(objective: Objective, variants: int) -> Objective:
    """The same classes for every variant: all of them explain what the model said of the picture itself."""
    against = None if objective.against is None else objective.against.repeat(variants)
    return Objective(objective.target.repeat(variants), against)


def subjects_of(
    objective: Objective, logits: Float[Tensor, "batch classes"], classifier: Classifier
) -> tuple[ExplainedClass, ...]:
    """What is said about the class of each picture."""
    kind, classes = output_of(classifier).kind, names_of(classifier)
    against = [None] * len(logits) if objective.against is None else objective.against.tolist()
    chosen = objective.target.tolist()
    scores = objective.score(logits).tolist()
    shares = probabilities(logits.float(), kind).tolist()
    return tuple(
        ExplainedClass(
            target,
            score,
            share[target],
            class_name(target, other, classes),
            other,
            None if other is None else share[other],
            kind,
        )
        for target, other, score, share in zip(chosen, against, scores, shares, strict=True)
    )


def is_signed(activations: Float[Tensor, "batch channels height width"]) -> bool:
    return float(activations.clamp_max(0).abs().sum()) > float(activations.abs().sum()) / 20


def class_name(target: int, against: int | None, classes: tuple[str, ...] | None) -> str:
    """The name of a class, its number if it has none; of a contrast, both."""
    first, *others = (
        classes[one] if classes and one < len(classes) else str(one) for one in (target, against) if one is not None
    )
    return " - ".join([first, *others])


def explain(
    classifier: Classifier,
    images: Image | Sequence[Image],
    *,
    methods: str | Sequence[str] = ("GradCAM",),
    layers: str | Sequence[str] | None = None,
    targets: Target | Sequence[Target] | None = None,
    manner: ExplainOptions | None = None,
) -> Explanation:
    """Map the evidence in every picture for every class, by every method, at every layer.

    Costs one forward pass per batch, and for each class one backward pass over what follows the first layer. Methods
    that know no class, asked alone and without targets, stop at the last layer.

    Args:
        images: RGB pictures as read, of any size; the classifier's test pipeline prepares them.
        methods: names in `METHODS`, any case.
        layers: names as in `module.named_modules()`, also `backbone.layer4[-1]` or `backbone.layer?`; the default
            layer (`cam.layers.default_layer`) if not given.
        targets: class numbers, names, "top5", "predicted", "cat - dog", or a tuple of one number per picture; the
            predicted class of each picture if not given.

    Returns:
        The raw maps, picture by picture, then class by class, method by method, layer by layer.

    Raises:
        NotFound: no such method, layer or class.
        ModelError: a layer cannot be read as a map, runs twice, or has no gradient.
        ValueError: no picture is given, or a tuple of classes does not fit the pictures.
    """
    pictures = [images] if isinstance(images, Image) else list(images)
    if not pictures:
        raise ValueError("explain needs at least one picture")
    names = [methods] if isinstance(methods, str) else methods
    wanted = [layers] if isinstance(layers, str) else layers
    how = manner or ExplainOptions()
    chosen = tuple({method.name: method for method in map(find_method, names)}.values())
    feed = partial(scaled_whole if how.whole else prepared, classifier)
    fed = [feed(picture) for picture in pictures]
    question = ExplainJob(
        computing_in(classifier, how.precision),
        chosen,
        find_layers(classifier, wanted, fed[0].size),
        wishes_of(targets),
        how,
    )
    return explain_fed(question, fed)


def wishes_of(targets: Target | Sequence[Target] | None) -> tuple[Target, ...]:
    """The targets as a tuple of wishes; a bare tuple of numbers is a single wish, one class for each picture."""
    if targets is None:
        return ()
    if isinstance(targets, (int, str)) or (isinstance(targets, tuple) and all(isinstance(one, int) for one in targets)):
        return (targets,)
    return tuple(targets)


def explain_fed(question: ExplainJob, pictures: list[Image]) -> Explanation:
    """Answer for pictures that are ready to be fed, in batches of one size."""
    for wish in question.wishes:
        if isinstance(wish, tuple) and len(wish) != len(pictures):
            raise ValueError(f"{len(wish)} target classes for {len(pictures)} pictures")
    count = max(1, question.manner.batch_size // question.manner.variants)
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, picture in enumerate(pictures):
        sizes.setdefault(picture.size, []).append(index)
    answers: dict[int, list[Saliency]] = {}
    with preserved(question.classifier.module):
        for members in sizes.values():
            for start in range(0, len(members), count):
                indices = members[start : start + count]
                answers |= zip(indices, answer(question, pictures, indices), strict=True)
                if question.manner.progress:
                    question.manner.progress("pictures", len(answers), len(pictures))
    return Explanation(tuple(saliency for index in range(len(pictures)) for saliency in answers[index]))
