r"""Browse a dataset: pictures as loaded, as the network gets them, side by side, or after every stage.

For example:

  classlens browse configs/resnet/resnet50_8xb32_in1k.py --mode pipeline \
      --show-number 20 --output-dir out
  classlens browse folder:photos --html photos.html
  classlens browse demo --batch 16 --output-dir out

A bad picture never ends a run: it becomes a marked tile with its reason and is listed at the end.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from classlens.cli import parsing
from classlens.cli.parsing import (
    add_overrides,
    any_int,
    number_type,
    pair_type,
    positive_float,
    positive_int,
    print_note,
)
from classlens.errors import count_of
from classlens.printed import json_text, print_aside, print_text
from classlens.runs.own_process import can_fork, describe_crash_of_child, report_end, run_in_child

if TYPE_CHECKING:
    from classlens.cli.display import Show
    from classlens.runs.browse_run import BrowseRun
    from classlens.runs.browse_samples import BrowseRequest, SampleResult

MODES = ("original", "transformed", "concat", "pipeline")
pause = number_type(float, lambda value: abs(value) <= 86_400, "a number of seconds, a day at most")
repeats = number_type(int, lambda value: 1 <= value <= 1_000_000, "a whole number from 1 to 1,000,000")
processes = number_type(int, lambda value: 0 <= value <= 256, "a whole number from 0 to 256")
rows_and_columns = pair_type(positive_int, "rows x columns, e.g. 4x6")
window_size = pair_type(positive_float, "a size such as 12*7")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented options of browse_dataset.py in both generations' spelling, and our own."""
    mode = f"what is shown of a sample: {', '.join(MODES)} (default: transformed)"
    add = parser.add_argument
    add("config", metavar="TARGET", help="a config file, folder:PATH (folder, list, archive, address), or demo")
    add("--output-dir", "-o", metavar="DIR", help="folder for the pictures (default: not saved)")
    add("--phase", "-p", choices=("train", "val", "test"), help="which split (default: train)")
    number = "how many samples (default: all)"
    add("--show-number", "--number", "-n", dest="number", type=positive_int, metavar="N", help=number)
    add("--show-interval", "-i", type=pause, default=2.0, metavar="S", help="seconds each one stays (default: 2)")
    add("--mode", "-m", choices=MODES, metavar="MODE", help=mode)
    rescale = "enlarge or shrink what is shown (default: 1; tiles of strips, sheets and pages are made to fit)"
    add("--rescale-factor", "-r", dest="rescale", type=positive_float, metavar="F", help=rescale)
    add("--bgr2rgb", action="store_true", help="flip the channel order of what is shown")
    order = "RGB is the same as --bgr2rgb (default: BGR)"
    add("--channel-order", "-c", choices=("BGR", "RGB"), default="BGR", help=order)
    add("--not-show", action="store_true", help="no window and no preview")
    add("--show", action="store_true", help="show the pictures even if they are saved")
    add = parser.add_argument_group("of vis_pipeline.py").add_argument
    skipped = "stages to leave out, e.g. RandomFlip ColorJitter"
    add("--skip-type", dest="skipped", nargs="*", metavar="TYPE", help=skipped)
    add("--adaptive", action="store_true", help="enlarge or shrink what is shown until its edges fit these two:")
    add("--min-edge-length", type=positive_int, default=200, metavar="PX", help="of the shorter edge (default: 200)")
    add("--max-edge-length", type=positive_int, default=800, metavar="PX", help="of the longer edge (default: 800)")
    window = "largest size of the window in inches, of 100 pixels each"
    add("--window-size", type=window_size, metavar="W*H", help=window)
    add = parser.add_argument_group("selection").add_argument
    add("--seed", type=any_int, metavar="N", help="fixes the choice and all random parameters (default: 0)")
    add("--index", dest="indices", type=any_int, nargs="+", metavar="I", help="these samples, counted from 0")
    add("--class", nargs="+", dest="classes", metavar="NAME", help="only these classes")
    named = "the class names in the order of their numbers: a file (a name a line, or JSON), or names with commas"
    add("--classes", dest="class_names", metavar="FILE|NAME,...", help=named)
    add("--in-order", action="store_true", help="the first ones instead of a spread over the classes")
    add("--shuffle", action="store_true", help="random ones instead of a spread over the classes")
    add("--repeat", type=repeats, metavar="N", help="so many times, with other random parameters")
    add("--epoch", type=positive_int, metavar="N", help="as in this epoch, counted from 1: its pipeline and mixing")
    results = parser.add_argument_group("results")
    add = results.add_mutually_exclusive_group().add_argument
    add("--grid", type=rows_and_columns, metavar="RxC", help="contact sheets of R rows and C columns")
    batch = "whole training batches, mixed, of N samples (default: of the config's size)"
    add("--batch", type=positive_int, nargs="?", const=0, metavar="N", help=batch)
    add("--html", metavar="FILE", help="one page with all pictures, in one file")
    numbers = "numbers about the samples instead of pictures"
    add("--stats", dest="statistics", action="store_true", help=numbers)
    results.add_argument("--strict", action="store_true", help="exit with status 1 if a picture is bad")
    workers = "processes (default: 0, this one, unless there is much to do)"
    results.add_argument("--workers", type=processes, metavar="N", help=workers)
    add_overrides(parser)


