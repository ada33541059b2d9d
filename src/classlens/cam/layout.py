"""How to read the output of any layer as a feature map: (batch, channels, height, width).

A layer gives channels first (convolutions), channels last (Swin in timm), a row of tokens with class tokens in front, or
windows of a map. The shape of the picture decides: a feature map covers it, so its height and width are those of the
picture divided by one stride. For a shape that allows no reading, or two, the model is run once more; if that does not
decide it, the layer is refused.

Windows may be those of Swin, the grids of MaxViT, the patches of MobileViT: nothing is assumed about shifts, padding, or
names. Two pictures of noise are run, and the row of numbers at every position of the map is looked up among those that
went into the pieces: cutting copies them to the last bit. Where one is missing, or the second picture disagrees, the
layer is left unread.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Literal, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from classlens.arrays import Shaped
from classlens.cam.classifier import Classifier, Layer, layers_of
from classlens.cam.forward import hook_layers, logits_of, noise
from classlens.errors import ModelError

CONVOLUTIONS_AND_NORMS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.InstanceNorm2d, nn.GroupNorm)
POOLS = (nn.MaxPool2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)  # channels first in 4 dimensions
MOST_EXTRA_TOKENS = 16  # class, distillation and register tokens that a model may put in front without saying so

Grid = Shaped[Tensor, "maps channels height width"]


@dataclass(frozen=True)
class Layout:
    """One reading of a layer's output, without the `extra` tokens in front of a row of `height * width` tokens.

    In windows, `order` says where each position lies among the `rows` of its picture, channels last.
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

    def grid(self, output: Shaped[Tensor, "..."]) -> Grid:
        """The output as a feature map; a view, no copy, except of windows."""
        if self.kind == "windows":
            output = output.reshape(-1, self.rows, output.shape[-1])[:, list(self.order)]
        if self.kind in ("windows", "tokens"):
            return output[:, self.extra :].mT.reshape(len(output), -1, self.height, self.width)
        return output.permute(0, 3, 1, 2) if self.kind == "channels last" else output

    def filled(self, output: Shaped[Tensor, "..."], grid: Grid) -> Shaped[Tensor, "..."]:
        """The output with its feature map replaced; extra tokens, and padding of windows, stay as they are."""
        if self.kind == "windows":
            rows = output.reshape(len(grid), self.rows, -1).clone()
            rows[:, list(self.order)] = grid.flatten(2).mT
            return rows.reshape(output.shape)
        if self.kind == "tokens":
            return torch.cat([output[:, : self.extra], grid.flatten(2).mT], dim=1)
        return grid.permute(0, 2, 3, 1) if self.kind == "channels last" else grid


Shape = tuple[int, ...]


def layout_of(layer: Layer, shape: Shape, fed: Shape, extra_tokens: int | None = None) -> Layout:
    """Decide how to read a layer's output by its shape; see `readings`."""
    options = readings(layer, shape, fed, extra_tokens)
    if len(options) == 1:
        return options[0]
    message = f"the output of layer {layer.name!r}, {' x '.join(map(str, shape))}, "
    if shape[:1] != fed[:1]:
        message = f"layer {layer.name!r} puts out {shape[0] if shape else 0} items for a batch of {fed[0]}: "
        message += "windows or other parts of pictures, and where they come from is unknown"
        hint = "choose the block or the norm layer around it"
    elif options:
        message += f"can be read as {' or '.join(map(str, options))}"
        hint = "feed a picture that is not square (--whole), or choose the convolution or norm layer beside it"
    else:
        message += f"is no feature map of a {fed[2]} x {fed[3]} picture"
        hint = "choose a layer before the pooling, or say how many tokens stand in front (--num-extra-tokens); "
        hint += "--preview-model lists the layers that can be read"
    raise ModelError(message, hint=hint)


