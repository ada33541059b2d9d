"""Stages that change colours: jitter, lighting along principal components, and random grey."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ImageEnhance

from classlens.adapters.openmm.stages import enhance
from classlens.adapters.openmm.stages.transform import Draws, probability
from classlens.dataset.reading import Pixels

Change = Callable[[Pixels, float], Pixels]
CV2: Mapping[str, Change] = {
    "brightness": enhance.brightness,
    "contrast": enhance.contrast,
    "saturation": enhance.colour,
    "hue": enhance.hue,
}
PILLOW: Mapping[str, Change] = {
    "brightness": enhance.with_pillow(ImageEnhance.Brightness),
    "contrast": enhance.with_pillow(ImageEnhance.Contrast),
    "saturation": enhance.with_pillow(ImageEnhance.Color),
    "hue": enhance.hue_with_pillow,
}


@dataclass(frozen=True)
class ColorJitter:
    """Brightness, contrast, saturation and hue by random factors, in random order.

    A number b stands for factors from max(0, 1 - b) to 1 + b, and for hue shifts from -b to b; a pair is the range.
    """

    brightness: float | Sequence[float] = 0.0
    contrast: float | Sequence[float] = 0.0
    saturation: float | Sequence[float] = 0.0
    hue: float | Sequence[float] = 0.0
    backend: str | None = "pillow"

    def __post_init__(self) -> None:
        if self.backend not in ("cv2", "pillow", None):
            raise ValueError(f"the backend is cv2 or pillow, not {self.backend!r}")
        self.ranges()

    def ranges(self) -> dict[str, tuple[float, float]]:
        """The range of every factor that is not fixed at its neutral value."""
        spans = {name: span(getattr(self, name), centre=1.0, low=0.0) for name in ("brightness", "contrast")}
        spans["saturation"] = span(self.saturation, centre=1.0, low=0.0)
        spans["hue"] = span(self.hue, centre=0.0, low=-0.5, high=0.5)
        neutral = {"hue": (0.0, 0.0)}
        return {name: found for name, found in spans.items() if found != neutral.get(name, (1.0, 1.0))}

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """The factors, in the order in which they are applied."""
        ranges = self.ranges()
        order = [list(CV2)[position] for position in random.permutation(4)]
        return {name: between(*ranges[name], random) for name in order if name in ranges}

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """One change after the other."""
        changes = PILLOW if self.backend == "pillow" else CV2
        for name, factor in drawn.items():
            pixels = changes[name](pixels, factor)
        return pixels


def between(first: float, last: float, random: np.random.Generator) -> float:
    """A random number of a range, which may run backwards."""
    return first + (last - first) * random.random()


def span(
    value: float | Sequence[float], *, centre: float, low: float, high: float = float("inf")
) -> tuple[float, float]:
    """The range that a setting of ColorJitter stands for, cut to what makes sense."""
    if isinstance(value, (int, float)):
        if value < 0:
            raise ValueError(f"a single number must not be negative: {value}")
        first, last = centre - value, centre + value
    else:
        first, last = value
    return min(max(first, low), high), min(max(last, low), high)


@dataclass(frozen=True)
class Lighting:
    """Colour noise along the principal components of ImageNet's pixels.

    Source: Krizhevsky et al., ImageNet classification with deep CNNs, NeurIPS 2012, section 4.1. As upstream, values
    beyond 0..255 wrap around, and `to_rgb` leaves the channels swapped for the stages that follow. Without `wrapped`,
    as in 0.x, the picture becomes one of floats and nothing wraps.
    """

    eigval: Sequence[float]
    eigvec: Sequence[Sequence[float]]
    alphastd: float = 0.1
    to_rgb: bool = False
    wrapped: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.alphastd, float):
            raise ValueError(f"alphastd is a float, not {self.alphastd!r}")
        if np.ndim(self.eigval) != 1:
            raise ValueError(f"eigval is a list of numbers, not {self.eigval!r}")
        if np.shape(self.eigvec) != (3, len(self.eigval)):
            raise ValueError(f"eigvec is 3 x {len(self.eigval)}, not {' x '.join(map(str, np.shape(self.eigvec)))}")

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """The weight of every component."""
        return {"alpha": tuple(float(part) for part in random.normal(0, self.alphastd, len(self.eigval)))}

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Add the same colour everywhere."""
        shift = (np.asarray(self.eigvec) * np.asarray(drawn["alpha"]) * np.asarray(self.eigval)).sum(axis=1)
        source = cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB) if self.to_rgb else pixels
        if not self.wrapped:
            return np.asarray(source + shift, np.float32)
        curves = (enhance.LEVELS.astype(np.float32)[:, None] + shift).astype(np.int64) % 256
        return enhance.looked_up(source, curves)


@dataclass(frozen=True)
class RandomGrayscale:
    """Grey with a probability; one channel unless `keep_channels`. Without weights as 0.x: by OpenCV, as if RGB."""

    prob: float = 0.1
    keep_channels: bool = False
    channel_weights: Sequence[float] | None = (1.0, 1.0, 1.0)
    color_format: str = "bgr"

    def __post_init__(self) -> None:
        probability("prob", self.prob)
        if self.channel_weights is not None and len(self.channel_weights) != 3:
            raise ValueError(f"channel_weights are three numbers, one per channel, not {self.channel_weights!r}")
        if self.color_format not in ("bgr", "rgb", "hsv"):
            raise ValueError(f"color_format is bgr, rgb or hsv, not {self.color_format!r}")

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """Grey or not."""
        return {"grey": "yes" if random.random() < self.prob else "no"}

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """The weighted mean of the channels; with weights it is truncated."""
        source = cv2.cvtColor(pixels, cv2.COLOR_HSV2BGR) if self.color_format == "hsv" else pixels
        if drawn["grey"] == "no" or source.ndim == 2:
            return source
        if self.channel_weights is None:
            grey = cv2.cvtColor(source, cv2.COLOR_RGB2GRAY)
        else:
            weights = np.array(self.channel_weights) / sum(self.channel_weights)
            grey = (weights * source).sum(axis=2).astype(np.uint8)
        return np.dstack([grey] * source.shape[2]) if self.keep_channels else grey
