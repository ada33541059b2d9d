"""An audit as a few lines of text, and as a page in one file: the numbers, where the evidence lies, and pictures.

The page carries its manifest and the rows of its pictures, by which `classlens verify` makes them again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from functools import partial
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np

from classlens.cam.saliency import normalise
from classlens.errors import count_of
from classlens.figures.drawing import Drawing
from classlens.figures.overlay import PLAIN, color_table, overlay
from classlens.figures.page import Picture, Section, page_of, sections_of
from classlens.figures.report import NOTEBOOK, encode
from classlens.image import Image
from classlens.printed import json_text

if TYPE_CHECKING:
    from classlens.audit.carry_out import Audit, ShownPicture
    from classlens.audit.summary import Group

MAP_SIDE = 120  # pixels of the longer side of a mean map
SHOWN_CLASSES = 12
EVEN = {"border": 0.4375, "centre": 0.25, "entropy": 1.0}
"""What a map has that is the same everywhere."""

DIAGRAM = 260  # pixels of a side of the reliability diagram
STYLE = """<style>
.audit td, .audit th { text-align: right; padding: 0.15rem 0.7rem } .audit td:first-child, .audit th:first-child { text-align: left }
.audit { border-collapse: collapse; font-variant-numeric: tabular-nums } .audit tr + tr { border-top: 1px solid #8884 }
</style>
"""


def draw_audit(audit: Audit) -> Drawing:
    """What an audit came to: text to print, JSON, and a page with pictures."""

    def page() -> bytes:
        title = f"Audit of {audit.manifest.target}, {audit.manifest.phase}"
        return page_of("sections.html", title, body_of(audit))

    encoders = {".html": page, ".htm": page, ".json": lambda: json_text(audit.facts(), indent=1).encode()}
    text = text_of_audit(audit)
    return Drawing(text=text, encoders=encoders, html=NOTEBOOK.format(f"<pre>{escape(text)}</pre>"))


def text_of_audit(audit: Audit) -> str:
    """A few lines: how many pictures, how often right, how sure, where the evidence lies, what is wrong."""
    summary, manifest = audit.summary, audit.manifest
    lines = [f"{count_of(summary.pictures, 'picture')}, {audit.made:,} new; {summary.labelled:,} with a label"]
    if bad := summary.pictures - summary.good:
        reason, times = next(iter(summary.bad.items()))
        lines.append(f"bad: {bad:,}, e.g. {times:,} times: {reason}")
    if summary.labelled:
        lines.append(
            f"right: {percent(summary.accuracy)} (among the first 5: {percent(summary.top5_accuracy)}), "
            f"loss {summary.loss:.3f}, calibration error {percent(summary.calibration_error)}"
        )
    for name in ("right", "wrong", "unlabelled"):
        group = summary.groups[name]
        if group.map is not None:
            lines.append(f"evidence, {name + ':':<12}{places_of(group)}")
    if summary.confusions:
        label, predicted, times = summary.confusions[0]
        names = f"{manifest.class_name(label)} for {manifest.class_name(predicted)}"
        lines.append(f"most often wrong: {times:,} of {names}".replace(" for ", " taken for "))
    for one in summary.mistakes[:3]:
        sure = f"{percent(one.probability)} {manifest.class_name(one.predicted)}"
        lines.append(f"confident mistake: {one.path or one.index}: {sure}, labelled {manifest.class_name(one.label)}")
    return "\n".join(lines)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def places_of(group: Group) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in group.places.items() if value is not None)


def body_of(audit: Audit) -> str:
    """The HTML of all sections, and what `verify` needs."""
    pictures: dict[int, Picture] = {}
    for index, one in audit.shown.items():
        pictures[index] = Picture(picture_of(audit, one), caption_of(audit, one))
    sections = [
        mistakes_section(audit, pictures),
        maps_section(audit),
        classes_section(audit),
        *(cluster_section(audit, at, pictures) for at in range(len(audit.clusters))),
    ]
    rows = [
        {"index": index, **audit.shown[index].facts, "picture": sha256(bytes(one.path)).hexdigest()}
        for index, one in pictures.items()
        if isinstance(one.path, bytes)
    ]
    data = json_text({"manifest": asdict(audit.manifest), "rows": rows}).replace("<", "\\u003c")
    text = "".join(f"<p>{escape(line)}</p>\n" for line in text_of_audit(audit).splitlines())
    script = f'<script type="application/json" id="audit">{data}</script>\n'
    return f"{STYLE}{text}{calibration_html(audit)}{sections_of(filter(None, sections))}{script}"


def picture_of(audit: Audit, shown: ShownPicture) -> bytes:
    """A picture with its map over it, as the page holds it."""
    maps = audit.manifest.maps
    saliency = shown.saliency(maps[0].method, maps[0].layer) if maps else None
    return encode(shown.image if saliency is None else overlay(shown.image, saliency.heatmap(), PLAIN))


def caption_of(audit: Audit, shown: ShownPicture) -> str:
    facts, name = shown.facts, audit.manifest.class_name
    labelled = "" if facts["label"] is None else f", labelled {name(facts['label']).split(',')[0]}"
    where = str(facts["path"] or "").replace("\\", "/").rpartition("/")[2]
    sure = f"{name(facts['predicted']).split(',')[0]} {percent(facts['probability'])}"
    return f"#{shown.index} {sure}{labelled} · {where}"


def mistakes_section(audit: Audit, pictures: dict[int, Picture]) -> Section | None:
    shown = tuple(pictures[one.index] for one in audit.summary.mistakes if one.index in pictures)
    text = "Pictures that the network is most sure about, and whose label says otherwise: mistakes of either."
    return Section("The most confident mistakes", text, again(audit), shown) if shown else None


def maps_section(audit: Audit) -> Section | None:
    """The mean maps of all groups of pictures."""
    shown = tuple(
        Picture(mean_map(group.map), f"{name}: {group.count:,}; {places_of(group)}")
        for name, group in audit.summary.groups.items()
        if group.map is not None
    )
    even = ", ".join(f"{name} {value:.2f}" for name, value in EVEN.items())
    text = f"The mean of all maps, each as shares of its evidence. A map that is the same everywhere has {even}."
    return Section("Where the evidence lies", text, again(audit), shown) if shown else None


def classes_section(audit: Audit) -> Section | None:
    """The mean maps of the classes whose evidence lies furthest out."""
    from classlens.audit.place import Place
    from classlens.audit.summary import read_classes

    rows = [one for one in read_classes(Place(audit.folder)) if one.get("mean_map") is not None]
    rows.sort(key=lambda one: (-one["border"], one["class"]))
    if not rows:
        return None
    shape = (audit.manifest.maps[0].height, audit.manifest.maps[0].width)
    shown = tuple(
        Picture(mean_map(np.reshape(one["mean_map"], shape)), caption_of_class(one)) for one in rows[:SHOWN_CLASSES]
    )
    text = (
        "Classes whose predictions rest most on the border of the picture; `classes.parquet` has all. Where a class "
        "looks at the same place in every picture, the place may be a stamp or a frame, and no object."
    )
    return Section("Classes that look at the border", text, again(audit), shown)


def caption_of_class(row: dict[str, Any]) -> str:
    right = f", {row['right']} of {row['labelled']} labelled right" if row["labelled"] else ""
    return f"{row['name'].split(',')[0]}: border {row['border']:.2f}, predicted {row['predicted']:,} times{right}"


def cluster_section(audit: Audit, at: int, pictures: dict[int, Picture]) -> Section:
    """One group of maps that look alike: its mean map, and the pictures nearest to it."""
    cluster, name = audit.clusters[at], audit.manifest.class_name
    classes = ", ".join(f"{name(number).split(',')[0]} {count:,}" for number, count in cluster.classes)
    right = "" if cluster.accuracy is None else f"; {percent(cluster.accuracy)} of the labelled ones right"
    nearest = (pictures[index] for index in cluster.examples if index in pictures)
    shown = (Picture(mean_map(cluster.map), f"mean of {cluster.count:,}"), *nearest)
    return Section(f"Maps that look alike, group {at + 1}", f"Predicted: {classes}{right}.", again(audit), shown)


def again(audit: Audit) -> str:
    return f"classlens verify {audit.folder}"


def mean_map(values: np.ndarray) -> bytes:
    """A mean map in colours, pixel by pixel."""
    height, width = values.shape
    factor = max(1, MAP_SIDE // max(height, width))
    heat = normalise(np.asarray(values, np.float32))
    large = cv2.resize(heat, (width * factor, height * factor), interpolation=cv2.INTER_NEAREST)
    return encode(Image(color_table(PLAIN)[np.uint8(255 * large.clip(0, 1))]))


def calibration_html(audit: Audit) -> str:
    """The reliability diagram and the table behind it, and the most frequent confusions."""
    summary, name = audit.summary, audit.manifest.class_name
    if not summary.labelled:
        return ""
    bins = [one for one in summary.bins if one.count]
    table = rows_html(
        ("probability", "pictures", "mean probability", "right"),
        ([f"{b.low:.0%} to {b.high:.0%}", f"{b.count:,}", percent(b.confidence), percent(b.accuracy)] for b in bins),
    )
    wrong = rows_html(
        ("label", "taken for", "times"), ([name(label), name(to), f"{n:,}"] for label, to, n in summary.confusions)
    )
    confused = f"<h2>What is taken for what</h2>{wrong}" if summary.confusions else ""
    words = f"Expected calibration error {percent(summary.calibration_error)}: how far probabilities are from the share of right answers."
    return f"<section><h2>Can its probabilities be believed?</h2><p>{words}</p>{diagram(audit)}{table}{confused}</section>\n"


def diagram(audit: Audit) -> str:
    """Share of right answers over probability as SVG: what is calibrated lies on the line; dots are as large as bins."""
    at = partial(lambda value: f"{value * DIAGRAM:.1f}")
    most = max(one.count for one in audit.summary.bins)
    dots = "".join(
        f'<circle cx="{at(one.confidence)}" cy="{at(1 - one.accuracy)}" r="{3 + 7 * (one.count / most) ** 0.5:.1f}"/>'
        for one in audit.summary.bins
        if one.confidence is not None and one.accuracy is not None
    )
    frame = f'<path d="M0 0V{DIAGRAM}H{DIAGRAM} M0 {DIAGRAM}L{DIAGRAM} 0" fill="none" stroke="currentColor"/>'
    box = f"-12 -12 {DIAGRAM + 24} {DIAGRAM + 24}"
    said = "share of right answers over probability"
    return f'<svg width="{DIAGRAM}" viewBox="{box}" role="img" aria-label="{said}">{frame}<g fill="#d9822b">{dots}</g></svg>\n'


def rows_html(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(one)}</th>" for one in heading)
    body = "".join(f"<tr>{''.join(f'<td>{escape(one)}</td>' for one in row)}</tr>" for row in rows)
    return f'<table class="audit"><tr>{head}</tr>{body}</table>\n'
