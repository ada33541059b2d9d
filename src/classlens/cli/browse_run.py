"""A browse run, from the parsed options to its last line."""

import argparse
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TextIO

from classlens.adapters import Options
from classlens.cli.browse_job import RenderOptions, encode_and_write, render_sample, report_crash
from classlens.cli.browse_outputs import Outputs
from classlens.cli.browse_record import check_places, claim_folder
from classlens.cli.browse_workers import DatasetSpec, Draw, Half, Job, Result, results
from classlens.cli.opening import open_target
from classlens.config import parse_overrides
from classlens.dataset.dataset import Dataset
from classlens.dataset.selection import given, of_classes, shuffled, spread
from classlens.errors import DataError
from classlens.runs.memory import keep_freed_memory

ON_A_PAGE = 1000
"""A page holds its pictures, so it shows so many unless told otherwise."""

BAR, RENEWED = 30, 0.1
"""Letters of the progress bar, and seconds until it is drawn again."""


@dataclass
class Far:
    """How far a run is: counted while it goes on, and said where it is stopped."""

    done: int = 0
    total: int = 0

    def __str__(self) -> str:
        return f"stopped after {self.done} of {self.total} pictures; what was written is whole"


@dataclass(frozen=True)
class Run:
    """An opened dataset, the samples chosen from it, and how to work on them."""

    dataset: Dataset
    opening: DatasetSpec
    indices: Sequence[int]
    arguments: argparse.Namespace
    out: TextIO
    far: Far

    def over(
        self, draws: Iterable[Draw], job: Job[Half, Result], *, total: int, quiet: bool = False
    ) -> Iterator[Result]:
        """One result for each of `total` draws, counted on the terminal."""
        workers = self.arguments.workers
        made = results(self.dataset, self.opening, draws, job, total=total, workers=workers)
        return progress(made, total, self.far, quiet=quiet)


def browse(arguments: argparse.Namespace, out: TextIO) -> int:
    """Do what `classlens browse` was asked to do; the exit status is 1 for a bad picture with `--strict`."""
    check_places(arguments)
    keep_freed_memory()
    options = Options(parse_overrides(arguments.cfg_options), arguments.trust_config, epoch=arguments.epoch)
    dataset = open_target(arguments.config, options).dataset(arguments.phase)
    if dataset.length == 0:
        raise DataError(f"{dataset.name} has no samples")
    opening = DatasetSpec(arguments.config, arguments.phase, options)
    run = Run(dataset, opening, selection(dataset, arguments), arguments, out, Far())
    kind = batches if arguments.batch is not None else statistics if arguments.stats else pictures
    try:
        bad = kind(run)
    except KeyboardInterrupt as stopped:
        stopped.add_note(str(run.far))
        raise
    return 1 if arguments.strict and bad else 0


def pictures(run: Run) -> int:
    """Every sample as a picture; returns how many were bad."""
    arguments = run.arguments
    draws = ((index, arguments.seed + turn) for index in run.indices for turn in range(arguments.repeat))
    outputs = Outputs.of(arguments, run.dataset, run.out)
    look = look_of(run, outputs)
    job = Job(partial(render_sample, look=look), partial(encode_and_write, look=look), partial(report_crash, look=look))
    for row in run.over(draws, job, total=len(run.indices) * arguments.repeat, quiet=outputs.previews):
        outputs.take(row)
    outputs.finish()
    return outputs.bad


def batches(run: Run) -> int:
    """Whole training batches; returns how many samples were bad."""
    from classlens.cli.browse_batches import TRACING, browse_batches, planned

    plan = planned(run.dataset, run.indices, run.arguments)
    return browse_batches(
        plan, run.over(plan.draws, TRACING, total=len(plan.draws)), run.dataset, run.arguments, run.out
    )


def statistics(run: Run) -> int:
    """Numbers instead of pictures; returns how many samples were bad."""
    from classlens.cli.browse_stats import MEASURING, other_splits, print_stats
    from classlens.dataset.statistics import Measured, shared, summed

    def measured(one: Run) -> Iterator[Measured]:
        return one.over(((index, 0) for index in one.indices), MEASURING, total=len(one.indices))

    found = summed(measured(run))
    compared = {
        phase: other if isinstance(other, str) else shared(found, measured(replace_split(run, phase, other)))
        for phase, other in other_splits(run.dataset, run.opening, run.indices).items()
    }
    print_stats(run.dataset, found, compared, run.out, as_json=run.arguments.json)
    return len(found.bad)


def replace_split(run: Run, phase: str, dataset: Dataset) -> Run:
    return replace(run, dataset=dataset, opening=replace(run.opening, phase=phase), indices=range(dataset.length))


def selection(dataset: Dataset, arguments: argparse.Namespace) -> Sequence[int]:
    """The samples that the options choose, in the order in which they are shown.

    Raises:
        DataError: a sample does not exist, or none is left.
        NotFound: a class does not exist.
    """
    among = of_classes(dataset, arguments.classes) if arguments.classes else None
    if arguments.index is not None:
        return given(dataset, arguments.index)
    total = dataset.length if among is None else len(among)
    if arguments.batch is not None:
        return among or range(total) if arguments.in_order else shuffled(dataset, total, arguments.seed, among)
    number = min(arguments.show_number or (ON_A_PAGE if arguments.html else total), total)
    if arguments.shuffle:
        return shuffled(dataset, number, arguments.seed, among)
    if arguments.in_order or number == total:
        return (among or range(total))[:number]
    return spread(dataset, number, arguments.seed, among)


def look_of(run: Run, outputs: Outputs) -> RenderOptions:
    """What to make of every sample."""
    arguments = run.arguments
    folder = arguments.output_dir or None
    again = claim_folder(folder, arguments, run.dataset) if folder else False
    return RenderOptions(
        mode=arguments.mode,
        rescale=arguments.rescale_factor,
        flipped=arguments.bgr2rgb or arguments.channel_order == "RGB",
        folder=folder if outputs.grid is None else None,
        wanted=outputs.grid is not None or outputs.previews,
        contact=outputs.grid is not None,
        tiles=bool(arguments.html),
        params=arguments.json,
        digits=len(str(run.dataset.length - 1)),
        seeded=arguments.repeat > 1,
        again=again,
    )


def progress(made: Iterator[Result], total: int, far: Far, *, quiet: bool) -> Iterator[Result]:
    """Pass results on, count them, and draw a bar of them on the terminal if there is one."""
    shown = sys.stderr.isatty() and not quiet
    begun = params = time.monotonic()
    far.total = total
    for number, result in enumerate(made, start=1):
        far.done = number
        now = time.monotonic()
        if shown and (now - params > RENEWED or number == total):
            params = now
            print(bar(number, total, now - begun), end="\n" if number == total else "", file=sys.stderr, flush=True)
        yield result


def bar(done: int, total: int, seconds: float) -> str:
    """How far a run is, and how long the rest will take."""
    filled = BAR * done // total
    left = timedelta(seconds=round(seconds / done * (total - done)))
    return f"\r{'█' * filled}{'░' * (BAR - filled)} {done}/{total}  {left} left  "
