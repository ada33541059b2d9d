"""Curves as a drawing: laid out once, then painted as pixels, printed as SVG, PDF or EPS, or shown on a page.

Pixels are painted by Pillow in less time than it takes to import matplotlib: straight lines and boxes lie on whole
pixels and are sharp; curves, dots and areas are painted several times as large and reduced, which makes their edges
smooth. That is done in bands, so that the largest picture needs little memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from html import escape
from typing import Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from classlens.errors import DataError
from classlens.figures.chart import DEFAULT, MOST_LINES, Chart, chart_of, distinct_curves, find_style
from classlens.figures.drawing import PIXELS, VECTORS, Drawing
from classlens.figures.page import HtmlPage, Said, Section, island, table_of
from classlens.figures.plot_layout import Area, Box, Dot, Part, Point, Segment, Stroke, Words, lay_out
from classlens.figures.printing import Encoders, Sheet, svg_of, vectors
from classlens.figures.text import clean, font, is_usual, other_font
from classlens.image import Image
from classlens.printed import ONE_LINE, json_text
from classlens.schedule.replay import Curve, Curves, finite, summarize, table
from classlens.words import known, say

ENDINGS = (*PIXELS, *VECTORS, ".html")
MOST_PIXELS = 10**8

PLACES = {"start": "ls", "middle": "ms", "end": "rs"}  # of words, as Pillow calls them
DOTS_PER_INCH = 100
SCALE = DOTS_PER_INCH / 72  # pixels per point

FINE = 4  # how many times as large curves are painted before they are reduced
MOST_FINE = 1 << 24  # pixels of a band at that size
DASH, GAP = 6.0, 4.0  # lengths along a dashed curve, in points
SHARP = 0.94  # corners whose directions have a smaller cosine than this (some 20 degrees) are rounded off
Path: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]  # points as rows of (x, y)
Pen: TypeAlias = Callable[[ImageDraw.ImageDraw, Path], None]  # draws a path that is already in the pixels of its band


def draw_curve(curve: Curve, **options: Any) -> Drawing:  # noqa: ANN401 - those of draw_curves
    return draw_curves(Curves((curve,), curve.clock), **options)


def draw_curves(
    curves: Curves,
    *,
    others: Sequence[Curves] = (),
    title: str = "",
    style: str = DEFAULT,
    size: tuple[float, float] = (12.0, 7.0),
    log: bool | None = None,
) -> Drawing:
    """Plot the curves of one run, one panel per hyper-parameter, or of several runs in the same panels.

    Args:
        others: more runs, for comparison; each is called by its own title.
        style: white, dark, whitegrid, darkgrid, ticks, or any style name that matplotlib knows, for its colours.
        size: (width, height) in inches.
        log: whether the values are on a logarithmic axis; if None, where lines are too far apart for another one.

    Raises:
        NotFound: there is no such style.
        DataError: the picture would have more than 100 million pixels.
    """
    chart, points = chart_of([curves, *others], title=title, log=log), (size[0] * 72, size[1] * 72)
    parts = lay_out(chart, points, find_style(style))

    encoders: Encoders = {
        **vectors(lambda: (parts, points)),
        ".html": partial(html_of, [curves, *others], chart, (parts, points)),
        ".csv": lambda: "".join(table([curves, *others])).encode(),
        ".json": lambda: json_text([summarize(run) for run in (curves, *others)]).encode(),
    }
    settings = {"dpi": (DOTS_PER_INCH, DOTS_PER_INCH), "lossless": True}
    return Drawing(partial(paint, parts, points), encoders, settings)


def paint(parts: Sequence[Part], size: Point) -> Image:
    """A plot of `size` (width, height) in points as a picture of 100 pixels per inch."""
    across, down = round(size[0] * SCALE), round(size[1] * SCALE)
    if across * down > MOST_PIXELS:
        raise DataError(f"{size[0] / 72:g} x {size[1] / 72:g} inches is more than {MOST_PIXELS:,} pixels")
    picture = Pillow.new("RGB", (across, down), "#ffffff")
    draw = ImageDraw.Draw(picture)
    for part in parts:
        match part:
            case Words():
                write_words(picture, part)
            case Segment((x, y), (x2, y2), colour, thickness, dotted):
                left, top, right, bottom = (int(edge * SCALE) for edge in (x, y, x2, y2))
                pieces = [(at, min(at + 1, bottom)) for at in range(top, bottom, 6)] if dotted else [(top, bottom)]
                for first, last in pieces:
                    draw.line((left, first, right, last), colour, max(1, round(0.75 * thickness * SCALE)))
            case Box((x, y), (width, height), fill, outline):
                left, top, right, bottom = (int(edge * SCALE) for edge in (x, y, x + width, y + height))
                draw.rectangle((left, top, max(left, right), max(top, bottom)), fill, outline)
            case Dot((x, y), radius, colour):
                around = np.array([[x - radius, y - radius], [x + radius, y + radius]])
                paint_smooth(picture, around, colour, lambda draw, path: draw.ellipse(path.ravel().tolist(), 255))
            case Area(xs, ys, colour):
                around = np.stack([xs, ys], 1)
                paint_smooth(picture, around, colour, lambda draw, path: draw.polygon(path.ravel().tolist(), 255))
            case Stroke(xs, ys, colour, width, dashed):
                pen = partial(draw_stroke, width=width, dashed=dashed)
                paint_smooth(picture, np.stack([xs, ys], 1), colour, pen, width)
    return Image(np.array(picture))


def write_words(picture: Pillow.Image, words: Words) -> None:
    """One line of text; turned text is drawn apart and put down on its side."""
    text, place = clean(words.text), PLACES[words.anchor]
    unusual = "" if text.isascii() else (letter for letter in text if not is_usual(letter))
    path = next((other_font(letter)[0] for letter in unusual), "")
    face = font(round(words.size * SCALE, 1), bold=words.bold, path=path)
    x, y = int(words.at[0] * SCALE), int(words.at[1] * SCALE)
    if not words.turned:
        ImageDraw.Draw(picture).text((x, y), text, fill=words.colour, font=face, anchor=place)
        return
    left, top, right, bottom = (round(edge) for edge in face.getbbox(text, anchor=place))
    mask = Pillow.new("L", (right - left, bottom - top))
    ImageDraw.Draw(mask).text((-left, -top), text, fill=255, font=face, anchor=place)
    picture.paste(words.colour, (x + top, y - right), mask.transpose(Pillow.Transpose.ROTATE_90))


def paint_smooth(picture: Pillow.Image, path: Path, colour: str, pen: Pen, width: float = 0.0) -> None:
    """Put down, with smooth edges, what `pen` makes of a path (in points) that is `width` wide."""
    left, top = np.floor((path.min(0) - width) * SCALE).astype(int).clip(0).tolist()
    right, bottom = np.ceil((path.max(0) + width) * SCALE + 1).astype(int).tolist()
    right, bottom = min(right, picture.width), min(bottom, picture.height)
    band = max(1, MOST_FINE // (FINE**2 * max(right - left, 1)))
    for first in range(top, bottom, band):
        height = min(band, bottom - first)
        mask = Pillow.new("L", ((right - left) * FINE, height * FINE))
        pen(ImageDraw.Draw(mask), ((path * SCALE - (left, first)) * FINE).round())
        picture.paste(colour, (left, first), mask.reduce(FINE))


def draw_stroke(draw: ImageDraw.ImageDraw, path: Path, width: float, *, dashed: bool) -> None:
    """A curve, whole and rounded off at the points at which it turns sharply, or dashed; `width` is in points."""
    thickness, unit = max(1, round(width * SCALE * FINE)), FINE * SCALE
    if not dashed:
        draw.line(path.ravel().tolist(), fill=255, width=thickness)
        path = path[np.append(True, np.any(np.diff(path, axis=0) != 0, axis=1))]
        steps = np.diff(path, axis=0)
        steps /= np.hypot(*steps.T)[:, None]
        reach = thickness / 2 - 0.5
        for x, y in path[1:-1][(steps[1:] * steps[:-1]).sum(1) < SHARP].tolist():
            draw.ellipse((x - reach, y - reach, x + reach, y + reach), fill=255)
        return
    along = np.append(0.0, np.hypot(*np.diff(path, axis=0).T).cumsum())
    for start in np.arange(0.0, along[-1], (DASH + GAP) * unit):
        stop = min(start + DASH * unit, along[-1])
        places = np.concatenate([[start], along[(along > start) & (along < stop)], [stop]])
        dash = np.stack([np.interp(places, along, path[:, 0]), np.interp(places, along, path[:, 1])], 1)
        draw.line(dash.ravel().tolist(), fill=255, width=thickness)


def html_of(runs: Sequence[Curves], chart: Chart, sheet: Sheet) -> bytes:
    """The curves as a page of their own, with every exact value that a reader could ask for."""
    return HtmlPage(chart.title or "schedule", chart.subtitle, [chart_section(runs, chart, sheet)]).encode()


def chart_section(runs: Sequence[Curves], chart: Chart, sheet: Sheet, title: Said = "") -> Section:
    """Curves on a page: a picture, which scripts let zoom, above what happens at which step, in exact values."""

    def plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
        return list(map(finite, value.tolist())) if isinstance(value, np.ndarray) else vars(value)

    label = escape(f"curves of {chart.title}".translate(ONE_LINE))
    svg = svg_of(*sheet).decode().replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)
    html = f'<div class="chart">{svg}</div>{island("curves", chart, plain)}'
    heads = ("value", *(["run"] if len(runs) > 1 else []), "group", "step", "happens", "exactly")
    html += table_of([say(f"report.{head}") for head in heads], landmarks(runs))
    return Section(title, "\n".join(f"! {finding}" for finding in chart.findings), html=html)


def landmarks(runs: Sequence[Curves]) -> Iterator[tuple[object, ...]]:
    """A row for every step at which something happens to a value: start, peak, marks, end."""
    for run in runs:
        for name in run.names:
            several = distinct_curves(run, name)
            for group, curve in several[:MOST_LINES]:
                happens: dict[int, list[str]] = {0: ["start"]}
                marks = [(mark.step, mark.what) for mark in curve.trajectory.marks[:MOST_LINES]]
                for step, what in ((curve.peak[0], "peak"), *marks, (run.clock.steps - 1, "end")):
                    happens.setdefault(step, []).append(what)
                for step, words in sorted(happens.items()):
                    value = float(curve.at([step])[0])
                    yield (
                        name,
                        *([run.title] if len(runs) > 1 else []),
                        group if len(several) > 1 else say("report.all"),
                        step,
                        say("list.items", items=tuple(map(known, words))),
                        value,
                    )
