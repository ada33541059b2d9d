"""Ask a classifier where it looked: `explain`. One forward pass per batch serves every method, layer and class.

The caller's model, its modes, hooks, gradients and the random state are as before, also after an error.
"""

from collections.abc import Sequence
from functools import partial

from classlens.cam.answer import Manner, Question, answer
from classlens.cam.borrow import borrowed
from classlens.cam.classifier import Classifier
from classlens.cam.feeding import prepared, scaled_whole
from classlens.cam.layers import find_layers
from classlens.cam.methods import find_method
from classlens.cam.precision import computing_in
from classlens.cam.saliency import Explanation, Saliency
from classlens.cam.targets import Wish
from classlens.image import Image


def explain(
    classifier: Classifier,
    images: Image | Sequence[Image],
    *,
    methods: str | Sequence[str] = ("GradCAM",),
    layers: str | Sequence[str] | None = None,
    targets: Wish | Sequence[Wish] | None = None,
    manner: Manner | None = None,
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
    how = manner or Manner()
    chosen = tuple({method.name: method for method in map(find_method, names)}.values())
    feed = partial(scaled_whole if how.whole else prepared, classifier)
    fed = [feed(picture) for picture in pictures]
    question = Question(
        computing_in(classifier, how.precision),
        chosen,
        find_layers(classifier, wanted, fed[0].size),
        wishes_of(targets),
        how,
    )
    return explain_fed(question, fed)


def wishes_of(targets: Wish | Sequence[Wish] | None) -> tuple[Wish, ...]:
    """The targets as a tuple of wishes; a bare tuple of numbers is a single wish, one class for each picture."""
    if targets is None:
        return ()
    if isinstance(targets, (int, str)) or (isinstance(targets, tuple) and all(isinstance(one, int) for one in targets)):
        return (targets,)
    return tuple(targets)


def explain_fed(question: Question, pictures: list[Image]) -> Explanation:
    """Answer for pictures that are ready to be fed, in batches of one size."""
    for wish in question.wishes:
        if isinstance(wish, tuple) and len(wish) != len(pictures):
            raise ValueError(f"{len(wish)} target classes for {len(pictures)} pictures")
    count = max(1, question.manner.batch_size // question.manner.variants)
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, picture in enumerate(pictures):
        sizes.setdefault(picture.size, []).append(index)
    answers: dict[int, list[Saliency]] = {}
    with borrowed(question.classifier.module):
        for members in sizes.values():
            for start in range(0, len(members), count):
                indices = members[start : start + count]
                answers |= zip(indices, answer(question, pictures, indices), strict=True)
                if question.manner.progress:
                    question.manner.progress("pictures", len(answers), len(pictures))
    return Explanation(tuple(saliency for index in range(len(pictures)) for saliency in answers[index]))
