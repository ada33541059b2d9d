"""Crops at random places, and EfficientNet's crops.

Boxes are (x, y, width, height) in pixels of the picture that the stage gets.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, TypeAlias

import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import Params, Rule, Span, Transform, pair
from classlens.adapters.openmm.stages.shapes_and_flips import CV2, Backend, Border, Interpolation, add_border, resize
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State

Box: TypeAlias = tuple[int, int, int, int]
Size: TypeAlias = tuple[int, int]


def cut(pixels: Pixels, box: Box) -> Pixels:
    """The part of the picture inside the box; what lies outside the picture is left out."""
    x, y, width, height = box
    return pixels[max(y, 0) : y + height, max(x, 0) : x + width]


def place_box(size: Size, box_size: Size, random: np.random.Generator) -> Box:
    (width, height), (box_width, box_height) = size, box_size
    y = int(random.integers(0, height - box_height + 1))
    x = int(random.integers(0, width - box_width + 1))
    return x, y, box_width, box_height


def sample_size(size: Size, areas: Span, shapes: Span, random: np.random.Generator) -> Size:
    """A (width, height) of uniform area and log-uniform shape, which may be larger than the picture.

    Source: Szegedy et al., Going deeper with convolutions, CVPR 2015, section 6.
    """
    area = random.uniform(*areas) * size[0] * size[1]
    aspect = math.exp(random.uniform(math.log(shapes[0]), math.log(shapes[1])))
    return round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))


def centre_box(size: Size, shapes: Span) -> Box:
    """The centre box of a picture that is too long or too thin for the allowed shapes; else the whole of it."""
    width, height = size
    box_width, box_height = min(width, round(height * max(shapes))), min(height, round(width / min(shapes)))
    return (width - box_width) // 2, (height - box_height) // 2, box_width, box_height


def efficientnet_box(width: int, height: int, *, size: int, padding: int) -> Box:
    """The centre square of EfficientNet: size / (size + padding) of the short edge.

    Source: the TPU reference preprocessing of Tan & Le, EfficientNet, ICML 2019. Corners are truncated to pixels.
    """
    side = size / (size + padding) * min(width, height)
    left, top = max(0, round((width - side) / 2.0)), max(0, round((height - side) / 2.0))
    right, bottom = min(int(left + side - 1), width - 1), min(int(top + side - 1), height - 1)
    return left, top, max(right, 0) - left + 1, max(bottom, 0) - top + 1


@dataclass(frozen=True)
class EfficientNetCenterCrop(Transform):
    """EfficientNet's test-time crop: a centre square of the picture's own scale, resized to `crop_size`."""

    crop_size: Annotated[int, rules.WHOLE]
    crop_padding: Annotated[int, rules.NOT_NEGATIVE] = 32
    interpolation: Interpolation = "bicubic"
    backend: Backend = "cv2"

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        box = efficientnet_box(pixels.shape[1], pixels.shape[0], size=self.crop_size, padding=self.crop_padding)
        return resize(cut(pixels, box), pair(self.crop_size), self.interpolation, self.backend)


@dataclass(frozen=True)
class RandomCrop(Transform):
    """A window of (height, width) at a random place, after padding; 0.x adds all that is missing on both sides."""

    crop_size: Annotated[int | Sequence[int], rules.SIDES]
    padding: Annotated[int | Sequence[int] | None, rules.tuple_or(int, 2, 4)] = None
    pad_if_needed: bool = False
    pad_val: float | Sequence[float] = 0
    padding_mode: Border = "constant"
    both_sides: bool = False

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The window, in the padded picture."""
        height, width = self.padded(pixels).shape[:2]
        crop_height, crop_width = pair(self.crop_size)
        return {"box": place_box((width, height), (min(width, crop_width), min(height, crop_height)), random)}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        return cut(self.padded(pixels), params["box"])

    def padded(self, pixels: Pixels) -> Pixels:
        """The picture with its border; `padding_mode` counts for `pad_if_needed` only, as upstream has it.

        A single `pad_val` fills the first channel alone, as upstream's way through OpenCV makes it: blue, not grey.
        """
        fill = (self.pad_val, 0, 0) if isinstance(self.pad_val, (int, float)) else self.pad_val
        if self.padding is not None:
            margins = [self.padding] * 4 if isinstance(self.padding, int) else list(self.padding)
            pixels = add_border(pixels, margins if len(margins) == 4 else margins * 2, fill)
        if self.pad_if_needed:
            missing = (max(0, side - have) for side, have in zip(pair(self.crop_size), pixels.shape, strict=False))
            y, x = (math.ceil(side / (1 if self.both_sides else 2)) for side in missing)
            pixels = add_border(pixels, (x, y, x, y), fill, self.padding_mode)
        return pixels


@dataclass(frozen=True, kw_only=True)
class ResizedCrop(Transform):
    """A random part, resized to `scale` = (height, width); what does not fit is sampled anew, `max_attempts` times."""

    scale: Annotated[int | Sequence[int], rules.SIDES]
    crop_ratio_range: Span = (0.08, 1.0)
    aspect_ratio_range: Span = (3 / 4, 4 / 3)
    max_attempts: Annotated[int, rules.COUNT] = 10
    interpolation: Interpolation = "bilinear"
    backend: Backend = "cv2"

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        height, width = pair(self.scale)
        return resize(cut(pixels, params["box"]), (width, height), self.interpolation, self.backend)


