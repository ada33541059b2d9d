"""Answer a question about one batch: one forward pass, one gradient per class, then every method's formula."""

from collections.abc import Iterator
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from classlens.cam.borrow import device_of
from classlens.cam.classifier import Classifier, Layer
from classlens.cam.evidence import Seen, observe
from classlens.cam.feeding import encoded
from classlens.cam.methods import Method
from classlens.cam.methods.collapse import first_component
from classlens.cam.methods.loading import functions
from classlens.cam.saliency import Saliency, Subject
from classlens.cam.targets import PREDICTED, Objective, Wish, objectives
from classlens.cam.variants import AS_IT_IS, VARIANTS, turned_back, varied
from classlens.image import Image


@dataclass(frozen=True)
class Manner:
    """How `explain` goes about it.

    `whole` feeds the picture uncropped, its short side as long as the model's. `eigen_smooth` replaces the sum over
    channels by their first principal component. `aug_smooth` averages over six variants of the picture. `batch_size`
    pictures (variants count) go through the model at once.
    """

    whole: bool = False
    eigen_smooth: bool = False
    aug_smooth: bool = False
    batch_size: int = 16

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise ValueError(f"a batch holds at least one picture, not {self.batch_size}")

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
        return not self.wishes and not self.wants_gradients

    @property
    def wants_gradients(self) -> bool:
        """Whether any method weighs with gradients."""
        return any(method.needs == "gradients" for method in self.methods)


@dataclass(frozen=True, eq=False)
class Maps:
    """The maps of one method at one layer for one class: variants x pictures of the batch."""

    method: Method
    layer: Layer
    subjects: tuple[Subject | None, ...]
    values: Float[Tensor, "variants batch height width"]


def answer(question: Question, pictures: list[Image], indices: list[int]) -> list[list[Saliency]]:
    """The maps of some of the pictures, all of one size: for each, class by class, method by method, layer by layer.

    To be called inside `borrowed(question.classifier.module)`.
    """
    classifier, manner = question.classifier, question.manner
    batch = encoded(classifier, [pictures[index] for index in indices]).to(device_of(classifier.module))
    inputs = varied(batch) if manner.aug_smooth else batch
    seen = observe(classifier, inputs, question.layers, stop=question.classless)
    maps = list(all_maps(question, seen, indices))
    return [
        [
            Saliency(
                pictures[index],
                found.values[:, place].cpu().numpy(),
                found.method.name,
                found.layer.name,
                found.subjects[place],
                index,
            )
            for found in maps
        ]
        for place, index in enumerate(indices)
    ]


def all_maps(question: Question, seen: Seen, indices: list[int]) -> Iterator[Maps]:
    """Every class, method and layer; the gradients of one class are dropped before the next one's are made."""
    variants = question.manner.variants
    wanted = asked(question, seen, indices)
    for number, objective in enumerate(wanted):
        gradients: tuple[Tensor | None, ...] = (None,) * len(seen.layers)
        subjects: tuple[Subject | None, ...] = (None,) * len(indices)
        if seen.logits is not None and objective is not None:
            subjects = subjects_of(objective, as_fed(seen.logits, variants), question.classifier.classes)
            if question.wants_gradients:
                score = repeated(objective, variants).score(seen.logits)
                gradients = seen.gradients(score, keep=number + 1 < len(wanted))
        evidence = [seen.evidence(place, gradient) for place, gradient in enumerate(gradients)]
        for method in question.methods:
            weigh, collapse = functions(method)
            collapse = first_component if question.manner.eigen_smooth else collapse
            for layer, shown in zip(seen.layers, evidence, strict=True):
                values = collapse(weigh(shown))
                yield Maps(method, layer, subjects, turned_back(values.reshape(variants, -1, *values.shape[1:])))


def asked(question: Question, seen: Seen, indices: list[int]) -> list[Objective | None]:
    """The classes asked for, read against the logits of the pictures as they are; one None if no class matters."""
    if seen.logits is None:
        return [None]
    wishes = [
        tuple(wish[index] for index in indices) if isinstance(wish, tuple) else wish
        for wish in question.wishes or (PREDICTED,)
    ]
    logits = as_fed(seen.logits, question.manner.variants)
    return list(objectives(tuple(wishes), logits, question.classifier.classes))


def as_fed(logits: Float[Tensor, "variants_batch classes"], variants: int) -> Float[Tensor, "batch classes"]:
    """The logits of the variant that is the picture itself."""
    return logits.detach().chunk(variants)[AS_IT_IS if variants > 1 else 0]


def repeated(objective: Objective, variants: int) -> Objective:
    """The same classes for every variant: all of them explain what the model said of the picture itself."""
    against = None if objective.against is None else objective.against.repeat(variants)
    return Objective(objective.target.repeat(variants), against)


def subjects_of(
    objective: Objective, logits: Float[Tensor, "batch classes"], classes: tuple[str, ...] | None
) -> tuple[Subject, ...]:
    """What is said about the class of each picture."""
    against = [None] * len(logits) if objective.against is None else objective.against.tolist()
    chosen = objective.target.tolist()
    scores = objective.score(logits).tolist()
    shares = logits.float().softmax(dim=1).gather(1, objective.target[:, None])[:, 0].tolist()
    return tuple(
        Subject(target, score, share, class_name(target, other, classes), other)
        for target, other, score, share in zip(chosen, against, scores, shares, strict=True)
    )


def class_name(target: int, against: int | None, classes: tuple[str, ...] | None) -> str:
    """The name of a class, its number if it has none; of a contrast, both."""
    first, *others = (
        classes[one] if classes and one < len(classes) else str(one) for one in (target, against) if one is not None
    )
    return " - ".join([first, *others])
