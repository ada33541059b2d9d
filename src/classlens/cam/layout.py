"""How to read the output of any layer as a feature map: (batch, channels, height, width).

A layer may give channels first (convolutions), channels last (Swin in timm), a row of tokens (transformers) with class
tokens in front, or windows of a map (inside Swin's attention). The reading is decided by the shape of the picture that
was fed: a feature map covers the picture, so its height and width are those of the picture divided by one stride. For a
shape that allows no reading, or two, the model is run once more; if that does not decide it, the layer is refused.

Layers can see a map cut into pieces: the windows of Swin, the grids of MaxViT, the patches of MobileViT. Nothing is
assumed about the way it is cut: shifts, padding, names. Two pictures of noise are run, and the row of numbers at every
position of the map is looked up among the rows that went into the pieces. Cutting only copies, so the rows are equal to
the last bit; where one is missing, or the second picture disagrees, the layer is left unread.
"""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Literal
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from classlens.arrays import Float, Shaped
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.forward import first_tensor, hook_layers, logits_of, noise
from classlens.errors import ModelError

CHANNELS_FIRST = (
    nn.Conv2d,
    nn.ConvTranspose2d,
    nn.BatchNorm2d,
    nn.InstanceNorm2d,
    nn.GroupNorm,
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
)
"""Modules whose four-dimensional output can be nothing else."""

MOST_EXTRA_TOKENS = 16
"""Class, distillation and register tokens that a model may put in front without saying so."""

AMBIGUOUS = "feed a picture that is not square (--whole), or choose the convolution or norm layer beside it"


@dataclass(frozen=True)
class Layout:
    """One reading of a layer's output.

    `extra` tokens in front of a row of `height * width` tokens are left out. In windows, every position of the map
    lies somewhere among the `rows` of its picture, channels last: `order` says where, position by position.
    """

    kind: Literal["channels first", "channels last", "tokens", "windows"]
    height: int
    width: int
    extra: int = 0
    rows: int = 0
    order: tuple[int, ...] = field(default=(), repr=False)

    def __str__(self) -> str:
        extra = f", {self.extra} extra" if self.kind == "tokens" else ""
        return f"{self.kind}, {self.height} x {self.width}{extra}"

    @property
    def positions(self) -> int:
        return self.height * self.width

    def grid(self, output: Shaped[Tensor, "..."]) -> Shaped[Tensor, "batch channels height width"]:
        """The output as a feature map; a view, no copy, except of windows."""
        if self.kind == "windows":
            placed = output.reshape(-1, self.rows, output.shape[-1])[:, list(self.order)].mT
            return placed.reshape(len(placed), -1, self.height, self.width)
        if self.kind == "tokens":
            patches = output[:, self.extra :].mT
            return patches.reshape(len(output), -1, self.height, self.width)
        return output.permute(0, 3, 1, 2) if self.kind == "channels last" else output

    def filled(
        self, output: Shaped[Tensor, "..."], grid: Shaped[Tensor, "batch channels height width"]
    ) -> Shaped[Tensor, "..."]:
        """The output with its feature map replaced; extra tokens, and padding of windows, stay as they are."""
        if self.kind == "windows":
            rows = output.reshape(len(grid), self.rows, -1).clone()
            rows[:, list(self.order)] = grid.flatten(2).mT
            return rows.reshape(output.shape)
        if self.kind == "tokens":
            return torch.cat([output[:, : self.extra], grid.flatten(2).mT], dim=1)
        return grid.permute(0, 2, 3, 1) if self.kind == "channels last" else grid


@dataclass(frozen=True)
class Place:
    """What is known besides the output's shape: the layer, the pictures fed (size, number), and tokens in front."""

    name: str
    module: nn.Module
    picture: tuple[int, int]
    extra_tokens: int | None = None
    batch: int = 1


def layout_of(output: Float[Tensor, "batch ..."], place: Place) -> Layout:
    """Decide how to read `output` by its shape.

    Raises:
        ModelError: the shape allows no reading, or more than one.
    """
    shape = tuple(output.shape)
    options = readings(shape, place)
    if len(options) != 1:
        raise unreadable(shape, place)
    return options[0]


