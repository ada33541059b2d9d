"""Make rows of an audit again, and the pictures of its report, and say whether they are the same.

For example:

  classlens verify out/audit
  classlens verify out/audit --all
  classlens verify report.html

The manifest in the folder, or in the report, names the network and the pictures. The exit status is 0 if all is equal, 1
if something is different, and 2 if it cannot be opened.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

from classlens.cli.parsing import any_int, number_type
from classlens.printed import json_text, print_text

share = number_type(float, lambda value: 0 < value <= 1, "a number above 0, up to 1")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is made again, and how much of it."""
    add = parser.add_argument
    add("target", metavar="DIR|report.html", help="folder of an audit, or its report")
    batches = "of the batches of rows (default: 0.01, at least one)"
    add("--share", type=share, default=0.01, metavar="SHARE", help=batches)
    add("--all", action="store_true", help="all rows")
    add("--seed", type=any_int, metavar="N", help="choose the same batches again (default: by chance)")
    add("--trust-config", action="store_true", help="run the config, as for the audit")
    add("--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code")


def run(arguments: argparse.Namespace) -> int:
    """Verify, and print what differs."""
    from classlens.adapters import Options
    from classlens.runs.own_process import progress_line
    from classlens.runs.verify_run import verify_audit

    options = Options(trust_config=arguments.trust_config, trust_checkpoint=arguments.trust_checkpoint)
    part = 1.0 if arguments.all else arguments.share
    result = verify_audit(arguments.target, share=part, seed=arguments.seed, options=options, progress=progress_line())
    print_text(json_text(asdict(result)) if arguments.json else result.text())
    return 0 if result.is_equal else 1
