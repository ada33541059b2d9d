"""A plot as SVG text, as an HTML page, and, by matplotlib, as PDF and EPS.

SVG and pages take a few milliseconds and no plotting package.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np

from classlens.figures.chart import Chart
from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Part, Point, Segment, Stroke, Words
from classlens.schedule.replay import finite
from classlens.sharing import ALONE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

HAIR = 0.75
"""Points of a line that is one pixel wide on a screen."""

SHARP = 'shape-rendering="crispEdges"'
FONT = "DejaVu Sans, Verdana, Helvetica, Arial, sans-serif"


def svg_of(parts: Sequence[Part], size: Point) -> str:
    """A plot of `size` (width, height) in points as SVG."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0] / 0.75:.0f}" height="{size[1] / 0.75:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" font-family="{FONT}" fill="none">'
    )
    return "\n".join([head, *map(svg_element, parts), "</svg>\n"])


def svg_element(part: Part) -> str:
    """One part as an SVG element."""
    match part:
        case Words((x, y), text, size, colour, anchor, bold, turned):
            turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
            weight = ' font-weight="bold"' if bold else ""
            return (
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"'
                f"{weight}{turn}>{escape(text, quote=False)}</text>"
            )
        case Segment((x1, y1), (x2, y2), colour, width, dotted):
            dashes = ' stroke-dasharray="2 3"' if dotted else ""
            return (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                f'stroke-width="{HAIR * width:g}" {SHARP}{dashes}/>'
            )
        case Box((x, y), (width, height), fill, outline):
            edge = f' stroke="{outline}" stroke-width="{HAIR}"' if outline else ""
            return (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                f'fill="{fill or "none"}" {SHARP}{edge}/>'
            )
        case Dot((x, y), radius, colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
        case Stroke(xs, ys, colour, width, dashed):
            dashes = ' stroke-dasharray="6 4"' if dashed else ' stroke-linejoin="round"'
            return f'<path d="{svg_path(xs, ys)}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        case Area(xs, ys, colour):
            return f'<path d="{svg_path(xs, ys)}Z" fill="{colour}"/>'


def svg_path(xs: Numbers, ys: Numbers) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def print_file(parts: Sequence[Part], size: Point, ending: str) -> bytes:
    """A plot of `size` (width, height) in points as a file for printing: .pdf or .eps."""
    import matplotlib as mpl

    content = BytesIO()
    # matplotlib's settings are those of the whole process; none of the user's may move what is laid out already.
    with ALONE, mpl.rc_context(mpl.rcParamsDefault):
        figure_of(parts, size).savefig(content, format=ending[1:])
    return content.getvalue()


def figure_of(parts: Sequence[Part], size: Point) -> Figure:
    """A plot of `size` (width, height) in points as a figure of matplotlib, of one pair of axes over all of it."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    width, height = size
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for order, part in enumerate(parts):
        match part:
            case Words((x, y), text, letters, colour, anchor, bold, turned):
                axes.text(
                    x, y, text.replace("$", r"\$"), size=letters, color=colour, weight="bold" if bold else "normal",
                    rotation=90 if turned else 0, rotation_mode="anchor", verticalalignment="baseline", zorder=order,
                    horizontalalignment={"start": "left", "middle": "center", "end": "right"}[anchor],
                )  # fmt: skip
            case Segment((x1, y1), (x2, y2), colour, thickness, dotted):
                dashes = ":" if dotted else "-"
                axes.plot([x1, x2], [y1, y2], dashes, color=colour, linewidth=HAIR * thickness, zorder=order)
            case Box(corner, (across, down), fill, outline):
                box = Rectangle(corner, across, down, facecolor=fill or "none", edgecolor=outline or "none")
                box.set(linewidth=HAIR, zorder=order)
                axes.add_patch(box)
            case Dot(centre, radius, colour):
                axes.add_patch(Circle(centre, radius, color=colour, linewidth=0, zorder=order))
            case Stroke(xs, ys, colour, thickness, dashed):
                axes.plot(xs, ys, "--" if dashed else "-", color=colour, linewidth=thickness, zorder=order)
            case Area(xs, ys, colour):
                axes.fill(xs, ys, color=colour, linewidth=0, zorder=order)
    return figure


def html_of(chart: Chart) -> str:
    """A chart as a page that can be zoomed and read."""

    def plain(value: object) -> Any:  # noqa: ANN401 - what JSON can hold
        return list(map(finite, value.tolist())) if isinstance(value, np.ndarray) else vars(value)

    page = files("classlens.figures").joinpath("curves_page.html").read_text("utf-8")
    # "</" would end the script element early, whatever stands in a title.
    text = json.dumps(chart, default=plain, separators=(",", ":")).replace("</", "<\\/")
    return page.replace("{{title}}", escape(chart.title or "schedule")).replace('"{{chart}}"', text)
