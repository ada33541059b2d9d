"""Check a training setup by its address: a request goes in, findings come out, and a page of them is written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.adapters import Options, open_source
from classlens.check.examine import examine
from classlens.check.inspection import PICTURES, Inspection
from classlens.check.rule import choose_rules
from classlens.figures.drawing import check_ending

if TYPE_CHECKING:
    from classlens.check.finding import Findings
    from classlens.runs.own_process import Progress


@dataclass(frozen=True)
class CheckRequest:
    """What is checked, by which rules, and where a page about it goes.

    `target` is an address, `checkpoint` the path or URL of weights. `select` and `ignore` are beginnings of codes of
    rules. At most `samples` labelled pictures are shown to the network. `log` is what a training run wrote.
    `dataset_size` and `gpus` are those of training; without the former the dataset is counted. `page` is an HTML file.

    Raises:
        DataError: the page cannot be written.
    """

    target: str
    checkpoint: str | None = None
    options: Options = field(default_factory=Options)
    select: tuple[str, ...] = ()
    ignore: tuple[str, ...] = ()
    samples: int = PICTURES
    log: Path | None = None
    dataset_size: int | None = None
    gpus: int = 1
    page: Path | None = None

    def __post_init__(self) -> None:
        if self.page is not None:
            check_ending(self.page, (".html", ".htm"))


SAME_NAME = ("checkpoint", "samples", "log", "target", "dataset_size", "gpus")
"""Fields of the request that are called so in the inspection, too."""


def run_checks(
    request: CheckRequest, on_note: Callable[[str, str], object] | None = None, progress: Progress | None = None
) -> Findings:
    """Open the target, run the rules, write the page.

    `on_note` is called with "note" and what the user should know about the target.

    Raises:
        NotFound: no rule has such a code.
        NotOffered: no rule could be run.
        ConfigError: the target cannot be opened.
        DataError: there is no such checkpoint or log, or the page cannot be written.
    """
    rules = choose_rules(request.select, request.ignore)
    source = open_source(request.target, options=request.options)
    if on_note is not None:
        for note in source.notes:
            on_note("note", note)
    words = {name: getattr(request, name) for name in SAME_NAME}
    inspection = Inspection(source, progress=progress, **words)
    findings = examine(inspection, rules)
    if on_note is not None and "classifier" in inspection.kept:
        for note in getattr(inspection.kept["classifier"], "notes", ()):  # none of one that could not be opened
            on_note("note", note)
    if request.page is not None:
        from classlens.figures.findings import draw_findings

        draw_findings(findings).save(request.page)
    return findings
