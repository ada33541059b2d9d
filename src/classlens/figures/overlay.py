"""Heatmaps over pictures: `overlay` makes the plain picture, `draw_maps` adds what one needs to read it.

Only a `Heatmap` can be coloured, never a raw map. The default colour scale is perceptually uniform: equal steps of heat
look equally large. `jet`, which most published overlays use, is here for comparison with them; it invents edges and
hides others.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from classlens.arrays import UInt8
from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency, facts
from classlens.errors import NotFound
from classlens.figures.drawing import PIXELS, Drawing
from classlens.files import check_place, write_whole
from classlens.image import Image
from classlens.sharing import ALONE

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

VECTORS = (".pdf", ".svg")
"""Formats of matplotlib, in which a single map, too, is drawn with its titles."""

ENDINGS = (*PIXELS, *VECTORS)
"""The files into which maps can be drawn."""

INK, HALO = (255, 255, 255), (0, 0, 0)


@dataclass(frozen=True)
class OverlayStyle:
    """How a heatmap is laid over its picture; the name of the colour scale may be in any case.

    `opacity` 0 is the picture alone, 1 the colours alone. `contour` draws a line around what is hotter than this
    share of the maximum.

    Raises:
        NotFound: there is no such colour scale.
        ValueError: the opacity or the contour is out of range.
    """

    colormap: str = DEFAULT
    opacity: float = 0.5
    contour: float | None = None

    def __post_init__(self) -> None:
        if self.colormap.casefold() not in COLORMAPS:
            raise NotFound("colour map", self.colormap, COLORMAPS)
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity lies in [0, 1], not {self.opacity}")
        if self.contour is not None and not 0 < self.contour < 1:
            raise ValueError(f"a contour lies between 0 and 1, not at {self.contour}")


PLAIN = OverlayStyle()


def color_table(style: OverlayStyle = PLAIN) -> UInt8[np.ndarray, "256 3"]:
    """The 256 RGB colours of a scale, from cold to hot."""
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(steps, COLORMAPS[style.colormap.casefold()])[:, 0, ::-1])


def draw_heatmap(heatmap: Heatmap, *, style: OverlayStyle = PLAIN) -> Image:
    """Every value of a heatmap as a colour, without the picture."""
    return Image(color_table(style)[np.uint8(255 * heatmap.values)])


def overlay(image: Image, heatmap: Heatmap, style: OverlayStyle = PLAIN) -> Image:
    """The coloured heatmap over the picture it belongs to; both have the same size.

    Raises:
        ValueError: the sizes differ.
    """
    if image.size != heatmap.values.shape:
        raise ValueError(f"a heatmap of {heatmap.values.shape} does not lie on a picture of {image.size}")
    colours = draw_heatmap(heatmap, style=style).pixels.astype(np.float32)
    mixed = style.opacity * colours + (1 - style.opacity) * image.pixels
    pixels = np.ascontiguousarray(mixed.round().clip(0, 255).astype(np.uint8))
    if style.contour is not None:  # a white line with a dark rim
        hot = (heatmap.values > style.contour * heatmap.values.max()).astype(np.uint8)
        lines, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        width = max(1, min(image.size) // 150)
        cv2.drawContours(pixels, lines, -1, HALO, width + 2, cv2.LINE_AA)
        cv2.drawContours(pixels, lines, -1, INK, width, cv2.LINE_AA)
    return Image(pixels)


def draw_maps(
    maps: Saliency | Fused | Explanation | Sequence[Saliency | Fused],
    *,
    style: OverlayStyle = PLAIN,
    titled: bool = True,
) -> Drawing:
    """Maps over their pictures, with a colour bar and titles: class, probability, method, layer.

    Several maps stand in a row for every picture and class, and a column for every method and layer. A single one that
    is not `titled` is the plain overlay of the picture's size; PDF and SVG have titles nevertheless.
    """
    several = [maps] if isinstance(maps, Saliency | Fused) else maps

    def encode(kind: str) -> bytes:
        from classlens.figures.map_grid import figure_of_maps  # a plain overlay is written without matplotlib

        content = BytesIO()
        with ALONE:  # matplotlib reads its settings all the while
            figure_of_maps(several, style).savefig(content, format=kind)
        return content.getvalue()

    def rasterise() -> Image:
        if len(several) == 1 and not titled:
            return overlay(several[0].image, several[0].heatmap(), style)
        from classlens.figures.map_grid import figure_of_maps, pixels_of

        with ALONE:
            return pixels_of(figure_of_maps(several, style))

    return Drawing(rasterise, {ending: partial(encode, ending[1:]) for ending in VECTORS})


def caption(subject: ExplainedClass | None) -> str:
    """The class: its name without synonyms, and its probability; of a contrast, both classes'."""
    if subject is None:
        return "every class"
    name = " - ".join(side.split(",")[0] for side in subject.class_name.split(" - "))
    rival = "" if subject.against_probability is None else f" : {subject.against_probability:.1%}"
    return f"{name} ({subject.probability:.1%}{rival})"


def save_maps(path: Path, maps: Sequence[Saliency | Fused], names: Sequence[str]) -> None:
    """All maps of a call in one NPZ file: `heatmap`, `saliency` and `meta` if there is one map, else `heatmap_0`, ...

    `heatmap` is float32 in 0..1 at the size of the picture as fed, `saliency` the raw map at the layer's size (of
    several layers `saliency_0`, ...; of several maps and layers `saliency_0_0`, ...). `meta` is JSON text, a list
    with the facts of each map; `names` are those of the pictures.

    Raises:
        DataError: the file cannot be written.
    """
    meta = [{"picture": names[one.index]} | facts(one) for one in maps]
    arrays: dict[str, Any] = {"meta": np.array(json.dumps(meta))}
    for number, one in enumerate(maps):
        of_map = "" if len(maps) == 1 else f"_{number}"
        arrays[f"heatmap{of_map}"] = one.heatmap().values
        for place, part in enumerate(one.parts):
            of_layer = "" if len(one.parts) == 1 else f"_{place}"
            arrays[f"saliency{of_map}{of_layer}"] = part.values
    check_place(path)
    write_whole(path, lambda file: np.savez_compressed(file, **arrays))
