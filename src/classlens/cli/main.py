"""The `classlens` command, and the documented scripts in `tools/visualizations`, which are its subcommands alone."""

import atexit
import errno
import gc
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path

import classlens
from classlens.cli.parsing import Help, Parser, Store, print_note
from classlens.errors import ClasslensError, NotFound, describe_error, first_line
from classlens.files import CHOSEN, limit
from classlens.printed import drop, print_aside
from classlens.runs.own_process import ASKED, Stopped, exit_status, on_ending_signals

COMMANDS: Mapping[str, tuple[str, str]] = {
    "browse": ("show a dataset: as loaded, as the network gets it, after each stage", "folder:photos --html page.html"),
    "lr": ("draw the learning rate and other scheduled values, before training", "demo --save-path lr.png"),
    "cam": ("draw where a trained classifier looks (class activation maps)", "cat.png demo --save-path cam.png"),
    "check": ("look for silent mismatches in data, classes, network and schedule", "demo"),
    "audit": ("ask a network about every picture of a dataset, and sum it up", "demo"),
    "compare": ("put two audits of the same pictures side by side", "out/before out/after"),
    "verify": ("make rows of an audit again, and say whether they are the same", "out/audit"),
    "studio": ("open a page that shows all of it, linked, on this machine", "demo"),
    "report": ("write all of it on one page, in one file", "demo --output report.html"),
    "config": ("print a config as it is understood, or what differs between two", "model.py --diff other.py"),
    "sources": ("list what can be opened, and what is not installed", ""),
    "completion": ("let a shell complete commands and options by the Tab key", "bash"),
    "demo": ("run all three tools on shipped photos, and show them on one page", ""),
}
"""What every command does, and how it is called."""

WELCOME = """See an image classifier: its data, its schedule, where it looks.

Commands, each with an example:

{}

`classlens COMMAND --help` lists the options of a command. In place of a
config, `demo` is the shipped network with its photos and its schedule.
"""


REPORT_TO = "whoever gave you classlens"
"""Where mistakes of ours are reported: the address of an issue tracker, once there is one."""

UNFORESEEN = 70  # the exit status of a mistake of ours, as sysexits.h has it
LONGEST = 300  # letters of what went wrong
SCARCE = (errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EAGAIN)


def main(argv: Sequence[str] | None = None) -> int:
    """Run `classlens COMMAND ...` and return the exit status; without `argv`, as the program that then ends."""
    words = sys.argv[1:] if argv is None else list(argv)
    name = words[0] if words and words[0] in COMMANDS else ""
    return run_command(name, words[bool(name) :], prog=f"classlens {name}".strip(), is_last=argv is None)


def run_command(name: str, words: Sequence[str], *, prog: str, is_last: bool = True) -> int:
    """Parse the words of one command and run it; whatever goes wrong becomes one error, and an exit status.

    2 is for the user to mend, 128 and more are the signal that ended it, 70 is a mistake of ours. `is_last` says that
    the process only ends after it.
    """
    try:
        with on_ending_signals(is_last=is_last):
            for stream, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
                if getattr(sys, stream) is None:  # it is closed; else the next file would take its place
                    setattr(sys, stream, open(os.devnull, mode, errors="backslashreplace"))  # noqa: PTH123, SIM115
            if isinstance(sys.stdout, io.TextIOWrapper):
                sys.stdout.reconfigure(errors="backslashreplace")
            if not name:
                return print_welcome(words)
            parser = parser_of(name, prog)
            # The documented options are spelled with _ in one generation and with - in the other: --aug_smooth=x_y.
            dashed = [re.sub("^--[^=]*", lambda option: option[0].replace("_", "-"), word) for word in words]
            arguments = parser.parse_args(dashed)
            arguments.is_last = is_last
            # Threads that spin while they wait make a forward pass 5 to 10 times slower on a machine that others use.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            # On the way out Python looks for garbage among all objects of torch, which the system takes back anyway.
            atexit.register(gc.freeze)
            before = os.environ.get(CHOSEN, "")  # processes that are started have the user's limits, too
            os.environ[CHOSEN] = ",".join(filter(None, [before, *arguments.limit]))
            try:
                # OpenCV reads some kinds of pictures whose headers nobody else can check.
                os.environ.setdefault("OPENCV_IO_MAX_IMAGE_PIXELS", f"{limit('pixels'):.0f}")
                status = int(import_module(f"classlens.cli.{name}").run(arguments))
            finally:
                os.environ[CHOSEN] = before
            sys.stdout.flush()  # what the user's code has printed may still wait
            return status
    except ClasslensError as error:
        print_note("error", str(error))
        if error.hint:
            print_note("hint", error.hint)
        return 2
    except KeyboardInterrupt as stopped:
        return exit_status(stopped)
    except Exception as error:  # the one place where anything may come: what is left is said in one line, too
        return report_refused(error) if is_refused(error) else report_unforeseen(error)


def parser_of(name: str, prog: str) -> Parser:
    """The parser of a command: its own arguments, and those of all."""
    command = import_module(f"classlens.cli.{name}")
    parser = Parser(prog, description=command.__doc__, formatter_class=Help, allow_abbrev=False)
    parser.register("action", None, Store)
    command.add_arguments(parser)
    add = parser.add_argument
    add("--json", action="store_true", help="print the result as JSON on standard output")
    add("--limit", action="append", default=[], metavar="NAME=N", help="allow larger files, e.g. pixels=400e6")
    return parser


def print_welcome(words: Sequence[str]) -> int:
    """Answer `classlens` without a command, which asks for help; a word that is none was meant to be one."""
    rows = (f"  {name:<11}{what}\n{'':<13}classlens {name} {rest}".rstrip() for name, (what, rest) in COMMANDS.items())
    parser = Parser("classlens", "classlens COMMAND ...", WELCOME.format("\n".join(rows)), formatter_class=Help)
    parser.add_argument("--version", action="version", version=f"classlens {classlens.__version__}")
    if words and not words[0].startswith("-"):
        raise NotFound("command", words[0], COMMANDS)
    parser.parse_args(words)
    parser.print_help()
    return 0


def is_refused(error: Exception) -> bool:
    """Whether the system did not let us: that is no mistake of ours. Libraries that cannot be loaded say so in words."""
    reasons = map(os.strerror, SCARCE)
    return isinstance(error, OSError) or (isinstance(error, ImportError) and any(one in str(error) for one in reasons))


def report_refused(error: Exception) -> int:
    """Say what the system refused; nothing to a reader that is gone, as other commands do."""
    if getattr(error, "filename", None) is None:  # it may be what waits to be printed
        drop(sys.stdout)
    if isinstance(error, BrokenPipeError):
        return 141
    reason = error.strerror.lower() if isinstance(error, OSError) and error.strerror else first_line(error)
    place = getattr(error, "filename", None)
    print_aside(f"error: {place}: {reason}" if place else f"error: {reason}")
    return 2


def report_unforeseen(error: Exception) -> int:
    """Say in one line what nobody thought of, and where to report it."""
    import traceback  # no other command needs it

    if ASKED:  # a library turned the signal into an error of its own
        return exit_status(Stopped(ASKED[0][0]))
    if os.environ.get("CLASSLENS_DEBUG"):
        print_aside(*"".join(traceback.format_exception(error)).splitlines())
    last = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{describe_error(error)[:LONGEST]} · {Path(last.filename).name}:{last.lineno}"
    print_aside(
        f"error: classlens failed, which is a mistake in it: {what}",
        f"hint:  please report it to {REPORT_TO}, with the command; CLASSLENS_DEBUG=1 in front of it shows more",
    )
    return UNFORESEEN