class RandomResizedCrop(ResizedCrop):
    """A part of random area and shape; after all attempts the largest centre box of an allowed shape."""

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        height, width = pixels.shape[:2]
        for _ in range(self.max_attempts):
            size = sample_size((width, height), self.crop_ratio_range, self.aspect_ratio_range, random)
            if 0 < size[0] <= width and 0 < size[1] <= height:
                return {"box": place_box((width, height), size, random)}
        return {"box": centre_box((width, height), self.aspect_ratio_range)}


PILLOW_NUMBER: Rule = (
    lambda value: isinstance(value, int) and value in set(Pillow.Resampling),
    "is a number of Pillow",
)


@dataclass(frozen=True)
class MAERandomResizedCrop(Transform):
    """BYOL's random crop, as used for masked autoencoders: one attempt, cut to the picture's size, no fallback.

    Source: Grill et al., Bootstrap your own latent, NeurIPS 2020, appendix B. Resampled by Pillow; size is (height,
    width).
    """

    size: Annotated[int | Sequence[int], rules.SIDES]
    scale: Span = (0.08, 1.0)
    ratio: Span = (3 / 4, 4 / 3)
    interpolation: Annotated[int, PILLOW_NUMBER] = int(Pillow.Resampling.BILINEAR)

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        height, width = pixels.shape[:2]
        box_width, box_height = sample_size((width, height), self.scale, self.ratio, random)
        size = max(1, min(box_width, width)), max(1, min(box_height, height))
        return {"box": place_box((width, height), size, random)}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        height, width = pair(self.size)
        interpolation = Pillow.Resampling(self.interpolation).name.lower()
        return resize(cut(pixels, params["box"]), (width, height), interpolation, "pillow")


@dataclass(frozen=True, kw_only=True)
class EfficientNetRandomCrop(ResizedCrop):
    """EfficientNet's: uniform shape, uniform height between the allowed areas; else the crop of the test pipeline.

    Source: the TPU reference preprocessing of Tan & Le, EfficientNet, ICML 2019.
    """

    scale: Annotated[int, rules.WHOLE]
    min_covered: Annotated[float, rules.NOT_NEGATIVE] = 0.1
    crop_padding: Annotated[int, rules.NOT_NEGATIVE] = 32
    interpolation: Interpolation = "bicubic"

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The box, of integer height first."""
        height, width = pixels.shape[:2]
        low, high = self.crop_ratio_range
        for _ in range(self.max_attempts):
            aspect = random.uniform(*self.aspect_ratio_range)
            smallest, largest = (round(math.sqrt(ratio * width * height / aspect)) for ratio in (low, high))
            if largest * aspect > width:
                largest = int((width + 0.5 - 1e-7) / aspect)
                largest -= largest * aspect > width
            largest = min(largest, height)
            box_height = round(random.uniform(min(largest, smallest), largest))
            box_width = round(box_height * aspect)
            covered = box_width * box_height / (width * height)
            if box_width <= width and box_height <= height and max(low, self.min_covered) <= covered <= high:
                return {"box": place_box((width, height), (box_width, box_height), random)}
        return {"box": efficientnet_box(width, height, size=self.scale, padding=self.crop_padding)}


INTERPOLATIONS: Rule = (
    lambda value: value == "random" or all(one in CV2 for one in ([value] if isinstance(value, str) else value)),
    f"is random, or among {', '.join(CV2)}",
)


@dataclass(frozen=True)
class RandomResizedCropAndInterpolationWithTwoPic(Transform):
    """BEiT's crop: the picture that the network sees and, with `second_size`, the one of its target, of one part.

    Sizes are (width, height). As upstream, a crop as wide or as high as the picture counts as a miss, the last row and
    column are never in one, and the largest centre box of an allowed shape follows ten misses.
    """

    size: Annotated[int | Sequence[int], rules.WHOLE_SIDES]
    second_size: Annotated[int | Sequence[int] | None, rules.WHOLE_SIDES] = None
    scale: Span = (0.08, 1.0)
    ratio: Span = (3 / 4, 4 / 3)
    interpolation: Annotated[str | Sequence[str], INTERPOLATIONS] = "bilinear"
    second_interpolation: Interpolation = "lanczos"

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The box, and the interpolation of the first picture."""
        height, width = pixels.shape[:2]
        box = centre_box((width, height), self.ratio)
        for _ in range(10):
            size = sample_size((width, height), self.scale, self.ratio, random)
            if size[0] < width and size[1] < height:
                box = place_box((width - 1, height - 1), size, random)
                break
        choices = ("bilinear", "bicubic") if self.interpolation == "random" else self.interpolation
        if isinstance(choices, str):
            return {"box": box}
        return {"box": box, "interpolation": str(random.choice(list(choices)))}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        interpolation = params.get("interpolation", self.interpolation)
        return resize(cut(pixels, params["box"]), pair(self.size), interpolation, "cv2")

    def second(self, pixels: Pixels, params: Params) -> Pixels:
        size = pair(self.second_size or self.size)
        return resize(cut(pixels, params["box"]), size, self.second_interpolation, "cv2")

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        """Two views, or one picture without `second_size`."""
        if self.second_size is None:
            return super().run(state, random)
        params = self.sample_params(state.pixels, random)
        pictures = self.apply(state.pixels, params), self.second(state.pixels, params)
        return Outcome(replace(state, views=tuple(map(state.with_pixels, pictures))), params)
