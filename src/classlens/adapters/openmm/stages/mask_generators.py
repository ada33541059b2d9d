"""Masks of masked image modelling: which patches the network does not see. The picture itself stays as it is.

A mask is an array of 0 and 1, one number per patch of the network; 1 is hidden.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import is_number
from classlens.adapters.openmm.stages.transform import NativeStep
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State
from classlens.errors import DataError

ATTEMPTS = 100_000
"""After so many blocks that add no patch, a mask will never be full."""


class MaskGenerator(NativeStep):
    """A stage that masks whatever there is: a picture, several views, or nothing that was loaded yet."""

    def mask(self, random: np.random.Generator) -> Pixels:
        """The mask of one picture."""
        raise NotImplementedError

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        mask = self.mask(random)
        params = {"masked": f"{int(mask.sum())} of {mask.size} patches"}
        return Outcome(state, params, "the picture is left alone: the mask is beside it")


@dataclass(frozen=True)
class SimMIMMaskGenerator(MaskGenerator):
    """A share of all squares of `mask_patch_size` pixels.

    Source: Xie et al., SimMIM, CVPR 2022, section 3.2.
    """

    input_size: int = 192
    mask_patch_size: int = 32
    model_patch_size: int = 4
    mask_ratio: float = 0.6
    checks: ClassVar = {
        "input_size": rules.COUNT,
        "mask_patch_size": rules.WHOLE,
        "model_patch_size": rules.WHOLE,
        "mask_ratio": rules.NUMBER,
    }

    def check(self) -> None:
        if self.input_size % self.mask_patch_size or self.mask_patch_size % self.model_patch_size:
            raise ValueError(
                f"input_size {self.input_size} is no multiple of mask_patch_size {self.mask_patch_size}, "
                f"or that is none of model_patch_size {self.model_patch_size}"
            )

    def mask(self, random: np.random.Generator) -> Pixels:
        side, scale = self.input_size // self.mask_patch_size, self.mask_patch_size // self.model_patch_size
        mask = np.zeros(side**2, int)
        mask[random.permutation(side**2)[: math.ceil(side**2 * self.mask_ratio)]] = 1
        return mask.reshape(side, side).repeat(scale, axis=0).repeat(scale, axis=1)


@dataclass(frozen=True)
class BEiTMaskGenerator(MaskGenerator):
    """Blocks of patches at random places until `num_masking_patches` are hidden; never in the last row and column.

    Source: Bao et al., BEiT, ICLR 2022, algorithm 1.
    """

    input_size: int | tuple[int, int]
    num_masking_patches: int
    min_num_patches: int = 4
    max_num_patches: int | None = None
    min_aspect: float = 0.3
    max_aspect: float | None = None
    checks: ClassVar = {
        "min_aspect": rules.ABOVE_0,
        "max_aspect": (lambda value: not value or rules.ABOVE_0[0](value), "must be above 0"),
        "num_masking_patches": rules.COUNT,
        "min_num_patches": rules.NOT_NEGATIVE,
        "max_num_patches": (lambda value: value is None or (is_number(value) and value >= 1), "is 1 or more"),
    }

    def check(self) -> None:
        height, width = self.sides
        if self.num_masking_patches > (height - 1) * (width - 1):
            raise ValueError(
                f"num_masking_patches is {self.num_masking_patches}, but blocks reach only "
                f"{(height - 1) * (width - 1)} of {height} x {width} patches: training would wait for ever"
            )

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        height, width = self.input_size if isinstance(self.input_size, tuple) else (self.input_size, self.input_size)
        return height, width

    def mask(self, random: np.random.Generator) -> Pixels:
        """The mask of one picture.

        Raises:
            DataError: no block fits that would fill it.
        """
        mask = np.zeros(self.sides, int)
        for _ in range(ATTEMPTS):
            missing = self.num_masking_patches - int(mask.sum())
            if missing == 0:
                return mask
            self.hide(mask, missing if self.max_num_patches is None else min(missing, self.max_num_patches), random)
        raise DataError(f"BEiTMaskGenerator: no {self.num_masking_patches} patches after {ATTEMPTS:,} blocks")

    def hide(self, mask: Pixels, most: int, random: np.random.Generator) -> None:
        """Add one block of at most `most` new patches, if it fits."""
        low, high = math.log(self.min_aspect), math.log(self.max_aspect or 1 / self.min_aspect)
        area = self.min_num_patches + (most - self.min_num_patches) * random.random()
        aspect = math.exp(low + (high - low) * random.random())
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        height, width = self.sides
        if rows < height and columns < width:
            top, left = int(random.integers(0, height - rows)), int(random.integers(0, width - columns))
            block = mask[top : top + rows, left : left + columns]
            if 0 < rows * columns - block.sum() <= most:
                block[:] = 1


MASKS: Mapping[str, type[MaskGenerator]] = {kind.__name__: kind for kind in (SimMIMMaskGenerator, BEiTMaskGenerator)}
