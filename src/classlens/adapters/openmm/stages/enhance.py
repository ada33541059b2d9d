"""Brightness, contrast, colour, sharpness, hue and tone curves: functions of a BGR uint8 picture and a number.

Factor 1 leaves the picture alone. The OpenCV versions give the pixels of `mmcv.image.photometric`; whatever depends on
one value at a time is computed once for the 256 values and looked up, which is exact and several times faster.
"""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow
from PIL import ImageEnhance

from classlens.dataset.reading import Pixels

LEVELS = np.arange(256, dtype=np.uint8)
SMOOTHING = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]]) / 13
"""The kernel of Pillow's SMOOTH filter, to which sharpness blends."""


def looked_up(pixels: Pixels, curve: np.ndarray[Any, np.dtype[Any]]) -> Pixels:
    """Every value replaced by the curve's: one curve of 256, or one per channel (256 x 3)."""
    table = curve.astype(np.uint8)
    return cv2.LUT(pixels, table.reshape(1, 256, -1))


def blended(first: Pixels, factor: float, second: Pixels) -> Pixels:
    """Blend: first x factor + second x (1 - factor), clipped and truncated to whole levels."""
    mix = cv2.addWeighted(first.astype(np.float32), factor, second.astype(np.float32), 1 - factor, 0)
    return np.clip(mix, 0, 255).astype(np.uint8)


def brightness(pixels: Pixels, factor: float) -> Pixels:
    """Blend with black."""
    return looked_up(pixels, blended(LEVELS, factor, np.zeros_like(LEVELS)).ravel())


def contrast(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the mean grey."""
    grey = cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY)
    mean = round(grey.sum() / grey.size)
    return looked_up(pixels, blended(LEVELS, factor, np.full_like(LEVELS, mean)).ravel())


def colour(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the grey picture; here OpenCV rounds instead of truncating."""
    grey = cv2.cvtColor(cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    return cv2.addWeighted(pixels, factor, grey, 1 - factor, 0)


def sharpness(pixels: Pixels, factor: float) -> Pixels:
    """Blend with the smoothed picture."""
    return blended(pixels, factor, cv2.filter2D(pixels, -1, SMOOTHING))


def hue(pixels: Pixels, shift: float) -> Pixels:
    """Turn the hue by `shift` of a full circle, -0.5..0.5."""
    parts = list(cv2.split(cv2.cvtColor(pixels, cv2.COLOR_BGR2HSV_FULL)))
    parts[0] = parts[0] + np.uint8(int(shift * 255) % 256)
    return cv2.cvtColor(cv2.merge(parts), cv2.COLOR_HSV2BGR_FULL)


def invert(pixels: Pixels) -> Pixels:
    """The negative."""
    return 255 - pixels


def solarize(pixels: Pixels, threshold: float) -> Pixels:
    """Invert what is at or above the threshold."""
    return looked_up(pixels, np.where(threshold > LEVELS, LEVELS, 255 - LEVELS))


def solarize_add(pixels: Pixels, amount: float, threshold: float) -> Pixels:
    """Brighten what is below the threshold."""
    raised = np.minimum(LEVELS.astype(np.float64) + amount, 255)
    return looked_up(pixels, np.where(threshold > LEVELS, raised, LEVELS))


def posterize(pixels: Pixels, bits: int) -> Pixels:
    """Keep the highest `bits` of every value; none of them is black."""
    return np.bitwise_and(pixels, np.uint8((0xFF00 >> bits) & 0xFF))


def auto_contrast(pixels: Pixels) -> Pixels:
    """Stretch every channel to the full range."""
    curves = [stretched(histogram) for histogram in histograms(pixels)]
    return looked_up(pixels, np.stack(curves, axis=1))


def stretched(histogram: Pixels) -> Pixels:
    """The curve that takes the lowest value present to 0 and the highest to 255."""
    present = np.flatnonzero(histogram)
    low, high = present[0], present[-1]
    if low >= high:
        return LEVELS
    scale = 255.0 / (high - low)
    curve: Pixels = np.clip(np.arange(256) * scale - low * scale, 0, 255)
    return curve.astype(np.uint8)


def equalize(pixels: Pixels) -> Pixels:
    """Flatten the histogram of every channel."""
    curves = [flattened(histogram) for histogram in histograms(pixels)]
    return looked_up(pixels, np.stack(curves, axis=1))


def flattened(histogram: Pixels) -> Pixels:
    """The curve of Pillow's `ImageOps.equalize`; a channel of one value stays."""
    step = (histogram.sum() - histogram[np.flatnonzero(histogram)[-1]]) // 255
    if step == 0:
        return LEVELS
    curve = (np.cumsum(histogram) + step // 2) // step
    moved: Pixels = np.minimum(np.concatenate([[0], curve[:-1]]), 255)
    return moved.astype(np.uint8)


def histograms(pixels: Pixels) -> list[Pixels]:
    """How often every value occurs, per channel."""
    return [np.bincount(pixels[:, :, channel].ravel(), minlength=256) for channel in range(pixels.shape[2])]


def with_pillow(enhancer: Callable[[Pillow.Image], ImageEnhance._Enhance]) -> Callable[[Pixels, float], Pixels]:
    """One of Pillow's enhancers as a function of a BGR array."""

    def change(pixels: Pixels, factor: float) -> Pixels:
        picture = Pillow.fromarray(np.ascontiguousarray(pixels[..., ::-1]))
        return np.asarray(enhancer(picture).enhance(factor))[..., ::-1]

    return change


def hue_with_pillow(pixels: Pixels, shift: float) -> Pixels:
    """Turn the hue as torchvision's Pillow version does."""
    picture = Pillow.fromarray(np.ascontiguousarray(pixels[..., ::-1])).convert("HSV")
    parts = np.array(picture)
    parts[..., 0] += np.uint8(int(shift * 255) % 256)
    return np.array(Pillow.fromarray(parts, "HSV").convert("RGB"))[..., ::-1]
