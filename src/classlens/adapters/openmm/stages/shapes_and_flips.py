"""Sizes, borders, flips and erased rectangles.

Both backends of `resize` give the pixels of `mmcv.imresize`: OpenCV samples without antialiasing (except `area`),
Pillow with it. Boxes are (x, y, width, height) in pixels of the picture that the stage gets.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import Params, Rule, Transform, arguments, as_list, pair
from classlens.dataset.decode import Pixels
from classlens.errors import DataError, short_repr

CV2 = {
    "nearest": cv2.INTER_NEAREST,
    "bilinear": cv2.INTER_LINEAR,
    "bicubic": cv2.INTER_CUBIC,
    "area": cv2.INTER_AREA,
    "lanczos": cv2.INTER_LANCZOS4,
}
PILLOW = {
    name: Pillow.Resampling[name.upper()] for name in ("nearest", "bilinear", "bicubic", "box", "lanczos", "hamming")
}  # newer releases have more, which upstream does not know
BORDERS = {
    "constant": cv2.BORDER_CONSTANT,
    "edge": cv2.BORDER_REPLICATE,
    "reflect": cv2.BORDER_REFLECT_101,
    "symmetric": cv2.BORDER_REFLECT,
}
FLIPS = {"horizontal": 1, "vertical": 0, "diagonal": -1}

Backend: TypeAlias = Annotated[str | None, rules.one_of("cv2", "pillow", None)]
"""What resamples; without a name it is OpenCV."""

Interpolation: TypeAlias = Annotated[str, rules.one_of(*CV2)]
Border: TypeAlias = Annotated[str, rules.one_of(*BORDERS)]


def resize(pixels: Pixels, size: tuple[int, int], interpolation: str, backend: str | None) -> Pixels:
    """Resample to `size` = (width, height); a ValueError for an interpolation that the backend does not have."""
    known = PILLOW if backend == "pillow" else CV2
    if interpolation not in known:
        raise ValueError(
            f"{backend or 'cv2'} has no interpolation {short_repr(interpolation)}; it has {', '.join(known)}"
        )
    if backend == "pillow":
        return np.array(Pillow.fromarray(pixels).resize(size, PILLOW[interpolation]))
    return cv2.resize(pixels, size, interpolation=CV2[interpolation])


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

    scale: Annotated[int | Sequence[int] | None, rules.SIDES] = None
    scale_factor: Annotated[float | tuple[float, float] | None, rules.tuple_or(float, 2)] = None
    keep_ratio: bool = False
    clip_object_border: bool = True
    backend: Backend = "cv2"
    interpolation: str = "bilinear"

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """Resize to the target, or to the largest size of the same shape within it."""
        height, width = pixels.shape[:2]
        if self.scale is not None:
            target = pair(self.scale)
        elif self.scale_factor is not None:
            target = scaled((width, height), self.scale_factor)
        else:
            raise ValueError("scale or scale_factor must be given")
        if self.keep_ratio:
            factor = min(max(target) / max(width, height), min(target) / min(width, height))
            target = scaled((width, height), factor)
        return resize(pixels, target, self.interpolation, self.backend)


def scaled(size: tuple[int, int], factor: float | tuple[float, float]) -> tuple[int, int]:
    by_width, by_height = factor if isinstance(factor, tuple) else (factor, factor)
    return int(size[0] * float(by_width) + 0.5), int(size[1] * float(by_height) + 0.5)


@dataclass(frozen=True)
class ResizeEdge(Transform):
    """So that one edge has a given length; the shape is kept, and the other edge, rounded down, never vanishes."""

    scale: Annotated[int, rules.WHOLE]
    edge: Annotated[str, rules.one_of("short", "long", "width", "height")] = "short"
    backend: Backend = "cv2"
    interpolation: str = "bilinear"

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        height, width = pixels.shape[:2]
        by_width = {"short": width < height, "long": width > height, "width": True, "height": False}[self.edge]
        target = (self.scale, self.scale * height / width) if by_width else (self.scale * width / height, self.scale)
        new_size = max(int(target[0]), 1), max(int(target[1]), 1)
        return resize(pixels, new_size, self.interpolation, self.backend)


PAD_VAL: Rule = (lambda value: isinstance(value, int | Mapping), "is a whole number or a dict with 'img'")
PAD_CFG: Rule = (lambda value: value.get("type") == "Pad", "is a dict whose type is Pad")


@dataclass(frozen=True)
class Pad(Transform):
    """Add a border at the right and bottom, up to a (width, height), a square, or a multiple of a number."""

    size: Sequence[int] | None = None
    size_divisor: Annotated[int | None, rules.ABOVE_0] = None
    pad_to_square: bool = False
    pad_val: Annotated[int | Mapping[str, Any], PAD_VAL] = 0
    padding_mode: Border = "constant"

    def __post_init__(self) -> None:
        to_size, to_square, to_multiple = self.size is not None, self.pad_to_square, self.size_divisor is not None
        if to_size == bool(to_square or to_multiple):
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

    crop_size: Annotated[int | Sequence[int], rules.WHOLE_SIDES]
    auto_pad: bool = False
    pad_cfg: Annotated[Mapping[str, Any], PAD_CFG] = field(default_factory=lambda: {"type": "Pad"})
    clip_object_border: bool = True

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        if self.auto_pad:
            size = np.maximum(self.crop_size, pixels.shape[1::-1]).tolist()
            pixels = Pad(**{**arguments(self.pad_cfg), "size": size}).apply(pixels, params)
        height, width = pixels.shape[:2]
        crop_width, crop_height = np.minimum(self.crop_size, (width, height)).tolist()
        left, top = round((width - crop_width) / 2.0), round((height - crop_height) / 2.0)
        return pixels[top : top + crop_height, left : left + crop_width]


PROBABILITIES: Rule = (
    lambda value: all(isinstance(part, float) for part in as_list(value)) and 0 <= sum(as_list(value)) <= 1,
    "is a float or a list of them, and in all must lie in [0, 1]",
)
DIRECTIONS: Rule = (lambda value: all(part in FLIPS for part in as_list(value)), f"is one of {', '.join(FLIPS)}")


@dataclass(frozen=True)
class RandomFlip(Transform):
    """Mirror with a probability; several directions share it, or have one each."""

    prob: Annotated[float | Sequence[float], PROBABILITIES]
    direction: Annotated[str | Sequence[str], DIRECTIONS] = "horizontal"
    swap_seg_labels: object = None

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The direction, or no."""
        directions, weights = as_list(self.direction), self.prob
        if isinstance(weights, float):
            weights = [weights / len(directions)] * len(directions)
        if len(weights) != len(directions):
            raise ValueError(f"{len(weights)} probabilities for {len(directions)} directions")
        rest = random.random()
        for direction, weight in zip(directions, weights, strict=True):
            if rest < weight:
                return {"flip": direction}
            rest -= weight
        return {"flip": "no"}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return pixels if params["flip"] == "no" else cv2.flip(pixels, FLIPS[params["flip"]])


