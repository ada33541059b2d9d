"""The looks of plots: colours for lines, and the five named backgrounds that the documentation knows.

White paper, dark paper, with grid or without: plain data, so that no plotting package is needed to know them. The
colours of matplotlib's own styles are asked of it, which is loaded only then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from classlens.errors import NotFound

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
    """The colour at a share (0 to 1) of the way between two."""
    pairs = [(int(low[at : at + 2], 16), int(high[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in pairs)