def run(namespace: argparse.Namespace) -> int:
    """Browse, and say where the pictures are; go on past a decoder that kills its process.

    A child would end by way of what a caller in the same process has open, such as a temporary folder.
    """
    if namespace.workers or not (namespace.is_last and can_fork()):
        return read_request(namespace)()
    for workers in (namespace.workers, 1):
        namespace.workers = workers
        status = run_in_child(lambda: read_request(namespace)())
        crash = describe_crash_of_child(status)
        if not crash:
            return report_end(status)
        if workers != 1:
            print_note("note", f"{crash}; now each is decoded in a process of its own")
    print_note("error", crash)
    print_note("hint", "--in-order or --index I asks for no label but those of what is shown")
    return 2


def read_request(namespace: argparse.Namespace) -> Callable[[], int]:
    """The options as a request, and the call that makes the run."""
    from classlens.adapters import Options
    from classlens.checkpoints.class_names import read_names
    from classlens.cli.display import find_window, has_colours, show_in_terminal, terminal_size
    from classlens.config import parse_overrides
    from classlens.runs.browse_samples import BrowseRequest

    is_saved = namespace.output_dir or namespace.html
    is_shown = not (namespace.not_show or namespace.json or (is_saved and not namespace.show))
    window = find_window(namespace.window_size) if is_shown else None
    in_terminal = is_shown and window is None and has_colours()
    show = show_in_terminal if in_terminal else window
    shows_drawn = window is not None or (in_terminal and namespace.batch is not None)
    said = {
        "overrides": parse_overrides(namespace.cfg_options),
        "class_names": None if namespace.class_names is None else read_names(namespace.class_names),
    }
    own = {
        "options": parsing.read_request(namespace, Options, said),
        "edges": (namespace.min_edge_length, namespace.max_edge_length) if namespace.adaptive else None,
        "swap_channels": namespace.bgr2rgb or namespace.channel_order == "RGB",
        "keep_pictures": shows_drawn and not namespace.statistics,
        "terminal": terminal_size() if in_terminal else None,
        "workers": namespace.workers,  # None is not the request's own default: Python starts processes when it is asked to
    }
    request = parsing.read_request(namespace, BrowseRequest, own)
    ways = {"seconds": namespace.show_interval, "as_json": namespace.json, "is_strict": namespace.strict}
    return partial(browse_and_print, namespace.config, request, show=show, **ways)


def browse_and_print(
    target: str, request: BrowseRequest, *, show: Show | None, seconds: float, as_json: bool, is_strict: bool
) -> int:
    """Make the run, show each picture for `seconds`, print what came of it; status 1 for a bad one if `is_strict`."""
    from classlens.cli.display import print_picture
    from classlens.dataset.statistics import Survey
    from classlens.runs.browse_run import BatchResult, browse
    from classlens.runs.browse_samples import SampleResult
    from classlens.runs.own_process import keep_freed_memory, progress_line, silent

    keep_freed_memory()
    result = browse(target, request, progress=silent if show else progress_line(), on_note=print_note)
    reports: list[Any] = []
    left_out: list[SampleResult] = []
    try:
        for row in result:
            if as_json:
                reports.append(row.as_data())
            elif not isinstance(row, SampleResult):
                reports.append(row.text())
            if isinstance(row, BatchResult):
                left_out += row.left_out
            if isinstance(row, SampleResult) and row.preview:
                print_picture(row.preview, row.title, seconds)
            elif show and not isinstance(row, Survey) and row.jpeg:
                show(row.jpeg, row.title, seconds)
    except KeyboardInterrupt as stopped:
        stopped.add_note(result.stopped_text())
        raise
    if as_json:
        print_text(json_text(summarize(result, reports, left_out), indent=1))
    else:
        print_summary(result, reports, is_shown=show is not None)
    return 1 if is_strict and result.bad else 0


def summarize(result: BrowseRun, data: list[dict[str, Any]], left_out: list[SampleResult]) -> dict[str, Any]:
    """The run as JSON gives it, from its rows."""
    if result.request.statistics:
        return data[0]
    if result.request.batch is not None:
        return {"batches": data, "bad": [row.as_data() for row in left_out]}
    return {
        "dataset": result.dataset.name,
        "length": result.dataset.length,
        "classes": list(result.dataset.classes or ()),
        "mode": result.request.mode,
        "shown": result.done - result.bad,
        "bad": result.bad,
        "warnings": list(result.dataset.warnings),
        "samples": data,
    }


def print_summary(result: BrowseRun, lines: list[str], *, is_shown: bool) -> None:
    """What came of the run, where it is, what is unusual, and which samples are bad: statistics name them already."""
    request = result.request
    print_text("\n".join(lines or [result.text()]))
    if request.statistics:
        return
    if request.batch is None:
        if not (request.output_dir or request.html or is_shown):
            print_note("note", "nothing was saved or shown; --output-dir DIR saves the pictures")
        remarks = (f"{count_of(times, 'sample')}: {remark}" for remark, times in result.remarks.most_common())
        for line in (*result.dataset.warnings, *remarks):
            print_note("note", line)
    if result.bad:
        print_aside(f"{result.bad} of them {'is' if result.bad == 1 else 'are'} bad:")
        print_aside(*(f"  #{row.index}  {row.error}" for row in result.bad_rows))
        if result.bad > len(result.bad_rows):
            print_aside(f"  and {result.bad - len(result.bad_rows)} more (--json names all)")
