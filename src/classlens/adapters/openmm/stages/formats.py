"""Stages that leave the picture as it is: normalised, as a Pillow picture, transposed, packed, with a mask beside it.

Normalisation is undone for the eye by the `Encoding` that the state carries; packing changes nothing to be seen and
is left out of the pipeline. A mask of masked image modelling says which patches the network does not see: an array of
0 and 1, one number per patch; 1 is hidden.
"""

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages import rules
from classlens.adapters.openmm.stages.rules import ANYTHING, NativeStep, Rule, Setting, is_number
from classlens.dataset.dataset import Outcome
from classlens.dataset.decode import Pixels
from classlens.dataset.state import State
from classlens.errors import DataError
from classlens.image import Encoding

LOADER = "LoadImageFromFile"
PACKING = ("PackInputs", "PackClsInputs", "PackMultiTaskInputs")  # stages that hand the picture over to the network


def are_names(value: Setting) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(name, str) for name in value)


SEVERAL: Rule = (are_names, "are names")
NAMES: Rule = (lambda value: isinstance(value, str) or are_names(value), "are names")
TASKS = {"multi_task_fields": NAMES, "input_key": ANYTHING, "task_handlers": ANYTHING}
CAPTION = {"keys": NAMES, **dict.fromkeys(("remove_chars", "lowercase", "remove_dup_space", "strip"), ANYTHING)}
FOLDED: Mapping[str, tuple[Mapping[str, Rule], Sequence[str]]] = {
    **dict.fromkeys(PACKING, ({"input_key": ANYTHING, "algorithm_keys": NAMES, "meta_keys": NAMES}, ())),
    "PackMultiTaskInputs": (TASKS, ["multi_task_fields"]),
    "CleanCaption": (CAPTION, ()),
    "Collect": ({"keys": SEVERAL, "meta_keys": NAMES}, ["keys"]),
    **dict.fromkeys(("ToTensor", "ImageToTensor", "ToHalf"), ({"keys": SEVERAL}, ["keys"])),
}
"""Stages that pack what is there, or change a text, and make no new picture: the settings they have, and must have."""


