r"""Write one page about a training setup: findings, data, schedule, and where the network looks.

For example:

  classlens report demo --output demo.html
  classlens report configs/resnet/resnet50_8xb32_in1k.py epoch_100.pth \
      -d 1281167 -n 8 --output report.html
  classlens report folder:photos --pictures 200 --output photos.html

TARGET is a config or another address, CHECKPOINT the path or URL of its weights. The page is one file that needs no
other, no network and no scripts. A part that cannot be shown says why.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from classlens.cli.parsing import add_overrides, any_int, positive_int, print_note, read_request, whole_number
from classlens.printed import json_text, print_text
from classlens.runs.own_process import outlive_crashes, progress_line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What is reported on, how much of it, and where to."""
    add = parser.add_argument
    add("target", metavar="TARGET", help="config, or another address")
    add("checkpoint", nargs="?", metavar="CHECKPOINT", help="weights: a path, a URL (default: the target's own)")
    place = "the page (default: report.html)"
    add("--output", "-o", type=Path, default=Path("report.html"), metavar="FILE", help=place)
    add("--pictures", type=positive_int, metavar="N", help="samples of every split (default: 24)")
    add("--maps", type=whole_number, metavar="N", help="pictures with a map (default: 12)")
    add("--method", metavar="METHOD", help="how maps are made (default: GradCAM)")
    add("--seed", type=any_int, metavar="N", help="fixes what is chosen and sampled (default: 0)")
    judged = "pictures the network is judged by (default: 300)"
    add("--samples", type=positive_int, metavar="N", help=judged)
    add("--log", type=Path, metavar="RUN", help="what a training run wrote, or its folder")
    add("-d", "--dataset-size", type=positive_int, metavar="N", help="training samples, if the data are not here")
    add("-n", "--ngpus", dest="gpus", type=positive_int, metavar="N", help="GPUs in training (default: 1)")
    add("--trust-checkpoint", action="store_true", help="unpickle the checkpoint even if it could run code")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Write the page, and print what is in it; go on past a picture that kills the process."""

    def write() -> int:
        from classlens.runs.report_run import ReportRequest, report

        result = report(read_request(arguments, ReportRequest), on_note=print_note, progress=progress_line())
        print_text(json_text(result.as_data(), indent=2) if arguments.json else result.text())
        return 0

    return outlive_crashes(write, is_last=arguments.is_last)