def readings(shape: tuple[int, ...], place: Place) -> list[Layout]:
    """Every reading that the shape of an output allows.

    Where channels first and last both fit, the norm layer itself decides by its channel count.
    """
    if shape[:1] != (place.batch,):
        return []
    if len(shape) == 3:
        return token_readings(shape[1], place)
    if len(shape) != 4:
        return []
    if isinstance(place.module, CHANNELS_FIRST):
        return [Layout("channels first", shape[2], shape[3])]
    options = []
    if covers(shape[2], shape[3], place.picture):
        options.append(Layout("channels first", shape[2], shape[3]))
    if covers(shape[1], shape[2], place.picture):
        options.append(Layout("channels last", shape[1], shape[2]))
    return options[-1:] if type(place.module) is nn.LayerNorm else options


def unreadable(shape: tuple[int, ...], place: Place) -> ModelError:
    """The error for an output with no reading, or with several."""
    if shape[:1] != (place.batch,):
        return ModelError(
            f"layer {place.name!r} puts out {shape[0] if shape else 0} items for a batch of {place.batch}: "
            "windows or other parts of pictures, and where they come from is unknown",
            hint="choose the block or the norm layer around it",
        )
    sides = " x ".join(map(str, shape))
    if options := readings(shape, place):
        both = " or ".join(map(str, options))
        return ModelError(f"the output of layer {place.name!r}, {sides}, can be read as {both}", hint=AMBIGUOUS)
    height, width = place.picture
    return ModelError(
        f"the output of layer {place.name!r}, {sides}, is no feature map of a {height} x {width} picture",
        hint="choose a layer before the pooling, or say how many tokens stand in front (--num-extra-tokens); "
        "--preview-model lists the layers that can be read",
    )


