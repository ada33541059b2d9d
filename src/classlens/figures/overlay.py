"""Heatmaps over pictures: `overlay` makes the plain picture, `draw_*` add what one needs to read it.

Only a `Heatmap` can be coloured, never a raw map.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import cv2
import numpy as np

from classlens.cam.saliency import Explanation, Fused, Heatmap, Saliency, Subject
from classlens.figures.colour import DEFAULT, coloured
from classlens.image import Image
from classlens.sharing import ALONE

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Style:
    """How a heatmap is laid over its picture.

    `opacity` 0 is the picture alone, 1 the colours alone. `contour` draws a line around what is hotter than this
    share of the maximum.
    """

    colormap: str = DEFAULT
    opacity: float = 0.5
    contour: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.opacity <= 1:
            raise ValueError(f"opacity lies in [0, 1], not {self.opacity}")
        if self.contour is not None and not 0 < self.contour < 1:
            raise ValueError(f"a contour lies between 0 and 1, not at {self.contour}")


PLAIN = Style()
INK, HALO = (255, 255, 255), (0, 0, 0)


def overlay(image: Image, heatmap: Heatmap, style: Style = PLAIN) -> Image:
    """The coloured heatmap over the picture it belongs to; both have the same size.

    Raises:
        ValueError: the sizes differ.
        NotFound: there is no such colour map.
    """
    if image.size != heatmap.values.shape:
        raise ValueError(f"a heatmap of {heatmap.values.shape} does not lie on a picture of {image.size}")
    colours = coloured(heatmap, style.colormap).astype(np.float32)
    mixed = style.opacity * colours + (1 - style.opacity) * image.pixels
    pixels = np.ascontiguousarray(mixed.round().clip(0, 255).astype(np.uint8))
    return Image(outlined(pixels, heatmap, style.contour) if style.contour is not None else pixels)


def outlined(pixels: np.ndarray, heatmap: Heatmap, share: float) -> np.ndarray:
    """A white line with a dark rim around the places hotter than `share` of the hottest."""
    hot = (heatmap.values > share * heatmap.values.max()).astype(np.uint8)
    lines, _ = cv2.findContours(hot, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    width = max(1, min(pixels.shape[:2]) // 150)
    cv2.drawContours(pixels, lines, -1, HALO, width + 2, cv2.LINE_AA)
    cv2.drawContours(pixels, lines, -1, INK, width, cv2.LINE_AA)
    return pixels


def draw_heatmap(heatmap: Heatmap, *, style: Style = PLAIN) -> Image:
    """The heatmap alone, in colours."""
    return Image(coloured(heatmap, style.colormap))


def draw_saliency(saliency: Saliency | Fused, *, style: Style = PLAIN) -> Image:
    """The heatmap over its picture, with a colour bar and a title: class, probability, method, layer."""
    with ALONE:
        return rendered(figure_of([saliency], style))


def draw_explanation(explanation: Explanation, *, style: Style = PLAIN) -> Image:
    """All maps of a call: a row for every picture and class, a column for every method and layer."""
    with ALONE:  # matplotlib reads its settings all the while
        return rendered(figure_of(explanation, style))


def figure_of(saliencies: Sequence[Saliency | Fused], style: Style = PLAIN) -> "Figure":
    """The figure behind `draw`, to be saved in any format that matplotlib writes."""
    from classlens.figures.grid import Cell, grid_figure

    cells: dict[tuple[int, Subject | None], dict[tuple[str, str], Cell]] = {}
    for saliency in saliencies:
        row = cells.setdefault((saliency.index, saliency.subject), {})
        row.setdefault(("", ""), Cell(saliency.image, ("picture", "")))
        laid = overlay(saliency.image, saliency.heatmap(), style)
        row[saliency.method, saliency.layer] = Cell(laid, (saliency.method, saliency.layer))
    labels = [caption(subject) for _, subject in cells]
    return grid_figure([list(row.values()) for row in cells.values()], labels, style.colormap)


def caption(subject: Subject | None) -> str:
    """What is said of the class: its name without synonyms, and its probability; of a contrast, both classes'."""
    if subject is None:
        return "every class"
    name = " - ".join(side.split(",")[0] for side in subject.class_name.split(" - "))
    rival = "" if subject.against_probability is None else f" : {subject.against_probability:.1%}"
    return f"{name} ({subject.probability:.1%}{rival})"


def rendered(figure: "Figure") -> Image:
    """A figure as a picture."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    canvas = FigureCanvasAgg(figure)
    canvas.draw()  # type: ignore[no-untyped-call]
    return Image(np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[..., :3]))  # type: ignore[no-untyped-call]
