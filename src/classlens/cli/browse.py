"""Browse a dataset: pictures as loaded, as the network gets them, side by side, or after every stage.

For example:

  classlens browse configs/resnet/resnet50_8xb32_in1k.py --mode pipeline --show-number 20 --output-dir out
  classlens browse folder:photos --html photos.html
  classlens browse demo --batch 16 --output-dir out

A bad picture never ends a run: it becomes a marked tile with its reason and is listed at the end.
"""

import argparse
import sys

from classlens.cli.outliving import can_fork, killed, run_in_child, told
from classlens.cli.parsing import add_json, add_overrides, positive_float, positive_int
from classlens.dataset.conventions import SPLITS

MODES = ("original", "transformed", "concat", "pipeline")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The documented options of browse_dataset.py in both generations' spelling, and our own."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument(
        "config", metavar="TARGET", help="a config file, folder:PATH (folder, list, archive, address), or demo"
    )
    parser.add_argument(
        "--output-dir", "-o", default="", metavar="DIR", help="folder for the pictures (default: not saved)"
    )
    parser.add_argument("--phase", "-p", choices=tuple(SPLITS), default="train", help="which split (default: train)")
    parser.add_argument("--show-number", "-n", type=positive_int, metavar="N", help="how many samples (default: all)")
    parser.add_argument(
        "--show-interval", "-i", type=float, default=2.0, metavar="S", help="seconds each one stays (default: 2)"
    )
    parser.add_argument(
        "--mode", "-m", choices=MODES, default="transformed", help="what is shown of a sample (default: transformed)"
    )
    parser.add_argument(
        "--rescale-factor",
        "-r",
        type=positive_float,
        metavar="F",
        help="enlarge or shrink what is shown (default: 1; tiles of strips, sheets and pages are made to fit)",
    )
    parser.add_argument("--bgr2rgb", action="store_true", help="flip the channel order of what is shown")
    parser.add_argument(
        "--channel-order",
        "-c",
        choices=("BGR", "RGB"),
        default="BGR",
        help="RGB is the same as --bgr2rgb (default: BGR)",
    )
    parser.add_argument("--not-show", action="store_true", help="no window and no preview")
    parser.add_argument("--show", action="store_true", help="show the pictures even if they are saved")
    add_selection(parser)
    add_results(parser)
    add_overrides(parser)
    add_json(parser)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """Which samples, and which draws of them."""
    chosen = parser.add_argument_group("selection")
    chosen.add_argument(
        "--seed", type=int, default=0, metavar="N", help="fixes what is chosen and what is drawn (default: 0)"
    )
    chosen.add_argument("--index", type=int, nargs="+", metavar="I", help="these samples, counted from 0")
    chosen.add_argument("--class", nargs="+", dest="classes", metavar="NAME", help="only these classes")
    chosen.add_argument("--in-order", action="store_true", help="the first ones instead of a spread over the classes")
    chosen.add_argument("--shuffle", action="store_true", help="random ones instead of a spread over the classes")
    chosen.add_argument("--repeat", type=positive_int, default=1, metavar="N", help="so many draws of every sample")
    chosen.add_argument(
        "--epoch",
        type=positive_int,
        metavar="N",
        help="with the pipeline and mixing in force in that epoch, counted from 1",
    )


def add_results(parser: argparse.ArgumentParser) -> None:
    """What comes out, and how it is made."""
    results = parser.add_argument_group("results")
    kind = results.add_mutually_exclusive_group()
    kind.add_argument("--grid", type=rows_and_columns, metavar="RxC", help="contact sheets of R rows and C columns")
    kind.add_argument(
        "--batch",
        type=positive_int,
        nargs="?",
        const=0,
        metavar="N",
        help="whole training batches, mixed, of N samples (default: of the config's size)",
    )
    kind.add_argument("--html", metavar="FILE", help="one page with all pictures, in one file")
    kind.add_argument("--stats", action="store_true", help="numbers about the samples instead of pictures")
    results.add_argument("--strict", action="store_true", help="exit with status 1 if a picture is bad")
    results.add_argument(
        "--workers", type=whole_number, metavar="N", help="processes (default: 0, this one, unless there is much to do)"
    )


def rows_and_columns(text: str) -> tuple[int, int]:
    """`4x6` as rows and columns."""
    rows, _, columns = text.lower().partition("x")
    if not (rows.isdigit() and columns.isdigit() and int(rows) and int(columns)):
        raise argparse.ArgumentTypeError(f"rows x columns, e.g. 4x6, not {text!r}")
    return int(rows), int(columns)


def whole_number(text: str) -> int:
    """0, 1, 2, ..."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def run(arguments: argparse.Namespace) -> int:
    """Open the dataset, choose samples, draw them, say where they are; also past a decoder that kills the process."""
    if arguments.workers or not can_fork():
        return browsed(arguments)
    status = run_in_child(lambda: browsed(arguments))
    if killed(status):
        print(f"note: {told(status)}; now each is decoded in a process of its own", file=sys.stderr)
        arguments.workers = 1
        status = run_in_child(lambda: browsed(arguments))
    if killed(status):
        print(f"error: {told(status)}", file=sys.stderr)
        print("hint:  --in-order or --index I asks for no label but those of what is shown", file=sys.stderr)
        return 2
    return status


def browsed(arguments: argparse.Namespace) -> int:
    """The run itself."""
    from classlens.cli.browse_run import browse

    return browse(arguments, out=sys.stdout)
