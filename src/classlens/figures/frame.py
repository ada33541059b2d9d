"""What the edges of a panel mean: from values to places on the picture, and the round numbers to write on its axes."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, floor, log10

import numpy as np

from classlens.figures.chart import Panel
from classlens.figures.primitives import Numbers


@dataclass(frozen=True)
class Frame:
    """Where one panel is, and what its edges mean: x from 0 to `x_end`, y from `low` to `high`; lengths in points."""

    left: float
    top: float
    width: float
    height: float
    x_end: float
    low: float
    high: float
    log: bool

    @property
    def right(self) -> float:
        """The right edge."""
        return self.left + self.width

    @property
    def bottom(self) -> float:
        """The lower edge."""
        return self.top + self.height

    def x(self, value: float) -> float:
        """Points from the left edge of the picture."""
        return self.left + value / self.x_end * self.width

    def xs(self, values: Numbers) -> Numbers:
        """The same for many values."""
        return self.left + values / self.x_end * self.width

    def y(self, value: float) -> float:
        """Points from the top edge of the picture."""
        return float(self.ys(np.array([value]))[0])

    def ys(self, values: Numbers) -> Numbers:
        """The same for many values; those that the axis cannot show are NaN."""
        if self.log:
            with np.errstate(divide="ignore", invalid="ignore"):
                share = (np.log10(values) - log10(self.low)) / (log10(self.high) - log10(self.low))
        else:
            share = (values - self.low) / (self.high - self.low)
        return np.where(np.isfinite(share), self.top + self.height * (1 - share), np.nan)


def limits(panel: Panel, room: float) -> tuple[float, float]:
    """The values at the lower and the upper edge, with `room` (a share of the height) left above the curves."""
    low, high = panel.span
    if panel.log:
        low = max(low, panel.lowest_positive)
        decades = max(high / low, 10.0)
        return low / decades**0.04, high * decades ** (room / (1 - room) + 0.02)
    low = 0.0 if 0 <= low < 0.5 * high else low
    if high == low:
        reach = abs(high) or 1.0
        low, high = low - reach / 2, high + reach / 2
    reach = high - low
    return low - 0.03 * reach, high + reach * (room / (1 - room) + 0.02)


def ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` round numbers (1, 2 or 5 times a power of ten) between two ends."""
    rough = (high - low) / most
    power = 10.0 ** floor(log10(rough))
    stride = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = ceil(low / stride - 1e-9)
    return [float(f"{index * stride:.12g}") for index in range(first, floor(high / stride + 1e-9) + 1)]


def log_ticks(low: float, high: float, most: int) -> list[float]:
    """At most about `most` powers of ten between two ends; with few of them, twice and five times each as well."""
    powers = range(floor(log10(low)), floor(log10(high)) + 1)
    factors = (1, 2, 5) if 3 * len(powers) <= most else (1,)
    stride = max(1, ceil(len(powers) / most))
    found = [float(f"{factor}e{power}") for power in powers if power % stride == 0 for factor in factors]
    return [value for value in found if low <= value <= high]