def readings(layer: Layer, shape: Shape, fed: Shape, extra_tokens: int | None) -> list[Layout]:
    """Every reading that the shape of an output allows, if a batch of shape `fed` was fed.

    A row of tokens is read with the extra tokens that are known to be there, or none: a layer may run before they are put
    in front. Of unknown ones there are the fewest that fit, no more than a side is long: with enough any number would fit.
    """
    picture = (fed[2], fed[3])
    if shape[:1] != fed[:1] or len(shape) not in (3, 4):
        return []
    if len(shape) == 4:
        both = (Layout("channels first", shape[2], shape[3]), Layout("channels last", shape[1], shape[2]))
        if isinstance(layer.module, CONVOLUTIONS_AND_NORMS + POOLS):
            return [both[0]]
        options = [one for one in both if covers(one.height, one.width, picture)]
        return options[-1:] if type(layer.module) is nn.LayerNorm else options
    for extra in range(MOST_EXTRA_TOKENS + 1) if extra_tokens is None else dict.fromkeys((extra_tokens, 0)):
        patches = shape[1] - extra
        sides = [(height, patches // height) for height in range(1, patches + 1) if patches % height == 0]
        likely = [one for one in sides if covers(*one, picture) and (extra_tokens is not None or extra <= min(one))]
        aspects = [(height * picture[1], width * picture[0]) for height, width in likely]
        if likely:  # the one with the aspect ratio of the picture
            nearest = min(range(len(likely)), key=lambda place: max(aspects[place]) / min(aspects[place]))
            return [Layout("tokens", *likely[nearest], extra)]
    return []


def covers(height: int, width: int, picture: tuple[int, int]) -> bool:
    """Whether one stride turns the picture's sides into these, both rounded up or both rounded down."""
    if height > picture[0] or width > picture[1]:
        return False
    above = min((height + 1) / picture[0], (width + 1) / picture[1])
    exact = (height / picture[0], width / picture[1])
    below = max((height - 1) / picture[0], (width - 1) / picture[1])
    return below < min(exact) or max(exact) < above


PICTURES = 2


class ModuleRun(NamedTuple):
    """One module that ran: the first tensor that went in, and the first that came out."""

    layer: Layer
    entering: Tensor | None
    leaving: Tensor


def trace_windows(classifier: Classifier, wanted: set[str], picture: tuple[int, int]) -> dict[str, Layout]:
    """How the pieces at the layers of these names lie on the map, as far as it can be traced in one pass.

    Whenever a module puts out a map of the whole picture, its parts are looked at and forgotten.
    """
    batch, extra = noise(classifier, picture, PICTURES), extra_tokens(classifier)
    layouts: dict[str, Layout] = {}
    runs: list[ModuleRun] = []

    def maps(layer: Layer, tensor: Tensor | None) -> list[Tensor]:
        if tensor is None:
            return []
        options = readings(layer, tensor.shape, batch.shape, extra)
        return [one.grid(tensor) for one in options if len(options) == 1 and one.positions > 1]

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        parts = [run for run in runs if run.layer.name.startswith(f"{layer.name}.")]
        if parts and maps(layer, leaving):
            whole = [grid for part in parts for grid in maps(part.layer, part.leaving)]
            whole += maps(Layer("", nn.Identity()), entering)
            for part in parts:
                if part.layer.name in wanted - layouts.keys() and (layout := window_layout(part, parts, whole)):
                    layouts[part.layer.name] = layout
            runs[:] = [run for run in runs if not run.layer.name.startswith(f"{layer.name}.")]
        runs.append(ModuleRun(layer, entering, leaving))

    with torch.no_grad(), hook_layers(layers_of(classifier), note):
        logits_of(classifier, batch)
    return layouts


def window_layout(part: ModuleRun, parts: Sequence[ModuleRun], maps: Sequence[Tensor]) -> Layout | None:
    """The layout of what one of the parts of a module puts out, if its rows come from one of the maps."""
    shape = part.leaving.shape[:-1]
    if len(shape) < 2 or shape.numel() % PICTURES:
        return None
    pieces = [one.entering for one in parts if one.entering is not None and one.entering.shape[:-1] == shape]
    for piece, grid in product(pieces, maps):
        rows, positions = piece.reshape(PICTURES, -1, piece.shape[-1]), grid.flatten(2).mT
        if rows.shape[2] == positions.shape[2]:
            places = {row.tobytes(): place for place, row in enumerate(rows[0].float().cpu().numpy())}
            order = [places.get(row.tobytes(), -1) for row in positions[0].float().contiguous().cpu().numpy()]
            if -1 not in order and torch.equal(rows[:, order], positions):
                height, width = grid.shape[2:]
                return Layout("windows", height, width, rows=rows.shape[1], order=tuple(order))
    return None


SECOND_PASSES: WeakKeyDictionary[Classifier, dict[tuple[str, tuple[int, int]], Layout | None]] = WeakKeyDictionary()
"""What further passes showed of unclear layers, by layer and size of the picture."""


def possible_layouts(classifier: Classifier, outputs: Sequence[tuple[Layer, Shape]], fed: Shape) -> list[Layout | None]:
    """How each output, by its shape, for a batch of shape `fed` is read, None for what is no map.

    Inside `preserved`: it may take two further passes, whose results are kept.
    """
    picture = (fed[2], fed[3])
    extra = extra_tokens(classifier) if any(len(shape) == 3 for _, shape in outputs) else None
    options = [readings(layer, shape, fed, extra) for layer, shape in outputs]
    known = SECOND_PASSES.setdefault(classifier, {})
    unclear = {
        layer: several
        for (layer, shape), several in zip(outputs, options, strict=True)
        if (layer.name, picture) not in known
        if len(several) > 1 or (not several and len(shape) >= 3 and shape[-1] > 1)
    }
    doubtful = {layer: several for layer, several in unclear.items() if several}
    cut = {layer.name for layer in unclear if layer not in doubtful}
    answers = layouts_by_wide_picture(classifier, doubtful, picture) if doubtful else {}
    answers |= trace_windows(classifier, cut, picture) if cut else {}
    known.update({(layer.name, picture): answers.get(layer.name) for layer in unclear})
    return [
        several[0] if len(several) == 1 else known.get((layer.name, picture))
        for (layer, _), several in zip(outputs, options, strict=True)
    ]


def layouts_by_wide_picture(
    classifier: Classifier, doubtful: Mapping[Layer, Sequence[Layout]], picture: tuple[int, int]
) -> dict[str, Layout]:
    """The one of several readings that also fits a picture twice as wide, of each layer that the model gets to.

    A head that takes one size only breaks off behind the layer, when the answer is there already.
    """
    batch = noise(classifier, (picture[0], 2 * picture[1]))
    layouts: dict[str, Layout] = {}

    def note(layer: Layer, entering: Tensor | None, leaving: Tensor) -> None:
        kinds = {one.kind for one in readings(layer, leaving.shape, batch.shape, None)}
        fitting = [option for option in doubtful[layer] if option.kind in kinds]
        if len(fitting) == 1:
            layouts[layer.name] = fitting[0]

    with suppress(ModelError), torch.no_grad(), hook_layers(doubtful, note):
        logits_of(classifier, batch)
    return layouts


def extra_tokens(classifier: Classifier) -> int | None:
    """Tokens in front of the patch tokens, as the record or an attribute of the model says; None if nothing does."""
    counts = (
        getattr(module, attribute, None)
        for module in classifier.module.modules()
        for attribute in ("num_prefix_tokens", "num_extra_tokens")
    )
    stated = next((count for count in counts if isinstance(count, int)), None)
    return stated if classifier.extra_tokens is None else classifier.extra_tokens
