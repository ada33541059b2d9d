"""Stages that change how the picture is held: normalised, as a Pillow picture, or packed for the network.

Normalisation is undone for the eye by the `Encoding` that the state carries; packing changes nothing to be seen and
is left out of the pipeline.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.adapters.openmm.stages.rules import is_number
from classlens.adapters.openmm.stages.transform import NativeStep, check_settings
from classlens.config.settings import Settings
from classlens.dataset.dataset import Outcome
from classlens.dataset.state import State
from classlens.errors import ConfigError, DataError
from classlens.image import Encoding

LOADER = "LoadImageFromFile"
PACKING = ("PackInputs", "PackClsInputs", "PackMultiTaskInputs")
"""Stages that hand the picture over to the network."""

FOLDED: Mapping[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    **dict.fromkeys(PACKING, (("input_key", "algorithm_keys", "meta_keys"), ())),
    "PackMultiTaskInputs": (("multi_task_fields", "input_key", "task_handlers"), ("multi_task_fields",)),
    "CleanCaption": (("keys", "remove_chars", "lowercase", "remove_dup_space", "strip"), ()),
    "Collect": (("keys", "meta_keys"), ("keys",)),
    **dict.fromkeys(("ToTensor", "ImageToTensor", "ToHalf"), (("keys",), ("keys",))),
}
"""Stages that pack what is there, or change a text, and make no new picture: the settings they have, and must have."""


def check_folded(settings: Settings, where: str) -> None:
    """Refuse settings of a stage that makes no new picture, as training would."""
    check_settings(settings, *FOLDED[str(settings["type"])], where)
    for key in ("keys", "algorithm_keys", "meta_keys", "multi_task_fields"):
        names = settings.get(key, ())
        if isinstance(names, str) and (key != "keys" or settings["type"] == "CleanCaption"):
            names = [names]
        if not isinstance(names, list | tuple) or not all(isinstance(name, str) for name in names):
            raise ConfigError(f"{where}: {settings['type']}: {key} are names, not {names!r}")


class Format(NativeStep):
    """A stage that holds the same picture in another way."""

    note: ClassVar = ""

    def convert(self, state: State) -> State:
        """The sample in the new form."""
        raise NotImplementedError

    def run(self, state: State, random: np.random.Generator) -> Outcome:
        return Outcome(self.convert(state), note=self.note)


@dataclass(frozen=True)
class Normalize(Format):
    """(picture - mean) / std, with red and blue swapped first if `to_rgb`; the sample remembers how to undo it."""

    mean: Sequence[float]
    std: Sequence[float]
    to_rgb: bool = True
    note: ClassVar = "undone for the eye"

    def check(self) -> None:
        numbers = all(map(is_number, (*self.mean, *self.std)))
        if not numbers or len(self.mean) not in (1, 3) or len(self.std) != len(self.mean) or 0 in self.std:
            raise ValueError(f"mean and std are three numbers each (grey: one), std without 0: {self.mean}, {self.std}")

    def convert(self, state: State) -> State:
        """The normalised array; grey pictures have one number each for mean and std, and are shown in three channels."""
        mean, std = (tuple(map(float, values)) * (3 // len(values)) for values in (self.mean, self.std))
        encoding = Encoding("RGB" if self.to_rgb else "BGR", mean=mean, std=std)  # type: ignore[arg-type]
        flips = self.to_rgb and state.pixels.ndim == 3
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB) if flips else state.pixels
        values = (array.astype(np.float32) - np.array(self.mean, np.float32)) / np.array(self.std, np.float32)
        return replace(state, value=values, encoding=encoding)


@dataclass(frozen=True)
class ToPillow(Format):
    """An array becomes a Pillow picture, for the torchvision stages that follow."""

    to_rgb: bool = False

    def convert(self, state: State) -> State:
        if not self.to_rgb:
            return replace(state, value=Pillow.fromarray(state.pixels))
        array = cv2.cvtColor(state.pixels, cv2.COLOR_BGR2RGB)
        return replace(state, value=Pillow.fromarray(array), encoding=Encoding("RGB"))


@dataclass(frozen=True)
class ToArray(Format):
    """A Pillow picture becomes an array again."""

    to_bgr: bool = False
    dtype: str | None = None

    def check(self) -> None:
        np.dtype(self.dtype)

    def convert(self, state: State) -> State:
        array = np.array(state.value, dtype=self.dtype)
        if not self.to_bgr:
            return replace(state, value=array)
        return replace(state, value=cv2.cvtColor(array, cv2.COLOR_RGB2BGR), encoding=Encoding("BGR"))


TRANSPOSED = ("gt_label", "gt_score", "img", "mask")
"""What a sample may have that is an array."""


@dataclass(frozen=True)
class Transpose(Format):
    """The axes of an array in another order: rows, columns, channels are 0, 1, 2 to begin with."""

    keys: Sequence[str]
    order: Sequence[int]

    def check(self) -> None:
        if not isinstance(self.keys, list | tuple) or not set(map(str, self.keys)) <= set(TRANSPOSED):
            raise ValueError(f"keys is a list of {' and '.join(TRANSPOSED)}, not {self.keys!r}")
        if "img" in self.keys and (sorted(self.order) != [0, 1, 2] or self.order[1] == 2):
            raise ValueError(f"order names the axes 0, 1 and 2 once each, not 2 in the middle: {tuple(self.order)}")

    def convert(self, state: State) -> State:
        if "img" not in self.keys:
            return state
        if state.encoding.layout != "HWC" or state.pixels.ndim != 3:
            raise DataError("Transpose: the channels of this picture are not its last axis")
        layout = replace(state.encoding, layout="CHW" if self.order[0] == 2 else "HWC")
        return replace(state, value=state.pixels.transpose(self.order), encoding=layout)


FORMATS: Mapping[str, type[Format]] = {
    "Normalize": Normalize,
    "Transpose": Transpose,
    **dict.fromkeys(("NumpyToPIL", "ToPIL"), ToPillow),
    **dict.fromkeys(("PILToNumpy", "ToNumpy"), ToArray),
}
