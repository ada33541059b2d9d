"""Two audits side by side, as text and as a page with the pictures that only the first network has right."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from classlens.errors import ClasslensError
from classlens.figures.drawing import Drawing
from classlens.figures.page import Picture, Section, page_of, sections_of
from classlens.printed import join_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from classlens.audit.comparison import Comparison, Flip

CLASSES = 15  # that are listed: those that changed most


def draw_comparison(comparison: Comparison) -> Drawing:
    """A table to print, and as `.html` the pictures of negative flips beside it."""
    text = join_lines([*summary_lines(comparison), "", *class_lines(comparison), *flip_lines(comparison.flips)])

    def page() -> bytes:
        sections = [
            Section("In numbers", "", join_lines(summary_lines(comparison)), ()),
            Section("Classes that changed most", "", join_lines(class_lines(comparison)), ()),
            flips_section(comparison),
        ]
        title = f"{Path(comparison.second).name} against {Path(comparison.first).name}"
        return page_of("sections.html", title, sections_of(sections))

    return Drawing(text=text, encoders={".html": page, ".htm": page})


def summary_lines(comparison: Comparison) -> list[str]:
    """What changed over all pictures."""
    one = comparison
    share = [f"{right / one.labelled:.2%}" if one.labelled else "no labels" for right in one.right]
    gain, low, high = one.gain
    rows = [
        ("", "A", "B", ""),
        ("accuracy", *share, f"{gain:+.2%} ({low:+.2%} to {high:+.2%}), McNemar p = {one.p_value:.2g}"),
        ("right only here", f"{one.lost:,}", f"{one.won:,}", f"of {one.labelled:,}; the first are negative flips"),
        ("predictions", f"{one.pictures:,}", f"{one.pictures:,}", f"{one.pictures - one.changed:,} agree, {one.changed:,} changed"),
    ]
    lines = [f"A  {one.first}", f"B  {one.second}", *columns(rows)]
    names = {"all": "all pictures", "same": "same prediction", "changed": "other prediction"}
    maps = [("maps", "pictures", "correlation", "elsewhere", "right", "down", "outward")]
    maps += [
        (names[name], f"{of.pictures:,}", f"{of.correlation:.2f}", f"{of.elsewhere:.0%}", f"{of.right:+.1%}", f"{of.down:+.1%}",
         f"{of.outward:+.1%}")
        for name, of in one.maps.items()
    ]  # fmt: skip
    return [*lines, *(["", *columns(maps)] if one.maps else []), *one.notes]


def class_lines(comparison: Comparison) -> list[str]:
    """The classes that lost most, then those that won most."""
    chosen = list(comparison.classes)
    if len(chosen) > CLASSES:
        chosen = [*chosen[: CLASSES // 2 + 1], *chosen[-(CLASSES // 2) :]]
    rows = [("class", "pictures", "A", "B", "lost", "won")]
    rows += [
        (one.name, f"{one.pictures:,}", *(f"{right / one.pictures:.1%}" for right in one.right), f"{one.lost:,}", f"{one.won:,}")
        for one in chosen
    ]
    return columns(rows)


def flip_lines(flips: Sequence[Flip], most: int = 8) -> list[str]:
    """The surest of the pictures that only the first network has right."""
    if not flips:
        return []
    rows = [(one.path or f"#{one.index}", one.label, f"B says {one.predicted} ({one.probability:.0%})") for one in flips[:most]]
    return ["", "right in A only, the surest of B first", *columns(rows)]


def flips_section(comparison: Comparison) -> Section:
    """The pictures of negative flips, as far as their files are there."""
    from classlens.dataset.decode import read_image
    from classlens.figures.report import encode

    pictures = []
    for one in comparison.flips:
        if one.path and Path(one.path).is_file():
            try:
                content = encode(read_image(one.path))
            except ClasslensError:
                continue
            pictures.append(Picture(content, f"{one.label}: B says {one.predicted} ({one.probability:.0%})"))
    return Section("Right in A only", "The surest answers of B first.", join_lines(flip_lines(comparison.flips, 24)), tuple(pictures))


def columns(rows: Iterable[Sequence[str]]) -> list[str]:
    """Rows whose cells stand below one another, the first to the left and numbers to the right."""
    cells = [tuple(row) for row in rows]
    widths = [max(len(row[at]) for row in cells) for at in range(len(cells[0]))]
    return [
        "  ".join(
            cell.ljust(width) if at == 0 or (at == len(row) - 1 and not cell[:1].isdigit()) else cell.rjust(width)
            for at, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
