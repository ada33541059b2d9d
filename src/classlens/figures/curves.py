"""Curves as a matplotlib figure, for notebooks and for PNG, JPG and PDF files.

Only the object-oriented interface is used: no window, no global state, no display. Words never lie on one another:
marks get rows of their own above the curves, and a mark that finds no room keeps its line but loses its word.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from textwrap import fill
from typing import Any

import matplotlib
import matplotlib.style
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from classlens.figures.chart import Chart, Line, Panel, Pin, chart_of, entry, last_value, rows, short
from classlens.figures.plot_layout import limits
from classlens.figures.style import DEFAULT, FAINT, INK, STYLES, WARNING, check_style
from classlens.schedule.replay import Curve, Curves
from classlens.sharing import ALONE

POINTS_PER_INCH = 72
LETTER = 0.56
"""Mean width of a letter, as a share of its height; on the safe side for mixed text."""

Size = tuple[float, float]


def draw_curve(curve: Curve, **options: Any) -> Figure:  # noqa: ANN401 - those of draw_curves
    return draw_curves(Curves((curve,), curve.clock), **options)


def draw_curves(
    curves: Curves,
    *,
    others: Sequence[Curves] = (),
    title: str = "",
    style: str = DEFAULT,
    size: Size = (12.0, 7.0),
    log: bool | None = None,
) -> Figure:
    """Plot the curves of one run, one panel per hyper-parameter, or of several runs in the same panels.

    Args:
        others: more runs, for comparison; each is called by its own title.
        style: white, dark, whitegrid, darkgrid, ticks, or any style name that matplotlib knows.
        size: (width, height) in inches.
        log: whether the values are on a logarithmic axis; if None, where lines are too far apart for another one.

    Raises:
        NotFound: there is no such style.
    """
    chart = chart_of([curves, *others], title=title, log=log)
    with ALONE, styled(style):
        return figure_of(chart, size, style)


def settle(figure: Figure) -> None:
    """Fix the layout of a figure that is about to be saved, which would otherwise draw everything twice to find it."""
    engine = figure.get_layout_engine()
    if engine is not None:
        FigureCanvasAgg(figure)
        engine.execute(figure)
        figure.set_layout_engine("none")


def styled(style: str) -> AbstractContextManager[None]:
    """Settings for one of our styles, or for one of matplotlib's.

    Raises:
        NotFound: there is no such style.
    """
    if style in STYLES:
        return matplotlib.rc_context({"font.size": 10, "svg.fonttype": "none", "path.simplify_threshold": 0.05})
    check_style(style)
    return nullcontext() if style == "default" else matplotlib.style.context(style)


def figure_of(chart: Chart, size: Size, style: str) -> Figure:
    """The figure of a chart."""
    figure = Figure(figsize=size, dpi=100, layout="constrained")
    look = STYLES.get(style)
    if look is not None:
        figure.set_facecolor("#ffffff")
    panels = figure.subplots(len(chart.panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, panel in zip(panels, chart.panels, strict=True):
        if look is not None:
            dress(axes, style)
        fill_panel(axes, panel, chart, size)
    panels[-1].set_xlabel(chart.x_label)
    write_words(figure, panels[0], chart, size)
    return figure


def dress(axes: Axes, style: str) -> None:
    """Give the axes the colours of one of our styles."""
    look = STYLES[style]
    axes.set_facecolor(look.paper)
    for side, spine in axes.spines.items():
        spine.set_visible(look.frame is not None and (not look.open or side in {"left", "bottom"}))
        spine.set_color(look.frame or look.paper)
    axes.tick_params(color=look.frame or look.paper, labelcolor=INK)
    axes.set_axisbelow(True)
    if look.grid is not None:
        axes.grid(visible=True, color=look.grid)


def fill_panel(axes: Axes, panel: Panel, chart: Chart, size: Size) -> None:
    """Lines, marks, axes and legend of one hyper-parameter."""
    width, height = plot_points(panel, chart, size)
    for line in panel.lines:
        plot(axes, line, entry(line, brief=size[0] < 9))
    axes.set_ylabel(panel.title)
    axes.set_xlim(0, chart.x_end)
    axes.margins(x=0)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, position: short(value)))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=max(3, int(width // 70))))
    places = placed(panel.pins, chart.x_end, width)
    used = max((row + 1 for row in places if row is not None), default=0)
    scale_values(axes, panel, room=(used * 14 + 6) / height)
    for pin, row in zip(panel.pins, places, strict=True):
        pin_down(axes, pin, row, chart.x_end, (width, height))
    if chart.per_epoch and panel is chart.panels[0]:
        epochs = partial(np.multiply, 1 / chart.per_epoch), partial(np.multiply, chart.per_epoch)
        second = axes.secondary_xaxis("top", functions=epochs)
        second.set_xlabel("epoch")
        second.xaxis.set_major_locator(MaxNLocator(nbins=max(3, int(width // 60))))
    if len(panel.lines) > 1:
        small = min(9.0, height / len(panel.lines) / 1.6, size[0])
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), borderaxespad=0, fontsize=small, frameon=False)
    else:
        last = panel.lines[0].y[-1]
        axes.annotate(
            f"final\n{last_value(panel.lines[0])}",
            (1, last),
            xycoords=("axes fraction", "data"),
            xytext=(5, 0),
            textcoords="offset points",
            fontsize=9,
            color=FAINT,
            verticalalignment="bottom" if last <= panel.span[0] else "center",
        )


def plot_points(panel: Panel, chart: Chart, size: Size) -> tuple[float, float]:
    """About how wide and high the plot itself is, in points: what words may take."""
    letters = max((len(entry(line, brief=size[0] < 9)) for line in panel.lines), default=0) + 6
    legend = letters * min(9.0, size[0]) * LETTER if len(panel.lines) > 1 else 40
    width = size[0] * POINTS_PER_INCH - 75 - legend
    height = (size[1] * POINTS_PER_INCH - 110 - 14 * len(chart.findings)) / len(chart.panels) - 20
    return max(width, 80.0), max(height, 40.0)


def placed(pins: Sequence[Pin], end: float, width: float) -> list[int | None]:
    """A row above the curves for the word of each pin."""
    boxes = []
    for pin in pins:
        extent = (len(pin.text) * 9 * LETTER + 8) / width * end
        left = pin.x - extent if pin.x + extent > end else pin.x
        boxes.append((left, left + extent))
    return rows(boxes)


def plot(axes: Axes, line: Line, label: str) -> None:
    """One line; from where on a metric decides it is dashed, over an area of all that it can be."""
    sure = line.x <= (np.inf if line.undecided is None else line.undecided)
    axes.plot(line.x[sure], line.y[sure], color=line.colour, linewidth=1.8, label=label)
    if line.low is not None:
        axes.plot(line.x[~sure], line.y[~sure], color=line.colour, linewidth=1.8, linestyle="--")
        axes.fill_between(line.x, line.low, line.y, color=line.colour, alpha=0.14, linewidth=0)


def scale_values(axes: Axes, panel: Panel, *, room: float) -> None:
    """Limits of the vertical axis, with `room` (a share of the height) above the curves for words."""
    if panel.log:
        axes.set_yscale("log", nonpositive="mask")
    axes.set_ylim(*limits(panel, min(room, 0.8)))


def pin_down(axes: Axes, pin: Pin, row: int | None, end: float, size: Size) -> None:
    """One mark: a dotted line, a dot if it belongs to a value, and its word if there is a row for it."""
    colour = WARNING if pin.warns else FAINT
    if pin.y is None:
        axes.axvline(pin.x, color=colour, linewidth=0.9, linestyle=":" if not pin.warns else "--", zorder=1)
    else:
        axes.plot([pin.x], [pin.y], "o", color=INK, markersize=4.5, zorder=4, clip_on=False)
    if row is None:
        return
    width, height = size
    near_end = pin.x + (len(pin.text) * 9 * LETTER + 8) / width * end > end
    axes.annotate(
        pin.text,
        (pin.x, 1 - (row + 0.55) * 14 / height),
        xycoords=("data", "axes fraction"),
        xytext=(-4 if near_end else 4, 0),
        textcoords="offset points",
        horizontalalignment="right" if near_end else "left",
        verticalalignment="center",
        fontsize=9,
        color=colour,
    )


def write_words(figure: Figure, top: Axes, chart: Chart, size: Size) -> None:
    """Title, what was counted, and the findings, broken to the width of the figure."""

    def broken(text: str, points: float) -> str:
        return fill(text, max(20, int(size[0] * POINTS_PER_INCH * 0.92 / (points * LETTER))))

    if chart.title:
        figure.suptitle(broken(chart.title, 13), fontsize=13, fontweight="bold")
    if chart.subtitle:
        top.set_title(broken(chart.subtitle, 9), fontsize=9, color=FAINT)
    if chart.findings:
        figure.supxlabel(
            "\n".join(broken("! " + finding, 9) for finding in chart.findings),
            x=0.01,
            horizontalalignment="left",
            fontsize=9,
            color=WARNING,
        )
