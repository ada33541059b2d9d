"""`classlens.report`: all there is to see of a training setup on one page, in one file that needs nothing else.

    classlens.report(ReportRequest("configs/resnet/resnet50_8xb32_in1k.py", "epoch_100.pth", Path("report.html")))

What should be mended comes first, then the data, the schedule, where the network looks, and of what all this was made.
A part that cannot be shown says why; a bad picture is a marked tile. The same setup gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import file_digest, sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from classlens.adapters import DEFAULT, Options, open_source, split_address
from classlens.cam.methods import find_method
from classlens.check.class_rules import COUNTED, counted
from classlens.check.examine import examine
from classlens.check.finding import Findings
from classlens.check.inspection import PICTURES, UNREADABLE, Inspection
from classlens.check.rule import choose_rules
from classlens.checkpoints.download import find_checkpoint
from classlens.config.writing import ConfigRequest, write_config
from classlens.dataset.conventions import letters_of
from classlens.dataset.selection import spread
from classlens.errors import ClasslensError, DataError, NotOffered, count_of
from classlens.figures.chart import DEFAULT as STYLE
from classlens.figures.chart import chart_of, find_style, is_flat
from classlens.figures.curves import chart_section
from classlens.figures.drawing import PAGES, check_ending
from classlens.figures.filmstrip import Mode
from classlens.figures.findings import finding_sections, summary_of
from classlens.figures.overlay import PLAIN, scale_of
from classlens.figures.page import Bar, HtmlPage, Section, table_of, tag
from classlens.figures.plot_layout import lay_out
from classlens.files import open_regular, write_whole
from classlens.printed import join_lines
from classlens.results import Drawable
from classlens.runs.browse_run import pictures_of
from classlens.runs.browse_samples import BrowseRequest, SampleResult, describe_failure, render_sample
from classlens.runs.check_run import inspect, place_of, watch, watch_rules
from classlens.runs.own_process import Notify, Progress, collecting_later, risky, silent
from classlens.words import Phrase, say

if TYPE_CHECKING:
    from classlens.cam.classifier import Classifier
    from classlens.dataset.dataset import Dataset
    from classlens.image import Image
    from classlens.source import Source

LISTED = 40  # classes of which the numbers of samples are listed
STRIPS = 4  # samples that are shown after every stage
PLOT = (864.0, 432.0)  # points


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
            check_ending(self.output, PAGES)
        find_method(self.method)  # a misspelt one is refused before any work


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
        place = {"file": str(self.output)} if self.output else {}
        return place | {"bad": bad, "missing": list(self.missing)} | self.findings.as_data()

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
    progress: Progress
    on_note: Notify
    bad: dict[tuple[str, int], SampleResult] = field(default_factory=dict)
    missing: list[str] = field(default_factory=list)

    def part(self, key: str, show: Callable[[Report], Iterator[Section]]) -> Iterator[Section]:
        """A part of the page; one that cannot be made says why."""
        try:
            yield from show(self)
        except ClasslensError as error:
            self.missing.append(f"{say(key)}: {error}")
            yield Section(say(key), say("report.not_shown", error=error))


def report(
    request: ReportRequest,
    *,
    source: Source | None = None,
    on_note: Notify = silent,
    progress: Progress = silent,
) -> ReportRun:
    """Look at everything that a target offers, and make one page about it, which is written at the end and whole.

    A `source` that is open already is not opened again. `on_note` is called with "note" and what the user should know
    about it, `progress` with what is counted, how many of it are done, and of how many.

    Raises:
        ConfigError: the target cannot be opened.
        DataError: there is no such checkpoint or log, or the page cannot be written.
        NotOffered: there is a checkpoint and no network for it.
    """
    source = watch(source or open_source(request.target, options=request.options))
    for note in source.notes:
        on_note("note", note)
    report = Report(request, inspect(source, request, progress), progress, on_note)
    if request.checkpoint is not None and source.open_classifier is None:
        source.classifier(request.checkpoint)  # raises, with what is offered
    try:
        findings = find(report)
        summary, made, data = summary_of(findings), describe_inputs(report), findings.as_data()
        sections = [Section(say("view.findings"), summary), *finding_sections(findings, rank=3)]
        for key, show in (("view.data", show_data), ("view.schedule", show_schedule), ("report.maps", show_maps)):
            sections += report.part(key, show)
        title = say("report.title", target=request.target)
        page = HtmlPage(title, summary, sections, made, data, contents=True).encode()
        if request.output is not None:
            write_whole(request.output, page)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped; {request.output or 'the report'} is written at the end, and was not")
        raise
    return ReportRun(page, request.output, findings, tuple(report.bad.values()), tuple(report.missing))


def find(report: Report) -> Findings:
    """What the rules find; nothing where none can be run."""
    try:
        return examine(report.inspection, watch_rules(choose_rules((), ())))
    except NotOffered as error:
        report.missing.append(f"Findings: {error}")
        return Findings(report.request.target, (), (), ())


def show_data(report: Report) -> Iterator[Section]:
    """The balance of classes, some pictures of every split, and some after every stage of training."""
    if report.inspection.source.open_dataset is None:
        return
    splits = report.inspection.splits
    yield Section(say("view.data"), [describe_split(dataset) for dataset in splits.values()], html=balance_of(report))
    for name, dataset in splits.items():
        tiles = pictures_of(draw_samples(report, dataset, "original", report.request.pictures))
        yield Section(say("report.loaded", name=name), pictures=tiles, rank=3)
    name, dataset = next(iter(splits.items()))
    strips = pictures_of(draw_samples(report, dataset, "pipeline", STRIPS), are_strips=True)
    yield Section(say("report.staged", name=name), pictures=strips, layout="strips", rank=3)


def describe_split(dataset: Dataset) -> Phrase:
    stages = " > ".join([dataset.loader, *(stage.name for stage in dataset.stages)])
    facts = {"name": dataset.name, "count": dataset.length, "stages": stages}
    if dataset.classes is None:
        return say("report.split", **facts)
    return say("report.split_classes", **facts, classes=len(dataset.classes))


def balance_of(report: Report) -> str:
    """How many samples of every class each split has, the largest class first; as a table."""
    splits = report.inspection.splits
    counts = {name: counted(report.inspection, name) for name in splits}
    first, dataset = next(iter(splits.items()))
    known, largest = {label for one in counts.values() for label in one}, max(counts[first].values(), default=1)
    labels = sorted(known, key=lambda label: (-counts[first][label], label))
    shown = labels if len(labels) <= LISTED else [*labels[: LISTED // 2], *labels[-LISTED // 2 :]]
    rows = [
        (dataset.class_name(label), *(one[label] for one in counts.values()), Bar(counts[first][label] / largest))
        for label in shown
    ]
    heads = [
        name if one.length <= COUNTED else say("report.first", name=name, count=COUNTED) for name, one in splits.items()
    ]
    left_out = tag("p", say("report.between", count=len(labels) - LISTED)) if len(labels) > LISTED else ""
    return table_of((say("report.class"), *heads, say("report.share")), rows) + left_out if rows else ""


def draw_samples(report: Report, dataset: Dataset, mode: Mode, number: int) -> Iterator[SampleResult]:
    """Samples spread over the classes as a page shows them; the bad ones are marked, and remembered."""
    request = BrowseRequest(mode=mode, seed=report.request.seed, html="page")
    chosen = spread(dataset, number, request.seed)
    for done, index in enumerate(chosen, start=1):
        draw = partial(render_sample, dataset, index, request.seed, request=request, replaces=False)
        try:
            with risky(place_of(dataset, index)):
                row = draw(None)()
        except DataError as error:  # it has killed a process before, and is not opened again
            row = draw(describe_failure(dataset, index, request.seed, error))()
        report.progress("samples", done, len(chosen))
        if row.error:
            report.bad.setdefault((dataset.name, index), row)
        yield row


def show_schedule(report: Report) -> Iterator[Section]:
    """The learning rate, and whatever else does not stay the same."""
    if report.inspection.source.open_schedule is None:
        return
    curves = report.inspection.curves
    moving = [one.name for one in curves if one.name == "lr" or not is_flat(one.points[1])]
    shown = curves.only(*(moving or curves.names))
    chart = chart_of([shown], title=report.request.target)
    section = chart_section([shown], chart, (lay_out(chart, PLOT, find_style(STYLE)), PLOT), say("view.schedule"))
    yield replace(section, text=f"{chart.subtitle}\n{section.text}".strip())


def show_maps(report: Report) -> Iterator[Section]:
    """Where the network looks in pictures of the split that it is judged by, those it answers wrongly first; and its notes."""
    source, request = report.inspection.source, report.request
    if source.open_classifier is None or source.open_dataset is None or not request.maps:
        return
    with collecting_later("torch"):
        classifier, (split, dataset) = report.inspection.classifier, report.inspection.held_out
        from classlens.cam.explain import ExplainOptions, explain
        from classlens.cam.saliency import facts
        from classlens.runs.map_files import describe_map, map_tile
    for note in classifier.notes:
        report.on_note("note", note)
    judged = judge_answers(report.inspection)
    wrong = [index for index, is_right in judged.items() if not is_right]
    others = (index for index in spread(dataset, request.maps, request.seed) if index not in wrong)
    chosen = [*spread(dataset, request.maps, request.seed, among=wrong), *others][: request.maps]
    pictures = {index: image for index in chosen if (image := read_sample(dataset, index)) is not None}
    if not pictures:
        raise DataError(f"none of {count_of(len(chosen), 'picture')} of {split} can be read")
    options, tiles = ExplainOptions(progress=report.progress), []
    for one in explain(classifier, list(pictures.values()), methods=request.method, options=options):
        index = list(pictures)[one.index]
        answer = one.predicted.class_name if one.predicted else None
        label = compare(", ".join(dataset.class_names(index)), answer, classifier.classes or ())
        tiles.append(describe_map(map_tile(one, PLAIN), facts(one) | label, f"{split} #{index}"))
    tiles.sort(key=lambda tile: not tile.is_marked)
    lines = [say("report.note", text=note) for note in classifier.notes]
    lines.append(say("report.method", method=request.method, network=classifier.name))
    if judged:
        lines.append(say("report.wrong", wrong=len(wrong), count=len(judged), split=split))
    if split == "train":
        lines.append(say("report.training"))
    yield Section(say("report.maps"), lines, html=scale_of(), pictures=tuple(tiles))


def judge_answers(inspection: Inspection) -> dict[int, bool]:
    """Whether the network is right about each of the pictures that rules show it, where it has a class of that name."""
    if not inspection.labelled:
        return {}
    from classlens.cam.forward import OUTPUTS

    classifier, dataset, predictions = inspection.classifier, inspection.held_out[1], inspection.predictions
    names, classes = OUTPUTS[classifier].names, classifier.classes or ()
    pairs = zip(predictions.indices.tolist(), predictions.answers.tolist(), strict=True)
    facts = (
        (index, compare(", ".join(dataset.class_names(index)), names[answer], classes))
        for index, answer in (pairs if names else ())
    )
    return {index: one["correct"] for index, one in facts if "correct" in one}


def compare(label: str, answer: str | None, classes: Sequence[str]) -> dict[str, Any]:
    """The label, and whether the answer is that class, where the network has a class of this name."""
    if answer is None or not any(is_called(label, name) for name in classes):
        return {"label": label}
    return {"label": label, "correct": is_called(label, answer)}


def is_called(label: str, name: str) -> bool:
    """Whether a label is the name of a class, or one of its synonyms."""
    return letters_of(label) in map(letters_of, (name, *name.split(",")))


def read_sample(dataset: Dataset, index: int) -> Image | None:
    """The picture as it is loaded; None for a bad one, which is a marked tile elsewhere, or a finding."""
    try:
        return dataset.to_image(dataset.load(index))
    except UNREADABLE:
        return None


def describe_inputs(report: Report) -> dict[str, str]:
    """What the report was made of: the command, which is the same wherever it was asked for, and fingerprints."""
    request, inspection = report.request, report.inspection
    chosen = [name for name in ON_COMMAND if getattr(request, name) != getattr(ReportRequest, name)]
    words = [word for name in chosen for word in (f"--{name}", str(getattr(request, name)))]
    made = {"command": inspection.command("report", *words), "seed": str(request.seed)}
    made["config"] = hash_of_config(request.target, request.options)
    if "classifier" in inspection.kept:
        with suppress(ClasslensError):
            made["weights"] = hash_of_weights(inspection.classifier, request.checkpoint)
    return made


ON_COMMAND = ("output", "pictures", "maps", "method", "seed")
"""Fields of the request that are options of the command under the same names."""


def hash_of_weights(classifier: Classifier, checkpoint: str | None) -> str:
    """That of a checkpoint's file; without one, of the numbers of the network, in the order of their names."""
    if checkpoint is not None:
        with open_regular(find_checkpoint(checkpoint)) as file:
            return f"sha256 {file_digest(file, 'sha256').hexdigest()}"
    digest = sha256()
    for name, tensor in sorted(classifier.module.state_dict().items()):
        digest.update(name.encode() + tensor.detach().cpu().float().numpy().tobytes())
    return f"sha256 of its parameters {digest.hexdigest()}"


def hash_of_config(target: str, options: Options) -> str:
    """That of a config as it is understood, bases and overrides included; nothing for other addresses."""
    if split_address(target)[0] != DEFAULT:
        return ""
    config = write_config(ConfigRequest(target, None, options.overrides, options.trust_config))
    return f"sha256 of the config as it is understood {sha256(config.text.encode()).hexdigest()}"
