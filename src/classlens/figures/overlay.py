"""Heatmaps over pictures: `overlay` makes the plain picture, `draw_maps` adds what one needs to read it, by matplotlib.

Only a `Heatmap` can be coloured, never a raw map. The default colour scale is perceptually uniform: equal steps of heat
look equally large. `jet`, which most published overlays use, is here for comparison with them; it invents edges and
hides others.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from classlens.arrays import UInt8
from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency, facts
from classlens.errors import NotFound
from classlens.figures.drawing import PIXELS, Drawing
from classlens.figures.printing import VECTORS, print_figures
from classlens.files import check_place, write_whole
from classlens.image import Image
from classlens.sharing import ALONE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DEFAULT = "inferno"
COLORMAPS: Mapping[str, int] = {
    name: getattr(cv2, f"COLORMAP_{name.upper()}")
    for name in ("inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet")
}
"""Colour scales by name; the first five are perceptually uniform."""

ENDINGS = (*PIXELS, *VECTORS)

INK, HALO = (255, 255, 255), (0, 0, 0)

CELL, WIDEST = 2.2, 6
"""Height of a picture in a grid, in inches; a single row of more pictures than this is broken into several."""

LONGEST, TALLEST = 26, 32
"""Characters of a title that fit over a picture as wide as it is high, and of a label that fit beside a row."""

ASPECTS = (0.6, 2.0)
"""Width of a column, as a share of its height, at least and at most: wider pictures are drawn smaller."""


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


@cache
def color_table(style: OverlayStyle = PLAIN) -> UInt8[np.ndarray, "256 3"]:
    steps = np.arange(256, dtype=np.uint8)[:, None]
    return np.ascontiguousarray(cv2.applyColorMap(steps, COLORMAPS[style.colormap.casefold()])[:, 0, ::-1])


def draw_heatmap(heatmap: Heatmap, *, style: OverlayStyle = PLAIN) -> Image:
    """Every value of a heatmap as a colour, without the picture."""
    return Image(color_table(style)[np.uint8(255 * heatmap.values)])


def overlay(image: Image, heatmap: Heatmap, style: OverlayStyle = PLAIN) -> Image:
    """The coloured heatmap over the picture it belongs to; both have the same size."""
    if image.size != heatmap.values.shape:
        raise ValueError(f"a heatmap of {heatmap.values.shape} does not lie on a picture of {image.size}")
    colours = color_table(style)[np.uint8(255 * heatmap.values)].astype(np.float32)
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
        return print_figures(lambda: [figure_of_maps(several, style)], kind)

    def rasterise() -> Image:
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        with ALONE:
            canvas = FigureCanvasAgg(figure_of_maps(several, style))
            canvas.draw()  # type: ignore[no-untyped-call]
            rgba = np.asarray(canvas.buffer_rgba())  # type: ignore[no-untyped-call]
        return Image(np.ascontiguousarray(rgba[..., :3]))

    encoders = {ending: partial(encode, ending[1:]) for ending in VECTORS}
    if len(several) == 1 and not titled:
        return Drawing(partial(overlay, several[0].image, several[0].heatmap(), style), encoders)
    return Drawing(rasterise, encoders)


def figure_of_maps(maps: Sequence[Saliency | Fused], style: OverlayStyle) -> Figure:
    """The maps over their pictures: a column for every method and layer, in front of them the picture alone.

    The label of a row stands on its left, or above if there is only one row.
    """
    from matplotlib.cm import ScalarMappable  # a plain overlay is drawn without matplotlib
    from matplotlib.colors import ListedColormap, Normalize
    from matplotlib.figure import Figure

    groups: dict[tuple[int, ExplainedClass | None], dict[tuple[str, str], Image]] = {}
    for one in maps:
        group = groups.setdefault((one.index, one.subject), {("picture", ""): one.image})
        group[one.method, one.layer] = overlay(one.image, one.heatmap(), style)
    rows, labels = [list(group.items()) for group in groups.values()], [caption(subject) for _, subject in groups]
    is_row = len(rows) == 1
    if is_row:  # if it is long, several of nearly the same length are made of it
        (row,) = rows
        length = -(-len(row) // -(-len(row) // WIDEST))
        rows = [row[start : start + length] for start in range(0, len(row), length)]
    widest = max(image.size[1] / image.size[0] for row in rows for _, image in row)
    aspect, columns = min(max(widest, ASPECTS[0]), ASPECTS[1]), max(map(len, rows))
    size = (columns * (CELL * aspect + 0.1) + 1.2, len(rows) * (CELL + 0.5) + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for places, row in zip(axes, rows, strict=True):
        for place, ((title, small), image) in zip(places, row, strict=False):
            place.imshow(image.pixels, interpolation="antialiased")
            place.set_title(title, fontsize=9, pad=14)
            longest = round(LONGEST * aspect)
            cut = small if len(small) <= longest else "…" + small[1 - longest :]
            place.text(0.5, 1.02, cut, transform=place.transAxes, ha="center", va="bottom", fontsize=7)
    if is_row:
        figure.suptitle(labels[0], fontsize=11)
    else:
        for place, label in zip(axes[:, 0], labels, strict=True):  # upright: the class, below it how probable it is
            name, bracket, rest = label.rpartition(" (")
            words = f"{name if len(name) <= TALLEST else name[: TALLEST - 1] + '…'}\n({rest}" if bracket else label
            looks = {"rotation": 90, "ha": "right", "va": "center", "fontsize": 9}
            place.text(-0.04, 0.5, words, transform=place.transAxes, **looks)
    scale = ScalarMappable(Normalize(0, 1), ListedColormap(color_table(style) / 255))
    shrink = 0.8 if len(rows) == 1 else max(0.1, 0.9 / len(rows))
    bar = figure.colorbar(scale, ax=list(axes.flat), shrink=shrink, pad=0.01, aspect=15, panchor=False)
    bar.set_label("share of the map's maximum", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


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
