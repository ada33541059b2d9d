"""The looks of plots: colours for lines, and the five named backgrounds that the documentation knows.

White paper, dark paper, with grid or without: as plain data, so that neither matplotlib nor any other plotting
package is needed to know them.
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
    """Colours of paper, frame and grid, None where there is none; an `open` frame has a left and a lower side only."""

    paper: str
    frame: str | None
    grid: str | None
    open: bool = False


STYLES: Mapping[str, Style] = {
    "white": Style("#ffffff", "#344054", None),
    "ticks": Style("#ffffff", INK, None, open=True),
    "whitegrid": Style("#ffffff", "#98a2b3", "#e4e7ec"),
    "dark": Style("#eaeaf2", None, None),
    "darkgrid": Style("#eaeaf2", None, "#ffffff"),
}
DEFAULT = "whitegrid"


def check_style(style: str) -> None:
    """See that a style is one of ours, or one of matplotlib's, which is loaded only then.

    Raises:
        NotFound: it is neither.
    """
    if style in STYLES or style == "default":
        return
    import matplotlib.style

    if style not in matplotlib.style.available:
        raise NotFound("plot style", style, [*STYLES, *matplotlib.style.available])


def colours(count: int) -> Sequence[str]:
    """As many colours as there are lines: distinct ones for a few, a ramp for many."""
    if count <= len(QUALITATIVE):
        return QUALITATIVE[:count]
    return [mixed(index / (count - 1)) for index in range(count)]


def mixed(share: float) -> str:
    """The colour at a share (0 to 1) of the ramp."""
    position = share * (len(RAMP) - 1)
    index = min(int(position), len(RAMP) - 2)
    return blended(RAMP[index], RAMP[index + 1], position - index)


def tinted(colour: str, paper: str, share: float = 0.14) -> str:
    return blended(paper, colour, share)


def blended(low: str, high: str, share: float) -> str:
    return "#" + "".join(
        f"{round(a + (b - a) * share):02x}" for a, b in zip(channels(low), channels(high), strict=True)
    )


def channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
