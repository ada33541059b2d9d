"""Heatmaps over pictures: `overlay` makes the plain picture, `draw_*` add what one needs to read it.

Only a `Heatmap` can be coloured, never a raw map.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image as Pillow

from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency, facts
from classlens.errors import DataError
from classlens.figures.colour import DEFAULT, coloured
from classlens.files import check_place, write_whole
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
    from classlens.figures.colour import Cell, grid_figure

    cells: dict[tuple[int, ExplainedClass | None], dict[tuple[str, str], Cell]] = {}
    for saliency in saliencies:
        row = cells.setdefault((saliency.index, saliency.subject), {})
        row.setdefault(("", ""), Cell(saliency.image, ("picture", "")))
        laid = overlay(saliency.image, saliency.heatmap(), style)
        row[saliency.method, saliency.layer] = Cell(laid, (saliency.method, saliency.layer))
    labels = [caption(subject) for _, subject in cells]
    return grid_figure([list(row.values()) for row in cells.values()], labels, style.colormap)


def caption(subject: ExplainedClass | None) -> str:
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


DRAWINGS = {".pdf", ".svg"}
"""Formats that hold drawings, for which a single map, too, is drawn with its titles."""

PICTURES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".tif": "TIFF", ".tiff": "TIFF"}
"""Pillow's names; asking Pillow for them would import every format that it knows."""

FORMATS = PICTURES.keys() | DRAWINGS
LOSSY = {".jpg": {"quality": 95, "subsampling": 0}, ".jpeg": {"quality": 95, "subsampling": 0}}


def check_picture(path: Path) -> None:
    """Find out before any work whether maps can be drawn into this file.

    Raises:
        DataError: the ending is unknown, or the place cannot be written.
    """
    if path.suffix.casefold() not in FORMATS:
        raise DataError(f"cannot write a {path.suffix} picture: {path}", hint=f"use one of {' '.join(sorted(FORMATS))}")
    check_place(path)


def save_overlay(path: Path, shown: Sequence[Saliency | Fused], *, style: Style = PLAIN, titled: bool = False) -> None:
    """A single map as the plain overlay, of the size of the picture as fed; several, or with titles, as a figure.

    Raises:
        DataError: the format is unknown, or the file cannot be written.
    """
    check_picture(path)
    kind = path.suffix.casefold()
    if len(shown) > 1 or titled or kind in DRAWINGS:
        figure = figure_of(shown, style)
        write_whole(path, lambda file: figure.savefig(file, format=kind.removeprefix(".")))
        return
    picture = Pillow.fromarray(overlay(shown[0].image, shown[0].heatmap(), style).pixels)
    write_whole(path, lambda file: picture.save(file, PICTURES[kind], **LOSSY.get(kind, {})))


def save_maps(path: Path, shown: Sequence[Saliency | Fused], names: Sequence[str]) -> None:
    """All maps of a call in one NPZ file: `heatmap`, `saliency` and `meta` if there is one map, else `heatmap_0`, ...

    `heatmap` is float32 in 0..1 at the size of the picture as fed, `saliency` the raw map at the layer's size (of
    several layers `saliency_0`, ...; of several maps and layers `saliency_0_0`, ...). `meta` is JSON text, a list
    with the facts of each map; `names` are those of the pictures.

    Raises:
        DataError: the file cannot be written.
    """
    said = [{"picture": names[found.index]} | facts(found) for found in shown]
    arrays: dict[str, np.ndarray] = {"meta": np.array(json.dumps(said))}
    for number, found in enumerate(shown):
        of_map = "" if len(shown) == 1 else f"_{number}"
        arrays[f"heatmap{of_map}"] = found.heatmap().values
        for place, part in enumerate(found.parts):
            of_layer = "" if len(found.parts) == 1 else f"_{place}"
            arrays[f"saliency{of_map}{of_layer}"] = part.values
    check_place(path)
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
