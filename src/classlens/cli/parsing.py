"""What the commands' parsers share: errors with a hint, config overrides, and types of arguments.

Nothing heavy is imported here: `--help` and a wrong flag must cost no more than argparse itself.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn, TypeVar

from classlens.errors import short_repr, suggestion
from classlens.printed import ONE_LINE, fit_lines, print_aside, print_text

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Number = TypeVar("Number", int, float)
Request = TypeVar("Request", bound="DataclassInstance")

PLACES = ("FILE", "DIR", "RUN")  # what an option names that may not be said twice
SHOWN = 40  # letters of a number that is none
LONGEST = 400  # letters of an error about an option
CHOICE = re.compile(r"invalid choice: '(.*)' \(choose from (.*)\)")
UNKNOWN_OPTION = re.compile(r"unrecognized arguments: (?:.*? )?(--?[^\s=]+)")


class Help(argparse.HelpFormatter):
    """Paragraphs as wide as the terminal; indented ones are commands, and stay as they are."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        paragraphs = text.strip("\n").split("\n\n")
        return "\n\n".join(one if one.startswith(" ") else fill(one, width, indent) for one in paragraphs)


class Store(argparse.Action):
    """Keep what was said last, as argparse does; but of two files none may be left out without a word."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        before = getattr(namespace, self.dest, None)
        if option and self.metavar in PLACES and before not in (self.default, values):
            parser.error(f"{option} is there twice, for {before} and for {values}: name one")
        setattr(namespace, self.dest, values)


class Parser(argparse.ArgumentParser):
    """argparse, with a hint in its errors: the nearest option or choice, or where all of them are."""

    def error(self, message: str) -> NoReturn:
        near = ""
        if choice := CHOICE.search(message):
            near = suggestion(choice[1], re.findall(r"[^\s',]+", choice[2]))
        elif option := UNKNOWN_OPTION.search(message):
            options, word = self._option_string_actions, option[1].replace("_", "-")
            near = suggestion(word, options, compared=lambda name: name.lstrip("-"), alike=0.65)
        elif "unrecognized" in message and "--log" in sys.argv and "--logged" in self._option_string_actions:
            near = "did you mean --logged RUN? --log is the logarithmic axis"
        print_note("error", message if len(message) <= LONGEST else f"{message[:LONGEST]} ...")
        print_note("hint", near if near.startswith("did") else f"{self.prog} --help lists every option")
        sys.exit(2)

    def _print_message(self, message: str, file: object = None) -> None:
        print_text(message.removesuffix("\n"))  # what cannot be printed is not passed over


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


def read_request(
    arguments: argparse.Namespace, kind: type[Request], own: Mapping[str, object] | None = None
) -> Request:
    """The arguments as a request of a kind: its `own` values, and for the rest the options that are called as its fields.

    Several values are a tuple; what is not said is left to the request. What is said of the config, and which code may be
    run, are its `options`, unless it has its own.
    """
    from dataclasses import fields

    from classlens.adapters import Options
    from classlens.config.overrides import parse_overrides

    names = {field.name for field in fields(kind)}
    values = {name: value for name, value in vars(arguments).items() if value is not None} | dict(own or {})
    if "options" in names - values.keys():
        values["options"] = read_request(arguments, Options, {"overrides": parse_overrides(arguments.cfg_options)})
    chosen = {name: values[name] for name in names & values.keys()}
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in chosen.items()})


def print_note(kind: str, text: str) -> None:
    """A message on the side: `note:  ...`, `warning: ...`, `error: ...`; on a terminal it is broken between words."""
    print_aside(*fit_lines(f"{kind + ': ':<7}{text.translate(ONE_LINE)}", sys.stderr, " " * 7))


def number_type(parse: Callable[[str], Number], accept: Callable[[Number], bool], what: str) -> Callable[[str], Number]:
    """A type of argument: a number that is accepted, or an error that says what it should be."""

    def read(text: str) -> Number:
        with suppress(ValueError):
            value = parse(text)
            if accept(value):
                return value
        raise argparse.ArgumentTypeError(f"{short_repr(text, SHOWN)} is not {what}")

    return read


def pair_type(read: Callable[[str], Number], what: str) -> Callable[[str], tuple[Number, Number]]:
    """A type of argument: two numbers with x or * between them."""

    def read_pair(text: str) -> tuple[Number, Number]:
        first, _, second = text.lower().replace("*", "x").partition("x")
        with suppress(argparse.ArgumentTypeError):
            return read(first), read(second)
        raise argparse.ArgumentTypeError(f"{short_repr(text, SHOWN)} is not {what}")

    return read_pair


positive_int = number_type(int, lambda value: 1 <= value <= 10**15, "a whole number of 1 or more, up to 10^15")
whole_number = number_type(int, lambda value: value >= 0, "a whole number of 0 or more")
any_int = number_type(int, lambda value: True, "a whole number")
positive_float = number_type(float, lambda value: 0 < value < float("inf"), "a number above 0")
