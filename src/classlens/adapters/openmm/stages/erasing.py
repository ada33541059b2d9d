"""Random erasing: a rectangle filled with one colour or with noise."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from classlens.adapters.openmm.stages.transform import Draws, colour, probability
from classlens.dataset.reading import Pixels


@dataclass(frozen=True)
class RandomErasing:
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

    def __post_init__(self) -> None:
        for name in ("erase_prob", "min_area_ratio", "max_area_ratio"):
            if not isinstance(getattr(self, name), float):
                raise ValueError(f"{name} is a float, not {getattr(self, name)!r}")
            probability(name, getattr(self, name))
        colour("fill_color", self.fill_color)
        if self.fill_std is not None:
            colour("fill_std", self.fill_std)
        shapes = (self.aspect_range,) * 2 if isinstance(self.aspect_range, float) else self.aspect_range
        if (
            not isinstance(shapes, list | tuple)
            or len(shapes) != 2
            or not all(isinstance(one, float) for one in shapes)
        ):
            raise ValueError(f"aspect_range is a float or two, not {self.aspect_range!r}")
        if self.mode not in ("const", "rand"):
            raise ValueError(f"the mode is const or rand, not {self.mode!r}")
        if not 0 < self.aspects()[0] <= self.aspects()[1] or self.min_area_ratio > self.max_area_ratio:
            raise ValueError("ranges of area and shape are (low, high)")

    def aspects(self) -> tuple[float, float]:
        """The range of height / width."""
        if isinstance(self.aspect_range, (int, float)):
            low = min(self.aspect_range, 1 / self.aspect_range)
            return low, 1 / low
        low, high = self.aspect_range
        return low, high

    def draw(self, pixels: Pixels, random: np.random.Generator) -> Draws:
        """The box (x, y, width, height), and the noise in it."""
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

    def apply(self, pixels: Pixels, drawn: Draws) -> Pixels:
        """Fill."""
        if drawn["erase"] == "no":
            return pixels
        x, y, width, height = drawn["erase"]
        erased = pixels.copy()
        erased[y : y + height, x : x + width] = drawn["fill"]
        return erased
