"""What the commands' parsers share: `_` and `-` are the same in option names, and config overrides.

Nothing heavy is imported here: `--help` and a wrong flag must cost no more than argparse itself.
"""

import argparse
import sys
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """argparse that takes no abbreviations, shows defaults, and whose errors carry a hint."""

    def __init__(self, **settings: Any) -> None:  # noqa: ANN401 - whatever argparse takes
        settings.setdefault("formatter_class", argparse.ArgumentDefaultsHelpFormatter)
        settings.setdefault("allow_abbrev", False)
        super().__init__(**settings)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message}\nhint:  {self.prog} --help lists every option\n")


def dashed(word: str) -> str:
    """`--aug_smooth=x_y` is `--aug-smooth=x_y`; anything that is not an option stays as it is."""
    if not word.startswith("--"):
        return word
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """The options of every command that opens a config."""
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override settings of the config: a.b=1 a.list.0.c=x k=a,b k='[(a,b),(c,d)]'",
    )
    parser.add_argument("--trust-config", action="store_true", help="run the config and its custom_imports as Python")


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print the result as JSON on standard output")


def print_note(kind: str, text: str) -> None:
    """A message on the side: `note:  ...` or `warning: ...`."""
    print(f"{kind + ': ':<7}{text}", file=sys.stderr)


def positive_int(text: str) -> int:
    """An argument that counts something: 1, 2, 3, ..."""
    try:
        number = int(text)
    except ValueError:
        number = 0
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 1 or more")
    return number


def whole_number(text: str) -> int:
    """An argument that may be none: 0, 1, 2, ..."""
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return int(text)


def positive_float(text: str) -> float:
    """An argument that scales something: above 0 and finite."""
    number = as_float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return number


def share(text: str) -> float:
    """An argument that is a part of something, from 0 to 1."""
    number = as_float(text)
    if not 0 <= number <= 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 0 to 1")
    return number


def as_float(text: str) -> float:
    """A number, or NaN, which lies in no range."""
    try:
        return float(text)
    except ValueError:
        return float("nan")