def token_readings(tokens: int, place: Place) -> list[Layout]:
    """The reading of a row of tokens with the extra tokens that are known to be there, or with the fewest.

    Where some are known, layers that run before they are put in front still have none. Unknown ones are believed to be
    no more than a side of the map is long: with enough of them any number would fit.
    """
    known = place.extra_tokens
    for extra in range(MOST_EXTRA_TOKENS + 1) if known is None else dict.fromkeys((known, 0)):
        patches = tokens - extra
        sides = [(height, patches // height) for height in range(1, patches + 1) if patches % height == 0]
        fitting = [side for side in sides if covers(*side, place.picture) and (known is not None or extra <= min(side))]
        if fitting:
            height, width = min(fitting, key=lambda side: distortion(side[0], side[1], place.picture))
            return [Layout("tokens", height, width, extra)]
    return []


def covers(height: int, width: int, picture: tuple[int, int]) -> bool:
    """Whether one stride turns the picture's sides into these, both rounded up or both rounded down."""
    if height > picture[0] or width > picture[1]:
        return False
    above = min((height + 1) / picture[0], (width + 1) / picture[1])
    exact = (height / picture[0], width / picture[1])
    below = max((height - 1) / picture[0], (width - 1) / picture[1])
    return below < min(exact) or max(exact) < above


def distortion(height: int, width: int, picture: tuple[int, int]) -> float:
    """How far the aspect ratio is from the picture's; 1 is not at all."""
    ratio = (height * picture[1]) / (width * picture[0])
    return max(ratio, 1 / ratio)


PICTURES = 2


@dataclass(frozen=True, eq=False)
class ModuleRun:
    """One module that ran: the first tensor that went in, and the first that came out."""

    layer: Layer
    input: Tensor | None
    output: Tensor | None


def trace_windows(classifier: Classifier, layers: Sequence[Layer], picture: tuple[int, int]) -> dict[str, Layout]:
    """How the pieces at these layers lie on the map, by the layers' names, as far as it can be traced.

    One pass. Whenever a module puts out a map of the whole picture, its parts are looked at and forgotten.
    """
    wanted, extra = {layer.name for layer in layers}, extra_tokens(classifier)
    layouts: dict[str, Layout] = {}
    calls: list[ModuleRun] = []

    def as_map(tensor: Tensor | None, module: nn.Module) -> Tensor | None:
        if tensor is None:
            return None
        options = readings(tuple(tensor.shape), Place("", module, picture, extra, PICTURES))
        return options[0].grid(tensor) if len(options) == 1 and options[0].positions > 1 else None

    def note(layer: Layer, inputs: object, output: object) -> None:
        call = ModuleRun(layer, first_tensor(inputs), first_tensor(output))
        parts = [part for part in calls if part.layer.name.startswith(f"{layer.name}.")]
        if parts and as_map(call.output, layer.module) is not None:
            candidates = [as_map(part.output, part.layer.module) for part in parts]
            candidates.append(as_map(call.input, nn.Identity()))
            maps = [one for one in candidates if one is not None]
            layouts.update(window_layouts(parts, maps, wanted - layouts.keys()))
            calls[:] = [other for other in calls if other not in parts]
        calls.append(call)

    with torch.no_grad(), hook_layers(layers_of(classifier), note):
        logits_of(classifier, noise(classifier, picture, PICTURES))
    return layouts


def window_layouts(
    parts: Sequence[ModuleRun], maps: Sequence[Tensor], wanted: set[str]
) -> Iterator[tuple[str, Layout]]:
    """The layouts of those parts of one module that are wanted and whose rows come from one of the maps."""
    for part in parts:
        if part.layer.name not in wanted or part.output is None or part.output.ndim < 3:
            continue
        shape = part.output.shape[:-1]
        pieces = [one.input for one in parts if one.input is not None and one.input.shape[:-1] == shape]
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


LayerShape = tuple[Layer, tuple[int, ...]]
"""A layer, and the shape of what it put out for a batch."""

SECOND_PASSES: WeakKeyDictionary[Classifier, dict[tuple[str, tuple[int, int]], Layout | None]] = WeakKeyDictionary()
"""What further passes showed of unclear layers, by layer and size of the picture."""


def possible_layouts(
    classifier: Classifier, outputs: Sequence[LayerShape], batch: tuple[int, ...]
) -> list[Layout | None]:
    """How each of the outputs for a `batch` of that shape is read, None for what is no map.

    At most two further passes, whose results are kept. To be called inside `preserved(classifier.module)`.
    """
    picture = (batch[2], batch[3])
    extra = extra_tokens(classifier) if any(len(shape) == 3 for _, shape in outputs) else None
    options = [readings(shape, Place(layer.name, layer.module, picture, extra, batch[0])) for layer, shape in outputs]
    known = SECOND_PASSES.setdefault(classifier, {})
    unclear = [
        (layer, several)
        for (layer, shape), several in zip(outputs, options, strict=True)
        if len(several) > 1 or (not several and len(shape) >= 3 and shape[-1] > 1)
        if (layer.name, picture) not in known
    ]
    if unclear:
        answers: dict[str, Layout] = {}
        if doubtful := [(layer, several) for layer, several in unclear if several]:
            answers |= layouts_by_wide_picture(classifier, doubtful, picture)
        if cut := [layer for layer, several in unclear if not several]:
            answers |= trace_windows(classifier, cut, picture)
        known.update({(layer.name, picture): answers.get(layer.name) for layer, _ in unclear})
    return [
        several[0] if len(several) == 1 else known.get((layer.name, picture))
        for (layer, _), several in zip(outputs, options, strict=True)
    ]


def layouts_by_wide_picture(
    classifier: Classifier, doubtful: Sequence[tuple[Layer, list[Layout]]], picture: tuple[int, int]
) -> dict[str, Layout]:
    """The one of several readings that also fits a picture twice as wide, of each layer that the model gets to.

    A head that takes one size only breaks off behind the layer, when the answer is there already.
    """
    wide = (picture[0], 2 * picture[1])
    options = {layer.name: several for layer, several in doubtful}
    layouts: dict[str, Layout] = {}

    def note(layer: Layer, inputs: object, output: object) -> None:
        tensor = first_tensor(output)
        wide_readings = [] if tensor is None else readings(tuple(tensor.shape), Place(layer.name, layer.module, wide))
        kinds = {reading.kind for reading in wide_readings}
        fitting = [option for option in options[layer.name] if option.kind in kinds]
        if len(fitting) == 1:
            layouts[layer.name] = fitting[0]

    with suppress(ModelError), torch.no_grad(), hook_layers([layer for layer, _ in doubtful], note):
        logits_of(classifier, noise(classifier, wide))
    return layouts


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
