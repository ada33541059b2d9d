"""How the layers of one classifier are read: by the shape of what they put out, or else by looking once more.

A shape that allows two readings is settled by a picture twice as wide, one that allows none by following where the
rows of numbers go (`windows.py`). What was found out this way is remembered for as long as the classifier lives.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from weakref import WeakKeyDictionary

import torch
from torch import nn

from classlens.cam.classifier import Classifier, Layer
from classlens.cam.grids import Layout, Place, readings, unreadable
from classlens.cam.passes import first_tensor, hooked, logits_of, noise
from classlens.cam.windows import rearrangements
from classlens.errors import ModelError

TOKENS = 3
"""Dimensions of rows of tokens: only these can have extra ones; with fewer there is nothing to read."""

Output = tuple[Layer, tuple[int, ...]]
"""A layer, and the shape of what it put out for a batch."""

SECOND_LOOKS: WeakKeyDictionary[Classifier, dict[tuple[str, tuple[int, int]], Layout | None]] = WeakKeyDictionary()


def layouts(classifier: Classifier, outputs: Sequence[Output], batch: tuple[int, ...]) -> list[Layout]:
    """How each of the outputs for a `batch` of that shape is read.

    To be called inside `borrowed(classifier.module)`.

    Raises:
        ModelError: one of them cannot be read as a map.
    """
    found = []
    for (layer, shape), layout in zip(outputs, possible_layouts(classifier, outputs, batch), strict=True):
        if layout is None:
            place = Place(layer.name, layer.module, (batch[2], batch[3]), extra_tokens(classifier), batch[0])
            raise unreadable(shape, place, readings(shape, place))
        found.append(layout)
    return found


def possible_layouts(classifier: Classifier, outputs: Sequence[Output], batch: tuple[int, ...]) -> list[Layout | None]:
    """How each output is read, None for what is no map. To be called inside `borrowed(classifier.module)`."""
    picture = (batch[2], batch[3])
    extra = extra_tokens(classifier) if any(len(shape) == TOKENS for _, shape in outputs) else None
    options = [readings(shape, Place(layer.name, layer.module, picture, extra, batch[0])) for layer, shape in outputs]
    unclear = [
        (layer, found)
        for (layer, shape), found in zip(outputs, options, strict=True)
        if len(found) > 1 or (not found and len(shape) >= TOKENS and shape[-1] > 1)
    ]
    known = looked_at_again(classifier, unclear, picture) if unclear else {}
    return [
        found[0] if len(found) == 1 else known.get((layer.name, picture))
        for (layer, _), found in zip(outputs, options, strict=True)
    ]


def looked_at_again(
    classifier: Classifier, unclear: Sequence[tuple[Layer, list[Layout]]], picture: tuple[int, int]
) -> dict[tuple[str, tuple[int, int]], Layout | None]:
    """What is known of unclear layers after at most two further passes, and from earlier ones."""
    known = SECOND_LOOKS.setdefault(classifier, {})
    new = [(layer, found) for layer, found in unclear if (layer.name, picture) not in known]
    doubtful = [(layer, found) for layer, found in new if found]
    cut = [layer for layer, found in new if not found]
    answers = told_apart(classifier, doubtful, picture) if doubtful else {}
    if cut:
        answers |= rearrangements(classifier, cut, picture, extra_tokens(classifier))
    known.update({(layer.name, picture): answers.get(layer.name) for layer, _ in new})
    return known


def told_apart(
    classifier: Classifier, doubtful: Sequence[tuple[Layer, list[Layout]]], picture: tuple[int, int]
) -> dict[str, Layout]:
    """The one of several readings that also fits a picture twice as wide, of each layer that the model gets to.

    A head that takes one size only breaks off behind the layer, when the answer is there already.
    """
    wide = (picture[0], 2 * picture[1])
    found: dict[str, Layout] = {}

    def noting(layer: Layer, options: list[Layout]) -> Callable[[nn.Module, object, object], None]:
        def note(module: nn.Module, inputs: object, output: object) -> None:
            tensor = first_tensor(output)
            kinds = [] if tensor is None else readings(tuple(tensor.shape), Place(layer.name, module, wide))
            fitting = [option for option in options if option.kind in {reading.kind for reading in kinds}]
            if len(fitting) == 1:
                found[layer.name] = fitting[0]

        return note

    hooks = [(layer.module, noting(layer, options)) for layer, options in doubtful]
    with suppress(ModelError), torch.no_grad(), hooked(hooks):
        logits_of(classifier, noise(classifier, wide))
    return found


def extra_tokens(classifier: Classifier) -> int | None:
    """Tokens in front of the patch tokens, as the record or an attribute of the model says; None if nothing does."""
    if classifier.extra_tokens is not None:
        return classifier.extra_tokens
    for module in classifier.module.modules():
        for attribute in ("num_prefix_tokens", "num_extra_tokens"):
            count = getattr(module, attribute, None)
            if isinstance(count, int):
                return count
    return None
