"""Draw the learning rate, and every other scheduled value, before training.

For example:

  classlens lr configs/resnet/resnet50_8xb32_in1k.py --dataset-size 1281167 --ngpus 8 --save-path lr.png
  classlens lr a.py b.py --label old new -d 50000 --log --save-path compare.svg
  classlens lr configs/swin_transformer/swin-small_16xb64_in1k.py -d 1281167 -n 16 --csv lr.csv --strict

CONFIG is an OpenMMLab-style config or another address. Without a file to write, the plot is shown in a window where
there is a display, and else in the terminal.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.cli.parsing import add_overrides, positive_int, print_note
from classlens.runs.own_process import collecting_later

if TYPE_CHECKING:
    from classlens.runs.schedule_plots import LrRequest, SchedulePlots

LARGEST = 100.0
"""Inches; a larger picture is a slip of the pen."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented arguments of both generations, then ours."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("config", nargs="+", metavar="CONFIG", help="config, or another address; several are compared")
    parser.add_argument(
        "-p", "--parameter", default="lr", metavar="NAME", help="lr (default), momentum, wd, another name, or all"
    )
    parser.add_argument(
        "-d", "--dataset-size", type=positive_int, metavar="N", help="training samples; the dataset is not looked at"
    )
    parser.add_argument("-n", "--ngpus", type=positive_int, default=1, metavar="N", help="GPUs in training (default 1)")
    parser.add_argument(
        "-s", "--save-path", type=Path, metavar="FILE", help="picture: .png .jpg .pdf .svg .webp, or page: .html"
    )
    parser.add_argument("--title", default="", help="title of the picture (default: the name of the config)")
    parser.add_argument(
        "--style", default="whitegrid", help="whitegrid (default), darkgrid, white, dark, ticks, or one of matplotlib's"
    )
    parser.add_argument(
        "--window-size", type=window_size, default=(12.0, 7.0), metavar="W*H", help="inches (default 12*7)"
    )
    add_overrides(parser)
    parser.add_argument("--log-level", default="WARNING", help=argparse.SUPPRESS)
    parser.add_argument("--not-show", action="store_true", help="neither a window nor a plot in the terminal")
    group = parser.add_argument_group("more")
    group.add_argument("--label", nargs="+", action="extend", metavar="NAME", help="what to call each config")
    group.add_argument("--epochs", type=positive_int, metavar="N", help="epochs of the run, instead of the config's")
    group.add_argument("--epoch-length", type=positive_int, metavar="N", help="steps of an epoch, instead of counting")
    group.add_argument("--steps", type=positive_int, metavar="N", help="steps of a run without epochs")
    group.add_argument(
        "--log",
        action=argparse.BooleanOptionalAction,
        help="logarithmic values (default: where lines are more than 50 times apart)",
    )
    group.add_argument("--groups", action="store_true", help="build the model (needs torch) to count parameter groups")
    group.add_argument(
        "--auto-scale-lr", action="store_true", help="scale the learning rate by batch size, as training can"
    )
    group.add_argument("--csv", type=Path, metavar="FILE", help="table: one row for every step and group")
    group.add_argument("--html", type=Path, metavar="FILE", help="page to zoom and read values in")
    group.add_argument("--strict", action="store_true", help="exit with status 1 if the schedule looks mistaken")


def window_size(text: str) -> tuple[float, float]:
    """`12*7` or `12x7`: width and height in inches."""
    match = re.fullmatch(r"\s*([0-9.]+)\s*[*xX]\s*([0-9.]+)\s*", text)
    try:
        width, height = (float(part) for part in match.groups()) if match else (0.0, 0.0)
    except ValueError:
        width = height = 0.0
    if not (1 <= width <= LARGEST and 1 <= height <= LARGEST):
        raise argparse.ArgumentTypeError(f"{text!r} is not a size such as 12*7, each from 1 to {LARGEST:g} inches")
    return width, height


def run(arguments: argparse.Namespace) -> int:
    """Plot, then print or show what came out; findings decide the exit status only with --strict."""
    # numpy would start a thread for each core, which takes as long as drawing does, for matrices that no schedule has.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with collecting_later("numpy"):
        from classlens.runs.schedule_plots import plot_schedules
    plots = plot_schedules(read_request(arguments), print_note)
    if arguments.json:
        import json

        print(json.dumps(plots.as_data(), indent=2))
    elif plots.files or arguments.not_show:
        print(plots.text())
    else:
        show(plots)
    return 1 if arguments.strict and plots.findings else 0


def read_request(arguments: argparse.Namespace) -> LrRequest:
    """The request that the arguments spell out."""
    from classlens.adapters import Options
    from classlens.config.overrides import parse_overrides
    from classlens.runs.schedule_plots import LrRequest

    overrides = parse_overrides(arguments.cfg_options)
    return LrRequest(
        targets=tuple(arguments.config),
        labels=None if arguments.label is None else tuple(arguments.label),
        options=Options(overrides, arguments.trust_config, count_groups=arguments.groups),
        parameter=arguments.parameter,
        dataset_size=arguments.dataset_size,
        gpus=arguments.ngpus,
        epochs=arguments.epochs,
        epoch_length=arguments.epoch_length,
        steps=arguments.steps,
        scale_by_batch=arguments.auto_scale_lr,
        title=arguments.title,
        style=arguments.style,
        size=arguments.window_size,
        log=arguments.log,
        picture=arguments.save_path,
        page=arguments.html,
        table=arguments.csv,
    )


def show(plots: SchedulePlots) -> None:
    """Print the plots in words, and show them in a window where there is a display, else in the terminal."""
    from classlens.cli import display
    from classlens.runs.schedule_plots import draw_plots

    asked, columns, lines = plots.request, *shutil.get_terminal_size((100, 30))
    if display.has_display():
        print(plots.text())
        title = asked.title or plots.runs[0].title
        if display.show_window(lambda size: draw_plots(plots, size=size).encode(".png"), asked.size, title):
            return
    from classlens.figures.terminal import terminal_plot

    print(terminal_plot(plots.runs, columns=min(columns, 140), lines=min(lines - 6, 24), log=asked.log))
    if not display.has_display():
        print(plots.text())
