"""Brightness, contrast, colour, sharpness, hue and tone curves: functions of a BGR uint8 picture and a number.

Factor 1 leaves the picture alone. The OpenCV versions give the pixels of `mmcv.image.photometric`; whatever depends on
one value at a time is computed once for the 256 values and looked up, which is exact and several times faster.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import Amount, Params, Rule, Transform
from classlens.dataset.decode import Pixels

LEVELS = np.arange(256, dtype=np.uint8)
SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""The kernel of Pillow's SMOOTH filter, to which sharpness blends."""


def apply_curve(pixels: Pixels, curve: Pixels) -> Pixels:
    """Every value replaced by the curve's: one curve of 256, or one per channel (256 x 3)."""
    table = curve.astype(np.uint8)
    return cv2.LUT(pixels, table.reshape(1, 256, -1))


def blend(first: Pixels, factor: float, second: Pixels) -> Pixels:
    mix = cv2.addWeighted(first.astype(np.float32), factor, second.astype(np.float32), 1 - factor, 0)
    return np.clip(mix, 0, 255).astype(np.uint8)


def brightness(pixels: Pixels, factor: float) -> Pixels:
    return apply_curve(pixels, blend(LEVELS, factor, np.zeros_like(LEVELS)))


def contrast(pixels: Pixels, factor: float) -> Pixels:
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    mean = round(grey.sum() / grey.size)
    return apply_curve(pixels, blend(LEVELS, factor, np.full_like(LEVELS, mean)))


