r"""Words on their way to people: a terminal, a script that reads JSON, a spreadsheet. What is printed is text.

Names of files, classes, layers and settings come from strangers. A terminal obeys some characters instead of showing
them (escape sequences, returns, marks that turn the direction of writing), and bytes of a name that are no UTF-8 cannot
be printed at all. They are spelled out here, as Python spells them: `\x1b`, `\n`, `\u202e`, `\xff`.
"""

import os
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from io import StringIO
from typing import TextIO

OBEYED = (*range(32), *range(127, 160), 0x61C, 0x200E, 0x200F, *range(0x2028, 0x202F), *range(0x2066, 0x206A))
SPELLED = {code: ascii(chr(code))[1:-1] for code in OBEYED} | {
    code: rf"\x{code - 0xDC00:02x}" for code in range(0xDC80, 0xDD00)
}

ONE_LINE = SPELLED | {code: rf"\u{code:04x}" for code in range(0xD800, 0xE000) if code not in SPELLED}
"""For `str.translate`: a name or a message becomes one line without anything that a terminal obeys."""

LINES = {code: spelled for code, spelled in ONE_LINE.items() if chr(code) not in "\n\t"}

ESCAPE = re.compile(r"\\(?:ud[89ab]..\\ud[c-f]..|(ud[89a-f]..)|.)")  # of JSON; the group is a half of a pair, alone


def join_lines(lines: Iterable[str]) -> str:
    """Lines of which none breaks into two, whatever names are in them."""
    return "\n".join(line.translate(ONE_LINE) for line in lines)


def print_text(text: str) -> None:
    """Print what a command was asked for; what the system refuses is an OSError that names the place."""
    try:
        print(text.translate(LINES), flush=True)
    except OSError as error:
        drop(sys.stdout)
        error.filename = "standard output"
        raise


def columns_of(stream: TextIO, most: int) -> int:
    """How many letters fit into a line: `most`, or as many as a narrower terminal has."""
    if not stream.isatty():
        return most
    from shutil import get_terminal_size

    return min(most, get_terminal_size().columns)


def fit_lines(text: str, stream: TextIO, behind: str = "    ") -> list[str]:
    """The lines of a text, on a terminal broken between words; what goes on begins with `behind`."""
    if not stream.isatty():
        return text.split("\n")
    from textwrap import TextWrapper

    width = columns_of(stream, sys.maxsize)
    wrap = TextWrapper(width, subsequent_indent=behind, break_long_words=False, break_on_hyphens=False).wrap
    return [part for line in text.split("\n") for part in wrap(line) or [""]]


def print_aside(*lines: str) -> None:
    """Print lines on standard error; where nobody can read them, nothing is lost by that."""
    try:
        if lines:
            print(join_lines(lines), file=sys.stderr, flush=True)
    except (OSError, ValueError):
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Let a stream lead nowhere: what waits in it to be printed would fail once more when the process ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def json_text(data: object, *, indent: int | None = None, default: Callable[[object], object] | None = None) -> str:
    r"""JSON of ASCII letters; bytes of a name that are no UTF-8 are spelled `\xff`, as strict readers refuse halves."""

    def spell(escape: re.Match[str]) -> str:
        half = escape[1]
        return "\\" + ONE_LINE[int(half[1:], 16)] if half else escape[0]

    import json  # `--help` starts faster without it

    separators = (",", ":") if indent is None else None  # pages hold long lists
    text = json.dumps(data, indent=indent, separators=separators, default=default).replace("\x7f", r"\u007f")
    return ESCAPE.sub(spell, text) if r"\ud" in text else text


def cell_text(text: str) -> str:
    """A text as a cell of a table: one line that no spreadsheet takes for a formula."""
    line = text.translate(ONE_LINE)
    return f"'{line}" if line.startswith(("=", "+", "-", "@")) else line


def csv_text(rows: Iterable[Iterable[object]]) -> str:
    """Lines of a CSV table; texts of strangers go through `cell_text` first, which costs too much for every number."""
    import csv  # few commands write tables

    part = StringIO()
    csv.writer(part, lineterminator="\n").writerows(rows)
    return part.getvalue()


def table_text(heading: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A small CSV table; text that a spreadsheet would run is quoted."""
    return csv_text([heading, *([cell_text(one) if isinstance(one, str) else one for one in row] for row in rows)])
