"""Plot the schedules of one or several training setups: a request goes in, files are written, curves come out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from classlens.adapters import DEFAULT, Options, RunLength, open_source, split_address
from classlens.errors import DataError, NotFound, NotOffered, count_of
from classlens.figures.chart import FAR_APART, MOST_LINES, distinct_curves, find_style, is_flat
from classlens.figures.curves import ENDINGS, draw_curves
from classlens.figures.drawing import Drawing, check_ending
from classlens.files import check_place, write_whole
from classlens.printed import join_lines
from classlens.results import Drawable
from classlens.runs.own_process import Notify, silent
from classlens.schedule.replay import Curve, Curves, Mistake, replay, summarize, table
from classlens.schedule.schedule import Clock, scale_by_batch

MOST_ROWS = 200_000_000
ANY_SIZE = 10**9

SHORT_NAMES = {"wd": "weight_decay", "weight-decay": "weight_decay"}


@dataclass(frozen=True)
class LrRequest:
    """What is plotted: which targets, how long they train, how the plot looks, and where it goes.

    `labels` are what the targets are called, one for each; by default the names of their files. `parameter` is lr,
    momentum, wd, the name of another hyper-parameter, or all. `epochs`, `epoch_length` and `steps` say the length of the
    run instead of the target; without `dataset_size` the dataset is counted. `scale_by_batch` scales the learning rate
    by the batch size of all GPUs. `size` is (width, height) in inches. `logged` is what a training run of the first target
    wrote, or its folder, drawn beside it; `resume` a checkpoint from which its training would go on. `picture` may be a
    tuple of several.

    Raises:
        DataError: there are not as many labels as targets, or a file cannot be written, or is no table.
        NotFound: there is no such style.
    """

    targets: tuple[str, ...]
    labels: tuple[str, ...] | None = None
    options: Options = field(default_factory=Options)
    parameter: str = "lr"
    dataset_size: int | None = None
    gpus: int = 1
    epochs: int | None = None
    epoch_length: int | None = None
    steps: int | None = None
    scale_by_batch: bool = False
    title: str = ""
    style: str = "whitegrid"
    size: tuple[float, float] = (12.0, 7.0)
    log: bool | None = None
    picture: Path | tuple[Path, ...] | None = None
    page: Path | None = None
    table: Path | None = None
    logged: Path | None = None
    resume: str | None = None

    def __post_init__(self) -> None:
        labels = self.targets if self.labels is None else self.labels
        if len(labels) != len(self.targets):
            raise DataError(
                f"{count_of(len(labels), 'label')} for {count_of(len(self.targets), 'config')}",
                hint="give --label one name for each",
            )
        find_style(self.style)
        for path in self.drawings:
            check_ending(path, ENDINGS)
        if self.table is not None:
            check_place(self.table)
            if self.table.is_file() and self.table.suffix.lower() != ".csv":
                raise DataError(f"a table would replace {self.table}, which is no table", hint="end the name in .csv")

    @property
    def drawings(self) -> tuple[Path, ...]:
        """The pictures and the page that are written, each once."""
        pictures = self.picture if isinstance(self.picture, tuple) else (self.picture,)
        return tuple(dict.fromkeys(path for path in (*pictures, self.page) if path is not None))


@dataclass(frozen=True, eq=False)
class SchedulePlots(Drawable):
    """The curves of every target, of the hyper-parameter that was asked for, and the files that were written."""

    request: LrRequest
    runs: tuple[Curves, ...]
    files: tuple[Path, ...]

    @property
    def findings(self) -> tuple[Mistake, ...]:
        """Probable mistakes in the schedules."""
        return tuple(finding for run in self.runs for finding in run.findings)

    def as_data(self) -> dict[str, Any]:
        return {"runs": [summarize(run) for run in self.runs], "files": [str(path) for path in self.files]}

    def text(self) -> str:
        """What a reader wants to know at once: lengths, peaks, mistakes, files."""
        lines = []
        for run in self.runs:
            lines += [f"{run.title}: {run.clock}", *([f"  {run.clock.note}"] if run.clock.note else [])]
            for name in run.names:
                curves = distinct_curves(run, name)
                for group, curve in curves[:MOST_LINES]:
                    of_group = f" of {group}" if len(curves) > 1 else ""
                    lines.append(f"  {name}{of_group}: {describe_course(curve)}")
                if len(curves) > MOST_LINES:
                    lines.append(f"  and {len(curves) - MOST_LINES} more (--json lists all)")
            alone = len(self.runs) == 1 and self.request.log is None
            lines += [
                f"  note: {name} rests near 0, where this axis shows nothing; --log draws a logarithmic one"
                for name in (run.names if alone else ())
                if len(curves := distinct_curves(run, name)) == 1 and hides_plateaus(curves[0][1], run.clock.steps)
            ]
            lines += [f"  note: {note}" for note in run.notes]
            lines += [f"  warning: {finding}" for finding in run.findings]
        return join_lines([*lines, *(f"wrote {path}" for path in self.files)])


def describe_course(curve: Curve) -> str:
    """Where a value starts, peaks and ends; a number alone where it stays what it is."""
    values = curve.points[1]
    start, (step, peak), end = values[np.isfinite(values)][:1].sum(), curve.peak, f"ends {curve.final:.6g}"
    if (undecided := curve.trajectory.undecided) is not None:
        bounds = f"ends between {curve.lowest[-1]:.6g} and {curve.final:.6g}"
        end = f"{bounds}: it {undecided} from step {undecided.first:,} on"
    elif is_flat(values):
        return f"{start:.6g} throughout"
    if step == 0:
        return f"starts at its peak {start:.6g}, {end}"
    return f"starts {start:.6g}, peaks {peak:.6g} at step {step:,}, {end}"


def hides_plateaus(curve: Curve, steps: int) -> bool:
    """Whether a value rests where a linear axis cannot tell it from 0."""
    at, values = curve.points
    starts = np.flatnonzero(np.diff(values, prepend=np.nan))
    lengths, rests = np.diff(at[starts], append=steps), values[starts]
    return bool(((lengths > steps / 20) & (rests > 0) & (rests < curve.peak[1] / FAR_APART)).any())


def draw_plots(plots: SchedulePlots) -> Drawing:
    asked, (first, *others) = plots.request, plots.runs
    title = asked.title
    if asked.logged is not None and len(asked.targets) == 1:
        title, first = title or f"{first.title}, intended and logged", replace(first, title="intended")
    return draw_curves(first, others=others, title=title, style=asked.style, size=asked.size, log=asked.log)


def plot_schedules(request: LrRequest, on_note: Notify = silent) -> SchedulePlots:
    """Open each target, replay its schedule, and write the files that are asked for.

    Args:
        on_note: is called with what the reader should know about how a target was opened.

    Raises:
        DataError: a file cannot be written.
        NotFound: there is no such hyper-parameter, or a target is unknown.
        NotOffered: a target has no schedule, or nothing says how long it trains.
        ConfigError: a config is missing, cannot be read, or has a schedule that does not fit its run.
    """
    places = ((target, *split_address(target)) for target in request.targets)
    names = tuple(Path(place).stem if scheme == DEFAULT else target for target, scheme, place in places)
    titles = request.labels or names
    if len(set(titles)) < len(titles) and not request.labels:
        titles = request.targets
    every = [replay_target(*names, request, on_note) for names in zip(request.targets, titles, strict=True)]
    if request.resume is not None:
        from classlens.logs.resume_state import mark_resume

        every = [mark_resume(every[0], request.resume), *every[1:]]
    if request.logged is not None:
        from classlens.logs.training_logs import read_training_log

        log = read_training_log(request.logged)
        every.append(log.curves(every[0].clock, f"logged by {log.framework}"))
    name = SHORT_NAMES.get(request.parameter, request.parameter)
    for run in every:
        if name not in (*run.names, "all") and not run.measured:  # of a log only the rate is read
            raise NotFound("hyper-parameter", name, run.names, where=f"the optimizer of {run.title}")
    runs = tuple(every if name == "all" else (run.only(name) for run in every))
    files = request.drawings if request.table is None else (*request.drawings, request.table)
    plots = SchedulePlots(request, runs, files)
    for path in files:
        if path is request.table:
            save_table(path, every)
        else:
            draw_plots(plots).save(path)
    return plots


def replay_target(target: str, title: str, request: LrRequest, on_note: Notify) -> Curves:
    """All curves of one target, over the length that the request says, and for the rest the source."""
    length = RunLength(request.epochs, request.epoch_length, request.steps, request.gpus)
    source = open_source(target, options=replace(request.options, run=length))
    for note in source.notes:
        on_note("note", note)
    schedule = source.schedule()
    if request.scale_by_batch:
        schedule = scale_by_batch(schedule, request.gpus)
    epochs, epoch, gpus = request.epochs, request.epoch_length, request.gpus
    if request.steps is not None:
        clock = Clock.of_steps(request.steps, epoch, gpus=gpus)
    elif epochs is not None and epoch is not None:
        clock = Clock(epochs, epoch, gpus=gpus)
    elif source.plan is None:
        hint = "say --steps N, or --epochs N --epoch-length N"
        raise NotOffered(f"{source.origin} does not say how long it trains", hint=hint)
    else:
        # Where an epoch's length is given the dataset need not be there: any size that fills a batch will do.
        size = ANY_SIZE if epoch is not None and request.dataset_size is None else request.dataset_size
        clock = source.clock(dataset_size=size, gpus=gpus)
        if (epochs or epoch) and not clock.by_epoch:
            clock = Clock.of_steps(clock.steps, epoch, gpus=gpus)
        elif epochs or epoch:
            note = "" if epoch else clock.note
            clock = Clock(epochs or clock.epochs, epoch or clock.steps_per_epoch, note=note, gpus=gpus)
    return replay(schedule, clock, title=title)


def save_table(path: Path, runs: Sequence[Curves]) -> None:
    """Write every value of every step and group as a table, unless it would have more than 200 million rows."""
    rows = sum(run.clock.steps * len({id(curve.group) for curve in run}) for run in runs)
    if rows > MOST_ROWS:
        raise DataError(f"{path}: a table of every step would have {rows:,} rows", hint="--json gives the drawn points")
    write_whole(path, lambda file: file.writelines(line.encode(errors="backslashreplace") for line in table(runs)))
