"""Two audits side by side, and answers from one: as text, and as pages with the pictures that show them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from classlens.audit.carry_out import REPORT
from classlens.errors import ClasslensError
from classlens.figures.drawing import PAGES, Drawing
from classlens.figures.page import HtmlPage, Picture, Section, link_to, table_of, webp_of
from classlens.printed import join_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from classlens.audit.answers import Answer, Answers
    from classlens.audit.comparison import AuditComparison

CLASSES, FLIPS, ROWS = 15, 8, 12  # that are printed
LARGEST, SMALLEST = 320, 120  # pixels of the longer side of a picture

Table = list[tuple[str, ...]]


def draw_comparison(comparison: AuditComparison) -> Drawing:
    """Tables to print, and as `.html` with the pictures of negative flips beside them."""
    tables = {
        "In numbers": number_rows(comparison),
        "Where they look": map_rows(comparison),
        "Classes that changed most": class_rows(comparison),
        "Right in A only, the surest of B first": flip_rows(comparison),
    }
    sides = [f"A  {comparison.first}", f"B  {comparison.second}"]
    lines = list(sides)
    for title, rows in tables.items():
        lines += ["", title, *aligned(rows[: 1 + (FLIPS if "only" in title else CLASSES)])] if len(rows) > 1 else []
    text = join_lines([*lines, *comparison.notes])

    def page() -> bytes:
        shown = flip_pictures(comparison)
        sections = [
            Section(title, html=table_of(rows[0], rows[1:]), pictures=shown if "only" in title else ())
            for title, rows in tables.items()
            if len(rows) > 1
        ]
        title = f"{Path(comparison.second).name} against {Path(comparison.first).name}"
        return HtmlPage(title, "\n".join([*sides, *comparison.notes]), sections, contents=True).encode()

    return Drawing(text=text, encoders=dict.fromkeys(PAGES, page))


def number_rows(comparison: AuditComparison) -> Table:
    """What changed over all pictures."""
    one = comparison
    share = [f"{right / one.labelled:.2%}" if one.labelled else "-" for right in one.right]
    gain, low, high = one.gain
    return [
        ("", "A", "B", "B against A"),
        ("right", *share, f"{gain:+.2%} ({low:+.2%} to {high:+.2%}), McNemar's p {one.p_value:.2g}"),
        ("right here only", f"{one.lost:,}", f"{one.won:,}", f"of {one.labelled:,}: {one.lost:,} negative flips"),
        (
            "pictures",
            *[f"{one.pictures:,}"] * 2,
            f"{one.pictures - one.changed:,} predictions agree, {one.changed:,} changed",
        ),
    ]


def map_rows(comparison: AuditComparison) -> Table:
    """How maps moved."""
    heading = ("maps", "pictures", "correlation", "moved evidence", "to the right", "down", "to the border")
    names = {"all": "all pictures", "same": "same prediction", "changed": "other prediction"}
    rows = [
        (names[name], f"{of.pictures:,}", f"{of.correlation:.2f}", f"{of.elsewhere:.0%}", f"{of.right:+.1%}",
         f"{of.down:+.1%}", f"{of.outward:+.1%}")
        for name, of in comparison.maps.items()
    ]  # fmt: skip
    return [heading, *rows]


def class_rows(comparison: AuditComparison) -> Table:
    """The classes that lost most, then those that won most."""
    chosen = list(comparison.classes)
    if len(chosen) > CLASSES:
        chosen = [*chosen[: CLASSES // 2 + 1], *chosen[-(CLASSES // 2) :]]
    rows = [
        (
            one.name,
            f"{one.pictures:,}",
            *(f"{right / one.pictures:.1%}" for right in one.right),
            f"{one.lost:,}",
            f"{one.won:,}",
        )
        for one in chosen
    ]
    return [("class", "pictures", "right in A", "right in B", "lost", "won"), *rows]


def flip_rows(comparison: AuditComparison) -> Table:
    rows = [
        (one.path or f"#{one.index}", one.label, one.predicted, f"{one.probability:.0%}") for one in comparison.flips
    ]
    return [("picture", "label", "B says", "how sure"), *rows]


def flip_pictures(comparison: AuditComparison) -> tuple[Picture, ...]:
    """The pictures of negative flips, as far as their files are there."""
    from classlens.dataset.decode import read_image

    pictures = []
    for one in comparison.flips:
        if one.path and Path(one.path).is_file():
            try:
                content = webp_of(read_image(one.path), LARGEST, smallest=SMALLEST)
            except ClasslensError:
                continue
            pictures.append(
                Picture(content, (f"{one.predicted} {one.probability:.0%}", f"labelled {one.label}", one.path))
            )
    return tuple(pictures)


def draw_answers(answers: Answers) -> Drawing:
    """Verdicts with the first rows of their tables, and as `.html` with pictures."""
    lines: list[str] = []
    for one in answers.given:
        lines += ["", one.question, f"  {one.verdict}"]
        lines += [f"  {line}" for line in aligned(rows_of(one)[: ROWS + 1])] if one.table else []
        lines += [f"  and {len(one.table) - ROWS:,} more"] if len(one.table) > ROWS else []
        lines += [f"  note: {note}" for note in one.notes]

    def page() -> bytes:
        sections = [section_of(answers, one) for one in answers.given]
        sections.append(link_to(REPORT, "The audit", f"What these answers are from, {answers.folder}:"))
        return HtmlPage("Answers from an audit", f"Asked of {answers.folder}.", sections, contents=True).encode()

    return Drawing(text=join_lines(lines[1:]), encoders=dict.fromkeys(PAGES, page))


def section_of(answers: Answers, one: Answer) -> Section:
    """A question with its verdict, the first hundred rows of its table, and pictures."""
    rows = rows_of(one)[:101]
    shown = [(index, answers.shown[index]) for index in one.examples if index in answers.shown]
    said = {
        row.get("index"): tuple(f"{name} {value}" for name, value in row.items() if value != "") for row in one.table
    }
    pictures = tuple(
        Picture(webp_of(image, LARGEST, smallest=SMALLEST), said.get(index, (f"#{index}",))) for index, image in shown
    )
    text = "\n".join([one.verdict, *one.notes])
    return Section(one.question, text, pictures=pictures, html=table_of(rows[0], rows[1:]) if len(rows) > 1 else "")


def rows_of(answer: Answer) -> Table:
    """The table of an answer as text."""
    if not answer.table:
        return [()]
    return [tuple(answer.table[0]), *(tuple(f"{value}" for value in row.values()) for row in answer.table)]


def aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Rows whose cells stand below one another: numbers to the right."""
    widths = [max(len(row[at]) for row in rows) for at in range(len(rows[0]))]
    right = [all(row[at][:1] in "0123456789+-" for row in rows[1:]) for at in range(len(widths))]
    cells = [[cell.rjust(wide) if is_right else cell.ljust(wide) for cell, wide, is_right in zip(row, widths, right, strict=True)]
             for row in rows]  # fmt: skip
    return ["  ".join(row).rstrip() for row in cells]
