"""What `classlens lr` does with its arguments: open each target, replay its schedule, write what was asked for.

Everything that can be wrong with the arguments is told before a target is opened.
"""

import argparse
from functools import partial
from pathlib import Path

from classlens.adapters import Options
from classlens.cli.display import has_display
from classlens.cli.lr_window import show
from classlens.cli.opening import open_target
from classlens.config.overrides import parse_overrides
from classlens.errors import DataError, NotFound, NotOffered
from classlens.figures.chart import label_of, merged
from classlens.figures.saving import check_target, encoded, save_csv, save_curves
from classlens.figures.style import check_style
from classlens.files import check_place
from classlens.schedule.replay import Curve, Curves, replay, summary
from classlens.schedule.schedule import Clock, scaled_by_batch
from classlens.source import Source

MOST_LINES = 16
"""Curves that are told in words."""

ANY_SIZE = 10**9

NAMES = {"wd": "weight_decay", "weight-decay": "weight_decay"}


def answer(arguments: argparse.Namespace) -> int:
    """Do what the arguments ask for; the exit status."""
    labels = names_of(arguments)
    check_style(arguments.style)
    for path in (arguments.save_path, arguments.html):
        if path is not None:
            check_target(path)
    if arguments.csv is not None:
        check_place(arguments.csv)
        if arguments.csv.is_file() and arguments.csv.suffix.lower() != ".csv":
            raise DataError(f"--csv would replace {arguments.csv}, which is no table", hint="end the name in .csv")
    every = [replayed(address, label, arguments) for address, label in zip(arguments.config, labels, strict=True)]
    runs = [chosen(run, arguments.parameter) for run in every]
    wrote = write_pictures(runs, arguments)
    if arguments.csv is not None:
        save_csv(arguments.csv, every)
        wrote.append(arguments.csv)
    if arguments.json:
        import json

        print(json.dumps({"runs": [summary(run) for run in runs], "files": [str(path) for path in wrote]}, indent=2))
    else:
        shown = bool(wrote) or arguments.not_show
        if not shown and not has_display():
            shown = in_terminal(runs, arguments)
        tell(runs, wrote)
        if not shown:
            _ = in_window(runs, arguments) or in_terminal(runs, arguments)
    mistaken = any(run.findings for run in runs)
    return 1 if arguments.strict and mistaken else 0


def names_of(arguments: argparse.Namespace) -> list[str]:
    """What each config is called: its label, or its file's name.

    Raises:
        DataError: there are not as many labels as configs.
    """
    if arguments.label is None:
        return [Path(address).stem if "/" in address else address for address in arguments.config]
    if len(arguments.label) != len(arguments.config):
        raise DataError(
            f"{len(arguments.label)} labels for {len(arguments.config)} configs", hint="give --label one name for each"
        )
    return list(arguments.label)


def replayed(address: str, label: str, arguments: argparse.Namespace) -> Curves:
    """All curves of one target."""
    options = Options(parse_overrides(arguments.cfg_options), arguments.trust_config, count_groups=arguments.groups)
    source = open_target(address, options)
    schedule = source.schedule()
    if arguments.auto_scale_lr:
        schedule = scaled_by_batch(schedule, arguments.ngpus)
    return replay(schedule, clock_for(source, arguments), title=label)


def clock_for(source: Source, arguments: argparse.Namespace) -> Clock:
    """The length of the run: what the arguments say, and for the rest what the source says.

    Raises:
        NotOffered: neither says it.
    """
    epochs, epoch, gpus = arguments.epochs, arguments.epoch_length, arguments.ngpus
    if arguments.steps is not None:
        return Clock.of_steps(arguments.steps, epoch, gpus=gpus)
    if epochs is not None and epoch is not None:
        return Clock(epochs, epoch, gpus=gpus)
    if source.plan is None:
        raise NotOffered(
            f"{source.origin} does not say how long it trains", hint="say --steps N, or --epochs N --epoch-length N"
        )
    # Where only the number of epochs is asked for the dataset need not be there: any size that fills a batch will do.
    size = ANY_SIZE if epoch is not None and arguments.dataset_size is None else arguments.dataset_size
    clock = source.clock(dataset_size=size, gpus=gpus)
    if epochs is None and epoch is None:
        return clock
    if not clock.by_epoch:
        return Clock.of_steps(clock.steps, epoch, gpus=gpus)
    note = "" if epoch else clock.note
    return Clock(epochs or clock.epochs, epoch or clock.steps_per_epoch, note=note, gpus=gpus)


def chosen(run: Curves, parameter: str) -> Curves:
    """The curves of the hyper-parameter that was asked for.

    Raises:
        NotFound: no group has it.
    """
    name = NAMES.get(parameter, parameter)
    if name == "all":
        return run
    if name not in run.names:
        raise NotFound("hyper-parameter", name, run.names, where=f"the optimizer of {run.title}")
    return run.only(name)


def write_pictures(runs: list[Curves], arguments: argparse.Namespace) -> list[Path]:
    """Write the picture and the page that were asked for."""
    wrote = []
    for path in (arguments.save_path, arguments.html):
        if path is not None:
            save_curves(
                path,
                runs,
                title=arguments.title,
                style=arguments.style,
                size=arguments.window_size,
                log=arguments.log,
            )
            wrote.append(path)
    return wrote


def in_window(runs: list[Curves], arguments: argparse.Namespace) -> bool:
    """Show the plot in a window until that is closed; whether one could be opened."""
    draw = partial(encoded, ".png", runs, title=arguments.title, style=arguments.style, log=arguments.log)
    return show(lambda size: draw(size=size), arguments.window_size, arguments.title or runs[0].title)


def in_terminal(runs: list[Curves], arguments: argparse.Namespace) -> bool:
    """Print the plot as text, which is always possible."""
    import shutil

    from classlens.figures.terminal import terminal_plot

    columns, lines = shutil.get_terminal_size((100, 30))
    print(terminal_plot(runs, columns=min(columns, 140), lines=min(lines - 6, 24), log=arguments.log))
    return True


def tell(runs: list[Curves], wrote: list[Path]) -> None:
    """Print what a reader wants to know at once: lengths, peaks, mistakes, files."""
    for run in runs:
        print(f"{run.title}: {run.clock}" + (f" ({run.clock.note})" if run.clock.note else ""))
        for name in run.names:
            tell_curves(run, name)
        for note in run.notes:
            print(f"  note: {note}")
        for finding in run.findings:
            print(f"  warning: {finding}")
    for path in wrote:
        print(f"wrote {path}")


def tell_curves(run: Curves, name: str) -> None:
    """One line for each distinct curve of a hyper-parameter."""
    lines = merged(run.named(name))
    for curves in lines[:MOST_LINES]:
        first, (step, value) = curves[0], curves[0].peak
        group = f" of {label_of(run, curves, alone=False, several=False)}" if len(lines) > 1 else ""
        start = first.at([0])[0]
        print(f"  {name}{group}: starts {start:.6g}, peaks {value:.6g} at step {step:,}, {ends(first)}")
    if len(lines) > MOST_LINES:
        print(f"  and {len(lines) - MOST_LINES} more (--json lists all)")


def ends(curve: Curve) -> str:
    """How a curve ends: with a value, or between two where a metric decides."""
    undecided = curve.course.undecided
    if undecided is None:
        return f"ends {curve.final:.6g}"
    return f"ends between {curve.lowest[-1]:.6g} and {curve.final:.6g}: it {undecided} from step {undecided.first:,} on"