@dataclass(frozen=True, kw_only=True)
class SampledSize(Transform):
    """`Resize` to a sampled (width, height), or `ResizeEdge` to a sampled length, with the settings of these."""

    resize_type: Annotated[str, rules.one_of("Resize", "ResizeEdge")] = "Resize"
    keep_ratio: bool = False
    clip_object_border: bool = True
    edge: str = "short"
    backend: Backend = "cv2"
    interpolation: str = "bilinear"

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        by_edge = self.resize_type == "ResizeEdge"
        if (self.keep_ratio and by_edge) or (self.edge != "short" and not by_edge):
            raise ValueError("edge is a setting of ResizeEdge, keep_ratio one of Resize")
        if by_edge:
            return ResizeEdge(params["scale"], self.edge, self.backend, self.interpolation).apply(pixels, params)
        resizing = Resize(params["scale"], None, self.keep_ratio, True, self.backend, self.interpolation)
        return resizing.apply(pixels, params)


@dataclass(frozen=True, kw_only=True)
class RandomResize(SampledSize):
    """To a fixed (width, height) times a random ratio, or with edges between those of two."""

    scale: Annotated[Any, (lambda value: isinstance(value, tuple | list) and len(value) == 2, "is a tuple or a list")]
    ratio_range: tuple[float, float] | None = None
    resize_type: Annotated[str, rules.one_of("Resize")] = "Resize"

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        kinds = {type(part) for part in self.scale}
        if isinstance(self.scale, tuple) and kinds == {int} and self.ratio_range is not None:
            low, high = self.ratio_range
            if low > high or int(min(self.scale) * low) < 1:
                raise ValueError(f"ratio_range is (low, high) and leaves a picture, not ({low}, {high})")
            ratio = low + (high - low) * random.random()
            return {"scale": tuple(int(side * ratio) for side in self.scale)}
        if isinstance(self.scale, tuple) or kinds != {tuple}:
            raise ValueError(f"scale is (width, height) with a ratio_range, or a list of two of them, not {self.scale}")
        edges = [sorted(sides) for sides in zip(*self.scale, strict=True)]
        return {"scale": tuple(int(random.integers(low, high + 1)) for low, high in edges)}


