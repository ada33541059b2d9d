"""`classlens.browse`: a dataset as pictures, contact sheets, training batches, one page, or numbers.

    for row in classlens.browse("folder:photos", BrowseRequest(html="photos.html")):
        print(row.path, row.error)

A bad picture never ends a run: it becomes a marked tile with its reason, and its row has an `error`.
"""

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from classlens.adapters import open_source
from classlens.dataset.batch import Batch, mix
from classlens.dataset.class_folders import Listed, listed_before
from classlens.dataset.conventions import SPLITS, WHOLE, is_picture_name
from classlens.dataset.dataset import BatchPlan, Dataset
from classlens.dataset.decode import BAD_SAMPLE
from classlens.dataset.selection import check_indices, of_classes, shuffle, spread
from classlens.dataset.statistics import Measurement, Survey, add_up, measure, pairs_with_same_pixels
from classlens.dataset.trace import Trace, trace
from classlens.errors import ClasslensError, ConfigError, DataError, NotOffered, count_of
from classlens.figures.drawing import PAGES, VECTORS
from classlens.figures.filmstrip import DOT, TIMES, draw_batch, draw_contact_sheet
from classlens.files import check_place, write_whole
from classlens.printed import ONE_LINE
from classlens.results import Drawable
from classlens.runs.browse_samples import (
    ENDS,
    BrowseRequest,
    SampleResult,
    as_plain,
    claim_folder,
    decode_jpeg,
    describe_failure,
    draw_marked,
    encode_jpeg,
    render_sample,
    rescue_picture,
)
from classlens.runs.own_process import Notify, Progress, silent
from classlens.runs.processes import DatasetSpec, Job, SeededIndex, open_remembered, run_job
from classlens.source import Source
from classlens.words import say

if TYPE_CHECKING:
    from classlens.figures.page import Picture

NAMED_BAD = 20  # so many bad samples are kept by a run; the rest are counted
ON_A_PAGE = 1000  # a page holds its pictures, so it shows so many unless more are asked for

COMPARED = 10_000  # a split of so many samples is searched for pictures of another one, however few that one has


@dataclass(frozen=True)
class BatchResult:
    """A mixed batch, and the samples that are not in it because they are bad; `jpeg` is its sheet, where wanted."""

    number: int
    batch: Batch
    left_out: tuple[SampleResult, ...] = ()
    file: str | None = None
    jpeg: bytes | None = field(default=None, repr=False)

    @property
    def title(self) -> str:
        return f"#{self.number}  batch of {self.batch.dataset}"

    def _repr_jpeg_(self) -> bytes | None:
        return self.jpeg

    def text(self) -> str:
        """Its samples, how they are mixed, and where it is."""
        share = self.batch.params.get("share")
        mixing = self.batch.mixing + (f", own share {share:.3f}" if isinstance(share, float) else "")
        place = f"; wrote {self.file}" if self.file else ""
        text = f"batch {self.number}: {count_of(len(self.batch.indices), 'sample')}, {mixing}{place}"
        return text.translate(ONE_LINE)

    def as_data(self) -> dict[str, Any]:
        """The facts, as JSON can hold them."""
        batch = self.batch
        facts = {"indices": list(batch.indices), "seed": batch.seed, "mixing": batch.mixing}
        return facts | {"drawn": as_plain(batch.params), "shares": list(map(dict, batch.shares))}


Row: TypeAlias = SampleResult | BatchResult | Survey
Result = TypeVar("Result")
Split: TypeAlias = tuple[Dataset, DatasetSpec]


