"""Curves as SVG text, in a few milliseconds and without a plotting package."""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from math import isfinite
from typing import Any

import numpy as np

from classlens.figures.chart import Chart, Line, chart_of
from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Primitive, Segment, Stroke, Words, laid_out
from classlens.figures.style import DEFAULT
from classlens.schedule.replay import Curves, escaped, finite

HAIR = 0.75
"""Points of a line that is one pixel wide on a screen."""

SHARP = 'shape-rendering="crispEdges"'
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


def svg_of(
    runs: Sequence[Curves],
    *,
    title: str = "",
    style: str = DEFAULT,
    size: tuple[float, float] = (12.0, 7.0),
    log: bool | None = None,
) -> str:
    """The plot of one or several runs as SVG; `size` is (width, height) in inches, `style` one of `STYLES`."""
    width, height = size[0] * 72, size[1] * 72
    parts = laid_out(chart_of(runs, title=title, log=log), (width, height), style)
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0] * 96:.0f}" height="{size[1] * 96:.0f}" '
        f'viewBox="0 0 {width:.0f} {height:.0f}" font-family="{FONT}" fill="none">'
    )
    return "\n".join([head, *map(written, parts), "</svg>\n"])


def written(part: Primitive) -> str:
    """One primitive as an SVG element."""
    match part:
        case Words((x, y), text, size, colour, anchor, bold, turned):
            turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
            weight = ' font-weight="bold"' if bold else ""
            return (
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"'
                f"{weight}{turn}>{escaped(text)}</text>"
            )
        case Segment((x1, y1), (x2, y2), colour, width, dotted):
            dashes = ' stroke-dasharray="2 3"' if dotted else ""
            return (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                f'stroke-width="{HAIR * width:g}" {SHARP}{dashes}/>'
            )
        case Box((x, y), (width, height), fill, outline):
            paint = f'fill="{fill or "none"}" {SHARP}' + (
                f' stroke="{outline}" stroke-width="{HAIR}"' if outline else ""
            )
            return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" {paint}/>'
        case Dot((x, y), radius, colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
        case Stroke(xs, ys, colour, width, dashed):
            dashes = ' stroke-dasharray="6 4"' if dashed else ' stroke-linejoin="round"'
            return f'<path d="{path(xs, ys)}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        case Area(xs, upper, lower, colour):
            known = np.isfinite(upper) & np.isfinite(lower)
            around = path(
                np.concatenate([xs[known], xs[known][::-1]]), np.concatenate([upper[known], lower[known][::-1]])
            )
            return f'<path d="{around}Z" fill="{colour}"/>'


def path(xs: Numbers, ys: Numbers) -> str:
    """The points of a curve, with a new start wherever it has no value."""
    words, pen = [], "M"
    for x, y in zip(xs.tolist(), ys.tolist(), strict=True):
        if isfinite(y):
            words.append(f"{pen}{x:.2f} {y:.2f}")
            pen = "L"
        else:
            pen = "M"
    return "".join(words)


def html_of(runs: Sequence[Curves], *, title: str = "", log: bool | None = None) -> str:
    """The plot of one or several runs as an HTML page."""
    chart = chart_of(runs, title=title, log=log)
    page = files("classlens.figures").joinpath("curves_page.html").read_text("utf-8")
    # "</" would end the script element early, whatever stands in a title.
    data = json.dumps(data_of(chart), separators=(",", ":")).replace("</", "<\\/")
    return page.replace("{{title}}", escape(chart.title or "schedule")).replace('"{{chart}}"', data)


def data_of(chart: Chart) -> dict[str, Any]:
    return {
        "title": chart.title,
        "subtitle": chart.subtitle,
        "findings": list(chart.findings),
        "xLabel": chart.x_label,
        "xEnd": chart.x_end,
        "perEpoch": chart.per_epoch,
        "panels": [
            {
                "title": panel.title,
                "log": panel.log,
                "lines": [line_data(line) for line in panel.lines],
                "pins": [{"x": pin.x, "text": pin.text, "y": pin.y, "warns": pin.warns} for pin in panel.pins],
            }
            for panel in chart.panels
        ],
    }


def line_data(line: Line) -> dict[str, Any]:
    return {
        "label": line.label,
        "colour": line.colour,
        "x": line.x.tolist(),
        "y": [finite(value) for value in line.y.tolist()],
        "undecided": line.undecided,
        "low": None if line.low is None else [finite(value) for value in line.low.tolist()],
    }
