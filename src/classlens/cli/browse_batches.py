"""`--batch`: whole training batches, mixed as the config says."""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import TextIO

from classlens.cli.browse_files import encoded
from classlens.cli.browse_job import BAD_SAMPLE, SampleResult, failed, marked, plain, rescued
from classlens.cli.browse_outputs import as_data, list_bad, shower
from classlens.cli.browse_record import claim_folder
from classlens.cli.browse_workers import Draw, Job, WorkerCrash
from classlens.dataset.batch import Batch, mix
from classlens.dataset.dataset import BatchPlan, Dataset
from classlens.dataset.trace import Trace, trace
from classlens.errors import NotOffered
from classlens.figures.filmstrip import draw_batch
from classlens.files import write_whole


def traced(dataset: Dataset, index: int, seed: int) -> Trace | SampleResult:
    """A sample as the network gets it, or what is wrong with it."""
    try:
        return trace(dataset, index, seed, keep="last")
    except BAD_SAMPLE as error:
        return failed(dataset, index, seed, error)


def as_it_is(found: Trace | SampleResult) -> Trace | SampleResult:
    return found


def untraced(casualty: WorkerCrash) -> Trace | SampleResult:
    return SampleResult(casualty.index, casualty.seed, casualty.path, casualty.class_names, error=casualty.reason)


TRACING = Job(traced, as_it_is, untraced)


@dataclass(frozen=True)
class Batches:
    """Which samples make which batches."""

    plan: BatchPlan
    members: tuple[tuple[int, ...], ...]
    seed: int

    @property
    def draws(self) -> list[Draw]:
        return [(index, self.seed + number) for number, batch in enumerate(self.members) for index in batch]


def planned(dataset: Dataset, indices: Sequence[int], arguments: argparse.Namespace) -> Batches:
    """`--show-number` batches of the chosen samples.

    Raises:
        NotOffered: nothing says how training batches these samples, and no size is given.
    """
    plan = dataset.batch
    if plan is None and not arguments.batch:
        raise NotOffered(f"{dataset.name} says nothing about batches", hint="give their size: --batch 16")
    size = arguments.batch or (plan.size if plan else 1)
    count = min(arguments.show_number or 1, max(1, len(indices) // size))
    members = tuple(tuple(indices[start : start + size]) for start in range(0, count * size, size))
    return Batches(replace(plan or BatchPlan(size), size=size), members, arguments.seed)


def browse_batches(
    batches: Batches,
    found: Iterator[Trace | SampleResult],
    dataset: Dataset,
    arguments: argparse.Namespace,
    out: TextIO,
) -> int:
    """Mix and draw the batches from their samples, one sheet each; returns how many samples were bad."""
    made, bad, show, interval = [], [], shower(arguments), arguments.show_interval
    if arguments.output_dir:
        claim_folder(arguments.output_dir, arguments, dataset)
    for number, members in enumerate(batches.members):
        samples = list(islice(found, len(members)))
        left_out = [one for one in samples if isinstance(one, SampleResult)]
        good = [one for one in samples if isinstance(one, Trace)]
        batch = mix(good, batches.plan, batches.seed + number, name=dataset.name)
        if arguments.output_dir or show:
            tiles = [marked(row, rescued(row.path)) for row in left_out]
            sheet = encoded(draw_batch(batch, rescale=arguments.rescale_factor, left_out=tiles))
            if arguments.output_dir:
                write_whole(Path(arguments.output_dir) / f"batch_{number + 1:03d}.jpg", sheet)
            if show:
                show(
                    SampleResult(number + 1, batch.seed, class_names=(f"batch of {dataset.name}",), jpeg=sheet),
                    interval,
                )
        made.append(replace(batch, images=()))
        bad += left_out
    report(made, bad, arguments, out)
    return len(bad)


def report(found: Sequence[Batch], bad: Sequence[SampleResult], arguments: argparse.Namespace, out: TextIO) -> None:
    """Say what was drawn, and what could not be."""
    if arguments.json:
        rows = [
            {
                "indices": list(one.indices),
                "seed": one.seed,
                "mixing": one.mixing,
                "drawn": plain(one.params),
                "shares": [dict(shares) for shares in one.shares],
            }
            for one in found
        ]
        json.dump({"batches": rows, "bad": [as_data(row) for row in bad]}, out, indent=1)
        out.write("\n")
        return
    for number, one in enumerate(found, start=1):
        share = one.params.get("share")
        told = f"{one.mixing}, own share {share:.3f}" if isinstance(share, float) else one.mixing
        place = f" in {arguments.output_dir}" if arguments.output_dir else ""
        print(f"batch {number}: {len(one.indices)} samples, {told}{place}", file=out)
    list_bad(bad, len(bad))
