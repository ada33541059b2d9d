"""Ask a network about every picture of a dataset: a row for each, what they say together, and a page about it.

For example:

  classlens audit demo
  classlens audit demo --answers all
  classlens audit CONFIG CHECKPOINT -o out/own --ray auto --workers 2
  classlens audit timm:NAME --data folder:FOLDER --methods GradCAM -n 1000

Rows lie in DIR/rows as Parquet, which pandas, polars and DuckDB read; docs/audit.md says what is in them. A run that was
ended goes on with the same command. `classlens verify DIR` makes rows again, and says whether they are the same.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from classlens.cli.parsing import add_overrides, any_int, positive_int, print_note, read_request, whole_number
from classlens.printed import json_text, print_text

if TYPE_CHECKING:
    from classlens.audit.answers import Answers
    from classlens.audit.carry_out import Audit

METHODS = (
    "methods of maps, see docs/methods.md (default: GradCAM); none: rows without maps, in the time of a plain pass"
)
WORKERS = "processes, each with the network on one thread; on a GPU, those that decode (default: one for each core)"
RAY = "spread over a Ray cluster: its address, or auto, which starts one on this machine"
BATCH = "pictures that go through the network at once (default: by memory, at most 32 on a CPU); rows depend on it"

ANSWERS = (
    "answer questions, too: labels, shortcuts, leaks, cuts, or all that can be answered; see docs/audit-answers.md"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is audited, what is asked, and by whom."""
    add = parser.add_argument
    add("target", metavar="TARGET", help="config, or another address")
    add("checkpoint", nargs="?", metavar="CHECKPOINT", help="weights: a path, a URL (default: the target's own)")
    add("--data", metavar="ADDRESS", help="pictures of another address, e.g. folder:photos (default: the target's own)")
    add("--phase", choices=("train", "val", "test"), help="the split (default: val)")
    add("--output", "-o", default="out/audit", metavar="DIR", help="folder, or s3://... (default: out/audit)")
    add("--methods", nargs="+", action="extend", metavar="METHOD", help=METHODS)
    add("--layers", nargs="+", action="extend", metavar="LAYER", help="a map at each (default: one layer, as in cam)")
    add("--number", "-n", type=positive_int, metavar="N", help="so many pictures, evenly spread (default: all)")
    add("--flips", action="store_true", help="ask about the mirrored pictures, too, in twice the time")
    add("--batch-size", type=positive_int, metavar="N", help=BATCH)
    add("--device", help="where to compute, e.g. cuda (default: cpu)")
    add("--workers", type=whole_number, metavar="N", help=WORKERS)
    add("--ray", metavar="ADDRESS", help=RAY)
    add("--retry-failed", action="store_true", help="ask again about pictures whose rows have an error, and no others")
    add("--answers", nargs="+", action="extend", metavar="NAME", help=ANSWERS)
    add("--against", metavar="DIR", help="audit of another split by the same network, for the answer about leaks")
    add("--dry-run", action="store_true", help="say how long it will take, from a few batches; nothing is written")
    add("--seed", type=any_int, metavar="N", help="for datasets that draw (default: 0)")
    add("--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Audit, and print what it came to."""
    from classlens.audit.wishes import AuditOptions
    from classlens.figures import draw
    from classlens.runs.audit_run import AuditRequest, answer_questions, estimate_audit, run_audit
    from classlens.runs.own_process import progress_line

    is_without = [one.casefold() for one in arguments.methods or ()] == ["none"]
    wishes = read_request(arguments, AuditOptions, {"methods": ()} if is_without else {})
    request = read_request(arguments, AuditRequest, {"wishes": wishes})
    if arguments.dry_run:
        estimate = estimate_audit(request, on_note=print_note)
        print_text(json_text(vars(estimate)) if arguments.json else str(estimate))
        return 0
    result = run_audit(request, on_note=print_note, progress=progress_line(with_rate=True))
    results: list[Audit | Answers] = [result]
    data = result.as_data()
    if arguments.answers:
        names = [] if arguments.answers == ["all"] else [name for one in arguments.answers for name in one.split(",")]
        asked = answer_questions(request, names, against=arguments.against, audit=result, progress=progress_line())
        results.append(asked)
        data["answers"] = asked.as_data()
    text = "\n\n".join([*map(str, map(draw, results)), f"wrote {result.page}"])
    print_text(json_text(data, indent=1) if arguments.json else text)
    return 0
