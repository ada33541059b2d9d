"""Sizes, borders, flips and erased rectangles.

Both backends of `resize` give the pixels of `mmcv.imresize`: OpenCV samples without antialiasing (except `area`),
Pillow with it. Boxes are (x, y, width, height) in pixels of the picture that the stage gets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import pair
from classlens.adapters.openmm.stages.transform import Params, Transform, arguments
from classlens.dataset.decode import Pixels
from classlens.errors import DataError, suggestion

CV2 = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW = {
    name: Pillow.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "box", "lanczos", "hamming")
}
BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
FLIPS = {"horizontal": 1, "vertical": 0, "diagonal": -1}


def check_resampling(backend: str | None, interpolation: str) -> None:
    """Refuse names that the backend does not know; without a backend it is OpenCV."""
    if backend not in ("cv2", "pillow", None):
        raise ValueError(f"the backend is cv2 or pillow, not {backend!r}")
    known = PILLOW if backend == "pillow" else CV2
    if interpolation not in tuple(known):
        near = suggestion(str(interpolation), known)
        raise ValueError(f"{backend or 'cv2'} has no interpolation {interpolation!r}; {near}")


def resize(pixels: Pixels, width: int, height: int, *, interpolation: str, backend: str | None) -> Pixels:
    """Resample to `width` x `height`."""
    if backend == "pillow":
        return np.array(Pillow.fromarray(pixels).resize((width, height), PILLOW[interpolation]))
    return cv2.resize(pixels, (width, height), interpolation=CV2[interpolation])


def add_border(
    pixels: Pixels, margins: Sequence[int], value: float | Sequence[float], mode: str = "constant"
) -> Pixels:
    """Add a border: `margins` are left, top, right, bottom; one value counts for every channel."""
    left, top, right, bottom = margins
    fill = [float(value)] * 4 if isinstance(value, (int, float)) else [float(part) for part in value]
    return cv2.copyMakeBorder(pixels, top, bottom, left, right, BORDERS[mode], value=fill)


@dataclass(frozen=True)
class Resize(Transform):
    """To a given (width, height), or within it with `keep_ratio`, or by a factor."""

    scale: int | Sequence[int] | None = None
    scale_factor: float | Sequence[float] | None = None
    keep_ratio: bool = False
    clip_object_border: bool = True
    backend: str = "cv2"
    interpolation: str = "bilinear"

    def check(self) -> None:
        """Refuse a size that is missing or makes no sense, and names that the backend does not know."""
        check_resampling(self.backend, self.interpolation)
        factor = self.scale_factor
        if self.scale is None and factor is None:
            raise ValueError("scale or scale_factor must be given")
        if self.scale is not None and min(pair(self.scale)) <= 0:
            raise ValueError(f"scale must be above 0, not {self.scale!r}")
        pairs = isinstance(factor, tuple) and len(factor) == 2
        if factor is not None and not isinstance(factor, float) and not pairs:
            raise ValueError(f"scale_factor is a float or a tuple of two, not {factor!r}")

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """Resample to the target, or to the largest size of the same shape within it."""
        height, width = pixels.shape[:2]
        if self.scale is None:
            factor = self.scale_factor
            by_width, by_height = (factor, factor) if isinstance(factor, (int, float)) else (factor or (1, 1))
            target = scaled(width, height, by_width, by_height)
        else:
            target = pair(self.scale)
        if self.keep_ratio:
            factor = min(max(target) / max(width, height), min(target) / min(width, height))
            target = scaled(width, height, factor, factor)
        return resize(pixels, *target, interpolation=self.interpolation, backend=self.backend)


def scaled(width: int, height: int, by_width: float, by_height: float) -> tuple[int, int]:
    return int(width * float(by_width) + 0.5), int(height * float(by_height) + 0.5)


@dataclass(frozen=True)
class ResizeEdge(Transform):
    """So that one edge has a given length; the shape is kept, and the other edge, rounded down, never vanishes."""

    scale: int
    edge: str = "short"
    backend: str = "cv2"
    interpolation: str = "bilinear"
    checks: ClassVar = {"scale": rules.WHOLE, "edge": rules.one_of("short", "long", "width", "height")}

    def check(self) -> None:
        check_resampling(self.backend, self.interpolation)

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        height, width = pixels.shape[:2]
        by_width = {"short": width < height, "long": width > height, "width": True, "height": False}[self.edge]
        target = (self.scale, self.scale * height / width) if by_width else (self.scale * width / height, self.scale)
        new_width, new_height = (max(int(side), 1) for side in target)
        return resize(pixels, new_width, new_height, interpolation=self.interpolation, backend=self.backend)


@dataclass(frozen=True)
class Pad(Transform):
    """Add a border at the right and bottom, up to a (width, height), a square, or a multiple of a number."""

    size: Sequence[int] | None = None
    size_divisor: int | None = None
    pad_to_square: bool = False
    pad_val: int | Mapping[str, Any] = 0
    padding_mode: str = "constant"
    checks: ClassVar = {
        "padding_mode": rules.one_of(*BORDERS),
        "pad_val": (lambda value: isinstance(value, int | Mapping), "is a whole number or a dict with 'img'"),
        "size_divisor": (lambda value: value is None or value > 0, "must be above 0"),
    }

    def check(self) -> None:
        targets = [self.size is not None, bool(self.pad_to_square), self.size_divisor is not None]
        if targets not in ([True, False, False], [False, True, False], [False, False, True], [False, True, True]):
            raise ValueError("one of size, size_divisor and pad_to_square must be given")

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """Extend the picture; it is never cut."""
        height, width = pixels.shape[:2]
        if self.pad_to_square:
            height = width = max(height, width)
        if self.size_divisor is not None:
            height, width = (math.ceil(side / self.size_divisor) * self.size_divisor for side in (height, width))
        elif self.size is not None:
            width, height = self.size
        value = self.pad_val.get("img", 0) if isinstance(self.pad_val, Mapping) else self.pad_val
        right, bottom = max(width - pixels.shape[1], 0), max(height - pixels.shape[0], 0)
        return add_border(pixels, (0, 0, right, bottom), value, self.padding_mode)


@dataclass(frozen=True)
class CenterCrop(Transform):
    """Cut the middle out; a smaller picture stays as it is, or is padded with `auto_pad`. Size is (width, height)."""

    crop_size: int | Sequence[int]
    auto_pad: bool = False
    pad_cfg: Mapping[str, Any] = field(default_factory=lambda: {"type": "Pad"})
    clip_object_border: bool = True
    checks: ClassVar = {
        "crop_size": (
            lambda size: isinstance(size, int | tuple) and min(pair(size)) > 0,
            "is a whole number or a tuple of two, above 0",
        ),
        "pad_cfg": (lambda value: isinstance(value, Mapping), "is a dict"),
    }

    def check(self) -> None:
        if self.auto_pad:
            self.padding((1, 1))

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """Cut, after padding at the right and bottom if asked."""
        crop_width, crop_height = pair(self.crop_size)
        height, width = pixels.shape[:2]
        if self.auto_pad and (crop_width > width or crop_height > height):
            pixels = self.padding((max(width, crop_width), max(height, crop_height))).apply(pixels, params)
            height, width = pixels.shape[:2]
        crop_width, crop_height = min(crop_width, width), min(crop_height, height)
        left, top = round((width - crop_width) / 2.0), round((height - crop_height) / 2.0)
        return pixels[top : top + crop_height, left : left + crop_width]

    def padding(self, size: tuple[int, int]) -> Pad:
        """What a picture is padded with, up to (width, height)."""
        if self.pad_cfg.get("type") != "Pad":
            raise ValueError(f"the type of pad_cfg is Pad here, not {self.pad_cfg.get('type')!r}")
        return Pad(**{**arguments(self.pad_cfg), "size": size})


@dataclass(frozen=True)
class RandomFlip(Transform):
    """Mirror with a probability; several directions share it, or have one each."""

    prob: float | Sequence[float]
    direction: str | Sequence[str] = "horizontal"
    swap_seg_labels: object = None

    def check(self) -> None:
        for name, value, kind in (("prob", self.prob, float), ("direction", self.direction, str)):
            parts = value if isinstance(value, list) and value else [value]
            if not all(isinstance(part, kind) for part in parts):
                raise ValueError(f"{name} is a {kind.__name__} or a list of them, not {value!r}")
        directions, weights = self.choices()
        if not set(directions) <= set(FLIPS):
            raise ValueError(f"the direction is one of {', '.join(FLIPS)}, not {self.direction!r}")
        if len(directions) != len(weights):
            raise ValueError(f"{len(weights)} probabilities for {len(directions)} directions")
        if not 0 <= sum(weights) <= 1:
            raise ValueError(f"prob must lie in [0, 1], not {sum(weights)}")

    def choices(self) -> tuple[list[str], list[float]]:
        """Every direction with its probability."""
        directions = [self.direction] if isinstance(self.direction, str) else list(self.direction)
        if isinstance(self.prob, (int, float)):
            return directions, [self.prob / len(directions)] * len(directions)
        return directions, list(self.prob)

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The direction, or no."""
        rest = random.random()
        for direction, weight in zip(*self.choices(), strict=True):
            if rest < weight:
                return {"flip": direction}
            rest -= weight
        return {"flip": "no"}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return pixels if params["flip"] == "no" else cv2.flip(pixels, FLIPS[params["flip"]])