@dataclass
class BrowseRun(Drawable):
    """A run over chosen samples that goes on, and writes, while somebody iterates over it: once.

    Its rows are a `SampleResult` for every sample, a `BatchResult` for every batch, or one `Survey`, as asked for. It
    remembers what it has come to: `done` of `total` samples, of which `bad` are bad (the first are `bad_rows`), how
    often each of the `remarks` was made, and how many contact `sheets` were written.
    """

    dataset: Dataset
    request: BrowseRequest
    progress: Progress = silent
    source: Source | None = field(default=None, repr=False)
    spec: DatasetSpec | None = field(default=None, repr=False)
    rows: Iterator[Row] = field(default_factory=lambda: iter(()), repr=False)
    done: int = 0
    total: int = 0
    bad: int = 0
    bad_rows: list[SampleResult] = field(default_factory=list)
    remarks: Counter[str] = field(default_factory=Counter)
    sheets: int = 0

    def __iter__(self) -> Iterator[Row]:
        return self.rows

    def text(self) -> str:
        """How many pictures there are by now, and where they were written."""
        place = " and ".join(filter(None, (self.request.output_dir, self.request.html)))
        sheets = f"{count_of(self.sheets, 'sheet')} of " if self.sheets else ""
        what = f"{sheets}{count_of(self.done, 'picture')} of {self.dataset.name}"
        return (f"wrote {what} to {place}" if place else what).translate(ONE_LINE)

    def stopped_text(self) -> str:
        """How far a run came that was stopped, and what there is of it."""
        request, end = self.request, "shown"
        if request.statistics:
            end = "measured; numbers are given of all only"
        elif request.output_dir:
            whole = f"what is in {request.output_dir} is whole"
            end = f"{'written' if request.grid is None and request.batch is None else 'drawn'}; {whole}"
        elif request.html:
            end = f"drawn; {request.html} is written at the end, and was not"
        return f"stopped, {self.done} of {self.total} {end}"

    def count(self, row: SampleResult) -> None:
        """Remember what is said about a sample."""
        self.remarks.update(row.remarks)
        if row.error:
            self.bad += 1
            if self.bad <= NAMED_BAD:
                self.bad_rows.append(replace(row, jpeg=None, tile=None))

    def work(
        self, job: Job[Result], samples: Iterable[SeededIndex], total: int, other: Split | None = None
    ) -> Iterator[Result]:
        """One result for each of `total` samples of the dataset, or of another one, counted."""
        self.total = total
        dataset, spec = other or (self.dataset, self.spec)
        results = run_job(job, dataset, spec, samples, total=total, workers=self.request.workers)
        for self.done, result in enumerate(results, start=1):
            self.progress("pictures", self.done, total)
            yield result


def browse(
    target: str | os.PathLike[str] | Dataset,
    request: BrowseRequest | None = None,
    *,
    progress: Progress = silent,
    on_note: Notify = silent,
) -> BrowseRun:
    """Show samples of a dataset, or of what an address leads to: iterate over the run, and it is made.

    `on_note` is called with "note" and what the user should know about the address. A dataset without an address is
    read in this process only.

    Raises:
        DataError: there are no such samples, or what is asked for would harm what is read, or has nowhere to go.
        NotFound: there is no such class.
        NotOffered: the address has no dataset, or nothing says how training batches its samples.
        ConfigError: the address cannot be opened.
    """
    request = request or BrowseRequest()
    if isinstance(target, Dataset):
        address = None
        check_places("", request)
        run = BrowseRun(target, request, progress)
    else:
        address = os.fspath(target)
        check_places(address, request)
        options = request.options
        if request.mode == "original" and request.batch is None and not options.skipped:
            options = replace(options, as_loaded=True)
        source = open_source(address, options=options)
        for note in source.notes:
            on_note("note", note)
        dataset, spec = open_remembered(address, source, request.phase, options)
        run = BrowseRun(dataset, request, progress, source, spec)
    dataset = run.dataset
    if dataset.length == 0:
        raise DataError(f"{dataset.name} has no samples")
    indices = choose_samples(dataset, request)
    if request.statistics:
        run.rows = survey_samples(run, indices)
    elif request.batch is not None:
        batches = plan_batches(dataset, indices, request)
        if request.output_dir:
            claim_folder(address, dataset, request)
        run.rows = show_batches(run, *batches)
    else:
        replaces = bool(request.output_dir) and claim_folder(address, dataset, request)
        run.rows = show_samples(run, indices, title=address or "", replaces=replaces)
    return run


