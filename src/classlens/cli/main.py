"""The `classlens` command, and the documented scripts in `tools/visualizations`, which are its subcommands alone."""

import atexit
import gc
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from io import TextIOWrapper

import classlens
from classlens.cli.parsing import Help, Parser, print_note
from classlens.errors import ClasslensError, NotFound
from classlens.runs.own_process import exit_status, on_ending_signals

COMMANDS: Mapping[str, tuple[str, str]] = {
    "browse": (
        "show a dataset: as loaded, as the network gets it, after every stage",
        "folder:photos --html page.html",
    ),
    "lr": ("draw the learning rate and other scheduled values, before training", "demo --save-path lr.png"),
    "cam": ("draw where a trained classifier looks (class activation maps)", "cat.png demo --save-path cam.png"),
    "config": ("print a config as it is understood, or what differs between two", "model.py --diff other.py"),
    "sources": ("list what can be opened, and what is not installed", ""),
    "demo": ("run all three tools on shipped photos, and show them on one page", ""),
}
"""What every command does, and how it is called."""

WELCOME = """See an image classifier: its data, its schedule, where it looks.

Commands, each with an example:

{}

`classlens COMMAND --help` lists the options of a command. In place of a
config, `demo` is the shipped network with its photos and its schedule.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run `classlens COMMAND ...` and return the exit status; without a word, it is asked for help."""
    words = sys.argv[1:] if argv is None else list(argv)
    if words and words[0] in COMMANDS:
        return run_command(words[0], words[1:], prog=f"classlens {words[0]}")
    commands = (
        f"  {name:<9}{what}\n{'':<11}classlens {name} {rest}".rstrip() for name, (what, rest) in COMMANDS.items()
    )
    usage, welcome = "classlens COMMAND ...", WELCOME.format("\n".join(commands))
    parser = Parser("classlens", usage, welcome, formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"classlens {classlens.__version__}")
    if words and not words[0].startswith("-"):
        return print_error(NotFound("command", words[0], COMMANDS))
    parser.parse_args(words)
    parser.print_help()
    return 0


def run_command(name: str, words: Sequence[str], *, prog: str) -> int:
    """Parse the words of one command and run it; errors meant for the user become two lines and exit status 2."""
    command = import_module(f"classlens.cli.{name}")
    parser = Parser(prog, description=command.__doc__, formatter_class=Help, allow_abbrev=False)
    command.add_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")
    # The documented options are spelled with _ in one generation and with - in the other: --aug_smooth=x_y.
    dashed = [re.sub("^--[^=]*", lambda name: name[0].replace("_", "-"), word) for word in words]
    arguments = parser.parse_args(dashed)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # one that cannot show a letter shows its number
            stream.reconfigure(errors="backslashreplace")
    # Threads that spin while they wait make a forward pass 5 to 10 times slower on a machine that others use too.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    # On the way out Python looks for garbage among the million objects of torch, which the system takes back anyway.
    atexit.register(gc.freeze)
    try:
        with on_ending_signals():
            return int(command.run(arguments))
    except ClasslensError as error:
        return print_error(error)
    except KeyboardInterrupt as stopped:
        return exit_status(stopped)
    except BrokenPipeError:
        sys.stderr.close()
        return 141


def print_error(error: ClasslensError) -> int:
    print_note("error", str(error))
    if error.hint:
        print_note("hint", error.hint)
    return 2
