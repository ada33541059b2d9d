"""Figures for papers: SVG, PDF and EPS, with text that can be selected, searched and set in another font.

Letters stay letters: fonts are embedded as they are (Type 42), never as outlines, and SVG names them. Pictures are
embedded with their own pixels, and everything beside them is drawn. A PDF has as many pages as it needs.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from html import escape
from io import BytesIO
from typing import TYPE_CHECKING, Any, TypeAlias

from PIL import Image as Pillow

from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Part, Point, Raster, Segment, Stroke, Words
from classlens.figures.text import families_for
from classlens.printed import ONE_LINE
from classlens.sharing import ALONE, unwarned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sheet: TypeAlias = tuple[Sequence[Part], Point]
"""Parts, and the (width, height) of their paper, in points."""
Encoders: TypeAlias = dict[str, Callable[[], bytes]]

HAIR = 0.75  # points of a line that is one pixel wide on a screen
CRISP = 'shape-rendering="crispEdges"'
FONT = "DejaVu Sans, Bitstream Vera Sans, Verdana, Helvetica, Arial, sans-serif"

AS_TEXT: Mapping[Any, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "classlens",  # the same figure is the same file
    "image.composite_image": False,
    "savefig.bbox": "standard",
}
UNDATED: Mapping[str, Mapping[str, None]] = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "eps": {}}


def vectors(sheet: Callable[[], Sheet], pages: Callable[[], Sequence[Sheet]] | None = None) -> Encoders:
    """What writes the formats of `VECTORS`: one sheet, or in a PDF the pages, laid out when one is wanted."""
    every = pages or (lambda: [sheet()])
    return {
        ".svg": lambda: svg_of(*sheet()),
        ".eps": lambda: print_figures(lambda: [figure_of(*sheet())], "eps"),
        ".pdf": lambda: print_figures(lambda: [figure_of(*page) for page in every()], "pdf"),
    }


def print_figures(make: Callable[[], Sequence[Figure]], kind: str) -> bytes:
    """Figures of matplotlib as one file: pdf, with a page for each, or the first of them as eps or svg."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    content, fonts = BytesIO(), logging.getLogger("matplotlib.font_manager")
    # matplotlib's settings are those of the whole process; none of the user's may move what is laid out already. Of
    # letters that no font has it warns and logs; they are text all the same.
    with ALONE, unwarned(), mpl.rc_context({**mpl.rcParamsDefault, **AS_TEXT}), ExitStack() as undo:
        undo.callback(fonts.setLevel, fonts.level)
        fonts.setLevel(logging.ERROR)
        figures = make()
        for image in (one for figure in figures for axes in figure.axes for one in axes.get_images()):
            image.set_interpolation("none")  # with its own pixels
        if kind == "pdf":
            with PdfPages(content, metadata=dict(UNDATED[kind])) as pages:
                for figure in figures:
                    pages.savefig(figure)
        else:
            figures[0].savefig(content, format=kind, metadata=dict(UNDATED[kind]))
    return content.getvalue()


def svg_of(parts: Sequence[Part], size: Point) -> bytes:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0] / 0.75:.0f}" height="{size[1] / 0.75:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" font-family="{FONT}" fill="none">'
    )
    return "\n".join([head, *map(svg_element, parts), "</svg>\n"]).encode()


def svg_element(part: Part) -> str:
    match part:
        case Words((x, y), text, size, colour, anchor, bold, turned):
            turn = f' transform="rotate(-90 {x:.1f} {y:.1f})"' if turned else ""
            weight = ' font-weight="bold"' if bold else ""
            return (
                f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size:g}" text-anchor="{anchor}" fill="{colour}"'
                f"{weight}{turn}>{escape(text.translate(ONE_LINE), quote=False)}</text>"
            )
        case Segment((x1, y1), (x2, y2), colour, width, dotted):
            dashes = ' stroke-dasharray="2 3"' if dotted else ""
            return (
                f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" '
                f'stroke-width="{HAIR * width:g}" {CRISP}{dashes}/>'
            )
        case Box((x, y), (width, height), fill, outline):
            edge = f' stroke="{outline}" stroke-width="{HAIR}"' if outline else ""
            return (
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" '
                f'fill="{fill or "none"}" {CRISP}{edge}/>'
            )
        case Dot((x, y), radius, colour):
            return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"/>'
        case Stroke(xs, ys, colour, width, dashed):
            dashes = ' stroke-dasharray="6 4"' if dashed else ' stroke-linejoin="round"'
            return f'<path d="{svg_path(xs, ys)}" stroke="{colour}" stroke-width="{width:g}"{dashes}/>'
        case Area(xs, ys, colour):
            return f'<path d="{svg_path(xs, ys)}Z" fill="{colour}"/>'
        case Raster((x, y), (width, height), pixels):
            content = BytesIO()
            Pillow.fromarray(pixels).save(content, "PNG")
            return (
                f'<image x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" preserveAspectRatio="none" '
                f'href="data:image/png;base64,{b64encode(content.getvalue()).decode()}"/>'
            )


def svg_path(xs: Numbers, ys: Numbers) -> str:
    return "M" + "L".join(f"{x:.2f} {y:.2f}" for x, y in zip(xs.tolist(), ys.tolist(), strict=True))


def figure_of(parts: Sequence[Part], size: Point) -> Figure:
    """A plot of `size` (width, height) in points as a figure of matplotlib, of one pair of axes over all of it."""
    from matplotlib.figure import Figure
    from matplotlib.patches import Circle, Rectangle

    width, height = size
    families = families_for("".join(part.text for part in parts if isinstance(part, Words)))
    figure = Figure(figsize=(width / 72, height / 72))
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    axes.set_axis_off()
    for order, part in enumerate(parts):
        match part:
            case Words((x, y), text, letters, colour, anchor, bold, turned):
                axes.text(
                    x, y, text.translate(ONE_LINE), size=letters, color=colour, weight="bold" if bold else "normal", parse_math=False,
                    rotation=90 if turned else 0, family=families, rotation_mode="anchor", verticalalignment="baseline", zorder=order,
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
            case Raster((x, y), (across, down), pixels):
                axes.imshow(pixels, extent=(x, x + across, y + down, y), aspect="auto", zorder=order)
    return figure
