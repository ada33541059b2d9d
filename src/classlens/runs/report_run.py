"""`classlens.report`: all there is to see of a training setup on one page, in one file that needs nothing else.

    classlens.report(ReportRequest("configs/resnet/resnet50_8xb32_in1k.py", "epoch_100.pth", Path("report.html")))

What should be mended comes first, then the data, the schedule, where the network looks, and of what all this was made.
A part that cannot be shown says why; a bad picture is a marked tile. The same setup gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from classlens.adapters import Options, open_source
from classlens.check.class_rules import COUNTED, counted
from classlens.check.examine import check_words, examine
from classlens.check.finding import Findings
from classlens.check.inspection import PICTURES, UNREADABLE, Inspection
from classlens.check.rule import choose_rules
from classlens.dataset.conventions import letters_of
from classlens.dataset.selection import spread
from classlens.errors import ClasslensError, NotOffered, count_of
from classlens.figures.chart import DEFAULT, chart_of, find_style, is_flat
from classlens.figures.curves import chart_section
from classlens.figures.drawing import check_ending
from classlens.figures.findings import finding_sections
from classlens.figures.overlay import PLAIN
from classlens.figures.page import Bar, HtmlPage, Section, table_of
from classlens.figures.plot_layout import lay_out
from classlens.files import write_whole
from classlens.printed import join_lines
from classlens.results import Drawable
from classlens.runs.browse_run import pictures_of
from classlens.runs.browse_samples import BrowseRequest, SampleResult, render_sample
from classlens.runs.fingerprints import hash_of_config, hash_of_weights
from classlens.runs.own_process import Progress, collecting_later

if TYPE_CHECKING:
    from classlens.cam.saliency import ExplainedClass
    from classlens.dataset.dataset import Dataset
    from classlens.image import Image
    from classlens.source import Source

LISTED = 40  # classes of which the numbers of samples are listed
STRIPS = 4  # samples that are shown after every stage
PLOT = (864.0, 432.0)  # points

Notify = Callable[[str, str], object]  # called with "note", and what the user should know


@dataclass(frozen=True)
class ReportRequest:
    """What is reported on, and into which HTML file, if any.

    `target` is an address, `checkpoint` the path or URL of weights; the other words are those of `CheckRequest`. So many
    `pictures` are shown of every split, and as many `maps` by `method`; `seed` chooses both, and the random parameters.
    """

    target: str
    checkpoint: str | None = None
    output: Path | None = None
    options: Options = field(default_factory=Options)
    samples: int = PICTURES
    log: Path | None = None
    dataset_size: int | None = None
    gpus: int = 1
    pictures: int = 24
    maps: int = 12
    method: str = "GradCAM"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.output is not None:
            check_ending(self.output, (".html", ".htm"))


@dataclass(frozen=True, eq=False)
class ReportRun(Drawable):
    """A report: its page, where it was written, what was found, the samples that are bad, and parts that are missing."""

    page: bytes = field(repr=False)
    output: Path | None
    findings: Findings
    bad: tuple[SampleResult, ...] = ()
    missing: tuple[str, ...] = ()

    def as_data(self) -> dict[str, Any]:
        bad = [{"index": row.index, "path": row.path, "error": row.error} for row in self.bad]
        return {
            "file": self.output and str(self.output),
            "bad": bad,
            "missing": list(self.missing),
        } | self.findings.as_data()

    def text(self) -> str:
        """The sum of the findings, what is bad or missing, and where the report is."""
        lines = [f"{self.findings.target}: {self.findings.summary()}", *self.missing]
        lines += [f"bad: {row.error}" for row in self.bad]
        return join_lines([*lines, *([f"wrote {self.output}"] if self.output else [])])


@dataclass(frozen=True, eq=False)
class Report:
    """A report on its way: what is looked at, and what has come of it."""

    request: ReportRequest
    inspection: Inspection
    bad: list[SampleResult] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)

    @contextmanager
    def part(self, title: str, sections: list[Section]) -> Iterator[None]:
        """Make a part of the page; one that cannot be made says why."""
        try:
            yield
        except ClasslensError as error:
            self.missing.append(f"{title}: {error}")
            sections.append(Section(title, f"not shown: {error}"))

    def count(self, what: str, done: int, total: int) -> None:
        if self.inspection.progress:
            self.inspection.progress(what, done, total)


def report(
    request: ReportRequest,
    *,
    source: Source | None = None,
    on_note: Notify | None = None,
    progress: Progress | None = None,
) -> ReportRun:
    """Look at everything that a target offers, and make one page about it, which is written at the end and whole.

    A `source` that is open already is not opened again. `on_note` is called with "note" and what the user should know
    about it, `progress` with what is counted, how many of it are done, and of how many.

    Raises:
        ConfigError: the target cannot be opened.
        DataError: there is no such checkpoint or log, or the page cannot be written.
        NotOffered: there is a checkpoint and no network for it.
    """
    source = source or open_source(request.target, options=request.options)
    if on_note is not None:
        for note in source.notes:
            on_note("note", note)
    words = {name: getattr(request, name) for name in SAME_NAME}
    report = Report(request, Inspection(source, progress=progress, **words))
    check_words(report.inspection)
    try:
        findings, found = find(report)
        sections = [found, *finding_sections(findings, rank=3), *show_data(report), *show_schedule(report)]
        sections += show_maps(report)
        page = HtmlPage(
            f"Report on {request.target}",
            findings.summary(),
            sections,
            describe_inputs(report),
            data=findings.as_data(),
            contents=True,
        )
        content = page.encode()
        if request.output is not None:
            write_whole(request.output, content)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped; {request.output or 'the report'} is written at the end, and was not")
        raise
    return ReportRun(content, request.output, findings, tuple(report.bad), tuple(report.missing))


SAME_NAME = ("checkpoint", "samples", "log", "target", "dataset_size", "gpus")
"""Fields of the request that are called so in the inspection, too."""


def find(report: Report) -> tuple[Findings, Section]:
    """What the rules find, and the head of that part."""
    try:
        findings = examine(report.inspection, choose_rules((), ()))
    except NotOffered as error:
        return Findings(report.request.target, (), (), ()), Section("Findings", f"not looked for: {error}")
    text = "" if findings.findings else f"nothing found by {count_of(len(findings.ran), 'rule')}"
    return findings, Section("Findings", text)


def show_data(report: Report) -> list[Section]:
    """The balance of classes, some pictures of every split, and some after every stage of training."""
    if report.inspection.source.open_dataset is None:
        return []
    sections: list[Section] = []
    with report.part("Data", sections):
        splits = report.inspection.splits
        text = "\n".join(repr(dataset).removeprefix("<Dataset ").removesuffix(">") for dataset in splits.values())
        sections.append(Section("Data", text, html=balance_of(report)))
        for name, dataset in splits.items():
            rows = draw_samples(report, dataset, "original", report.request.pictures)
            sections.append(Section(f"{name}, as loaded", pictures=pictures_of(rows), rank=3))
        name, dataset = next(iter(splits.items()))
        rows = draw_samples(report, dataset, "pipeline", STRIPS)
        title = f"{name}, after every stage"
        sections.append(Section(title, pictures=pictures_of(rows, are_strips=True), layout="strips", rank=3))
    return sections


def balance_of(report: Report) -> str:
    """How many samples of every class each split has, the largest class first; as a table."""
    splits = report.inspection.splits
    counts = {name: counted(report.inspection, name, dataset) for name, dataset in splits.items()}
    first, dataset = next(iter(splits.items()))
    labels = sorted(
        {label for one in counts.values() for label in one}, key=lambda label: (-counts[first][label], label)
    )
    if not labels:
        return ""
    largest = max(counts[first].values(), default=1)
    rows = [
        (dataset.class_name(label), *(one[label] for one in counts.values()), Bar(counts[first][label] / largest))
        for label in (labels if len(labels) <= LISTED else [*labels[: LISTED // 2], *labels[-LISTED // 2 :]])
    ]
    heads = [name if one.length <= COUNTED else f"{name}, first {COUNTED:,}" for name, one in splits.items()]
    left_out = f"<p>and {len(labels) - LISTED} classes between these</p>\n" if len(labels) > LISTED else ""
    return table_of(("class", *heads, ""), rows) + left_out


def draw_samples(
    report: Report, dataset: Dataset, mode: Literal["original", "pipeline"], number: int
) -> list[SampleResult]:
    """Samples spread over the classes as a page shows them; the bad ones are marked, and remembered."""
    request = BrowseRequest(mode=mode, seed=report.request.seed, html="page")
    rows = []
    chosen = spread(dataset, number, request.seed)
    for done, index in enumerate(chosen, start=1):
        row = render_sample(dataset, index, request.seed, None, request=request, replaces=False)()
        rows.append(replace(row, stages=()))
        report.count("samples", done, len(chosen))
    known = {(row.path, row.index) for row in report.bad}
    report.bad.extend(row for row in rows if row.error and (row.path, row.index) not in known)
    return rows


def show_schedule(report: Report) -> list[Section]:
    """The learning rate, and whatever else does not stay the same."""
    if report.inspection.source.open_schedule is None:
        return []
    sections: list[Section] = []
    with report.part("Schedule", sections):
        curves = report.inspection.curves
        moving = [one.name for one in curves if one.name == "lr" or not is_flat(one.points[1])]
        shown = curves.only(*(moving or curves.names))
        chart = chart_of([shown], title=report.request.target)
        section = chart_section([shown], chart, (lay_out(chart, PLOT, find_style(DEFAULT)), PLOT), "Schedule")
        sections.append(replace(section, text="\n".join(filter(None, (chart.subtitle, section.text)))))
    return sections


def show_maps(report: Report) -> list[Section]:
    """Where the network looks in labelled pictures, those it answers wrongly first."""
    source, request = report.inspection.source, report.request
    if source.open_classifier is None or source.open_dataset is None or not request.maps:
        return []
    sections: list[Section] = []
    with report.part("Maps", sections), collecting_later("torch"):
        classifier, (split, dataset) = report.inspection.classifier, report.inspection.held_out
        from classlens.cam.explain import ExplainOptions, explain
        from classlens.cam.saliency import facts
        from classlens.runs.map_files import describe_map, map_tile

        read = list(read_pictures(dataset, spread(dataset, request.maps, request.seed)))
        options = ExplainOptions(progress=report.count)
        maps = (
            explain(classifier, [picture for _, picture in read], methods=request.method, options=options)
            if read
            else ()
        )
        tiles = []
        for one in maps:
            index = read[one.index][0]
            values = facts(one) | compare(
                ", ".join(dataset.class_names(index)), one.predicted, classifier.classes or ()
            )
            tiles.append(describe_map(map_tile(one, PLAIN), values, f"{split} #{index}"))
        tiles.sort(key=lambda tile: not tile.is_marked)
        text = f"{request.method} of {classifier.name}, for the class that it answers"
        sections.append(Section("Maps", text, pictures=tuple(tiles)))
    return sections


def compare(label: str, answer: ExplainedClass | None, classes: Sequence[str]) -> dict[str, Any]:
    """The label, and whether the answer is that class, where the network has a class of this name."""
    if answer is None or not any(is_called(label, name) for name in classes):
        return {"label": label}
    return {"label": label, "correct": is_called(label, answer.class_name)}


def is_called(label: str, name: str) -> bool:
    """Whether a label is the name of a class, or one of its synonyms."""
    return letters_of(label) in map(letters_of, (name, *name.split(",")))


def read_pictures(dataset: Dataset, indices: list[int]) -> Iterator[tuple[int, Image]]:
    """Those that can be read; the others are marked tiles elsewhere on the page, or findings."""
    for index in indices:
        try:
            yield index, dataset.to_image(dataset.load(index))
        except UNREADABLE:
            continue


def describe_inputs(report: Report) -> dict[str, str]:
    """What the report was made of: the command, which is the same wherever it was asked for, and fingerprints."""
    request, inspection = report.request, report.inspection
    words = {"--output": "output", "--pictures": "pictures", "--maps": "maps", "--method": "method", "--seed": "seed"}
    chosen = {option: str(getattr(request, name)) for option, name in words.items()}
    chosen = {option: value for option, value in chosen.items() if value != str(getattr(ReportRequest, words[option]))}
    said = [word for pair in chosen.items() for word in pair]
    made = {
        "command": inspection.command("report", *said),
        "seed": str(request.seed),
        "config": hash_of_config(request.target, request.options),
    }
    if "classifier" in inspection.kept:
        with suppress(ClasslensError):
            made["weights"] = hash_of_weights(inspection.classifier, request.checkpoint)
    return made
