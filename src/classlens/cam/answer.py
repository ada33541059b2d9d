"""Answer a question about one batch: one forward pass, one gradient per class, then every method's formula."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from torch import Tensor

from classlens.arrays import Float
from classlens.cam.borrow import device_of
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.evidence import Seen, observe
from classlens.cam.feeding import encoded
from classlens.cam.methods import METHODS, Method
from classlens.cam.methods.collapse import first_component, first_component_of_evidence
from classlens.cam.methods.loading import functions
from classlens.cam.output import check_unsaturated, names_of, output_of
from classlens.cam.precision import PRECISIONS
from classlens.cam.probe import Evidence, Probe, quickest_order
from classlens.cam.saliency import Saliency, Subject
from classlens.cam.targets import PREDICTED, Objective, Wish, objectives, probabilities
from classlens.cam.variants import AS_IT_IS, VARIANTS, turned_back, varied
from classlens.image import Image

ROUNDING = 1e-5
"""Below this share of its terms a sum of float32 is rounding: measured where it must be zero, it is up to 3e-6."""


@dataclass(frozen=True)
class Manner:
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
class Question:
    """What is asked of every batch."""

    classifier: Classifier
    methods: tuple[Method, ...]
    layers: tuple[Layer, ...]
    wishes: tuple[Wish, ...]
    manner: Manner

    @property
    def classless(self) -> bool:
        """Whether nothing asked for depends on a class, so that the model can be left at the last layer."""
        return not self.wishes and all(method.needs == "activations" for method in self.methods)

    @property
    def wants_gradients(self) -> bool:
        """Whether any method weighs with gradients."""
        return any(method.needs == "gradients" for method in self.methods)


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one method at one layer for one class: variants x pictures of the batch."""

    method: str
    layer: str
    subjects: tuple[Subject | None, ...]
    values: Float[Tensor, "variants batch height width"]
    signed: bool


def answer(question: Question, pictures: list[Image], indices: list[int]) -> list[list[Saliency]]:
    """The maps of some of the pictures, all of one size: for each, class by class, method by method, layer by layer.

    To be called inside `borrowed(question.classifier.module)`.
    """
    classifier, manner = question.classifier, question.manner
    batch = encoded(classifier, [pictures[index] for index in indices]).to(device_of(classifier.module))
    inputs = varied(batch) if manner.aug_smooth else batch
    seen = observe(classifier, inputs, question.layers, stop=question.classless)
    maps = list(all_maps(question, inputs, seen, indices))
    return [of_picture(maps, place, pictures[index], index) for place, index in enumerate(indices)]


def of_picture(maps: list[Maps], place: int, picture: Image, index: int) -> list[Saliency]:
    """The maps of the picture at a place of the batch; a class that was asked for twice, by name and as top 1, once."""
    found: dict[tuple[str, str, Subject | None], Saliency] = {}
    for one in maps:
        subject = one.subjects[place]
        if (one.method, one.layer, subject) not in found:
            values, cap = one.values[:, place].cpu().numpy(), METHODS[one.method].cap
            found[one.method, one.layer, subject] = Saliency(
                picture, values, one.method, one.layer, subject, index, one.signed, cap
            )
    return list(found.values())


def all_maps(question: Question, batch: Tensor, seen: Seen, indices: list[int]) -> Iterator[Maps]:
    """Every class, method and layer; the gradients of one class are dropped before the next one's are made."""
    variants = question.manner.variants
    wanted = asked(question, seen, indices)
    for objective in wanted:
        subjects: tuple[Subject | None, ...] = (None,) * len(indices)
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
                yield Maps(method.name, at, subjects, values, method.amounts and is_signed(shown.activations))
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
    question: Question, batch: Tensor, seen: Seen, objective: Objective | None, *, last: bool
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


def equipped(question: Question, method: Method, shown: Evidence) -> Evidence:
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


def evidence_of(seen: Seen, place: int, gradient: Tensor | None, probe: Probe | None) -> Evidence:
    """What was seen of one layer, read as feature maps in float32; without a gradient, zeros stand for it."""
    grid = seen.layouts[place].grid
    activations = grid(seen.outputs[place].detach()).float()
    if gradient is None:
        return Evidence(activations, activations.new_zeros(()).expand_as(activations), probe)
    return Evidence(activations, grid(gradient).float(), probe)


def asked(question: Question, seen: Seen, indices: list[int]) -> list[Objective | None]:
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
    """The logits of the variant that is the picture itself."""
    return logits.detach().chunk(variants)[AS_IT_IS if variants > 1 else 0]


def repeated(objective: Objective, variants: int) -> Objective:
    """The same classes for every variant: all of them explain what the model said of the picture itself."""
    against = None if objective.against is None else objective.against.repeat(variants)
    return Objective(objective.target.repeat(variants), against)


def subjects_of(
    objective: Objective, logits: Float[Tensor, "batch classes"], classifier: Classifier
) -> tuple[Subject, ...]:
    """What is said about the class of each picture."""
    kind, classes = output_of(classifier).kind, names_of(classifier)
    against = [None] * len(logits) if objective.against is None else objective.against.tolist()
    chosen = objective.target.tolist()
    scores = objective.score(logits).tolist()
    shares = probabilities(logits.float(), kind).tolist()
    return tuple(
        Subject(
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
    """Whether negative numbers carry more than a twentieth of the whole, as they do in front of an activation."""
    return float(activations.clamp_max(0).abs().sum()) > float(activations.abs().sum()) / 20


def class_name(target: int, against: int | None, classes: tuple[str, ...] | None) -> str:
    """The name of a class, its number if it has none; of a contrast, both."""
    first, *others = (
        classes[one] if classes and one < len(classes) else str(one) for one in (target, against) if one is not None
    )
    return " - ".join([first, *others])
