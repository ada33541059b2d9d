"""Findings as text, as annotations of GitHub, and as a page with the pictures that show them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from html import escape
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any

from classlens.figures.drawing import PAGES, Drawing
from classlens.figures.page import HtmlPage, Picture, Section, sections_of, webp_of
from classlens.words import Phrase, known, say

if TYPE_CHECKING:
    from classlens.check.finding import Finding, Findings

LARGEST, SMALLEST = 480, 120  # pixels of the longer side of a picture that shows a finding
NOTEBOOK = '<div style="max-width: 60rem">{}</div>'

COLUMNS = 110
INDENT: dict[str, Any] = {"subsequent_indent": " " * 12, "break_long_words": False, "break_on_hyphens": False}
"""A command or a path stays in one piece."""

ANNOTATION = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?$")


def draw_findings(findings: Findings) -> Drawing:
    """What a check came to: text to print, in a notebook and as `.html` with pictures."""
    sections = finding_sections(findings)
    page = HtmlPage(say("report.check", target=findings.target), summary_of(findings), sections)
    html = f"<p>{escape(findings.summary())}</p>\n{sections_of(sections)}"
    return Drawing(text=text_of(findings), encoders=dict.fromkeys(PAGES, page.encode), html=NOTEBOOK.format(html))


def summary_of(findings: Findings) -> Phrase:
    """`Findings.summary` in words of pages."""
    counts = Counter(finding.severity for finding in findings.findings)
    sums = tuple(say(f"report.{kind}", count=count) for kind, count in counts.items()) or say("report.nothing")
    if findings.skipped:
        return say("report.found_skipped", found=sums, count=len(findings.ran), skipped=len(findings.skipped))
    return say("report.found", found=sums, count=len(findings.ran))


def finding_sections(findings: Findings, *, rank: int = 2) -> list[Section]:
    """A section for every finding, and one of what was not looked for."""
    sections = [section_of(finding, rank) for finding in findings.findings]
    skipped = [say("report.skipped", codes=codes, why=known(why)) for codes, why in skipped_rules(findings)]
    return [*sections, *([Section(say("report.not_looked"), skipped, rank=rank)] if skipped else [])]


def section_of(finding: Finding, rank: int) -> Section:
    """A finding with its code as the heading, and its pictures in the file."""
    parts = {"where": finding.where, "evidence": spell(finding.evidence), "cure": finding.cure}
    text = [say(f"report.{name}", text=words) for name, words in parts.items() if words]
    pictures = [
        Picture(webp_of(one.image, LARGEST, quality=80, smallest=SMALLEST), (one.caption,)) for one in finding.pictures
    ]
    title = f"{finding.severity} {finding.code}: {finding.message}"
    return Section(title, text, finding.command, tuple(pictures), "pairs", rank=rank, kind=finding.severity)


def text_of(findings: Findings, columns: int = COLUMNS) -> str:
    """The findings one below the other, then a line for every reason why rules were skipped, and the sum."""
    lines = []
    for one in findings.findings:
        lines += wrap(f"{one.severity} {one.code}: {one.message}", columns, subsequent_indent="  ")
        parts = {"where": one.where, "evidence": spell(one.evidence), "cure": one.cure, "again": one.command}
        for name, words in parts.items():
            lines += wrap(f"  {name + ':':<10}{words}", columns, **INDENT) if words else []
        lines.append("")
    lines += [f"skipped {codes}: {why}" for codes, why in skipped_rules(findings)]
    return "\n".join([*lines, f"{findings.target}: {findings.summary()}"])


def skipped_rules(findings: Findings) -> list[tuple[str, str]]:
    """The codes of skipped rules, and why, for every reason."""
    reasons: dict[str, list[str]] = {}
    for skip in findings.skipped:
        reasons.setdefault(skip.why, []).append(skip.code)
    return [(spans(codes), why) for why, codes in reasons.items()]


def annotations_of(findings: Findings) -> str:
    """The findings as commands to GitHub Actions, which shows them beside the lines that they are about."""
    lines = []
    for one in findings.findings:
        match = ANNOTATION.match(one.where)
        place = f"file={quote(match['file'])}," if match and Path(match["file"]).is_file() else ""
        place += f"line={match['line']}," if match and place and match["line"] else ""
        words = "\n".join(filter(None, (one.message, one.where, one.cure, one.command)))
        lines.append(f"::{one.severity} {place}title={quote(f'classlens {one.code}')}::{quote(words, ',:')}")
    return "\n".join(lines)


def spell(evidence: Mapping[str, Any]) -> str:
    """Numbers by name, in one line."""
    values = {name: f"{value:.4g}" if isinstance(value, float) else f"{value}" for name, value in evidence.items()}
    return ", ".join(f"{name} {value}" for name, value in values.items())


def spans(codes: list[str]) -> str:
    """Codes in a row as their first and last: `S001-S016`."""
    rows: list[list[str]] = []
    for code in codes:
        last = rows[-1][-1] if rows else ""
        follows = last and code == f"{last[:-3]}{int(last[-3:]) + 1:03}"
        if follows:
            rows[-1].append(code)
        else:
            rows.append([code])
    return ", ".join(row[0] if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)


def quote(text: str, allowed: str = "") -> str:
    """Text as GitHub's commands take it; commas and colons end a property, and are `allowed` in a message."""
    codes = {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"}
    return "".join(letter if letter in allowed else codes.get(letter, letter) for letter in text)
