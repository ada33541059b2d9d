r"""Draw the learning rate, and every other scheduled value, before training.

For example:

  classlens lr configs/resnet/resnet50_8xb32_in1k.py \
      --dataset-size 1281167 --ngpus 8 --save-path lr.png
  classlens lr a.py b.py --label old new -d 50000 --log --save-path compare.svg
  classlens lr configs/swin_transformer/swin-small_16xb64_in1k.py \
      -d 1281167 -n 16 --csv lr.csv --strict
  classlens lr configs/resnet/resnet50_8xb32_in1k.py \
      -d 1281167 -n 8 --logged work_dirs/resnet50

CONFIG is an OpenMMLab-style config or another address. Without a file to write, the plot is shown in a window where
there is a display, and else in the terminal.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.cli.parsing import add_overrides, number_type, pair_type, positive_int, print_note, read_request
from classlens.printed import fit_lines, json_text, print_text
from classlens.runs.own_process import collecting_later

if TYPE_CHECKING:
    from classlens.runs.schedule_plots import SchedulePlots

side = number_type(float, lambda inches: 1 <= inches <= 100, "from 1 to 100 inches")
window_size = pair_type(side, "a size such as 12*7, each from 1 to 100 inches")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented arguments of both generations, then ours."""
    log = "logarithmic values (default: where lines are more than 50 times apart)"
    add = parser.add_argument
    add("targets", nargs="+", metavar="CONFIG", help="config, or another address; several are compared")
    add("-p", "--parameter", metavar="NAME", help="lr (default), momentum, wd, another name, or all")
    samples = "training samples; the dataset is not looked at"
    add("-d", "--dataset-size", type=positive_int, metavar="N", help=samples)
    add("-n", "--ngpus", dest="gpus", type=positive_int, metavar="N", help="GPUs in training (default: 1)")
    picture = "picture: .png .jpg .pdf .svg .webp, or page: .html; may be given several times"
    add("-s", "--save-path", dest="picture", action="append", type=Path, metavar="FILE", help=picture)
    add("--title", help="title of the picture (default: the name of the config)")
    style = "whitegrid (default), darkgrid, white, dark, ticks, or one of matplotlib's"
    add("--style", help=style)
    inches = "inches (default: 12*7)"
    add("--window-size", dest="size", type=window_size, metavar="W*H", help=inches)
    add_overrides(parser)
    add("--log-level", default="WARNING", help=argparse.SUPPRESS)
    add("--not-show", action="store_true", help="neither a window nor a plot in the terminal")
    add = parser.add_argument_group("more").add_argument
    add("--label", dest="labels", nargs="+", action="extend", metavar="NAME", help="what to call each config")
    add("--epochs", type=positive_int, metavar="N", help="epochs of the run, instead of the config's")
    add("--epoch-length", type=positive_int, metavar="N", help="steps of an epoch, instead of counting")
    add("--steps", type=positive_int, metavar="N", help="steps of a run without epochs")
    add("--log", action=argparse.BooleanOptionalAction, help=log)
    add("--logged", type=Path, metavar="RUN", help="draw what a training run logged, too: its file or folder")
    resume = "where training would go on from a checkpoint, and whether the rate jumps"
    add("--resume", metavar="CHECKPOINT", help=resume)
    groups = "build the model (needs torch) to count parameter groups"
    add("--groups", dest="count_groups", action="store_true", help=groups)
    scaling = "scale the learning rate by batch size, as training can"
    add("--auto-scale-lr", dest="scale_by_batch", action="store_true", help=scaling)
    add("--csv", dest="table", type=Path, metavar="FILE", help="table: one row for every step and group")
    add("--html", dest="page", type=Path, metavar="FILE", help="page to zoom and read values in")
    add("--strict", action="store_true", help="exit with status 1 if the schedule looks mistaken")


def run(arguments: argparse.Namespace) -> int:
    """Plot, then print or show what came out; findings decide the exit status only with --strict."""
    # numpy would start a thread for each core, which takes as long as drawing does, for matrices that no schedule has.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with collecting_later("numpy"):
        from classlens.runs.schedule_plots import LrRequest, plot_schedules
    plots = plot_schedules(read_request(arguments, LrRequest), print_note)
    if arguments.json:
        print_text(json_text(plots.as_data(), indent=2))
    elif plots.files or arguments.not_show:
        print_text("\n".join(fit_lines(plots.text(), sys.stdout)))
    else:
        show(plots)
    return 1 if arguments.strict and plots.findings else 0


def show(plots: SchedulePlots) -> None:
    """Print the plots in words, and show them in a window where there is a display, else in the terminal."""
    from classlens.cli.display import find_window, shows_dots
    from classlens.runs.schedule_plots import draw_plots

    title, show_picture = plots.request.title or plots.runs[0].title, find_window()
    if show_picture is None and shows_dots():
        from classlens.figures.terminal import terminal_plot

        columns, lines = shutil.get_terminal_size((100, 30))
        print_text(
            terminal_plot(plots.runs, columns=min(columns, 140), lines=min(lines - 6, 24), log=plots.request.log)
        )
    elif show_picture is None and sys.stdout.isatty():
        print_note("note", "this terminal has no letters to plot with; --save-path FILE draws a picture")
    print_text("\n".join(fit_lines(plots.text(), sys.stdout)))
    if show_picture is not None:
        with suppress(KeyboardInterrupt):
            show_picture(draw_plots(plots).encode(".png"), title, 24 * 3600)  # until it is closed, but not for ever
