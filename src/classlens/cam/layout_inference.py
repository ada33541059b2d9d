"""Layers that see a map cut into pieces: the windows of Swin, the grids of MaxViT, the patches of MobileViT.

Nothing is assumed about the way it is cut: shifts, padding, names. Two pictures of noise are run, and the row of numbers
at every position of the map is looked up among the rows that went into the pieces. Cutting only copies, so the rows are
equal to the last bit; where one is not found, or the second picture says otherwise, the layer is left unread.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import product
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from classlens.arrays import Shaped
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.hooks import first_tensor, hooked, logits_of, noise
from classlens.cam.layout import Layout, Place, readings, unreadable
from classlens.errors import ModelError

PICTURES = 2


@dataclass(frozen=True, eq=False)
class Call:
    """One module that ran: the first tensor that went in, and the first that came out."""

    layer: Layer
    taken: Tensor | None
    given: Tensor | None

    def inside(self, other: "Call") -> bool:
        return self.layer.name.startswith(f"{other.layer.name}.")


def rearrangements(
    classifier: Classifier, layers: Sequence[Layer], picture: tuple[int, int], extra: int | None
) -> dict[str, Layout]:
    """How the pieces at these layers lie on the map, by the layers' names, as far as it can be told.

    One pass. Whenever a module puts out a map of the whole picture, its parts are looked at and forgotten.
    """
    wanted = {layer.name for layer in layers}
    found: dict[str, Layout] = {}
    calls: list[Call] = []

    def as_map(tensor: Tensor | None, layer: Layer) -> Tensor | None:
        if tensor is None:
            return None
        fitting = readings(tuple(tensor.shape), Place(layer.name, layer.module, picture, extra, PICTURES))
        return fitting[0].grid(tensor) if len(fitting) == 1 and fitting[0].positions > 1 else None

    def noting(layer: Layer) -> Callable[[nn.Module, tuple[object, ...], object], None]:
        def note(module: nn.Module, inputs: tuple[object, ...], output: object) -> None:
            call = Call(layer, first_tensor(inputs), first_tensor(output))
            parts = [part for part in calls if part.inside(call)]
            if parts and as_map(call.given, layer) is not None:
                seen = [as_map(part.given, part.layer) for part in parts]
                seen.append(as_map(call.taken, Layer(layer.name, nn.Identity())))
                maps = [one for one in seen if one is not None]
                found.update(told(parts, maps, wanted - found.keys()))
                calls[:] = [other for other in calls if other not in parts]
            calls.append(call)

        return note

    hooks = [(layer.module, noting(layer)) for layer in layers_of(classifier)]
    with torch.no_grad(), hooked(hooks):
        logits_of(classifier, noise(classifier, picture, PICTURES))
    return found


def told(parts: Sequence[Call], maps: Sequence[Tensor], wanted: set[str]) -> Iterator[tuple[str, Layout]]:
    """The layouts of those parts of one module that are wanted and whose rows come from one of the maps."""
    for part in parts:
        if part.layer.name not in wanted or part.given is None or part.given.ndim < 3:
            continue
        shape = part.given.shape[:-1]
        pieces = [one.taken for one in parts if one.taken is not None and one.taken.shape[:-1] == shape]
        for piece, grid in product(pieces, maps):
            order = order_of(piece, grid)
            if order:
                height, width = grid.shape[2:]
                yield part.layer.name, Layout("windows", height, width, rows=shape.numel() // PICTURES, order=order)
                break


def order_of(
    pieces: Shaped[Tensor, "..."], grid: Shaped[Tensor, "pictures channels height width"]
) -> tuple[int, ...] | None:
    """For every position of the map, row by row, its place among a picture's rows of pieces; None if it is not there."""
    pictures, channels = grid.shape[:2]
    if pieces.shape[-1] != channels or pieces.shape[:-1].numel() % pictures:
        return None
    rows = pieces.reshape(pictures, -1, channels)
    positions = grid.flatten(2).mT
    places = {row.tobytes(): place for place, row in enumerate(rows[0].float().cpu().numpy())}
    order = [places.get(row.tobytes(), -1) for row in positions[0].float().contiguous().cpu().numpy()]
    return tuple(order) if -1 not in order and torch.equal(rows[:, order], positions) else None


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
