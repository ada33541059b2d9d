"""Print a config as it is understood: all bases merged, all variables resolved, all overrides applied.

The text is Python that can be saved and used as a config. Nothing in the file is run unless --trust-config says so.
"""

import argparse
import json
import sys
from typing import TYPE_CHECKING

from classlens.cli.parsing import add_overrides

if TYPE_CHECKING:
    from classlens.config import Config


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classlens config`."""
    parser.add_argument("config", metavar="CONFIG_FILE", help="the config: .py, .json or .yaml")
    parser.add_argument("--diff", metavar="OTHER", help="show what differs from this other config instead")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the config, or what differs."""
    from classlens.config.writing import as_data, as_python

    config = opened(arguments.config, arguments.cfg_options, trust=arguments.trust_config)
    if arguments.diff is not None:
        return print_differences(config, opened(arguments.diff, [], trust=arguments.trust_config), arguments)
    if arguments.json:
        print(json.dumps(as_data(config), indent=2))
    else:
        print(as_python(config), end="")
    return 0


def opened(address: str, words: list[str], *, trust: bool) -> "Config":
    """The config at an address; deprecations and probable slips in the overrides are told on standard error."""
    from classlens.adapters.config_file import found_config, open_settings
    from classlens.config import parse_overrides

    config, notes = open_settings(found_config(address), parse_overrides(words), trust=trust)
    for note in notes:
        print(f"note:  {note}", file=sys.stderr)
    return config


def print_differences(config: "Config", other: "Config", arguments: argparse.Namespace) -> int:
    """A line with - for what CONFIG_FILE has, one with + for what the other has."""
    from classlens.config.writing import ABSENT, as_data, differences, one_line

    found = list(differences(config, other))
    if arguments.json:
        sides = {"config": "first", "other": "second"}
        rows = [
            {"key": row.key}
            | {side: getattr(row, name) for side, name in sides.items() if getattr(row, name) is not ABSENT}
            for row in found
        ]
        print(json.dumps(as_data(rows), indent=2))
        return 0
    if not found:
        print("no difference")
        return 0
    print(f"--- {arguments.config}\n+++ {arguments.diff}")
    for row in found:
        for sign, value in (("-", row.first), ("+", row.second)):
            if value is not ABSENT:
                print(f"{sign} {row.key} = {one_line(value)}")
    return 0
