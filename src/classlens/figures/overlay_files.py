"""Maps into files: as pictures, or as numbers to work on."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from classlens.cam.facts import facts
from classlens.cam.saliency import Fused, Saliency
from classlens.errors import DataError
from classlens.figures.overlay import PLAIN, Style, figure_of, overlay
from classlens.files import check_place, write_whole

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
        parts = found.parts if isinstance(found, Fused) else (found,)
        for place, part in enumerate(parts):
            of_layer = "" if len(parts) == 1 else f"_{place}"
            arrays[f"saliency{of_map}{of_layer}"] = part.values
    check_place(path)
    write_whole(path, lambda file: np.savez_compressed(file, allow_pickle=False, **arrays))
