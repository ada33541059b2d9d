"""What a check comes to: findings, and the rules that could not be run; as text, as data, and as annotations of GitHub.

A finding says what is wrong, where, which numbers and pictures show it, how to cure it, and by which command to see it
again.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING, Any, Literal

from classlens.results import Drawable

if TYPE_CHECKING:
    from classlens.image import Image

Severity = Literal["error", "warning"]
"""An error makes training stop, or its results wrong; a warning is probably not what was meant."""

COLUMNS = 110
INDENT: dict[str, Any] = {
    "subsequent_indent": " " * 12, "break_long_words": False, "break_on_hyphens": False, "drop_whitespace": True,
}  # fmt: skip
"""A command or a path stays in one piece."""

ANNOTATION = re.compile(r"(?P<file>.+?)(?::(?P<line>\d+))?$")


@dataclass(frozen=True)
class Exhibit:
    """A picture that shows a finding, and what is to be seen in it."""

    image: Image
    caption: str


@dataclass(frozen=True, eq=False)
class Finding:
    """One mismatch: what is wrong, where, and the numbers and pictures that show it.

    `evidence` is what JSON can hold. A rule leaves out `code` and `severity`, which its line in the table says, and may
    leave out `cure` and `command`: then they are those of its page, and the check with this rule alone.
    """

    message: str
    where: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Exhibit, ...] = ()
    cure: str = ""
    command: str = ""
    code: str = ""
    severity: Severity = "warning"

    def as_data(self) -> dict[str, Any]:
        """The finding without its pictures."""
        names = ("code", "severity", "message", "where", "evidence", "cure", "command")
        return {name: getattr(self, name) for name in names} | {"evidence": dict(self.evidence)}


@dataclass(frozen=True)
class Skip:
    """A rule that was not run, or not to its end, and why."""

    code: str
    why: str


@dataclass(frozen=True, eq=False)
class Findings(Drawable):
    """All that a check found in `target`, what it `ran`, by code, and what it skipped."""

    target: str
    findings: tuple[Finding, ...]
    skipped: tuple[Skip, ...]
    ran: tuple[str, ...]

    def __repr__(self) -> str:
        return f"<Findings about {self.target}: {self.summary()}>"

    def summary(self) -> str:
        """How many findings of each severity, of how many rules."""
        counts = Counter(finding.severity for finding in self.findings)
        found = ", ".join(f"{count} {kind}{'s' * (count > 1)}" for kind, count in counts.items()) or "nothing found"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{found} by {len(self.ran)} rule{'s' * (len(self.ran) != 1)}{skipped}"

    def as_data(self) -> dict[str, Any]:
        """The findings and skipped rules, as JSON can hold them."""
        return {
            "findings": [finding.as_data() for finding in self.findings],
            "skipped": [{"code": skip.code, "why": skip.why} for skip in self.skipped],
        }

    def text(self) -> str:
        """The findings one below the other, then a line for every reason why rules were skipped, and the sum."""
        lines = []
        for one in self.findings:
            lines += [*wrap(f"{one.severity} {one.code}: {one.message}", COLUMNS, subsequent_indent="  ")]
            parts = {"where": one.where, "evidence": spell(one.evidence), "cure": one.cure, "again": one.command}
            for name, words in parts.items():
                lines += wrap(f"  {name + ':':<10}{words}", COLUMNS, **INDENT) if words else []
            lines.append("")
        reasons: dict[str, list[str]] = {}
        for skip in self.skipped:
            reasons.setdefault(skip.why, []).append(skip.code)
        lines += [f"skipped {spans(codes)}: {why}" for why, codes in reasons.items()]
        return "\n".join([*lines, f"{self.target}: {self.summary()}"])

    def github(self) -> str:
        """The findings as commands to GitHub Actions, which shows them beside the lines that they are about."""
        lines = []
        for one in self.findings:
            match = ANNOTATION.match(one.where)
            place = f"file={escape(match['file'])}," if match and Path(match["file"]).is_file() else ""
            place += f"line={match['line']}," if match and place and match["line"] else ""
            words = "\n".join(filter(None, (one.message, one.where, one.cure, one.command)))
            lines.append(f"::{one.severity} {place}title={escape(f'classlens {one.code}')}::{escape(words, ',:')}")
        return "\n".join(lines)


def spell(evidence: Mapping[str, Any]) -> str:
    """Numbers by name, in one line."""
    return ", ".join(
        f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}" for name, value in evidence.items()
    )


def spans(codes: list[str]) -> str:
    """Codes in a row as their first and last: `S001-S016`."""
    rows: list[list[str]] = []
    for code in codes:
        last = rows[-1][-1] if rows else ""
        follows = (
            code[:-3] == last[:-3]
            and code[-3:].isdigit()
            and last[-3:].isdigit()
            and int(code[-3:]) - int(last[-3:]) == 1
        )
        if follows:
            rows[-1].append(code)
        else:
            rows.append([code])
    return ", ".join(row[0] if len(row) == 1 else f"{row[0]}-{row[-1]}" for row in rows)


def escape(text: str, allowed: str = "") -> str:
    """Text as GitHub's commands take it; commas and colons end a property, and are `allowed` in a message."""
    codes = {"%": "%25", "\r": "%0D", "\n": "%0A", ":": "%3A", ",": "%2C"}
    return "".join(letter if letter in allowed else codes.get(letter, letter) for letter in text)
