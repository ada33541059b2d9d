"""Layers that see a map cut into pieces: the windows of Swin, the grids of MaxViT, the patches of MobileViT.

Nothing is assumed about the way it is cut: shifts, padding, names. Two pictures of noise are run, and the row of numbers
at every position of the map is looked up among the rows that went into the pieces. Cutting only copies, so the rows are
equal to the last bit; where one is not found, or the second picture says otherwise, the layer is left unread.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product

import torch
from torch import Tensor, nn

from classlens.arrays import Shaped
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.grids import Layout, Place, readings
from classlens.cam.passes import first_tensor, hooked, logits_of, noise

PICTURES = 2


@dataclass(frozen=True, eq=False)
class Call:
    """One module that ran: the first tensor that went in, and the first that came out."""

    layer: Layer
    taken: Tensor | None
    given: Tensor | None

    def inside(self, other: "Call") -> bool:
        """Whether this module is a part of the other one."""
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