@dataclass(frozen=True)
class RandomResize(Transform):
    """`Resize` to a random (width, height): a fixed one times a ratio, or with edges between those of two."""

    scale: Any
    ratio_range: tuple[float, float] | None = None
    resize_type: str = "Resize"
    keep_ratio: bool = False
    clip_object_border: bool = True
    backend: str = "cv2"
    interpolation: str = "bilinear"
    checks: ClassVar = {
        "resize_type": rules.one_of("Resize"),
        "scale": (
            lambda scale: isinstance(scale, tuple | list) and len(scale) == 2,
            "is a tuple (width, height), or a list of two of them",
        ),
    }

    def check(self) -> None:
        check_resampling(self.backend, self.interpolation)
        kinds = {type(part) for part in self.scale}
        if isinstance(self.scale, tuple) and kinds == {int} and self.ratio_range is not None:
            low, high = self.ratio_range
            if low > high or int(min(self.scale) * low) < 1:
                raise ValueError(f"ratio_range is (low, high) and leaves a picture, not ({low}, {high})")
        elif isinstance(self.scale, tuple) or kinds != {tuple}:
            raise ValueError(f"scale is (width, height) with a ratio_range, or a list of two of them, not {self.scale}")

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The (width, height)."""
        if self.ratio_range is not None and isinstance(self.scale, tuple):
            low, high = self.ratio_range
            ratio = low + (high - low) * random.random()
            return {"scale": tuple(int(side * ratio) for side in self.scale)}
        edges = [sorted(sides) for sides in zip(*self.scale, strict=True)]
        return {"scale": tuple(int(random.integers(low, high + 1)) for low, high in edges)}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return Resize(
            params["scale"], keep_ratio=self.keep_ratio, backend=self.backend, interpolation=self.interpolation
        ).apply(pixels, params)


@dataclass(frozen=True)
class RandomChoiceResize(Transform):
    """`Resize` to one of several (width, height), or `ResizeEdge` to one of several lengths."""

    scales: Sequence[int | tuple[int, int]] | tuple[int, int] | int
    resize_type: str = "Resize"
    keep_ratio: bool = False
    clip_object_border: bool = True
    edge: str = "short"
    backend: str = "cv2"
    interpolation: str = "bilinear"
    checks: ClassVar = {"resize_type": rules.one_of("Resize", "ResizeEdge")}

    def check(self) -> None:
        kind = int if self.resize_type == "ResizeEdge" else tuple
        if self.keep_ratio if kind is int else self.edge != "short":
            raise ValueError(f"{self.resize_type} has no setting {'keep_ratio' if kind is int else 'edge'!r}")
        if not self.options:
            raise ValueError("there are no scales to choose from")
        for scale in self.options:
            if not isinstance(scale, kind):
                raise ValueError(f"{self.resize_type} needs scales of type {kind.__name__}, not {scale!r}")
            self.resize(scale)

    @property
    def options(self) -> list[Any]:
        return self.scales if isinstance(self.scales, list) else [self.scales]

    def resize(self, scale: Any) -> Transform:  # noqa: ANN401 - one or two numbers
        """The transform that resizes to one of the scales."""
        if self.resize_type == "ResizeEdge":
            return ResizeEdge(scale, self.edge, self.backend, self.interpolation)
        return Resize(scale, keep_ratio=self.keep_ratio, backend=self.backend, interpolation=self.interpolation)

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        return {"scale": self.options[int(random.integers(len(self.options)))]}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return self.resize(params["scale"]).apply(pixels, params)


@dataclass(frozen=True)
class RandomTranslatePad(Transform):
    """Onto a black square, in the middle or with `aug_translate` anywhere; a picture of floats comes out."""

    size: int = 640
    aug_translate: bool = False
    checks: ClassVar = {"size": rules.WHOLE}

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """Where the picture begins: x, y."""
        down, right = (self.size - side for side in pixels.shape[:2])
        if min(down, right) < bool(self.aug_translate):
            raise DataError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} does not fit into {self.size} pixels")
        if not self.aug_translate:
            return {}
        y, x = int(random.integers(0, down)), int(random.integers(0, right))
        return {"corner": (x, y)}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """Lay the picture onto the square."""
        height, width = pixels.shape[:2]
        middle = round((self.size - width) / 2 - 0.1), round((self.size - height) / 2 - 0.1)
        x, y = params.get("corner", middle)
        square = np.zeros((self.size, self.size, 3), np.float32)
        square[y : y + height, x : x + width] = pixels
        return square


@dataclass(frozen=True)
class RandomErasing(Transform):
    """With a probability, fill a rectangle of random area and shape.

    Source: Zhong et al., Random erasing data augmentation, AAAI 2020. `fill_color` is in the picture's channel order.
    """

    erase_prob: float = 0.5
    min_area_ratio: float = 0.02
    max_area_ratio: float = 0.4
    aspect_range: float | Sequence[float] = (3 / 10, 10 / 3)
    mode: str = "const"
    fill_color: float | Sequence[float] = (128, 128, 128)
    fill_std: float | Sequence[float] | None = None
    checks: ClassVar = {
        **dict.fromkeys(("erase_prob", "min_area_ratio", "max_area_ratio"), rules.PART),
        "fill_color": rules.COLOUR,
        "fill_std": (lambda value: value is None or rules.is_colour(value), rules.COLOUR[1]),
        "mode": rules.one_of("const", "rand"),
    }

    def check(self) -> None:
        shapes = (self.aspect_range,) * 2 if isinstance(self.aspect_range, float) else self.aspect_range
        floats = isinstance(shapes, list | tuple) and all(isinstance(one, float) for one in shapes)
        if not floats or len(shapes) != 2:
            raise ValueError(f"aspect_range is a float or two, not {self.aspect_range!r}")
        low, high = self.aspects()
        if not 0 < low <= high or self.min_area_ratio > self.max_area_ratio:
            raise ValueError("ranges of area and shape are (low, high)")

    def aspects(self) -> tuple[float, float]:
        """The range of height / width."""
        if isinstance(self.aspect_range, (int, float)):
            low = min(self.aspect_range, 1 / self.aspect_range)
            return low, 1 / low
        low, high = self.aspect_range
        return low, high

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The box, and what it is filled with."""
        if random.random() > self.erase_prob:
            return {"erase": "no"}
        height, width = pixels.shape[:2]
        low, high = np.log(np.array(self.aspects(), dtype=np.float32))
        aspect = np.exp(random.uniform(low, high))
        area = height * width * random.uniform(self.min_area_ratio, self.max_area_ratio)
        box_height = min(round(float(np.sqrt(area * aspect))), height)
        box_width = min(round(float(np.sqrt(area / aspect))), width)
        y = int(random.integers(0, height - box_height)) if height > box_height else 0
        x = int(random.integers(0, width - box_width)) if width > box_width else 0
        return {"erase": (x, y, box_width, box_height), "fill": self.patch(box_height, box_width, random)}

    def patch(self, height: int, width: int, random: np.random.Generator) -> Pixels:
        """What the box is filled with."""
        if self.mode == "const":
            return np.broadcast_to(np.array(self.fill_color, dtype=np.uint8), (height, width, 3))
        if self.fill_std is None:
            return random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        noise = random.normal(self.fill_color, self.fill_std, (height, width, 3))
        return np.clip(noise.astype(np.int32), 0, 255).astype(np.uint8)

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        if params["erase"] == "no":
            return pixels
        x, y, width, height = params["erase"]
        erased = pixels.copy()
        erased[y : y + height, x : x + width] = params["fill"]
        return erased
