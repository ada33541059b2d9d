"""Print a config as it is understood: all bases merged, all variables resolved, all overrides applied.

The text is Python that can be saved and used as a config. Nothing in the file is run unless --trust-config says so.
"""

import argparse

from classlens.cli.parsing import add_overrides, print_note
from classlens.printed import json_text, print_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `classlens config`."""
    parser.add_argument("config", metavar="CONFIG_FILE", help="the config: .py, .json or .yaml")
    parser.add_argument("--diff", metavar="OTHER", help="show what differs from this other config instead")
    add_overrides(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the config, or what differs; deprecations and probable slips in the overrides go to standard error."""
    from classlens.config import parse_overrides
    from classlens.config.writing import ConfigRequest, write_config

    overrides = parse_overrides(arguments.cfg_options)
    result = write_config(ConfigRequest(arguments.config, arguments.diff, overrides, arguments.trust_config))
    for note in result.notes:
        print_note("note", note)
    print_text(json_text(result.data, indent=2) if arguments.json else result.text.removesuffix("\n"))
    return 0
