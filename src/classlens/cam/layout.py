"""How to read the output of any layer as a feature map: (batch, channels, height, width).

A layer may give channels first (convolutions), channels last (Swin in timm), a row of tokens (transformers) with class
tokens in front, or windows of a map (inside Swin's attention). The reading is decided by the shape of the picture that
was fed: a feature map covers the picture, so its height and width are those of the picture divided by one stride. A
shape that allows no reading, or two, is looked at once more (`reading.py`) or refused; a wrong map is never drawn.
"""

from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn

from classlens.arrays import Float, Shaped
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
"""Class, distillation and register tokens that a model may put in front without telling."""

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
    found = readings(shape, place)
    if len(found) == 1:
        return found[0]
    raise unreadable(shape, place, found)


def readings(shape: tuple[int, ...], place: Place) -> list[Layout]:
    """Every reading that the shape of an output allows."""
    if shape[:1] != (place.batch,):
        return []
    if len(shape) == 4 and isinstance(place.module, CHANNELS_FIRST):
        return [Layout("channels first", shape[2], shape[3])]
    return {3: token_readings, 4: map_readings}.get(len(shape), no_readings)(shape, place)


def unreadable(shape: tuple[int, ...], place: Place, found: list[Layout]) -> ModelError:
    """The error for an output with no reading, or with several."""
    if shape[:1] != (place.batch,):
        return ModelError(
            f"layer {place.name!r} puts out {shape[0] if shape else 0} items for a batch of {place.batch}: "
            "windows or other parts of pictures, and where they come from cannot be told",
            hint="choose the block or the norm layer around it",
        )
    seen = " x ".join(map(str, shape))
    if found:
        both = " or ".join(map(str, found))
        return ModelError(f"the output of layer {place.name!r}, {seen}, can be read as {both}", hint=AMBIGUOUS)
    height, width = place.picture
    return ModelError(
        f"the output of layer {place.name!r}, {seen}, is no feature map of a {height} x {width} picture",
        hint="choose a layer before the pooling, or say how many tokens stand in front (--num-extra-tokens); "
        "--preview-model lists the layers that can be read",
    )


def no_readings(shape: tuple[int, ...], place: Place) -> list[Layout]:
    return []


def map_readings(shape: tuple[int, ...], place: Place) -> list[Layout]:
    """Readings of a four-dimensional output; where both fit, the norm layer itself decides by its channel count."""
    _, first, second, third = shape
    readings = []
    if covers(second, third, place.picture):
        readings.append(Layout("channels first", second, third))
    if covers(first, second, place.picture):
        readings.append(Layout("channels last", first, second))
    if len(readings) == 2 and type(place.module) is nn.LayerNorm:
        return readings[1:]
    return readings


def token_readings(shape: tuple[int, ...], place: Place) -> list[Layout]:
    """The reading of a row of tokens with the extra tokens that are known to be there, or with the fewest.

    Where some are known, layers that run before they are put in front still have none. Unknown ones are believed to be
    no more than a side of the map is long: with enough of them any number would fit.
    """
    tokens, known = shape[1], place.extra_tokens
    for extra in range(MOST_EXTRA_TOKENS + 1) if known is None else dict.fromkeys((known, 0)):
        sides = [(height, (tokens - extra) // height) for height in divisors(tokens - extra)]
        fitting = [
            side
            for side in sides
            if covers(side[0], side[1], place.picture) and (known is not None or extra <= min(side))
        ]
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


def divisors(number: int) -> list[int]:
    return [candidate for candidate in range(1, number + 1) if number % candidate == 0]
