"""The `classlens` command, and the documented scripts in `tools/visualizations`, which are its subcommands alone."""

import atexit
import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module

import classlens
from classlens.cli.parsing import Parser
from classlens.errors import ClasslensError
from classlens.files import CHOSEN, limit
from classlens.runs.own_process import exit_status, on_ending_signals

COMMANDS: Mapping[str, str] = {
    "browse": "show a dataset: original, transformed, side by side, or after every stage of its pipeline",
    "lr": "draw the learning rate and the other scheduled values, before training",
    "cam": "draw where a trained classifier looks (class activation maps)",
    "config": "print a config as it is understood, or what differs between two",
    "sources": "list what can be opened: kinds of addresses, what each offers, and what is not installed",
    "demo": "run all three tools on shipped photos with a really trained network",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run `classlens COMMAND ...` and return the exit status."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in COMMANDS:
        return run_command(words[0], words[1:], prog=f"classlens {words[0]}")
    parser = Parser(prog="classlens", description="See an image classifier: its data, its schedule, where it looks.")
    parser.add_argument("--version", action="version", version=f"classlens {classlens.__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", dest="command", required=True)
    for name, summary in COMMANDS.items():
        commands.add_parser(name, help=summary)
    parser.parse_args(words)
    return 0


def run_command(name: str, words: Sequence[str], *, prog: str) -> int:
    """Parse the words of one command and run it; errors meant for the user become two lines and exit status 2."""
    command = import_module(f"classlens.cli.{name}")
    parser = Parser(prog=prog, description=command.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    parser.add_argument(
        "--limit", action="append", default=[], metavar="NAME=NUMBER", help="allow larger files, e.g. pixels=400e6"
    )
    # The documented options are spelled with _ in one generation and with - in the other: --aug_smooth=x_y.
    dashed = [re.sub("^--[^=]*", lambda name: name[0].replace("_", "-"), word) for word in words]
    arguments = parser.parse_args(dashed)
    # Threads that spin while they wait make a forward pass 5 to 10 times slower on a machine that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # On the way out Python looks for garbage among the million objects of torch, which the system takes back anyway.
    atexit.register(gc.freeze)
    try:
        if arguments.limit:
            os.environ[CHOSEN] = ",".join([*filter(None, [os.environ.get(CHOSEN)]), *arguments.limit])
        # OpenCV reads some kinds of pictures whose headers nobody else can check.
        os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", f"{limit('pixels'):.0f}")
        with on_ending_signals():
            return int(command.run(arguments))
    except ClasslensError as error:
        print(f"error: {error}" + (f"\nhint:  {error.hint}" if error.hint else ""), file=sys.stderr)
        return 2
    except KeyboardInterrupt as stopped:
        return exit_status(stopped)
    except BrokenPipeError:
        sys.stderr.close()
        return 141
