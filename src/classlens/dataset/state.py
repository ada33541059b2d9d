"""What flows through a native pipeline: one picture, with the way it is encoded.

States are never changed in place; every stage makes a new one, or hands the same one on when it does nothing.
"""

from dataclasses import dataclass, field, replace
from typing import Any

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.dataset.decode import Pixels, displayable
from classlens.image import Encoding, Image, side_by_side

BGR = Encoding(order="BGR")


@dataclass(frozen=True, eq=False)
class State:
    """`value` is what OpenMMLab keeps under `img`: an array, a Pillow picture or a tensor; `views` replaces it.

    `full` is the true (height, width) of a picture that was decoded smaller, for looking at only.
    """

    value: Any
    encoding: Encoding = BGR
    path: str | None = None
    remarks: tuple[str, ...] = ()
    views: tuple["State", ...] = field(default=())
    full: tuple[int, int] | None = None

    @property
    def pixels(self) -> Pixels:
        """The picture as an array, as native transforms want it."""
        if isinstance(self.value, Pillow.Image):
            return np.asarray(self.value)
        if not isinstance(self.value, np.ndarray):
            raise TypeError(f"this stage needs an array, the stage before it left a {type(self.value).__name__}")
        return self.value

    def with_pixels(self, pixels: Pixels) -> "State":
        """The same sample with another picture, held in the same way."""
        if isinstance(self.value, Pillow.Image):
            return replace(self, value=Pillow.fromarray(np.ascontiguousarray(pixels)))
        return self if pixels is self.value else replace(self, value=pixels)


def to_image(state: State) -> Image:
    """Any state as a picture for human eyes: normalisation undone, grey as grey, views side by side."""
    if state.views:
        return side_by_side(*map(to_image, state.views))
    if isinstance(state.value, Pillow.Image):
        shown = np.array(state.value.convert("RGB"))
        return Image(shown if state.encoding.order == "RGB" else np.ascontiguousarray(shown[..., ::-1]))
    array = np.asarray(state.value)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3 and state.encoding == BGR:
        return Image(cv2.cvtColor(array, cv2.COLOR_BGR2RGB))
    if state.encoding == BGR:
        return Image(cv2.cvtColor(displayable(array), cv2.COLOR_BGR2RGB))
    return state.encoding.decode(array if array.ndim == 3 else np.repeat(array[..., None], 3, axis=2))
