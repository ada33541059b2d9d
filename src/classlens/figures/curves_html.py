"""Curves as one self-contained page: drag to zoom, double-click to go back, move to read exact values.

The page holds the exact points of the chart and a small script; it loads nothing from anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from classlens.figures.chart import Chart, Line, chart_of
from classlens.schedule.data import finite
from classlens.schedule.replay import Curves


def html_of(runs: Sequence[Curves], *, title: str = "", log: bool | None = None) -> str:
    """The plot of one or several runs as an HTML page."""
    chart = chart_of(runs, title=title, log=log)
    page = files("classlens.figures").joinpath("curves_page.html").read_text("utf-8")
    # "</" would end the script element early, whatever stands in a title.
    data = json.dumps(data_of(chart), separators=(",", ":")).replace("</", "<\\/")
    return page.replace("{{title}}", escape(chart.title or "schedule")).replace('"{{chart}}"', data)


def data_of(chart: Chart) -> dict[str, Any]:
    """The chart as plain data for the page's script."""
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
    """One line with every digit; no number where there is none."""
    return {
        "label": line.label,
        "colour": line.colour,
        "x": line.x.tolist(),
        "y": [finite(value) for value in line.y.tolist()],
        "undecided": line.undecided,
        "low": None if line.low is None else [finite(value) for value in line.low.tolist()],
    }
