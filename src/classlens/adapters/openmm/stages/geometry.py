"""Resizing, padding, flipping and cropping at the centre: the stages of a test pipeline, and the random flip.

Sizes are as in OpenMMLab: `Resize.scale` is (width, height), `ResizeEdge.scale` is the length of one edge.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from classlens.adapters.openmm.stages.resampling import check, fitted, resize, scaled
from classlens.adapters.openmm.stages.transform import NOTHING, Draws, pair, positive, probability
from classlens.dataset.reading import Pixels

BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
FLIPS = {"horizontal": 1, "vertical": 0, "diagonal": -1}


@dataclass(frozen=True)
class Resize:
    """To a given (width, height), or within it with `keep_ratio`, or by a factor."""

    scale: int | Sequence[int] | None = None
    scale_factor: float | Sequence[float] | None = None
    keep_ratio: bool = False
    clip_object_border: bool = True
    backend: str = "cv2"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check(self.backend, self.interpolation)
        if self.scale is None and self.scale_factor is None:
            raise ValueError("scale or scale_factor must be given")
        if self.scale is not None:
            positive("scale", *pair(self.scale))

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """Nothing is random here."""
        return NOTHING

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Resample."""
        width, height = self.target(pixels.shape[1], pixels.shape[0])
        return resize(pixels, width, height, interpolation=self.interpolation, backend=self.backend)

    def target(self, width: int, height: int) -> tuple[int, int]:
        """The (width, height) that a picture of this size gets."""
        if self.scale is None:
            factor = self.scale_factor
            by_width, by_height = (factor, factor) if isinstance(factor, (int, float)) else (factor or (1, 1))
            target = scaled(width, height, by_width, by_height)
        else:
            target = pair(self.scale)
        if self.keep_ratio:
            return fitted(width, height, max(target), min(target))
        return target


@dataclass(frozen=True)
class ResizeEdge:
    """So that one edge has a given length; the shape is kept."""

    scale: int
    edge: str = "short"
    backend: str = "cv2"
    interpolation: str = "bilinear"

    def __post_init__(self) -> None:
        check(self.backend, self.interpolation)
        positive("scale", self.scale)
        if self.edge not in ("short", "long", "width", "height"):
            raise ValueError(f"the edge is short, long, width or height, not {self.edge!r}")

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """Nothing is random here."""
        return NOTHING

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Resample; the other edge is rounded down, and never vanishes."""
        height, width = pixels.shape[:2]
        by_width = {"short": width < height, "long": width > height, "width": True, "height": False}[self.edge]
        if by_width:
            target = (self.scale, int(self.scale * height / width))
        else:
            target = (int(self.scale * width / height), self.scale)
        return resize(
            pixels, max(target[0], 1), max(target[1], 1), interpolation=self.interpolation, backend=self.backend
        )


@dataclass(frozen=True)
class CenterCrop:
    """Cut the middle out; a smaller picture stays as it is, or is padded with `auto_pad`. Size is (width, height)."""

    crop_size: int | Sequence[int]
    auto_pad: bool = False
    pad_cfg: Mapping[str, Any] | None = None
    clip_object_border: bool = True

    def __post_init__(self) -> None:
        positive("crop_size", *pair(self.crop_size))

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """Nothing is random here."""
        return NOTHING

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Cut, after padding at the right and bottom if asked."""
        wanted_width, wanted_height = pair(self.crop_size)
        height, width = pixels.shape[:2]
        if self.auto_pad and (wanted_width > width or wanted_height > height):
            settings = {key: value for key, value in (self.pad_cfg or {}).items() if key not in ("type", "size")}
            size = (max(width, wanted_width), max(height, wanted_height))
            pixels = Pad(size=size, **settings).apply(pixels, NOTHING)
            height, width = pixels.shape[:2]
        crop_width, crop_height = min(wanted_width, width), min(wanted_height, height)
        left = max(0, round((width - crop_width) / 2.0))
        top = max(0, round((height - crop_height) / 2.0))
        return pixels[top : top + crop_height, left : left + crop_width]


@dataclass(frozen=True)
class Pad:
    """Add a border at the right and bottom, up to a (width, height), a square, or a multiple of a number."""

    size: Sequence[int] | None = None
    size_divisor: int | None = None
    pad_to_square: bool = False
    pad_val: float | Sequence[float] | Mapping[str, Any] = 0
    padding_mode: str = "constant"

    def __post_init__(self) -> None:
        if self.padding_mode not in BORDERS:
            raise ValueError(f"padding_mode is one of {', '.join(BORDERS)}, not {self.padding_mode!r}")
        if self.pad_to_square == (self.size is not None) and self.size_divisor is None:
            raise ValueError("one of size, size_divisor and pad_to_square must be given")

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """Nothing is random here."""
        return NOTHING

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Extend."""
        height, width = pixels.shape[:2]
        if self.pad_to_square:
            height = width = max(height, width)
        if self.size_divisor is not None:
            height = math.ceil(height / self.size_divisor) * self.size_divisor
            width = math.ceil(width / self.size_divisor) * self.size_divisor
        elif self.size is not None:
            width, height = self.size
        value = self.pad_val.get("img", 0) if isinstance(self.pad_val, Mapping) else self.pad_val
        right, bottom = max(width - pixels.shape[1], 0), max(height - pixels.shape[0], 0)
        return bordered(pixels, (0, 0, right, bottom), value, self.padding_mode)


def bordered(pixels: Pixels, margins: Sequence[int], value: float | Sequence[float], mode: str = "constant") -> Pixels:
    """Add a border: `margins` are left, top, right, bottom; one value counts for every channel."""
    left, top, right, bottom = margins
    fill = [float(value)] * 4 if isinstance(value, (int, float)) else [float(part) for part in value]
    return cv2.copyMakeBorder(pixels, top, bottom, left, right, BORDERS[mode], value=fill)


@dataclass(frozen=True)
class RandomFlip:
    """Mirror with a probability; several directions share it, or have one each."""

    prob: float | Sequence[float]
    direction: str | Sequence[str] = "horizontal"
    swap_seg_labels: object = None

    def __post_init__(self) -> None:
        directions, weights = self.choices()
        if not set(directions) <= set(FLIPS):
            raise ValueError(f"the direction is one of {', '.join(FLIPS)}, not {self.direction!r}")
        if len(directions) != len(weights):
            raise ValueError(f"{len(weights)} probabilities for {len(directions)} directions")
        probability("prob", sum(weights))

    def choices(self) -> tuple[list[str], list[float]]:
        """Every direction with its probability."""
        directions = [self.direction] if isinstance(self.direction, str) else list(self.direction)
        if isinstance(self.prob, (int, float)):
            return directions, [self.prob / len(directions)] * len(directions)
        return directions, list(self.prob)

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """The direction, or no."""
        drawn = random.random()
        for direction, weight in zip(*self.choices(), strict=True):
            if drawn < weight:
                return {"flip": direction}
            drawn -= weight
        return {"flip": "no"}

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Mirror."""
        flip = drawn["flip"]
        return pixels if flip == "no" else cv2.flip(pixels, FLIPS[flip])
