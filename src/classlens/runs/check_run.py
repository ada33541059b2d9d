"""Check a training setup by its address: a request goes in, findings come out, and a page of them is written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classlens.adapters import Options, open_source
from classlens.check.examine import examine
from classlens.check.inspection import PICTURES, Inspection
from classlens.check.rule import Rule, choose_rules
from classlens.dataset.dataset import Dataset, Sample
from classlens.figures.drawing import PAGES, check_ending
from classlens.files import limit
from classlens.runs.own_process import KILLERS, Notify, Progress, risky, silent
from classlens.source import Source

if TYPE_CHECKING:
    from classlens.check.finding import Finding, Findings
    from classlens.runs.report_run import ReportRequest


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
            check_ending(self.page, PAGES)


def run_checks(request: CheckRequest, on_note: Notify = silent, progress: Progress = silent) -> Findings:
    """Open the target, run the rules, write the page.

    `on_note` is called with "note" and what the user should know about the target.

    Raises:
        NotFound: no rule has such a code.
        NotOffered: no rule could be run.
        ConfigError: the target cannot be opened.
        DataError: there is no such checkpoint or log, or the page cannot be written.
    """
    rules = choose_rules(request.select, request.ignore)
    source = watch(open_source(request.target, options=request.options))
    for note in source.notes:
        on_note("note", note)
    inspection = inspect(source, request, progress)
    findings = examine(inspection, watch_rules(rules))
    for note in getattr(inspection.kept.get("classifier"), "notes", ()):  # none of one that could not be opened
        on_note("note", note)
    if request.page is not None:
        from classlens.figures.findings import draw_findings

        draw_findings(findings).save(request.page)
    return findings


def inspect(source: Source, request: CheckRequest | ReportRequest, progress: Progress) -> Inspection:
    """An inspection with what the request says."""
    names = ("checkpoint", "samples", "log", "target", "dataset_size", "gpus")
    return Inspection(source, progress=progress, **{name: getattr(request, name) for name in names})


def watch(source: Source) -> Source:
    """The same source, of which every sample is `risky`: one that has killed a process of this run is a bad one."""

    def open_dataset(split: str) -> Dataset:
        dataset = source.dataset(split)

        def sample(index: int) -> Sample:
            place = f"sample {index} of {dataset.name}"
            if place in KILLERS:  # some datasets decode a picture to know its label
                return Sample()
            with risky(place, limit("seconds")):
                return dataset.sample(index)

        def watched(call: Callable[..., Any]) -> Callable[..., Any]:
            def decode(index: int, *words: object) -> Any:  # noqa: ANN401 - what the dataset gives
                with risky(place_of(known, index), limit("seconds")):
                    return call(index, *words)

            return decode

        known = replace(dataset, sample=sample)
        thumbnail = watched(dataset.thumbnail) if dataset.thumbnail else None
        return replace(known, load=watched(dataset.load), thumbnail=thumbnail)

    return replace(source, open_dataset=open_dataset) if source.open_dataset else source


def place_of(dataset: Dataset, index: int) -> str:
    """What a sample is called where its process dies of it."""
    return dataset.sample(index).path or f"sample {index} of {dataset.name}"


def watch_rules(rules: Sequence[Rule]) -> list[Rule]:
    """The same rules; one that has killed a process of this run is skipped."""

    def watched(rule: Rule) -> Rule:
        def run(inspection: Inspection) -> Iterator[Finding]:
            with risky(f"rule {rule.code}"):
                yield from rule.examine(inspection)

        return replace(rule, examine=run)

    return list(map(watched, rules))
