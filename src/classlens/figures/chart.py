"""What a plot of curves shows, before anything is drawn: panels, lines, marks, words; and its looks.

Pictures, pages and the terminal all show the same `Chart`. Groups whose values are equal share one line; the
horizontal axis counts steps, or epochs where runs of different batch sizes meet. The looks are plain data, so that no
plotting package is needed to know them; the colours of matplotlib's own styles are asked of it, which is loaded only then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classlens.errors import NotFound, count_of
from classlens.schedule.replay import Curve, Curves

TITLES = {"lr": "learning rate", "momentum": "momentum", "weight_decay": "weight decay"}
LONGEST_LABEL = 46
MOST_FINDINGS = 4
MOST_LINES = 16  # curves that are described in words

FAR_APART = 50.0  # ratio of the peaks of two lines from which on the lower one would seem to be 0


QUALITATIVE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#6a3d9a", "#333333")
"""Colours that differ for all kinds of colour vision. Source: Okabe & Ito, Color Universal Design, 2008."""

RAMP = ("#440154", "#414487", "#2a788e", "#22a884", "#7ad151", "#d4c01f")
"""Dark violet to yellow, for lines that have an order."""

INK = "#1d2939"
WARNING = "#b42318"
FAINT = "#667085"


@dataclass(frozen=True)
class Style:
    """Colours, None where there is no frame or grid; an `open` frame has a left and a lower side only.

    `paper` lies behind the curves, `page` behind everything; `ink` and `faint` are those of words.
    """

    paper: str
    frame: str | None
    grid: str | None
    open: bool = False
    page: str = "#ffffff"
    ink: str = INK
    faint: str = FAINT


STYLES: Mapping[str, Style] = {
    "white": Style("#ffffff", "#344054", None),
    "ticks": Style("#ffffff", INK, None, open=True),
    "whitegrid": Style("#ffffff", "#98a2b3", "#e4e7ec"),
    "dark": Style("#eaeaf2", None, None),
    "darkgrid": Style("#eaeaf2", None, "#ffffff"),
}
DEFAULT = "whitegrid"


SEEN, FEW = 512, 64  # steps of a run of which one can be seen, and of one in which all values are drawn as stairs


@dataclass(frozen=True)
class Line:
    """One line: its points in the chart's units, and what to call it.

    From `undecided` on a metric decides, and the values lie between `low` and `y`. `end` is the last one in words.
    """

    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]
    colour: str
    end: str
    undecided: float | None = None
    low: NDArray[np.float64] | None = None


@dataclass(frozen=True)
class Pin:
    """A place on the horizontal axis with a word to it; `y` pins it to a point."""

    x: float
    text: str
    y: float | None = None
    warns: bool = False


@dataclass(frozen=True)
class Panel:
    """One hyper-parameter. The axis has to show values from `low` to `high`; `log` says that it is logarithmic.

    `legend` has an entry for every line; of a single line it says the final value.
    """

    title: str
    lines: tuple[Line, ...]
    legend: tuple[str, ...]
    pins: tuple[Pin, ...]
    low: float
    high: float
    log: bool = False


@dataclass(frozen=True)
class Chart:
    """All that is drawn. `per_epoch` is how many x units make an epoch, None if there is no second axis."""

    title: str
    subtitle: str
    x_label: str
    x_end: float
    per_epoch: float | None
    panels: tuple[Panel, ...]
    findings: tuple[str, ...] = ()
    axis: str = ""


def chart_of(runs: Sequence[Curves], *, title: str = "", log: bool | None = None) -> Chart:
    """The chart of one run, or of several in one plot.

    Args:
        log: whether values are on a logarithmic axis; if None, where lines are too far apart for another one.
    """
    if not any(run.curves for run in runs):
        raise ValueError("there is no curve to draw")
    several, clock = len(runs) > 1, runs[0].clock
    lengths = {run.clock.steps_per_epoch for run in runs}
    in_epochs = len(lengths) > 1 and None not in lengths
    units = [(run.clock.steps_per_epoch or 1) if in_epochs else 1 for run in runs]
    findings = [
        f"{run.title}: {finding.what}" if several and run.title else finding.what
        for run in runs
        for finding in run.findings
    ]
    if len(findings) > MOST_FINDINGS:
        findings[MOST_FINDINGS:] = [f"and {len(findings) - MOST_FINDINGS} more"]
    names = dict.fromkeys(name for run in runs for name in run.names)
    return Chart(
        title=title or (f"{len(runs)} schedules compared" if several else runs[0].title),
        subtitle="" if several else f"{clock}" + (f"   ({clock.note})" if clock.note else ""),
        x_label="epoch" if in_epochs else "step",
        x_end=max(run.clock.steps / unit for run, unit in zip(runs, units, strict=True)),
        per_epoch=lengths.pop() if len(lengths) == 1 else None,
        panels=tuple(panel_of(name, runs, units, log=log) for name in names),
        findings=tuple(findings),
        axis="epoch" if in_epochs else clock.step_words if len({run.clock.step_words for run in runs}) == 1 else "step",
    )


def panel_of(name: str, runs: Sequence[Curves], units: Sequence[int], *, log: bool | None) -> Panel:
    """The lines of one hyper-parameter, each run in its unit of so many steps; the marks of a single run are pinned."""
    entries = []
    for run, unit in zip(runs, units, strict=True):
        of_run = distinct_curves(run, name)
        for group, curve in of_run:
            label = run.title if len(of_run) == 1 else f"{run.title}  {group}"
            entries.append((group if len(runs) == 1 else label, curve, unit))
    lines, legend, peaks = [], [], []
    for (label, curve, unit), colour in zip(entries, line_colours(len(entries)), strict=True):
        (steps, values), undecided = curve.points, curve.trajectory.undecided
        bounds = () if undecided is None else (undecided.first / unit, hold(curve, curve.lowest))
        ends = [values[-1]] if undecided is None else [curve.lowest[-1], values[-1]]
        end = " to ".join(f"{value:.4g}" for value in ends)
        lines.append(Line(label, hold(curve, steps, moved=1) / unit, hold(curve, values), colour, end, *bounds))
        peak = float(values[np.isfinite(values)].max(initial=-np.inf))
        start = values[np.isfinite(values)][:1].sum()  # a log may begin late
        stations = [f"{start:.3g}", f"{peak:.3g}", " to ".join(f"{value:.3g}" for value in ends)]
        course = stations[:1] if is_flat(values) and undecided is None else stations
        legend.append(label if peak == -np.inf else f"{label}   {' → '.join(course)}")
        peaks += [peak] if peak > 0 else []
    if log is None:
        log = bool(peaks) and max(peaks) > FAR_APART * min(peaks)
    log = log and bool(peaks)
    values = np.concatenate([part for line in lines for part in (line.y, line.low) if part is not None])
    values = values[np.isfinite(values)]
    low, high = (float(values.min()), float(values.max())) if values.size else (0.0, 1.0)
    if log:
        low = float(values[values > 0].min())
    elif is_flat(values):
        low, high = min(0.0, 1.25 * low), max(0.0, 1.25 * high) or float(low == 0)
    elif 0 <= low < 0.5 * high:
        low = 0.0
    named = "constant" if is_flat(values) else "final"
    words = tuple(legend) if len(lines) > 1 else (named, lines[0].end)
    pins = pins_of(runs[0], name) if len(runs) == 1 else ()
    return Panel(TITLES.get(name, name.replace("_", " ")), tuple(lines), words, pins, low, high, log)


def hold(curve: Curve, numbers: NDArray[Any], *, moved: int = 0) -> NDArray[Any]:
    """What there is for every drawn point, with a point more wherever a value holds until the next step moves it.

    That has the number of its own point, or (`moved` by 1) of the next; so has the end, where the last step is over. In
    long runs nobody sees a single step, and smooth curves of some length are drawn as such.
    """
    values, total = curve.points[1], curve.clock.steps
    if not 1 < total <= SEEN:
        return numbers
    both = values if curve.trajectory.undecided is None else np.stack([values, curve.lowest], 1)
    moves = np.any(np.diff(both.reshape(values.size, -1), axis=0) != 0, axis=1)
    held = np.flatnonzero(moves if total <= FEW else moves & np.append(False, np.logical_not(moves)[:-1]))
    return np.append(np.insert(numbers, held + 1, numbers[held + moved]), numbers[-1:] + moved)


def distinct_curves(run: Curves, name: str) -> list[tuple[str, Curve]]:
    """The curves of a hyper-parameter that differ, the highest first, each with what its groups are called."""
    together: dict[tuple[float, int], list[Curve]] = {}
    for curve in run.named(name):
        together.setdefault((curve.group.initial[name], id(curve.trajectory)), []).append(curve)
    labelled = []
    for curves in sorted(together.values(), key=lambda each: -each[0].group.initial[name]):
        names = list(dict.fromkeys(curve.group.name for curve in curves))
        beginnings = {one.partition(",")[0] for one in names}
        label = names[0]
        if len(names) > 1:
            names.sort(key=lambda one: one.startswith("all other"))
            several = ", ".join(names) if len(names) == 2 else f"{names[0]} and {len(names) - 1} more groups"
            label = beginnings.pop() if len(beginnings) == 1 else several
        if len(label) > LONGEST_LABEL:
            label = label[: LONGEST_LABEL - 1] + "…"
        counts = [curve.group.tensors for curve in curves if curve.group.tensors is not None]
        labelled.append((label + (f" · {count_of(sum(counts), 'tensor')}" if counts else ""), curves[0]))
    return labelled


def is_flat(values: NDArray[np.float64]) -> bool:
    """Whether values are one value but for rounding."""
    known = values[np.isfinite(values)]
    return not known.size or bool(np.ptp(known) <= 1e-9 * np.abs(known).max())


def pins_of(run: Curves, name: str) -> tuple[Pin, ...]:
    """Peak, findings and marks of one run, the more important first."""
    curve = max(run.named(name), key=lambda each: each.group.initial[name])
    values = curve.points[1][np.isfinite(curve.points[1])]
    pins = []
    if not is_flat(values):
        step, value = curve.peak
        pins.append(Pin(step, f"peak {value:.4g}", value))
    if (undecided := curve.trajectory.undecided) is not None:
        pins.append(Pin(undecided.first, f"{undecided} from here on; dashed: always, never improving"))
    pins += [
        Pin(finding.step, finding.kind, warns=True)
        for finding in run.findings
        if finding.name == name and finding.step is not None
    ]
    epoch = run.clock.steps_per_epoch if run.clock.by_epoch else None
    for mark in curve.trajectory.marks:
        at_end = f" (epoch {mark.step // epoch})" if epoch and mark.step % epoch == 0 else ""
        pins.append(Pin(mark.step, f"{mark.what}{at_end}"))
    return tuple(pins)


def short(value: float) -> str:
    """Steps for an axis: 0, 500, 20k, 1.5M."""
    for unit, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= unit:
            return f"{value / unit:.4g}{letter}"
    return f"{value:.4g}"


def find_style(name: str) -> Style:
    """One of `STYLES`, or the colours of one of matplotlib's styles."""
    if name in STYLES:
        return STYLES[name]
    import matplotlib.style
    from matplotlib.colors import to_hex, to_rgba

    if name != "default" and name not in matplotlib.style.available:
        raise NotFound("plot style", name, [*STYLES, *matplotlib.style.available])
    settings = {**matplotlib.rcParams, **matplotlib.style.library.get(name, {})}
    page = "#ffffff" if to_rgba(settings["figure.facecolor"])[3] == 0 else to_hex(settings["figure.facecolor"])
    ink = to_hex(settings["text.color"])
    return Style(
        paper=to_hex(settings["axes.facecolor"]),
        frame=to_hex(settings["axes.edgecolor"]),
        grid=to_hex(settings["grid.color"]) if settings["axes.grid"] else None,
        open=not settings["axes.spines.top"],
        page=page,
        ink=ink,
        faint=blend(page, ink, 0.65),
    )


def line_colours(count: int) -> Sequence[str]:
    """As many colours as there are lines: distinct ones for a few, a ramp for many."""
    if count <= len(QUALITATIVE):
        return QUALITATIVE[:count]
    colours = []
    for index in range(count):
        position = index / (count - 1) * (len(RAMP) - 1)
        low = min(int(position), len(RAMP) - 2)
        colours.append(blend(RAMP[low], RAMP[low + 1], position - low))
    return colours


def blend(low: str, high: str, share: float) -> str:
    pairs = [(int(low[at : at + 2], 16), int(high[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
