"""Heatmaps over pictures: `overlay` makes the plain picture, `draw_maps` adds what one needs to read it.

Only a `Heatmap` can be coloured, never a raw map. The default colour scale is perceptually uniform: equal steps of heat
look equally large. `jet`, which most published overlays use, is here for comparison with them; it invents edges and
hides others.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from io import BytesIO
from typing import Any

import cv2
import numpy as np

from classlens.arrays import UInt8
from classlens.cam.saliency import ExplainedClass, Explanation, Fused, Heatmap, Saliency, facts
from classlens.errors import NotFound, WrongValue
from classlens.figures.drawing import PIXELS, VECTORS, Drawing
from classlens.figures.map_grid import PRINTED, Cell, GridRow, lay_out_rows, pages_of, short_names
from classlens.figures.page import Heat, base64_of, img, island, tag, webp_of
from classlens.figures.painting import Sheet, paint, vectors
from classlens.image import Image
from classlens.printed import table_text
from classlens.words import say

DEFAULT = "inferno"
COLORMAPS: Mapping[str, int] = {
    name: getattr(cv2, f"COLORMAP_{name.upper()}")
    for name in ("inferno", "magma", "plasma", "viridis", "cividis", "turbo", "jet")
}
"""Colour scales by name; the first five are perceptually uniform."""

ENDINGS = (*PIXELS, *VECTORS)

MOST_ON_PAGE = 40  # rows and columns of a map that a page paints
WITHOUT_SCRIPTS = 20  # pixels of the longer side of a map where scripts are off: browsers enlarge it smoothly

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
            raise WrongValue(f"opacity lies in [0, 1], not {self.opacity}")
        if self.contour is not None and not 0 < self.contour < 1:
            raise WrongValue(f"a contour lies between 0 and 1, not at {self.contour}")


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


def heat_of(one: Saliency | Fused, style: OverlayStyle = PLAIN) -> Heat:
    """A map as a page holds it: as many values as its layer has, which the page enlarges as `Heatmap` was enlarged."""
    heatmap = one.heatmap()
    sizes = np.array([part.variants.shape[1:] for part in one.parts])
    rows, columns = np.minimum(sizes.max(axis=0), MOST_ON_PAGE).tolist()
    values = cv2.resize(heatmap.values, (columns, rows), interpolation=cv2.INTER_LINEAR)
    return Heat((255 * values).astype(np.uint8), webp_of(draw_heatmap(heatmap, style=style), WITHOUT_SCRIPTS))


def scale_of(style: OverlayStyle = PLAIN) -> str:
    """The HTML of the colour scale, and for scripts of all that a reader can choose."""
    shown = webp_of(Image(np.repeat(color_table(style)[None], 16, axis=0)), 512, quality=95)
    tables = {name: base64_of(color_table(OverlayStyle(name)).tobytes()) for name in COLORMAPS}
    chosen = {"chosen": style.colormap.casefold(), "tables": tables}
    scale = f"0 {img(shown, '')} {tag('span', say('report.scale'))}"
    return f'<p class="scale">{scale}</p>\n{island("colours", chosen)}'


def draw_maps(
    maps: Saliency | Fused | Explanation | Sequence[Saliency | Fused],
    *,
    style: OverlayStyle = PLAIN,
    titled: bool = True,
) -> Drawing:
    """Maps over their pictures, with a colour bar and titles: class, probability, method, layer.

    Several maps stand in a row for every picture and class, and a column for every method and layer; a PDF of many rows
    has pages. A single map that is not `titled` is the plain overlay of the picture's size; PDF and SVG have titles
    nevertheless.
    """
    several = [maps] if isinstance(maps, Saliency | Fused) else maps
    drawing = draw_rows(lambda: grid_rows({"": several}, style), style)
    drawing = replace(
        drawing,
        encoders={**drawing.encoders, ".npz": partial(pack_maps, several), ".csv": partial(pack_table, several)},
    )
    if len(several) == 1 and not titled:
        return replace(drawing, rasterise=partial(overlay, several[0].image, several[0].heatmap(), style))
    return drawing


def draw_rows(rows: Callable[[], Sequence[GridRow]], style: OverlayStyle) -> Drawing:
    """Rows of maps, made when they are needed, on one sheet; in a PDF on pages."""
    colours = color_table(style)

    def pages() -> list[Sheet]:
        return [lay_out_rows(page, colours, PRINTED) for page in pages_of(rows(), PRINTED)]

    encoders = vectors(lambda: lay_out_rows(rows(), colours, PRINTED), pages)
    return Drawing(lambda: paint(*lay_out_rows(rows(), colours)), encoders)


def grid_rows(
    maps: Mapping[str, Sequence[Saliency | Fused]],
    style: OverlayStyle = PLAIN,
    names: Sequence[str] = (),
    labels: Sequence[tuple[str, int | None]] = (),
) -> list[GridRow]:
    """A row for every picture and class, in the order of the maps, with a column for every method and layer.

    Maps come by the checkpoint that made them, "" if there is one alone. Of several each has columns of its own with
    its prediction below; those that differ are marked. `names` are those of the pictures, `labels` their true classes by name and number, with
    which a prediction that is wrong is marked.
    """
    groups: dict[tuple[int, int], dict[tuple[str, ...], tuple[str, Saliency | Fused]]] = {}
    for checkpoint, several in maps.items():
        subjects: dict[int, dict[ExplainedClass | None, int]] = {}
        for one in several:
            of_picture = subjects.setdefault(one.index, {})
            place = of_picture.setdefault(one.subject, len(of_picture))
            groups.setdefault((one.index, place), {})[checkpoint, one.method, one.layer] = checkpoint, one
    rows, is_comparison = [], len(maps) > 1
    files = list(dict.fromkeys(one.image.name for several in maps.values() for one in several))
    called = dict(zip(files, short_names(files), strict=True))
    kinds = {(one.method, one.layer) for several in maps.values() for one in several}
    for index, place in sorted(groups):
        members = groups[index, place]
        first = next(iter(members.values()))[1]
        true, number = labels[index] if labels else ("", None)
        answers = {checkpoint: one.predicted or one.subject for checkpoint, one in members.values()}
        differs = len({one.target if one else None for one in answers.values()}) > 1
        cells = [Cell(("picture", ""), first.image)]
        for checkpoint, one in members.values():
            column, note = (one.method, one.layer), ""
            if is_comparison:
                column = (checkpoint, one.method if len(kinds) == 1 else f"{one.method}, {one.layer}")
                note = caption(one.subject)
            cells.append(Cell(column, overlay(one.image, one.heatmap(), style), note, differs))
        said = caption(first.subject)
        if is_comparison:
            words = [f"{checkpoint}: {caption(one)}" for checkpoint, one in answers.items()]
            said = f"{'differ' if differs else 'agree'}: {', '.join(words)}"
        label = f"{said}, labelled {true}" if true else said
        name = names[index] if names else called[first.image.name]
        is_wrong = number is not None and any(one is not None and one.target != number for one in answers.values())
        rows.append(GridRow(name, label, tuple(cells), differs or is_wrong))
    return rows


def caption(subject: ExplainedClass | None) -> str:
    """The class: its name without synonyms, and its probability; of a contrast, both classes'."""
    if subject is None:
        return "every class"
    name = " - ".join(side.split(",")[0] for side in subject.class_name.split(" - "))
    rival = "" if subject.against_probability is None else f" : {subject.against_probability:.1%}"
    return f"{name} ({subject.probability:.1%}{rival})"


