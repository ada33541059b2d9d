"""Curves into files. The ending of the name says what is written."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from classlens.errors import DataError
from classlens.figures.style import STYLES, check_style
from classlens.files import check_place, write_whole
from classlens.schedule.replay import Curves, table

RASTER = (".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff")
BY_MATPLOTLIB = (*RASTER, ".pdf", ".eps")
FORMATS = (*BY_MATPLOTLIB, ".svg", ".html")

MOST_PIXELS = 10**8
MOST_ROWS = 200_000_000


def check_target(path: Path) -> None:
    """Find out before any work whether `path` can be written in the format its ending names.

    Raises:
        DataError: the ending is missing or unknown, or the place cannot be written.
    """
    suffix = path.suffix.lower()
    if path.is_dir():
        raise DataError(f"{path} is a folder, not a file", hint=f"add a name, e.g. {path / 'lr.png'}")
    if suffix not in FORMATS:
        what = f"with the ending {suffix!r}" if suffix else "under a name without ending"
        raise DataError(f"{path}: cannot write a picture {what}", hint=f"use one of {' '.join(FORMATS)}")
    check_place(path)


def save_curves(
    path: Path,
    runs: Sequence[Curves],
    *,
    title: str = "",
    style: str = "whitegrid",
    size: tuple[float, float] = (12.0, 7.0),
    log: bool | None = None,
) -> None:
    """Draw the runs into one file.

    Raises:
        DataError: the format is unknown, the picture too large, or the file cannot be written.
        NotFound: there is no such style.
    """
    check_style(style)
    check_target(path)
    write_whole(path, encoded(path.suffix.lower(), runs, title=title, style=style, size=size, log=log))


def encoded(
    suffix: str,
    runs: Sequence[Curves],
    *,
    title: str = "",
    style: str = "whitegrid",
    size: tuple[float, float] = (12.0, 7.0),
    log: bool | None = None,
) -> bytes:
    """The plot in the format that an ending names.

    Pages, SVG and pixels in one of our own styles are drawn without matplotlib, which takes longer to load than they
    take.

    Raises:
        DataError: the picture is too large.
    """
    if suffix in RASTER and size[0] * size[1] * 100**2 > MOST_PIXELS:
        raise DataError(f"{size[0]:g} x {size[1]:g} inches is more than {MOST_PIXELS:,} pixels")
    if suffix == ".html":
        from classlens.figures.curves_vector import html_of

        return html_of(runs, title=title, log=log).encode()
    if suffix == ".svg" and style in STYLES:
        from classlens.figures.curves_vector import svg_of

        return svg_of(runs, title=title, style=style, size=size, log=log).encode()
    if suffix in RASTER and style in STYLES:
        from classlens.figures.curves_raster import encoded_picture, picture_of

        return encoded_picture(picture_of(runs, title=title, style=style, size=size, log=log), suffix)
    from classlens.figures.curves import draw_curves, settle

    figure, content = draw_curves(runs[0], others=runs[1:], title=title, style=style, size=size, log=log), BytesIO()
    settle(figure)
    figure.savefig(content, format=suffix[1:])
    return content.getvalue()


def save_csv(path: Path, runs: Sequence[Curves]) -> None:
    """Write every value of every step and group as a table.

    Raises:
        DataError: the table would have more than 200 million rows, or the file cannot be written.
    """
    rows = sum(run.clock.steps * len({id(curve.group) for curve in run}) for run in runs)
    if rows > MOST_ROWS:
        raise DataError(f"{path}: a table of every step would have {rows:,} rows", hint="--json gives the drawn points")
    check_place(path)
    write_whole(path, lambda file: file.writelines(line.encode() for line in table(runs)))
