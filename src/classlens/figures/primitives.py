"""What a plot is drawn with: words, straight lines, boxes, dots, curves and areas, each at its place.

Lengths are in points (1/72 inch) from the top left corner of the picture. `curves_svg.py` and `curves_raster.py` each
know how to put every one of them down, in the order in which they are listed.
"""

from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

Numbers: TypeAlias = np.ndarray[Any, np.dtype[np.float64]]
Point: TypeAlias = tuple[float, float]


class Words(NamedTuple):
    """One line of text; `at` is on its base line, where `anchor` says; `turned` text runs upwards."""

    at: Point
    text: str
    size: float
    colour: str
    anchor: Literal["start", "middle", "end"] = "start"
    bold: bool = False
    turned: bool = False


class Segment(NamedTuple):
    """One straight line; dotted, with points as long as gaps, if `dotted`."""

    start: Point
    end: Point
    colour: str
    width: float = 1.0
    dotted: bool = False


class Box(NamedTuple):
    """A rectangle: (left, top) and (width, height), filled or outlined."""

    at: Point
    size: Point
    fill: str | None = None
    outline: str | None = None


class Dot(NamedTuple):
    """A filled circle."""

    at: Point
    radius: float
    colour: str


class Stroke(NamedTuple):
    """A curve through points from left to right, broken where one is NaN."""

    xs: Numbers
    ys: Numbers
    colour: str
    width: float = 1.6
    dashed: bool = False


class Area(NamedTuple):
    """What lies between two curves over the same `xs`."""

    xs: Numbers
    upper: Numbers
    lower: Numbers
    colour: str


Primitive: TypeAlias = Words | Segment | Box | Dot | Stroke | Area
