"""A sheet of parts as pixels, and for papers as SVG, PDF and EPS, with text that can be selected, searched and set anew.

Pixels are painted by Pillow in less time than it takes to import matplotlib: straight lines and boxes lie on whole
pixels and are sharp; curves, dots and areas are painted several times as large and reduced, which makes their edges
smooth. That is done in bands, so that the largest picture needs little memory.

On paper letters stay letters: fonts are embedded as they are (Type 42), never as outlines, and SVG names them. Pictures
are embedded with their own pixels, and everything beside them is drawn. A PDF has as many pages as it needs.
"""

from __future__ import annotations

import logging
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from html import escape
from io import BytesIO
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw

from classlens.errors import DataError
from classlens.figures.plot_layout import Area, Box, Dot, Numbers, Part, Point, Raster, Segment, Stroke, Words
from classlens.figures.text import clean, families_for, font, is_usual, other_font
from classlens.image import Image
from classlens.printed import ONE_LINE
from classlens.sharing import ALONE, unwarned

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Sheet: TypeAlias = tuple[Sequence[Part], Point]
"""Parts, and the (width, height) of their paper, in points."""
Encoders: TypeAlias = dict[str, Callable[[], bytes]]

MOST_PIXELS = 10**8

BEFORE = {"start": 0.0, "middle": 0.5, "end": 1.0}  # shares of words that are in front of their place
DOTS_PER_INCH = 100
SCALE = DOTS_PER_INCH / 72  # pixels per point

BLOCKY = 3  # how many times as large a picture shows its pixels as blocks
FINE = 4  # how many times as large curves are painted before they are reduced
MOST_FINE = 1 << 24  # pixels of a band at that size
DASH, GAP = 6.0, 4.0  # lengths along a dashed curve, in points
SHARP = 0.94  # corners whose directions have a smaller cosine than this (some 20 degrees) are rounded off
Path: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]  # points as rows of (x, y)
Pen: TypeAlias = Callable[[ImageDraw.ImageDraw, Path], None]  # draws a path that is already in the pixels of its band

HAIR = 0.75  # points of a line that is one pixel wide on a screen
CRISP = 'shape-rendering="crispEdges"'
FONT = "DejaVu Sans, Bitstream Vera Sans, Verdana, Helvetica, Arial, sans-serif"

AS_TEXT: Mapping[Any, Any] = {
    "pdf.fonttype": 42,
    "ps.fonttype": 42,
    "image.composite_image": False,
    "savefig.bbox": "standard",
}


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
            case Segment():
                draw_segment(draw, part)
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
            case Raster():
                paint_picture(picture, part)
    return Image(np.array(picture))


def draw_segment(draw: ImageDraw.ImageDraw, segment: Segment) -> None:
    left, top, right, bottom = (int(edge * SCALE) for edge in (*segment.start, *segment.end))
    pieces = [(at, min(at + 1, bottom)) for at in range(top, bottom, 6)] if segment.dotted else [(top, bottom)]
    for first, last in pieces:
        draw.line((left, first, right, last), segment.colour, max(1, round(HAIR * segment.width * SCALE)))


def paint_picture(picture: Pillow.Image, part: Raster) -> None:
    """Put down a picture in another size; a tiny one shows its pixels as blocks."""
    (x, y), (width, height), image = part
    left, top, right, bottom = (round(edge * SCALE) for edge in (x, y, x + width, y + height))
    way = Pillow.Resampling.NEAREST if right - left >= BLOCKY * image.size[1] else Pillow.Resampling.BICUBIC
    shown = Pillow.fromarray(image.pixels).resize((max(1, right - left), max(1, bottom - top)), way)
    picture.paste(shown, (left, top))


def write_words(picture: Pillow.Image, words: Words) -> None:
    """One line of text, every letter by a font that has it; turned text is drawn apart and put down on its side."""
    size, text = round(words.size * SCALE, 1), clean(words.text)
    x, y = int(words.at[0] * SCALE), int(words.at[1] * SCALE)
    paths = groupby(text, lambda letter: "" if letter.isascii() or is_usual(letter) else other_font(letter)[0])
    pieces = [(font(size, bold=words.bold, path=path), "".join(letters)) for path, letters in paths]
    length = sum(face.getlength(piece) for face, piece in pieces)
    start, up, fill = -BEFORE[words.anchor] * length, round(words.size * SCALE), words.colour
    canvas, along, base = picture, x + start, y
    if words.turned:  # letters reach a third of their size below the base line, at most
        canvas, along, base, fill = Pillow.new("L", (round(length) + 1, up + -(-up // 3))), 0.0, up, "#ffffff"
    for face, piece in pieces:
        ImageDraw.Draw(canvas).text((along, base), piece, fill=fill, font=face, anchor="ls")
        along += face.getlength(piece)
    if words.turned:
        mask = canvas.transpose(Pillow.Transpose.ROTATE_90)
        picture.paste(words.colour, (x - up, round(y - start) - mask.height), mask)


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


def vectors(sheet: Callable[[], Sheet], pages: Callable[[], Sequence[Sheet]] | None = None) -> Encoders:
    """What writes the formats of `VECTORS`: one sheet, or in a PDF the pages, laid out when one is wanted."""
    return {
        ".svg": lambda: svg_of(*sheet()),
        ".eps": lambda: print_sheets([sheet()], "eps"),
        ".pdf": lambda: print_sheets(pages() if pages else [sheet()], "pdf"),
    }


def print_sheets(sheets: Sequence[Sheet], kind: str) -> bytes:
    """Sheets as one file: pdf, with a page for each, or the first of them as eps."""
    import matplotlib as mpl
    from matplotlib.backends.backend_pdf import PdfPages

    content, fonts = BytesIO(), logging.getLogger("matplotlib.font_manager")
    # matplotlib's settings are those of the whole process; none of the user's may move what is laid out already. Of
    # letters that no font has it warns and logs; they are text all the same.
    with ALONE, unwarned(), mpl.rc_context({**mpl.rcParamsDefault, **AS_TEXT}), ExitStack() as undo:
        undo.callback(fonts.setLevel, fonts.level)
        fonts.setLevel(logging.ERROR)
        figures = [figure_of(*sheet) for sheet in sheets]
        if kind == "pdf":
            with PdfPages(content, metadata={"CreationDate": None}) as pages:
                for figure in figures:
                    pages.savefig(figure)
        else:
            figures[0].savefig(content, format=kind)
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
        case Raster((x, y), (width, height), image):
            content = BytesIO()
            Pillow.fromarray(image.pixels).save(content, "PNG")
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
            case Raster((x, y), (across, down), image):
                extent = (x, x + across, y + down, y)
                axes.imshow(image.pixels, extent=extent, aspect="auto", interpolation="none", zorder=order)
    return figure