def check_places(address: str, request: BrowseRequest) -> None:
    """Refuse to write where it would harm what is read, and a contact sheet that has nowhere to go."""
    scheme, _, place = address.partition(":")
    if scheme == "folder" and request.output_dir:
        read, written = Path(place).resolve(), Path(request.output_dir).resolve()
        if read == written or read in written.parents:
            what = f"{request.output_dir} lies in {place}, whose pictures are shown: what is written would join them"
            raise DataError(what, hint="choose an --output-dir outside")
    ending = Path(request.output_dir).suffix.casefold()
    if (ending in (*VECTORS, *PAGES) or is_picture_name(request.output_dir)) and not Path(request.output_dir).is_dir():
        hint = "--output-dir DIR writes a JPEG of each sample into it, --html FILE one page; in Python, "
        hint += f'cl.draw(cl.trace(dataset, 0)).save("strip{ending}")'
        raise DataError(f"--output-dir is a folder, and {request.output_dir} is called like a file", hint=hint)
    if request.html:
        if Path(request.html).suffix.casefold() not in PAGES:
            raise DataError(f"--html writes {' or '.join(PAGES)} files, not {request.html}")
        check_place(Path(request.html))
    if request.indices is not None and request.classes:
        raise ConfigError("--index and --class both choose samples", hint="leave one of them out")
    if request.grid and not request.output_dir:
        raise ConfigError("--grid makes files", hint="say where they go with --output-dir")


def choose_samples(dataset: Dataset, request: BrowseRequest) -> Sequence[int]:
    """The samples that are asked for, in the order in which they are shown."""
    if request.indices is not None:
        return check_indices(dataset, request.indices)
    among = of_classes(dataset, request.classes) if request.classes else None
    total = dataset.length if among is None else len(among)
    if request.batch is not None:
        return among or range(total) if request.in_order else shuffle(dataset, total, request.seed, among)
    number = min(request.number or (ON_A_PAGE if request.html else total), total)
    if request.shuffle:
        return shuffle(dataset, number, request.seed, among)
    if request.in_order or number == total:
        return (among or range(total))[:number]
    return spread(dataset, number, request.seed, among)


def show_samples(run: BrowseRun, indices: Sequence[int], *, title: str, replaces: bool) -> Iterator[SampleResult]:
    """Every sample as a picture: in a file of its own, on contact sheets, or on a page."""
    request, dataset = run.request, run.dataset
    samples = ((index, request.seed + turn) for index in indices for turn in range(request.repeat))
    job = partial(render_sample, request=request, replaces=replaces)
    total, (rows, columns) = len(indices) * request.repeat, request.grid or (0, 0)
    waiting: list[bytes] = []
    cells: list[SampleResult] = []
    for row in run.work(job, samples, total):
        run.count(row)
        if request.grid and row.jpeg:
            waiting.append(row.jpeg)
            if len(waiting) == rows * columns or run.done == total:
                run.sheets += 1
                sheet = draw_contact_sheet(list(map(decode_jpeg, waiting)), columns)
                write_whole(Path(request.output_dir, f"grid_{run.sheets:03d}.jpg"), encode_jpeg(sheet))
                waiting.clear()
        if row.tile:
            cells.append(replace(row, stages=()))
        yield row
    if request.html:
        from classlens.figures.page import HtmlPage, Section

        is_bare = request.mode == "transformed" and not (dataset.stages or dataset.stages_of)
        mode = say(f"report.mode.{'original' if is_bare else request.mode}")
        said = say("report.browsed", count=run.done, length=dataset.length, name=dataset.name, mode=mode)
        are_strips = request.mode not in ENDS
        pictures = pictures_of(cells, are_strips=are_strips)
        shown = Section("", pictures=pictures, layout="strips" if are_strips else "tiles")
        data = {"samples": [row.as_data() for row in cells]}
        page = HtmlPage(title or dataset.name, [said, *dataset.warnings], [shown], {"seed": str(request.seed)}, data)
        write_whole(request.html, page.encode())


def pictures_of(samples: Iterable[SampleResult], *, are_strips: bool = False) -> "tuple[Picture, ...]":
    """Samples as a page shows them, by what tells them apart: class, file, number; a strip has a heading of its own."""
    from classlens.figures.page import Picture

    rows = list(samples)
    has_labels, has_seeds = any(row.class_names for row in rows), len({row.seed for row in rows}) > 1
    pictures = []
    for row in rows:
        facts = [f"#{row.index}", *([f"seed {row.seed}"] if has_seeds else [])]
        facts += [f"{row.size[1]} {TIMES} {row.size[0]}"] if row.size else []
        label = ", ".join(row.class_names) or ("no label" if has_labels else "")
        name = os.path.basename(row.path) if row.path else ""  # noqa: PTH119 - quicker
        words = (name, *facts[1:-1]) if are_strips else (label, name, DOT.join(facts))
        lines = tuple(filter(None, (*words, row.error or "; ".join(row.remarks))))
        pictures.append(Picture(row.tile or b"", lines, is_marked=bool(row.error)))
    return tuple(pictures)


