"""Curves as a drawing: laid out once, then painted as pixels, SVG, PDF or EPS, or as a page.

`draw(curves)` and `classlens lr` show this same picture.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from classlens.errors import DataError
from classlens.figures.chart import chart_of
from classlens.figures.drawing import PIXELS, Drawing
from classlens.figures.plot_layout import lay_out
from classlens.figures.style import DEFAULT, find_style
from classlens.schedule.replay import Curve, Curves

if TYPE_CHECKING:
    from PIL.Image import Image as PillowImage

    from classlens.image import Image

ENDINGS = (*PIXELS, ".pdf", ".eps", ".svg", ".html")
MOST_PIXELS = 10**8


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

    def paint() -> PillowImage:
        from classlens.figures.curves_raster import DOTS_PER_INCH, paint

        if size[0] * size[1] * DOTS_PER_INCH**2 > MOST_PIXELS:
            raise DataError(f"{size[0]:g} x {size[1]:g} inches is more than {MOST_PIXELS:,} pixels")
        return paint(parts, points)

    def rasterise() -> Image:
        import numpy as np

        from classlens.image import Image

        return Image(np.array(paint()))

    def encode(ending: str) -> bytes:
        if ending in PIXELS:
            from classlens.figures.curves_raster import encode_picture

            return encode_picture(paint(), ending)
        from classlens.figures.curves_vector import html_of, print_file, svg_of

        if ending == ".html":
            return html_of(chart).encode()
        return svg_of(parts, points).encode() if ending == ".svg" else print_file(parts, points, ending)

    return Drawing(rasterise, {ending: partial(encode, ending) for ending in ENDINGS})
