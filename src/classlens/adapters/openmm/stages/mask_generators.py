"""Masks of masked image modelling: which patches the network does not see. The picture itself stays as it is.

A mask is an array of 0 and 1, one number per patch of the network; 1 is hidden.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from classlens.adapters.openmm.stages.transform import arguments, at_least_0, is_number, positive, record_of
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome, Stage
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State
from classlens.errors import DataError

ATTEMPTS = 100_000
"""After so many blocks that add no patch, a mask will never be full."""


@dataclass(frozen=True)
class SimMIMMaskGenerator:
    """A share of all squares of `mask_patch_size` pixels.

    Source: Xie et al., SimMIM, CVPR 2022, section 3.2.
    """

    input_size: int = 192
    mask_patch_size: int = 32
    model_patch_size: int = 4
    mask_ratio: float = 0.6

    def __post_init__(self) -> None:
        for name in ("input_size", "mask_patch_size", "model_patch_size"):
            at_least_0(name, getattr(self, name), int)
        positive("mask_patch_size and model_patch_size", self.mask_patch_size, self.model_patch_size)
        if self.input_size % self.mask_patch_size or self.mask_patch_size % self.model_patch_size:
            raise ValueError(
                f"input_size {self.input_size} is no multiple of mask_patch_size {self.mask_patch_size}, "
                f"or that is none of model_patch_size {self.model_patch_size}"
            )

        if not is_number(self.mask_ratio):
            raise ValueError(f"mask_ratio is a number, not {self.mask_ratio!r}")

    def mask(self, random: np.random.Generator) -> Pixels:
        """The mask of one picture."""
        side, scale = self.input_size // self.mask_patch_size, self.mask_patch_size // self.model_patch_size
        mask = np.zeros(side**2, int)
        mask[random.permutation(side**2)[: math.ceil(side**2 * self.mask_ratio)]] = 1
        return mask.reshape(side, side).repeat(scale, axis=0).repeat(scale, axis=1)


@dataclass(frozen=True)
class BEiTMaskGenerator:
    """Blocks of patches at random places until `num_masking_patches` are hidden; never in the last row and column.

    Source: Bao et al., BEiT, ICLR 2022, algorithm 1.
    """

    input_size: int | tuple[int, int]
    num_masking_patches: int
    min_num_patches: int = 4
    max_num_patches: int | None = None
    min_aspect: float = 0.3
    max_aspect: float | None = None

    def __post_init__(self) -> None:
        height, width = self.sides
        positive("min_aspect", self.min_aspect)
        positive("max_aspect", self.aspects[1])
        at_least_0("num_masking_patches", self.num_masking_patches, int)
        at_least_0("min_num_patches", self.min_num_patches)
        if self.max_num_patches is not None and (not is_number(self.max_num_patches) or self.max_num_patches < 1):
            raise ValueError(f"max_num_patches is 1 or more, not {self.max_num_patches!r}")
        if not 0 <= self.num_masking_patches <= (height - 1) * (width - 1):
            raise ValueError(
                f"num_masking_patches is {self.num_masking_patches}, but blocks reach only "
                f"{(height - 1) * (width - 1)} of {height} x {width} patches: training would wait for ever"
            )

    @property
    def sides(self) -> tuple[int, int]:
        """Rows and columns of patches."""
        height, width = self.input_size if isinstance(self.input_size, tuple) else (self.input_size, self.input_size)
        return height, width

    @property
    def aspects(self) -> tuple[float, float]:
        return self.min_aspect, self.max_aspect or 1 / self.min_aspect

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
        low, high = map(math.log, self.aspects)
        area = self.min_num_patches + (most - self.min_num_patches) * random.random()
        aspect = math.exp(low + (high - low) * random.random())
        rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        height, width = self.sides
        if rows < height and columns < width:
            top, left = int(random.integers(0, height - rows)), int(random.integers(0, width - columns))
            block = mask[top : top + rows, left : left + columns]
            if 0 < rows * columns - block.sum() <= most:
                block[:] = 1


Mask: TypeAlias = type[SimMIMMaskGenerator] | type[BEiTMaskGenerator]
MASKS: Mapping[str, Mask] = {"SimMIMMaskGenerator": SimMIMMaskGenerator, "BEiTMaskGenerator": BEiTMaskGenerator}


def mask_stage(settings: Settings, where: str) -> Stage:
    """One of `MASKS` as a stage, whatever is masked: a picture, several views, or nothing that was loaded yet.

    Raises:
        ConfigError: a setting is unknown or makes no sense.
    """
    name = str(settings["type"])
    generator = record_of(MASKS[name], settings, where)

    def apply(state: State, random: np.random.Generator) -> Outcome:
        mask = generator.mask(random)
        params = {"masked": f"{int(mask.sum())} of {mask.size} patches"}
        return Outcome(state, params, "the picture is left alone: the mask is beside it")

    return Stage(name, apply, arguments(settings), draws_globally=False)
