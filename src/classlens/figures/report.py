"""Findings as text, and as a page with the pictures that show them."""

from __future__ import annotations

from html import escape
from io import BytesIO
from typing import TYPE_CHECKING

from PIL import Image as Pillow

from classlens.check.finding import spell
from classlens.figures.drawing import Drawing
from classlens.figures.page import Picture, Section, page_of, sections_of

if TYPE_CHECKING:
    from classlens.check.finding import Finding, Findings
    from classlens.image import Image

LARGEST = 480  # pixels of the longer side of a picture that shows a finding
NOTEBOOK = '<div style="max-width: 60rem">{}</div>'


def draw_findings(findings: Findings) -> Drawing:
    """What a check came to: text to print, in a notebook and as `.html` with pictures."""
    sections = [section_of(finding) for finding in findings.findings]
    skipped = "".join(f"<p>skipped {escape(skip.code)}: {escape(skip.why)}</p>\n" for skip in findings.skipped)
    body = f"<p>{escape(findings.summary())}</p>\n{sections_of(sections)}{skipped}"

    def page() -> bytes:
        return page_of("sections.html", f"Check of {findings.target}", body)

    return Drawing(text=findings.text(), encoders={".html": page, ".htm": page}, html=NOTEBOOK.format(body))


def section_of(finding: Finding) -> Section:
    """A finding with its code as the heading, and its pictures in the file."""
    parts = {"where": finding.where, "evidence": spell(finding.evidence), "cure": finding.cure}
    text = "\n".join([finding.message, *(f"{name}: {words}" for name, words in parts.items() if words)])
    pictures = tuple(Picture(encode(one.image), one.caption) for one in finding.pictures)
    return Section(f"{finding.severity} {finding.code}", text, finding.command, pictures)


def encode(image: Image) -> bytes:
    """A small WebP of a picture; tiny ones are enlarged, pixel by pixel."""
    picture, content = Pillow.fromarray(image.pixels), BytesIO()
    picture.thumbnail((LARGEST, LARGEST))
    factor = max(1, LARGEST // 4 // max(picture.size))
    picture = picture.resize((picture.width * factor, picture.height * factor), Pillow.Resampling.NEAREST)
    picture.save(content, "WEBP", quality=80, method=2)
    return content.getvalue()