def plan_batches(dataset: Dataset, indices: Sequence[int], request: BrowseRequest) -> tuple[BatchPlan, list[list[int]]]:
    """How batches are mixed, and the samples of each."""
    plan = dataset.batch
    if plan is None and not request.batch:
        raise NotOffered(f"{dataset.name} says nothing about batches", hint="give their size: --batch 16")
    size = request.batch or (plan.size if plan else 1)
    count = min(request.number or 1, max(1, len(indices) // size))
    batches = [list(indices[start : start + size]) for start in range(0, count * size, size)]
    return replace(plan or BatchPlan(size), size=size), batches


def trace_last(
    dataset: Dataset, index: int, seed: int, crash: SampleResult | None
) -> Callable[[], Trace | SampleResult]:
    """A sample as the network gets it, or what is wrong with it."""
    result: Trace | SampleResult
    try:
        result = crash or trace(dataset, index, seed, keep="last")
    except BAD_SAMPLE as error:
        result = describe_failure(dataset, index, seed, error)
    return lambda: result


def show_batches(run: BrowseRun, plan: BatchPlan, batches: Sequence[Sequence[int]]) -> Iterator[BatchResult]:
    """Every batch, mixed; drawn on one sheet, with its bad samples marked."""
    request, name = run.request, run.dataset.name
    samples = [(index, request.seed + number) for number, batch in enumerate(batches) for index in batch]
    results = run.work(trace_last, samples, len(samples))
    for number, members in enumerate(batches):
        traced = list(islice(results, len(members)))
        left_out = tuple(one for one in traced if isinstance(one, SampleResult))
        for one in left_out:
            run.count(one)
        batch = mix([one for one in traced if isinstance(one, Trace)], plan, request.seed + number, name=name)
        jpeg, file = None, None
        if request.has_pictures:
            marked = [draw_marked(one, rescue_picture(one.path)) for one in left_out]
            jpeg = encode_jpeg(draw_batch(batch, rescale=request.rescale, left_out=marked).image)
        if jpeg and request.output_dir:
            file = str(Path(request.output_dir, f"batch_{number + 1:03d}.jpg"))
            write_whole(file, jpeg)
        yield BatchResult(number + 1, batch, left_out, file, jpeg)


def measure_sample(dataset: Dataset, index: int, seed: int, crash: SampleResult | None) -> Callable[[], Measurement]:
    """A loaded sample, or what is wrong with it; what is returned measures it."""
    bad = crash
    if bad is None:
        try:
            return measure(dataset, index)
        except BAD_SAMPLE as error:
            bad = describe_failure(dataset, index, seed, error)
    return partial(Measurement, index, bad.class_names, error=bad.error)


def survey_samples(run: BrowseRun, indices: Sequence[int]) -> Iterator[Survey]:
    """Numbers about the samples; if they are all of the dataset, also which ones are in another split, too."""
    dataset = run.dataset
    survey = add_up(dataset, run.work(measure_sample, ((index, 0) for index in indices), len(indices)))
    run.bad = len(survey.bad)
    in_splits: dict[str, tuple[tuple[int, int], ...] | str] = {}
    for phase in SPLITS:
        if run.source is None or run.spec is None or len(indices) < dataset.length or phase == run.spec.phase:
            continue
        listed: Listed = {}
        try:
            with listed_before(listed):
                other = run.source.dataset(phase)
        except DataError as error:
            in_splits[phase] = str(error)
            continue
        except ClasslensError:  # there is no such split
            continue
        if any(WHOLE in warning for warning in (*dataset.warnings, *other.warnings)):
            continue
        length = other.length
        if length > max(dataset.length, COMPARED):
            in_splits[phase] = f"it has {count_of(length, 'sample')}, --phase {phase} compares them all"
        elif dataset.has_files_of(other):
            in_splits[phase] = "it has the same files"
        else:
            spec = replace(run.spec, phase=phase, listed=listed)
            measures = run.work(measure_sample, ((index, 0) for index in range(length)), length, (other, spec))
            in_splits[phase] = pairs_with_same_pixels(survey, measures)
    yield replace(survey, in_splits=in_splits)
