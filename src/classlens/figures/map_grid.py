"""Several maps in a grid with titles and a colour bar, by matplotlib: a row for every picture and class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import ListedColormap, Normalize
from matplotlib.figure import Figure

from classlens.cam.saliency import ExplainedClass, Fused, Saliency
from classlens.figures.overlay import OverlayStyle, caption, color_table, overlay
from classlens.image import Image

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
    title: str = "picture"
    small: str = ""


def figure_of_maps(maps: Sequence[Saliency | Fused], style: OverlayStyle) -> Figure:
    """The maps over their pictures: a column for every method and layer, in front of them the picture alone.

    The label of a row stands on its left, or above if there is only one row.
    """
    groups: dict[tuple[int, ExplainedClass | None], dict[tuple[str, str], Cell]] = {}
    for one in maps:
        group = groups.setdefault((one.index, one.subject), {("", ""): Cell(one.image)})
        group[one.method, one.layer] = Cell(overlay(one.image, one.heatmap(), style), one.method, one.layer)
    rows, labels, heading = [list(group.values()) for group in groups.values()], [caption(of) for _, of in groups], ""
    if len(rows) == 1:
        heading, row = labels[0], rows[0]
        length = -(-len(row) // -(-len(row) // WIDEST))  # of several rows of nearly the same length, if it is long
        rows = [row[start : start + length] for start in range(0, len(row), length)]
        labels = [""] * len(rows)
    widest = max(cell.image.size[1] / cell.image.size[0] for row in rows for cell in row)
    aspect = min(max(widest, ASPECTS[0]), ASPECTS[1])
    columns = max(map(len, rows))
    size = (columns * (CELL * aspect + 0.1) + 1.2, len(rows) * (CELL + 0.5) + 0.4)
    figure = Figure(figsize=size, dpi=110, layout="constrained")
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for place in axes.flat:
        place.set_axis_off()
    for places, row, label in zip(axes, rows, labels, strict=True):
        for place, cell in zip(places, row, strict=False):
            show(place, cell, round(LONGEST * aspect))
        if label:
            name_row(places[0], label)
    scale = ScalarMappable(Normalize(0, 1), ListedColormap(color_table(style) / 255))
    shrink = 0.8 if len(rows) == 1 else max(0.1, 0.9 / len(rows))
    bar = figure.colorbar(scale, ax=list(axes.flat), shrink=shrink, pad=0.01, aspect=15, panchor=False)
    bar.set_label("share of the map's maximum", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if heading:
        figure.suptitle(heading, fontsize=11)
    return figure


def show(axes: Axes, cell: Cell, longest: int) -> None:
    """One picture with its title."""
    axes.imshow(cell.image.pixels, interpolation="antialiased")
    axes.set_title(cell.title, fontsize=9, pad=14)
    small = cell.small if len(cell.small) <= longest else "…" + cell.small[1 - longest :]
    axes.text(0.5, 1.02, small, transform=axes.transAxes, ha="center", va="bottom", fontsize=7)


def name_row(axes: Axes, label: str) -> None:
    """The label of a row, upright beside its first picture: the name of the class, and below it how probable it is."""
    name, bracket, rest = label.rpartition(" (")
    lines = [name if len(name) <= TALLEST else name[: TALLEST - 1] + "…", f"({rest}"] if bracket else [label]
    axes.text(-0.04, 0.5, "\n".join(lines), transform=axes.transAxes, rotation=90, ha="right", va="center", fontsize=9)


def pixels_of(figure: Figure) -> Image:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))  # type: ignore[no-untyped-call]
