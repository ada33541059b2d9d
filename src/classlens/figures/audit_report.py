"""An audit as a few lines of text, and as a page in one file: the numbers, where the evidence lies, and pictures.

The page carries its manifest and the rows of its pictures, by which `classlens verify` makes them again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from hashlib import sha256
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.audit.carry_out import ANSWERS
from classlens.cam.saliency import Heatmap, Saliency, normalise
from classlens.errors import count_of
from classlens.figures.drawing import PAGES, Drawing
from classlens.figures.findings import NOTEBOOK
from classlens.figures.overlay import draw_heatmap, heat_of, scale_of
from classlens.figures.page import HtmlPage, Picture, Section, link_to, table_of, webp_of
from classlens.printed import json_text

if TYPE_CHECKING:
    from classlens.audit.carry_out import Audit, ShownPicture
    from classlens.audit.manifest import Manifest
    from classlens.audit.summary import MapGroup

LARGEST, SMALLEST = 320, 120  # pixels of the longer side of a picture
MAP_SIDE = 160  # about, of a mean map
SHOWN_CLASSES = 12
EVEN = {"border": 0.4375, "centre": 0.25, "entropy": 1.0}
"""What a map has that is the same everywhere."""

DIAGRAM = 260  # pixels of a side of the reliability diagram
TOP, CONFIDENT = 5, 0.5  # an answer is one of the first so many; a mistake is confident from this probability on


def draw_audit(audit: Audit) -> Drawing:
    """What an audit came to: text to print, JSON, and a page with pictures."""
    text = text_of_audit(audit)

    def page() -> bytes:
        manifest = audit.manifest
        pictures = {index: show_picture(manifest, one) for index, one in audit.shown.items()}
        scale = Section("", html=scale_of()) if any(one.heat for one in pictures.values()) else None
        sections = [one for one in (scale, *sections_of_audit(audit, pictures)) if one]
        rows = [
            {**audit.shown[index].facts, "index": index, "picture": digest_of(one)} for index, one in pictures.items()
        ]
        made = {"network": manifest.target, "pictures": f"{manifest.data or manifest.target}, {manifest.phase}"}
        data = {"manifest": asdict(manifest), "rows": rows}
        title = f"Audit of {manifest.target}, {manifest.phase}"
        return HtmlPage(title, text, sections, made, data, contents=True).encode()

    encoders = dict.fromkeys(PAGES, page) | {".json": lambda: json_text(audit.as_data(), indent=1).encode()}
    return Drawing(text=text, encoders=encoders, html=NOTEBOOK.format(f"<pre>{escape(text)}</pre>"))


def digest_of(picture: Picture) -> str:
    """SHA-256 of a picture as the page holds it, and of its map."""
    picture_itself = picture.path if isinstance(picture.path, bytes) else b""
    return sha256(picture_itself + (picture.heat.values.tobytes() if picture.heat else b"")).hexdigest()


def text_of_audit(audit: Audit) -> str:
    """A few lines: how many pictures, how often right, how sure, where the evidence lies, what is wrong."""
    summary, manifest = audit.summary, audit.manifest
    lines = [f"{count_of(summary.pictures, 'picture')}, {audit.made:,} new; {summary.labelled:,} with a label"]
    if bad := summary.pictures - summary.good:
        reason, times = next(iter(summary.bad.items()))
        lines.append(f"bad: {bad:,}{f', {times:,} of them' if times < bad else ''}: {reason}")
    if summary.labelled:
        top5 = f" (among the first 5: {percent(summary.top5_accuracy)})" if manifest.class_count > TOP else ""
        lines.append(
            f"right: {percent(summary.accuracy)}{top5}, "
            f"loss {summary.loss:.3f}, calibration error {percent(summary.calibration_error)}"
        )
    lines += [f"note: {note}" for note in audit.notes]
    for name in ("right", "wrong", "unlabelled"):
        group = summary.groups[name]
        if group.map is not None:
            lines.append(f"evidence, {name + ':':<12}{places_of(group)}")
    if summary.confusions:
        label, predicted, times = summary.confusions[0]
        names = f"{manifest.class_name(label)} taken for {manifest.class_name(predicted)}"
        lines.append(f"most often wrong: {times:,} of {names}")
    for one in (one for one in summary.mistakes[:3] if one.probability >= CONFIDENT):
        sure = f"{percent(one.probability)} {manifest.class_name(one.predicted)}"
        lines.append(f"confident mistake: {one.path or one.index}: {sure}, labelled {manifest.class_name(one.label)}")
    return "\n".join(lines)


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"


def places_of(group: MapGroup) -> str:
    return ", ".join(f"{name} {value:.2f}" for name, value in group.places.items() if value is not None)


def sections_of_audit(audit: Audit, pictures: Mapping[int, Picture]) -> Iterator[Section | None]:
    """Everything that the page shows, None for what there is nothing of."""
    if audit.has_answers:
        yield link_to(ANSWERS, "Answers", "What the rows say about labels, shortcuts, leaks and augmentations:")
    yield mistakes_section(audit, pictures)
    yield maps_section(audit)
    yield classes_section(audit)
    yield from clusters_sections(audit, pictures)
    yield calibration_section(audit)
    yield confusions_section(audit)


def show_picture(manifest: Manifest, shown: ShownPicture) -> Picture:
    """A picture with its map, and what its row says."""
    maps, facts, name = manifest.maps, shown.facts, manifest.class_name
    heat = None
    if maps and shown.map is not None:
        heat = heat_of(Saliency(shown.image, shown.map[None], maps[0].method, maps[0].layer, None))
    labelled = "" if facts["label"] is None else f"labelled {name(facts['label'])}"
    where = f"#{shown.index} {str(facts['path'] or '').replace(chr(92), '/').rpartition('/')[2]}"
    sure = f"{name(facts['predicted'])} {percent(facts['probability'])}"
    return Picture(webp_of(shown.image, LARGEST, smallest=SMALLEST), (sure, labelled, where), heat)


def mistakes_section(audit: Audit, pictures: Mapping[int, Picture]) -> Section | None:
    shown = tuple(pictures[one.index] for one in audit.summary.mistakes if one.index in pictures)
    text = "Pictures that the network is most sure about, and whose label says otherwise: mistakes of either."
    return Section("The most confident mistakes", text, pictures=shown) if shown else None


def maps_section(audit: Audit) -> Section | None:
    """The mean maps of all groups of pictures."""
    shown = tuple(
        Picture(mean_map(group.map), (f"{name}: {group.count:,}", places_of(group)))
        for name, group in audit.summary.groups.items()
        if group.map is not None
    )
    even = ", ".join(f"{name} {value:.2f}" for name, value in EVEN.items())
    text = f"The mean of all maps, each as shares of its evidence. A map that is the same everywhere has {even}."
    return Section("Where the evidence lies", text, pictures=shown) if shown else None


def classes_section(audit: Audit) -> Section | None:
    """The mean maps of the classes whose evidence lies furthest out."""
    rows = [one for one in audit.classes if one.get("mean_map") is not None]
    rows.sort(key=lambda one: (-one["border"], one["class"]))
    if not rows:
        return None
    shape = audit.manifest.maps[0].shape
    shown = tuple(
        Picture(mean_map(np.reshape(one["mean_map"], shape)), lines_of_class(one)) for one in rows[:SHOWN_CLASSES]
    )
    text = (
        "Classes whose predictions rest most on the border of the picture; classes.parquet has all. Where a class "
        "looks at the same place in every picture, the place may be a stamp or a frame, and no object."
    )
    return Section("Classes that look at the border", text, pictures=shown)


def lines_of_class(row: Mapping[str, Any]) -> tuple[str, ...]:
    right = f"{row['right']:,} of {row['labelled']:,} labelled right" if row["labelled"] else ""
    return row["name"], f"border {row['border']:.2f}, predicted {count_of(row['predicted'], 'time')}", right


def clusters_sections(audit: Audit, pictures: Mapping[int, Picture]) -> Iterator[Section]:
    """Every group of maps that look alike: its mean map, and the pictures nearest to it."""
    name = audit.manifest.class_name
    if audit.clusters:
        yield Section(
            "Maps that look alike", "Grouped by where their evidence lies; clusters.parquet has every picture."
        )
    for at, cluster in enumerate(audit.clusters):
        classes = ", ".join(f"{name(number).split(',')[0]} {count:,}" for number, count in cluster.classes)
        right = "" if cluster.accuracy is None else f"; {percent(cluster.accuracy)} of the labelled ones right"
        nearest = (pictures[index] for index in cluster.examples if index in pictures)
        shown = (Picture(mean_map(cluster.map), (f"mean of {cluster.count:,}",)), *nearest)
        yield Section(f"Group {at + 1}", f"Predicted: {classes}{right}.", pictures=shown, rank=3)


def mean_map(values: np.ndarray) -> bytes:
    """A mean map in colours, pixel by pixel."""
    return webp_of(draw_heatmap(Heatmap(normalise(np.asarray(values, np.float32)))), LARGEST, smallest=MAP_SIDE)


def calibration_section(audit: Audit) -> Section | None:
    """The reliability diagram, and the numbers behind it."""
    summary = audit.summary
    if not summary.labelled:
        return None
    rows = [
        (f"{one.low:.0%} to {one.high:.0%}", one.count, percent(one.confidence), percent(one.accuracy))
        for one in summary.bins
        if one.count
    ]
    table = table_of(("probability", "pictures", "mean probability", "right"), rows)
    error = f"Expected calibration error {percent(summary.calibration_error)}"
    words = f"{error}: how far probabilities are from the share of right answers. On the line they are the same."
    return Section("Can its probabilities be believed?", words, html=diagram(audit) + table)


def diagram(audit: Audit) -> str:
    """Share of right answers over probability as SVG; dots are as large as bins."""
    most = max(one.count for one in audit.summary.bins)
    dots = "".join(
        f'<circle cx="{one.confidence * DIAGRAM:.1f}" cy="{(1 - one.accuracy) * DIAGRAM:.1f}" '
        f'r="{3 + 7 * (one.count / most) ** 0.5:.1f}"/>'
        for one in audit.summary.bins
        if one.confidence is not None and one.accuracy is not None
    )
    frame = f'<path d="M0 0V{DIAGRAM}H{DIAGRAM} M0 {DIAGRAM}L{DIAGRAM} 0" fill="none" stroke="currentColor"/>'
    middle, below, words = DIAGRAM / 2, DIAGRAM + 18, 'text-anchor="middle" font-size="11" fill="currentColor"'
    ticks = "".join(
        f'<text x="{share * DIAGRAM:.0f}" y="{below}" {words}>{share:.0%}</text>'
        f'<text x="-20" y="{(1 - share) * DIAGRAM + 4:.0f}" {words}>{share:.0%}</text>'
        for share in (0, 0.25, 0.5, 0.75, 1)
    )
    axes = (
        f'<text x="{middle}" y="{below + 18}" {words}>probability of the answer</text>'
        f'<text transform="translate(-46 {middle}) rotate(-90)" {words}>right answers</text>'
    )
    box = f"-60 -12 {DIAGRAM + 80} {DIAGRAM + 54}"
    said = "share of right answers over probability"
    return (
        f'<svg width="{DIAGRAM + 80}" viewBox="{box}" role="img" aria-label="{said}">'
        f'{frame}{ticks}{axes}<g class="bar">{dots}</g></svg>\n'
    )


def confusions_section(audit: Audit) -> Section | None:
    name = audit.manifest.class_name
    rows = [(name(label), name(predicted), times) for label, predicted, times in audit.summary.confusions]
    table = table_of(("label", "taken for", "times"), rows)
    return Section("What is taken for what", "confusion.parquet has all pairs.", html=table) if rows else None
