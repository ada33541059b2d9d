"""`--batch`: whole training batches, mixed as the config says."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from classlens.cli.browse_job import BAD_SAMPLE, Row, encoded, failed, marked, plain, write_whole
from classlens.cli.browse_outputs import as_data, list_bad
from classlens.dataset.batch import Batch, mix
from classlens.dataset.dataset import BatchPlan, Dataset
from classlens.dataset.trace import trace
from classlens.errors import NotOffered
from classlens.figures.batchsheet import draw_batch


def browse_batches(dataset: Dataset, indices: Sequence[int], arguments: argparse.Namespace, out: TextIO) -> int:
    """Draw `--show-number` batches of the chosen samples, one sheet each.

    Raises:
        NotOffered: nothing says how training batches these samples, and no size is given.
    """
    plan = dataset.batch
    if plan is None and not arguments.batch:
        raise NotOffered(f"{dataset.name} says nothing about batches", hint="give their size: --batch 16")
    plan = replace(plan or BatchPlan(1), size=arguments.batch or (plan.size if plan else 1))
    wanted = min(arguments.show_number or 1, max(1, len(indices) // plan.size))
    found, bad = [], []
    for number in range(wanted):
        members = indices[number * plan.size : (number + 1) * plan.size]
        batch, left_out = readable_batch(dataset, members, plan, arguments.seed + number)
        found.append(batch)
        bad += left_out
        if arguments.output_dir:
            tiles = [marked(row) for row in left_out]
            image = draw_batch(batch, rescale=arguments.rescale_factor, left_out=tiles)
            write_whole(Path(arguments.output_dir) / f"batch_{number + 1:03d}.jpg", encoded(image))
    report(found, bad, arguments, out)
    return 1 if arguments.strict and bad else 0


def readable_batch(dataset: Dataset, members: Sequence[int], plan: BatchPlan, seed: int) -> tuple[Batch, list[Row]]:
    """A batch of those samples that can be read, and the rows of the others."""
    traces, bad = [], []
    for index in members:
        try:
            traces.append(trace(dataset, index, seed, keep="last"))
        except BAD_SAMPLE as error:
            bad.append(failed(dataset, index, seed, error))
    return mix(traces, plan, seed, name=dataset.name), bad


def report(found: Sequence[Batch], bad: Sequence[Row], arguments: argparse.Namespace, out: TextIO) -> None:
    """Say what was drawn, and what could not be."""
    if arguments.json:
        rows = [
            {
                "indices": list(one.indices),
                "seed": one.seed,
                "mixing": one.mixing,
                "drawn": plain(one.drawn),
                "shares": [dict(shares) for shares in one.shares],
            }
            for one in found
        ]
        json.dump({"batches": rows, "bad": [as_data(row) for row in bad]}, out, indent=1)
        out.write("\n")
        return
    for number, one in enumerate(found, start=1):
        share = one.drawn.get("share")
        told = f"{one.mixing}, own share {share:.3f}" if isinstance(share, float) else one.mixing
        place = f" in {arguments.output_dir}" if arguments.output_dir else ""
        print(f"batch {number}: {len(one.images)} samples, {told}{place}", file=out)
    list_bad(bad)
