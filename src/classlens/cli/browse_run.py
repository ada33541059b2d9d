"""A browse run, from the parsed options to its last line."""

import argparse
import sys
from collections.abc import Iterable, Iterator
from typing import TextIO

from classlens.adapters import Options
from classlens.cli.browse_job import Look, Opening, Row
from classlens.cli.browse_outputs import Outputs
from classlens.cli.browse_workers import rows
from classlens.cli.opening import open_target
from classlens.config import parse_overrides
from classlens.dataset.dataset import Dataset
from classlens.dataset.selection import given, of_classes, shuffled, spread
from classlens.errors import DataError

ON_A_PAGE = 1000
"""A page holds its pictures, so it shows so many unless told otherwise."""

STEP = 25
"""The progress line is renewed every so many pictures."""


def browse(arguments: argparse.Namespace, out: TextIO) -> int:
    """Do what `classlens browse` was asked to do; the exit status is 1 for a bad picture with `--strict`."""
    options = Options(parse_overrides(arguments.cfg_options), arguments.trust_config, epoch=arguments.epoch)
    dataset = open_target(arguments.config, options).dataset(arguments.phase)
    if dataset.length == 0:
        raise DataError(f"{dataset.name} has no samples")
    opening = Opening(arguments.config, arguments.phase, options)
    indices = selection(dataset, arguments)
    if arguments.batch is not None:
        from classlens.cli.browse_batches import browse_batches

        return browse_batches(dataset, indices, arguments, out)
    if arguments.stats:
        from classlens.cli.browse_stats import print_stats

        bad = print_stats(dataset, indices, out, as_json=arguments.json)
        return 1 if arguments.strict and bad else 0
    draws = [(index, arguments.seed + turn) for index in indices for turn in range(arguments.repeat)]
    outputs = Outputs.of(arguments, dataset, out)
    made = rows(dataset, opening, draws, look_of(arguments, outputs), arguments.workers)
    for row in progress(made, len(draws), quiet=outputs.previews):
        outputs.take(row)
    outputs.finish()
    return 1 if arguments.strict and outputs.bad else 0


def selection(dataset: Dataset, arguments: argparse.Namespace) -> list[int]:
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
        return among or list(range(total)) if arguments.in_order else shuffled(dataset, total, arguments.seed, among)
    number = min(arguments.show_number or (ON_A_PAGE if arguments.html else total), total)
    if arguments.shuffle:
        return shuffled(dataset, number, arguments.seed, among)
    if arguments.in_order or number == total:
        return (among or list(range(total)))[:number]
    return spread(dataset, number, arguments.seed, among)


def look_of(arguments: argparse.Namespace, outputs: Outputs) -> Look:
    """What to make of every sample."""
    separate = arguments.output_dir and not outputs.gathers
    return Look(
        mode=arguments.mode,
        rescale=arguments.rescale_factor,
        flipped=arguments.bgr2rgb or arguments.channel_order == "RGB",
        folder=arguments.output_dir if separate else None,
        wanted=outputs.gathers or outputs.previews,
        bare=bool(arguments.html) and not arguments.grid and arguments.mode in ("original", "transformed"),
        drawn=arguments.json,
        repeats=arguments.repeat,
    )


def progress(made: Iterable[Row], total: int, *, quiet: bool) -> Iterator[Row]:
    """Pass rows on, and count them on the terminal if there is one."""
    shown = sys.stderr.isatty() and not quiet
    for number, row in enumerate(made, start=1):
        if shown and (number % STEP == 0 or number == total):
            print(f"\r{number}/{total}", end="\n" if number == total else "", file=sys.stderr, flush=True)
        yield row