def colour(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the grey picture; here OpenCV rounds instead of truncating."""
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(pixels, factor, grey, 1 - factor, 0)


def sharpness(pixels: Pixels, factor: float) -> Pixels:
    return blend(pixels, factor, cv2.filter2D(pixels, -1, SMOOTHING))


def hue(pixels: Pixels, shift: float) -> Pixels:
    """Turn the hue by `shift` of a full circle, -0.5..0.5."""
    parts = list(cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV_FULL)))
    parts[0] = parts[0] + np.uint8(int(shift * 255) % 256)
    return cv2.cvtColor(cv2.merge(parts), cv2.COLOR_HSV2BGR_FULL)


def invert(pixels: Pixels) -> Pixels:
    return 255 - pixels


def solarize(pixels: Pixels, thr: Amount) -> Pixels:
    return apply_curve(pixels, np.where(thr > LEVELS, LEVELS, 255 - LEVELS))


def solarize_add(pixels: Pixels, magnitude: Amount, thr: Annotated[float, rules.NUMBER] = 128) -> Pixels:
    """Brighten what is below the threshold."""
    raised = np.minimum(LEVELS.astype(np.float64) + magnitude, 255)
    return apply_curve(pixels, np.where(thr > LEVELS, raised, LEVELS))


def posterize(pixels: Pixels, bits: Amount) -> Pixels:
    return np.bitwise_and(pixels, np.uint8((0xFF00 >> int(bits)) & 0xFF))


def auto_contrast(pixels: Pixels) -> Pixels:
    return by_histogram(pixels, stretch)


def equalize(pixels: Pixels) -> Pixels:
    return by_histogram(pixels, flatten)


def by_histogram(pixels: Pixels, curve_of: Callable[[Pixels], Pixels]) -> Pixels:
    """Every channel through the curve that its own histogram asks for."""
    histograms = [np.bincount(channel.ravel(), minlength=256) for channel in cv2.split(pixels)]
    return apply_curve(pixels, np.stack([curve_of(histogram) for histogram in histograms], axis=1))


def stretch(histogram: Pixels) -> Pixels:
    """The curve that takes the lowest value present to 0 and the highest to 255."""
    present = np.flatnonzero(histogram)
    low, high = present[0], present[-1]
    if low >= high:
        return LEVELS
    scale = 255.0 / (high - low)
    curve: Pixels = (np.arange(256) * scale - low * scale).clip(0, 255)
    return curve


def flatten(histogram: Pixels) -> Pixels:
    """The curve of Pillow's `ImageOps.equalize`; a channel of one value stays."""
    step = (histogram.sum() - histogram[np.flatnonzero(histogram)[-1]]) // 255
    if step == 0:
        return LEVELS
    curve: Pixels = (np.cumsum(histogram) + step // 2) // step
    return np.concatenate([[0], curve[:-1]]).clip(max=255)


CV2 = {"brightness": brightness, "contrast": contrast, "saturation": colour, "hue": hue}
PILLOW = {"brightness": ImageEnhance.Brightness, "contrast": ImageEnhance.Contrast, "saturation": ImageEnhance.Color}

FACTOR: Rule = (lambda value: value >= 0 if np.ndim(value) == 0 else len(value) == 2, "is a number not below 0, or two")
Factor: TypeAlias = Annotated[float | Sequence[float], FACTOR]


@dataclass(frozen=True)
class ColorJitter(Transform):
    """Brightness, contrast, saturation and hue by random factors, in random order.

    A number b stands for factors from max(0, 1 - b) to 1 + b, and for hue shifts from -b to b; a pair is the range.
    """

    brightness: Factor = 0.0
    contrast: Factor = 0.0
    saturation: Factor = 0.0
    hue: Factor = 0.0
    backend: Annotated[str | None, rules.one_of("cv2", "pillow", None)] = "pillow"

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        """The factors that are not fixed at their neutral value, in the order in which they are applied."""
        params = {}
        for position in random.permutation(4):
            name = list(CV2)[position]
            neutral, lowest, highest = (0.0, -0.5, 0.5) if name == "hue" else (1.0, 0.0, math.inf)
            value: Factor = getattr(self, name)
            ends = (neutral - value, neutral + value) if isinstance(value, int | float) else value
            first, last = (min(max(end, lowest), highest) for end in ends)
            if (first, last) != (neutral, neutral):
                params[name] = first + (last - first) * random.random()
        return params

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        if not params or self.backend != "pillow":
            for name, factor in params.items():
                pixels = CV2[name](pixels, factor)
            return pixels
        picture = Pillow.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
        for name, factor in params.items():
            if name == "hue":  # as torchvision's Pillow version turns it
                parts = np.array(picture.convert("HSV"))
                parts[..., 0] += np.uint8(int(factor * 255) % 256)
                picture = Pillow.fromarray(parts, "HSV").convert("RGB")
            else:
                picture = PILLOW[name](picture).enhance(factor)
        return np.ascontiguousarray(np.asarray(picture)[..., ::-1])


@dataclass(frozen=True)
class Lighting(Transform):
    """Colour noise along the principal components of ImageNet's pixels.

    Source: Krizhevsky et al., ImageNet classification with deep CNNs, NeurIPS 2012, section 4.1. As upstream, values
    beyond 0..255 wrap around, and `to_rgb` leaves the channels swapped for the stages that follow. Without `wrapped`,
    as in 0.x, the picture becomes one of floats and nothing wraps.
    """

    eigval: Annotated[Sequence[float], (lambda value: np.ndim(value) == 1, "is a list of numbers")]
    eigvec: Sequence[Sequence[float]]
    alphastd: Annotated[float, (lambda value: isinstance(value, float), "is a float")] = 0.1
    to_rgb: bool = False
    wrapped: bool = True

    def __post_init__(self) -> None:
        if np.shape(self.eigvec) != (3, len(self.eigval)):
            raise ValueError(f"eigvec is 3 x {len(self.eigval)}, not {' x '.join(map(str, np.shape(self.eigvec)))}")

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        return {"alpha": tuple(random.normal(0, self.alphastd, len(self.eigval)).tolist())}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        shift = (np.asarray(self.eigvec) * np.asarray(params["alpha"]) * np.asarray(self.eigval)).sum(axis=1)
        source = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if self.to_rgb else pixels
        if not self.wrapped:
            return np.asarray(source + shift, np.float32)
        curves = (LEVELS.astype(np.float32)[:, None] + shift).astype(np.int64) % 256
        return apply_curve(source, curves)


WEIGHTS: Rule = (lambda value: value is None or len(value) == 3, "are three numbers, one per channel")


@dataclass(frozen=True)
class RandomGrayscale(Transform):
    """Grey with a probability; one channel unless `keep_channels`. Without weights as 0.x: by OpenCV, as if RGB."""

    prob: Annotated[float, rules.PROBABILITY] = 0.1
    keep_channels: bool = False
    channel_weights: Annotated[Sequence[float] | None, WEIGHTS] = (1.0, 1.0, 1.0)
    color_format: Annotated[str, rules.one_of("bgr", "rgb", "hsv")] = "bgr"

    def sample_params(self, pixels: Pixels, random: np.random.Generator) -> Params:
        return {"grey": "yes" if random.random() < self.prob else "no"}

    def apply(self, pixels: Pixels, params: Params) -> Pixels:
        """The weighted mean of the channels; with weights it is truncated."""
        source = cv2.cvtColor(pixels, cv2.COLOR_HSV2BGR) if self.color_format == "hsv" else pixels
        if params["grey"] == "no" or source.ndim == 2:
            return source
        if self.channel_weights is None:
            grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
        else:
            weights = np.array(self.channel_weights) / sum(self.channel_weights)
            grey = (weights * source).sum(axis=2).astype(np.uint8)
        return np.dstack([grey] * source.shape[2]) if self.keep_channels else grey
