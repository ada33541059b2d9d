"""Colour scales for heatmaps. The default is perceptually uniform: equal steps of heat look equally large.

`jet`, which most published overlays use, is here for comparison with them; it invents edges and hides others.
"""

from collections.abc import Mapping

import cv2
import numpy as np

from classlens.arrays import UInt8
from classlens.cam.saliency import Heatmap
from classlens.errors import NotFound

DEFAULT = "inferno"
COLORMAPS: Mapping[str, int] = {
    "inferno": cv2.COLORMAP_INFERNO,
    "magma": cv2.COLORMAP_MAGMA,
    "plasma": cv2.COLORMAP_PLASMA,
    "viridis": cv2.COLORMAP_VIRIDIS,
    "cividis": cv2.COLORMAP_CIVIDIS,
    "turbo": cv2.COLORMAP_TURBO,
    "jet": cv2.COLORMAP_JET,
}
"""Colour scales by name; the first five are perceptually uniform."""


def table(name: str) -> UInt8[np.ndarray, "256 3"]:
    """The 256 RGB colours of a scale, its name in any case, from cold to hot.

    Raises:
        NotFound: there is no such scale.
    """
    if name.casefold() not in COLORMAPS:
        raise NotFound("colour map", name, COLORMAPS)
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(steps, COLORMAPS[name.casefold()])[:, 0, ::-1])


def coloured(heatmap: Heatmap, name: str = DEFAULT) -> UInt8[np.ndarray, "height width 3"]:
    """Every value of a heatmap as an RGB colour.

    Raises:
        NotFound: there is no such scale.
    """
    return np.asarray(table(name)[np.uint8(255 * heatmap.values)])
