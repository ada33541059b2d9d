"""`--batch`: whole training batches, mixed as the config says."""

import argparse
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from classlens.cli.browse_job import encoded, plain, write_whole
from classlens.dataset.batch import Batch, mixed_batch
from classlens.dataset.dataset import BatchPlan, Dataset
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
    wanted = arguments.show_number or 1
    found = []
    for number in range(min(wanted, max(1, len(indices) // plan.size))):
        members = list(indices[number * plan.size : (number + 1) * plan.size])
        batch = mixed_batch(dataset, members, plan, arguments.seed + number)
        found.append(batch)
        if arguments.output_dir:
            image = draw_batch(batch, rescale=arguments.rescale_factor)
            write_whole(Path(arguments.output_dir) / f"batch_{number + 1:03d}.jpg", encoded(image))
    report(found, arguments, out)
    return 0


def report(found: Sequence[Batch], arguments: argparse.Namespace, out: TextIO) -> None:
    """Say what was drawn."""
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
        json.dump({"batches": rows}, out, indent=1)
        out.write("\n")
        return
    for number, one in enumerate(found, start=1):
        share = one.drawn.get("share")
        told = f"{one.mixing}, own share {share:.3f}" if isinstance(share, float) else one.mixing
        place = f" in {arguments.output_dir}" if arguments.output_dir else ""
        print(f"batch {number}: {len(one.images)} samples, {told}{place}", file=out)
