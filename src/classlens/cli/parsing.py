"""What the commands' parsers share: errors with a hint, config overrides, and types of arguments.

Nothing heavy is imported here: `--help` and a wrong flag must cost no more than argparse itself.
"""

import argparse
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import NoReturn, TypeVar

from classlens.printed import print_aside, print_text

Number = TypeVar("Number", int, float)


class Parser(argparse.ArgumentParser):
    """argparse, with a hint in its errors; what cannot be printed is not passed over."""

    def error(self, message: str) -> NoReturn:
        print_aside(f"error: {message}", f"hint:  {self.prog} --help lists every option")
        sys.exit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        print_text(message.removesuffix("\n"))


def add_overrides(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--cfg-options",
        nargs="+",
        action="extend",
        default=[],
        metavar="KEY=VALUE",
        help="override settings of the config: a.b=1 a.list.0.c=x k=a,b k='[(a,b),(c,d)]'",
    )
    parser.add_argument("--trust-config", action="store_true", help="run the config and its custom_imports as Python")


def print_note(kind: str, text: str) -> None:
    """A message on the side: `note:  ...` or `warning: ...`."""
    print_aside(f"{kind + ': ':<7}{text}")


def number_type(parse: Callable[[str], Number], accept: Callable[[Number], bool], what: str) -> Callable[[str], Number]:
    """A type of argument: a number that is accepted, or an error that says what it should be."""

    def read(text: str) -> Number:
        with suppress(ValueError):
            value = parse(text)
            if accept(value):
                return value
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")

    return read


def pair_type(read: Callable[[str], Number], what: str) -> Callable[[str], tuple[Number, Number]]:
    """A type of argument: two numbers with x or * between them."""

    def read_pair(text: str) -> tuple[Number, Number]:
        first, _, second = text.lower().replace("*", "x").partition("x")
        with suppress(argparse.ArgumentTypeError):
            return read(first), read(second)
        raise argparse.ArgumentTypeError(f"{text!r} is not {what}")

    return read_pair


positive_int = number_type(int, lambda value: value >= 1, "a whole number of 1 or more")
whole_number = number_type(int, lambda value: value >= 0, "a whole number of 0 or more")
positive_float = number_type(float, lambda value: 0 < value < float("inf"), "a number above 0")