@dataclass(frozen=True, kw_only=True)
class RandomChoiceResize(SampledSize):
    """To one of several sizes."""

    scales: Sequence[int | tuple[int, int]] | tuple[int, int] | int

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        options: list[Any] = self.scales if isinstance(self.scales, list) else [self.scales]
        kind = int if self.resize_type == "ResizeEdge" else tuple
        if not options or not all(isinstance(one, kind) and min(pair(one)) > 0 for one in options):
            raise ValueError(
                f"{self.resize_type} needs scales of type {kind.__name__} above 0, not {short_repr(self.scales)}"
            )
        return {"scale": options[int(random.integers(len(options)))]}


@dataclass(frozen=True)
class RandomTranslatePad(Transform):
    """Onto a black square, in the middle or with `aug_translate` anywhere; a picture of floats comes out."""

    size: Annotated[int, rules.WHOLE] = 640
    aug_translate: bool = False

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


def ends(aspect: float | Sequence[float]) -> Sequence[float]:
    """A range of height / width; one number stands for itself and its inverse."""
    return sorted((aspect, 1 / aspect)) if isinstance(aspect, float) else aspect


ASPECTS: Rule = (
    lambda value: [type(end) for end in ends(value)] == [float, float] and 0 < ends(value)[0] <= ends(value)[1],
    "is a float above 0, or two (low, high)",
)


@dataclass(frozen=True)
class RandomErasing(Transform):
    """With a probability, fill a rectangle of random area and shape.

    Source: Zhong et al., Random erasing data augmentation, AAAI 2020. `fill_color` is in the picture's channel order.
    """

    erase_prob: Annotated[float, rules.PART] = 0.5
    min_area_ratio: Annotated[float, rules.PART] = 0.02
    max_area_ratio: Annotated[float, rules.PART] = 0.4
    aspect_range: Annotated[float | Sequence[float], ASPECTS] = (3 / 10, 10 / 3)
    mode: Annotated[str, rules.one_of("const", "rand")] = "const"
    fill_color: Annotated[float | Sequence[float], rules.COLOUR] = (128, 128, 128)
    fill_std: Annotated[float | Sequence[float] | None, rules.COLOUR] = None

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The box, and what it is filled with."""
        if random.random() > self.erase_prob:
            return {"erase": "no"}
        if self.min_area_ratio > self.max_area_ratio:
            raise ValueError(f"min_area_ratio {self.min_area_ratio} is above max_area_ratio {self.max_area_ratio}")
        height, width = pixels.shape[:2]
        aspect = np.exp(random.uniform(*np.log(np.array(ends(self.aspect_range), dtype=np.float32))))
        area = height * width * random.uniform(self.min_area_ratio, self.max_area_ratio)
        box_height = min(round(float(np.sqrt(area * aspect))), height)
        box_width = min(round(float(np.sqrt(area / aspect))), width)
        y = int(random.integers(0, height - box_height)) if height > box_height else 0
        x = int(random.integers(0, width - box_width)) if width > box_width else 0
        return {"erase": (x, y, box_width, box_height), "fill": self.patch(box_height, box_width, random)}

    def patch(self, height: int, width: int, random: np.random.Generator) -> Pixels:
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