def pack_maps(maps: Sequence[Saliency | Fused], names: Sequence[str] = (), checkpoints: Sequence[str] = ()) -> bytes:
    """Maps as an NPZ file: `heatmap`, `saliency` and `meta` if there is one map, else `heatmap_0`, `heatmap_1`, ...

    `meta` is JSON text, a list with the facts of each map: `picture` (of `names`, or what the picture was read from), and
    under `heatmap` and `saliency` the keys of its arrays; `checkpoints` made the maps, if there are several. A heatmap is float32 in 0..1 at the size of the picture as
    fed; of every layer there is a raw map at the layer's size: `saliency_2` is that of the third map, and
    `saliency_2_0`, `saliency_2_1` are those of its two layers (`saliency_0`, `saliency_1` if it is the only map).
    """
    meta, arrays = [], dict[str, Any]()
    for number, one in enumerate(maps):
        of_map = "" if len(maps) == 1 else f"_{number}"
        of_layers = [""] if len(one.parts) == 1 else [f"_{place}" for place in range(len(one.parts))]
        keys = [f"saliency{of_map}{of_layer}" for of_layer in of_layers]
        arrays[f"heatmap{of_map}"] = one.heatmap().values
        arrays |= {key: part.values for key, part in zip(keys, one.parts, strict=True)}
        picture = names[one.index] if names else one.image.name
        by = {"checkpoint": checkpoints[number]} if checkpoints else {}
        meta.append({"picture": picture, **by, "heatmap": f"heatmap{of_map}", "saliency": keys} | facts(one))
    content = BytesIO()
    np.savez_compressed(content, meta=np.array(json.dumps(meta)), **arrays)
    return content.getvalue()


PLAIN_FACTS = {
    "prediction": "predicted_name",
    "class index": "predicted",
    "probability": "predicted_probability",
    "label": "label",
    "correct": "correct",
    "target": "class_name",
    "target probability": "probability",
    "method": "method",
}
"""Columns of a table of maps, and where the facts of one have what stands in them."""

COLUMNS = (*PLAIN_FACTS, "layer", "hottest x", "hottest y")


def map_columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a table says of a map, from its facts; the hottest place where it is known in the picture as read."""
    x, y = values.get("hottest_in_picture") or (None, None)
    line = {name: values.get(key) for name, key in PLAIN_FACTS.items()}
    return line | {"layer": " + ".join(values["layers"]), "hottest x": x, "hottest y": y}


def pack_table(maps: Sequence[Saliency | Fused]) -> bytes:
    """Maps as a CSV file, a row for each, as the command's table has them."""
    rows = ([one.image.name, *map(map_columns(facts(one)).get, COLUMNS)] for one in maps)
    return table_text(["file", *COLUMNS], rows).encode()
