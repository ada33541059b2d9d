"""What a check comes to: findings, each with the numbers, pictures and cure, and the rules that could not be run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from classlens.errors import count_of
from classlens.results import Drawable

if TYPE_CHECKING:
    from classlens.image import Image

Severity = Literal["error", "warning"]
"""An error makes training stop, or its results wrong; a warning is probably not what was meant."""


@dataclass(frozen=True)
class Exhibit:
    """A picture that shows a finding, and what is to be seen in it."""

    image: Image
    caption: str


@dataclass(frozen=True, eq=False)
class Finding:
    """One mismatch: what is wrong, where, and the numbers and pictures that show it.

    `evidence` is what JSON can hold, `samples` have a split, a number, and what is bad. A rule leaves out `code` and
    `severity`, which its line says, and maybe `cure` and `command`: those of its page, and the check with it alone.
    """

    message: str
    where: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    pictures: tuple[Exhibit, ...] = ()
    cure: str = ""
    command: str = ""
    code: str = ""
    severity: Severity = "warning"
    samples: tuple[tuple[str, int, str], ...] = ()

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
        found = ", ".join(count_of(count, kind) for kind, count in counts.items()) or "nothing found"
        skipped = f", {len(self.skipped)} skipped" if self.skipped else ""
        return f"{found} by {count_of(len(self.ran), 'rule')}{skipped}"

    def as_data(self) -> dict[str, Any]:
        """The findings and skipped rules, as JSON can hold them."""
        return {"findings": [one.as_data() for one in self.findings], "skipped": [asdict(one) for one in self.skipped]}
