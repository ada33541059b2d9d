"""Colour scales for heatmaps. The default is perceptually uniform: equal steps of heat look equally large.

`jet`, which most published overlays use, is here for comparison with them; it invents edges and hides others.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from classlens.arrays import UInt8
from classlens.cam.saliency import Heatmap
from classlens.errors import NotFound
from classlens.image import Image

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


CELL = 2.2
"""Height of a picture in inches."""

WIDEST = 6
"""A single row of more pictures than this is broken into several."""

LONGEST = 26
"""Characters of a title that fit over a picture as wide as it is high."""

TALLEST = 32
"""Characters of a label that fit beside a row."""

ASPECTS = (0.6, 2.0)
"""Width of a column, as a share of its height, at least and at most: wider pictures are drawn smaller."""


@dataclass(frozen=True)
class Cell:
    """One picture of the grid, with the two lines above it; the second is small."""

    image: Image
    title: tuple[str, str]


def grid_figure(rows: Sequence[Sequence[Cell]], labels: Sequence[str], colormap: str) -> Figure:
    """Rows of pictures. `labels` stand left of the rows, or above if there is only one row."""
    shown, heading = [list(row) for row in rows], ""
    if len(shown) == 1:
        heading, labels = labels[0], [""]
        if len(shown[0]) > WIDEST:
            shown = wrapped(shown[0])
            labels = [""] * len(shown)
    columns = max(map(len, shown))
    widest = max(cell.image.size[1] / cell.image.size[0] for row in shown for cell in row)
    aspect = min(max(widest, ASPECTS[0]), ASPECTS[1])
    size = (columns * (CELL * aspect + 0.1) + 1.2, len(shown) * (CELL + 0.5) + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(len(shown), columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for places, row, label in zip(axes, shown, labels, strict=True):
        for place, cell in zip(places, row, strict=False):
            show(place, cell, round(LONGEST * aspect))
        if label:
            name_row(places[0], label)
    scale = ScalarMappable(Normalize(0, 1), ListedColormap(table(colormap) / 255))
    shrink = 0.8 if len(shown) == 1 else max(0.1, 0.9 / len(shown))
    bar = figure.colorbar(scale, ax=list(axes.flat), shrink=shrink, pad=0.01, aspect=15, panchor=False)
    bar.set_label("share of the map's maximum", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if heading:
        figure.suptitle(heading, fontsize=11)
    return figure


def wrapped(row: list[Cell]) -> list[list[Cell]]:
    """One long row as several of nearly the same length."""
    count = -(-len(row) // WIDEST)
    length = -(-len(row) // count)
    return [row[start : start + length] for start in range(0, len(row), length)]


def show(axes: Axes, cell: Cell, longest: int) -> None:
    """One picture with its title."""
    axes.imshow(cell.image.pixels, interpolation="antialiased")
    main, small = cell.title
    axes.set_title(main, fontsize=9, pad=14)
    axes.text(0.5, 1.02, shortened(small, longest), transform=axes.transAxes, ha="center", va="bottom", fontsize=7)


def name_row(axes: Axes, label: str) -> None:
    """The label of a row, upright beside its first picture: the name of the class, and below it how probable it is."""
    name, bracket, rest = label.rpartition(" (")
    lines = [name if len(name) <= TALLEST else name[: TALLEST - 1] + "…", f"({rest}"] if bracket else [label]
    axes.text(-0.04, 0.5, "\n".join(lines), transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=9)


def shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else "…" + text[1 - longest :]
