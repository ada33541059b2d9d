"""What is written about many maps: a table with a row for each, and the page of a folder of pictures.

A place in a map is told in pixels of the picture as it was read, whatever a test pipeline did to it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from classlens.arrays import UInt8
from classlens.cam.faithfulness import Faithfulness
from classlens.cam.saliency import Fused, Saliency
from classlens.figures.overlay import COLUMNS, OverlayStyle, heat_of, map_columns, overlay, scale_of
from classlens.figures.page import HtmlPage, Layout, Picture, Said, Section, webp_of
from classlens.files import write_whole
from classlens.image import Image
from classlens.printed import table_text
from classlens.runs.explain_files import BadPicture, MapRow, MapRun
from classlens.runs.map_scores import group_by
from classlens.words import Phrase, say

TILE = 160  # longest side of a picture on a page of many

SCORES = tuple(field.name for field in fields(Faithfulness))


def write_map_table(path: Path, rows: Sequence[MapRow], bad: Sequence[BadPicture]) -> None:
    """Write a row for every map, and one for every bad picture with its error."""
    is_scored = any("sanity" in row.values for row in rows)
    is_comparison = any("checkpoint" in row.values for row in rows)
    heading = ["file", *(["checkpoint"] if is_comparison else []), *COLUMNS]
    heading += [*SCORES, "sanity"] if is_scored else []
    damaged = {one.picture: one.reason for one in bad}
    cells = []
    for row in rows:
        values = row.values
        line = map_columns(values)
        line |= {"file": str(row.picture), "checkpoint": values.get("checkpoint"), "error": damaged.get(row.picture)}
        if is_scored:
            line |= (values.get("faithfulness") or {}).get("own", {})
            line["sanity"] = values["sanity"]["rank"][-1] if values["sanity"]["rank"] else None
        cells.append(line)
    cells += [{"file": str(one.picture), "error": one.reason} for one in bad if not one.readable]
    heading.append("error")
    write_whole(path, table_text(heading, ([line.get(name) for name in heading] for line in cells)).encode())


def write_map_index(path: Path, run: MapRun, outputs: Mapping[Path, Path], style: OverlayStyle) -> Path:
    """Write the page of a folder: every picture with what is predicted; the wrong ones and those that differ are marked."""
    cards: dict[str, list[Picture]] = {}
    rows = group_by(run.maps, lambda row: row.picture)
    for picture, of_picture in sorted(rows.items(), key=lambda pair: outputs[pair[0]].parent):
        folder = outputs[picture].parent.relative_to(path.parent)
        lines, is_marked = say_predictions([row.values for row in of_picture])
        card = Picture(outputs[picture], (*lines, picture.name), is_marked=is_marked)
        cards.setdefault(str(folder) if folder.parts else "", []).append(card)
    layout: Layout = "tiles" if len(run.maps) == len(rows) else "pairs"
    sections = [Section(folder, pictures=tuple(several), layout=layout) for folder, several in cards.items()]
    write_whole(path, map_page(run, sections, style).encode(path.parent))
    return path


def write_map_page(path: Path, run: MapRun, tiles: Sequence[Picture], style: OverlayStyle) -> Path:
    """Write a page that holds every map, in the order of the rows; its reader chooses how strongly maps are laid over pictures."""
    pairs = zip(run.maps, tiles, strict=True)
    pictures = [describe_map(tile, row.values, row.picture.name, made_by(row.values)) for row, tile in pairs]
    write_whole(path, map_page(run, [Section("", pictures=tuple(pictures))], style).encode())
    return path


def describe_map(tile: Picture, values: Mapping[str, Any], *more: Said) -> Picture:
    """A map as a page shows it: what is predicted, and more; a wrong prediction is marked."""
    lines, is_marked = say_predictions([values])
    return replace(tile, lines=(*lines, *more), is_marked=is_marked)


def map_tile(one: Saliency | Fused, style: OverlayStyle) -> Picture:
    """A picture as fed under its map, small enough for thousands on a page."""
    if style.contour is not None:
        return Picture(webp_of(overlay(one.image, one.heatmap(), style), TILE), ())
    return Picture(webp_of(one.image, TILE, quality=40), (), heat_of(one, style))


def made_by(values: Mapping[str, Any]) -> Phrase:
    """The method and the layers of a map."""
    return say("report.at", method=values["method"], layers=" + ".join(values["layers"]))


def map_page(run: MapRun, sections: Sequence[Section], style: OverlayStyle) -> HtmlPage:
    methods = {str(words): words for words in (made_by(row.values) for row in run.maps)}
    introduction: list[Said] = [run.summary(), say("list.items", items=tuple(methods.values()))]
    scale = Section("", html=scale_of(style))
    bad = [Section(say("data.bad"), tuple(one.reason for one in run.bad))] if run.bad else []
    return HtmlPage(say("report.cam"), introduction, [scale, *sections, *bad], opacity=style.opacity)


def say_predictions(rows: Sequence[Mapping[str, Any]]) -> tuple[list[Said], bool]:
    """What is predicted for a picture, its label, what its maps are about; and whether that is worth a look."""
    lines = list[Said]()
    for values in rows:
        name, share = values["predicted_name"], values["predicted_probability"]
        said = f"{name.split(',')[0]} ({share:.1%})" if name else say("report.no_class")
        said = f"{values['checkpoint']}: {said}" if "checkpoint" in values else said
        lines += [said] if said not in lines else []
    label = rows[0].get("label")
    lines += [say("report.labelled", name=label)] if label else []
    others = dict.fromkeys(one["class_name"] for one in rows if one["target"] != one["predicted"])
    lines += [say("report.map_of", name=name) for name in others]
    differs = len({one["predicted"] for one in rows}) > 1
    return lines, differs or any(one.get("correct") is False for one in rows)


def find_places(feed: Callable[[Image], Image], size: tuple[int, int]) -> UInt8[np.ndarray, "height width 2"]:
    """Where every pixel of a picture of that size as fed comes from: how far to the right and down in it as read, of 255.

    Two ramps go the way of the picture, in its red and its blue, and white in its green: whatever a pipeline does, they
    say where a pixel comes from. What it puts around a picture is nowhere in it, so that the nearest pixel of the picture
    is taken. Where pictures become grey, they go one after the other.
    """
    height, width = size
    ramps = np.full((height, width, 3), 255, np.uint8)
    ramps[..., 0] = np.linspace(0, 255, width).round()
    ramps[..., 2] = np.linspace(0, 255, height).round()[:, None]
    fed_x, inside, fed_y = np.moveaxis(feed(Image(ramps)).pixels, -1, 0)
    if np.array_equal(fed_x, fed_y):
        alone = (np.repeat(ramps[..., [channel]], 3, axis=-1) for channel in range(3))
        fed_x, inside, fed_y = (feed(Image(ramp)).pixels[..., 1] for ramp in alone)
    near = []
    for axis, side in enumerate(inside.shape):
        within = np.flatnonzero((inside > 127).any(axis=1 - axis))
        first, last = (within[0], within[-1]) if within.size else (0, side - 1)
        near.append(np.arange(side).clip(first, last))
    return np.asarray(np.stack([fed_x, fed_y], axis=-1)[np.ix_(*near)])