@dataclass(frozen=True)
class Normalize(NativeStep):
    """(picture - mean) / std, with red and blue swapped first if `to_rgb`; the sample remembers how to undo it."""

    mean: Sequence[float]
    std: Sequence[float]
    to_rgb: bool = True

    def __post_init__(self) -> None:
        numbers = all(map(is_number, (*self.mean, *self.std)))
        if not numbers or len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or 0 in self.std:
            raise ValueError(f"mean and std are three numbers each (grey: one), std without 0: {self.mean}, {self.std}")

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        """The normalised array; grey pictures have one number each for mean and std, and are shown in three channels."""
        mean, std = (tuple(map(float, values)) * (3 // len(values)) for values in (self.mean, self.std))
        encoding = Encoding("RGB" if self.to_rgb else "BGR", mean=mean, std=std)  # type: ignore[arg-type]
        flips = self.to_rgb and state.pixels.ndim == 3
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB) if flips else state.pixels
        values = (array.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return Outcome(replace(state, value=values, encoding=encoding), note="undone for the eye")


@dataclass(frozen=True)
class ToPillow(NativeStep):
    """An array becomes a Pillow picture, for the torchvision stages that follow."""

    to_rgb: bool = False

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        if not self.to_rgb:
            return Outcome(replace(state, value=Pillow.fromarray(state.pixels)))
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB)
        return Outcome(replace(state, value=Pillow.fromarray(array), encoding=Encoding("RGB")))


@dataclass(frozen=True)
class ToArray(NativeStep):
    """A Pillow picture becomes an array again."""

    to_bgr: bool = False
    dtype: Annotated[str | None, (lambda value: np.dtype(value) is not None, "is a type of numpy")] = None

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        array = np.array(state.value, dtype=self.dtype)
        if not self.to_bgr:
            return Outcome(replace(state, value=array))
        return Outcome(replace(state, value=cv2.cvtColor(array, cv2.COLOR_RGB2BGR), encoding=Encoding("BGR")))


ARRAYS = ("gt_label", "gt_score", "img", "mask")
KEYS: Rule = (lambda value: are_names(value) and set(value) <= set(ARRAYS), f"are among {', '.join(ARRAYS)}")


@dataclass(frozen=True)
class Transpose(NativeStep):
    """The axes of an array in another order: rows, columns, channels are 0, 1, 2 to begin with."""

    keys: Annotated[Sequence[str], KEYS]
    order: Sequence[int]

    def __post_init__(self) -> None:
        if "img" in self.keys and (sorted(self.order) != [0, 1, 2] or self.order[1] == 2):
            raise ValueError(f"order names the axes 0, 1 and 2 once each, not 2 in the middle: {tuple(self.order)}")

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        if "img" not in self.keys:
            return Outcome(state)
        if state.encoding.layout != "HWC" or state.pixels.ndim != 3:
            raise DataError("Transpose: the channels of this picture are not its last axis")
        layout = replace(state.encoding, layout="CHW" if self.order[0] == 2 else "HWC")
        return Outcome(replace(state, value=state.pixels.transpose(self.order), encoding=layout))


class MaskGenerator(NativeStep):
    """A stage that masks whatever there is: a picture, several views, or nothing that was loaded yet."""

    @abstractmethod
    def mask(self, random: np.random.Generator) -> Pixels: ...

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        mask = self.mask(random)
        params = {"masked": f"{int(mask.sum())} of {mask.size} patches"}
        return Outcome(state, params, "the picture is left alone: the mask is beside it")


@dataclass(frozen=True)
class SimMIMMaskGenerator(MaskGenerator):
    """A share of all squares of `mask_patch_size` pixels.

    Source: Xie et al., SimMIM, CVPR 2022, section 3.2.
    """

    input_size: Annotated[int, rules.COUNT] = 192
    mask_patch_size: Annotated[int, rules.WHOLE] = 32
    model_patch_size: Annotated[int, rules.WHOLE] = 4
    mask_ratio: Annotated[float, rules.NUMBER] = 0.6

    def __post_init__(self) -> None:
        if self.input_size % self.mask_patch_size or self.mask_patch_size % self.model_patch_size:
            sizes = self.input_size, self.mask_patch_size, self.model_patch_size
            raise ValueError(f"input_size is no multiple of mask_patch_size, or that of model_patch_size: {sizes}")

    def mask(self, random: np.random.Generator) -> Pixels:
        side, scale = self.input_size // self.mask_patch_size, self.mask_patch_size // self.model_patch_size
        mask = np.zeros(side**2, int)
        mask[random.permutation(side**2)[: math.ceil(side**2 * self.mask_ratio)]] = 1
        return mask.reshape(side, side).repeat(scale, axis=0).repeat(scale, axis=1)


ATTEMPTS = 100_000  # after so many blocks that add no patch, a mask will never be full


@dataclass(frozen=True)
class BEiTMaskGenerator(MaskGenerator):
    """Blocks of patches at random places until `num_masking_patches` are hidden; never in the last row and column.

    Source: Bao et al., BEiT, ICLR 2022, algorithm 1.
    """

    input_size: Annotated[int | Sequence[int], rules.WHOLE_SIDES]
    num_masking_patches: Annotated[int, rules.COUNT]
    min_num_patches: Annotated[int, rules.NOT_NEGATIVE] = 4
    max_num_patches: Annotated[int | None, (lambda value: is_number(value) and value >= 1, "is 1 or more")] = None
    min_aspect: Annotated[float, rules.ABOVE_0] = 0.3
    max_aspect: Annotated[float | None, (lambda value: not value or rules.ABOVE_0[0](value), "must be above 0")] = None

    def __post_init__(self) -> None:
        height, width = rules.pair(self.input_size)
        most = (height - 1) * (width - 1)
        if self.num_masking_patches > most:
            reach = f"blocks reach only {most} of {height} x {width} patches: training would wait for ever"
            raise ValueError(f"num_masking_patches is {self.num_masking_patches}, but {reach}")

    def mask(self, random: np.random.Generator) -> Pixels:
        """The mask of one picture: blocks of new patches are added where they fit, until it is full."""
        height, width = rules.pair(self.input_size)
        mask = np.zeros((height, width), int)
        low, high = math.log(self.min_aspect), math.log(self.max_aspect or 1 / self.min_aspect)
        for _ in range(ATTEMPTS):
            missing = self.num_masking_patches - int(mask.sum())
            if missing == 0:
                return mask
            most = missing if self.max_num_patches is None else min(missing, self.max_num_patches)
            area = self.min_num_patches + (most - self.min_num_patches) * random.random()
            aspect = math.exp(low + (high - low) * random.random())
            rows, columns = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
            if rows < height and columns < width:
                top, left = int(random.integers(0, height - rows)), int(random.integers(0, width - columns))
                block = mask[top : top + rows, left : left + columns]
                if 0 < rows * columns - block.sum() <= most:
                    block[:] = 1
        raise DataError(f"BEiTMaskGenerator: no {self.num_masking_patches} patches after {ATTEMPTS:,} blocks")
