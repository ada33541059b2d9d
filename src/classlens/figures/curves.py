"""Curves as a drawing: laid out once, then painted as pixels, printed as SVG, PDF or EPS, or shown on a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from html import escape
from typing import Any

import numpy as np

from classlens.figures.chart import DEFAULT, MOST_LINES, Chart, chart_of, distinct_curves, find_style
from classlens.figures.drawing import PIXELS, VECTORS, Drawing
from classlens.figures.page import HtmlPage, Said, Section, island, table_of
from classlens.figures.painting import DOTS_PER_INCH, Encoders, Sheet, paint, svg_of, vectors
from classlens.figures.plot_layout import lay_out
from classlens.printed import ONE_LINE, json_text
from classlens.schedule.replay import Curve, Curves, finite, summarize, table
from classlens.words import known, say

ENDINGS = (*PIXELS, *VECTORS, ".html")


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
    runs, points = [curves, *others], (size[0] * 72, size[1] * 72)
    chart = chart_of(runs, title=title, log=log)
    parts = lay_out(chart, points, find_style(style))

    def page() -> bytes:
        sections = [chart_section(runs, chart, (parts, points))]
        return HtmlPage(chart.title or "schedule", chart.subtitle, sections).encode()

    encoders: Encoders = {
        **vectors(lambda: (parts, points)),
        ".html": page,
        ".csv": lambda: "".join(table(runs)).encode(),
        ".json": lambda: json_text([summarize(run) for run in runs]).encode(),
    }
    settings = {"dpi": (DOTS_PER_INCH, DOTS_PER_INCH), "lossless": True}
    return Drawing(partial(paint, parts, points), encoders, settings)


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
