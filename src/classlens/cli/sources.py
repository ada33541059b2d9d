"""List what can be opened: every kind of address, what it offers, and what is missing for it.

An address is what browse, lr and cam take as their target: the path of a config, or KIND:REST.
"""

import argparse
from dataclasses import asdict

from classlens.printed import json_text, print_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Nothing but --json, which every command has."""


def run(arguments: argparse.Namespace) -> int:
    """Print the list."""
    from classlens.adapters import catalogue

    entries = list(catalogue())
    if arguments.json:
        print_text(json_text([asdict(entry) for entry in entries], indent=2))
        return 0
    width = max(len(entry.example) for entry in entries)
    for entry in entries:
        print_text(f"{entry.example:<{width}}  {', '.join(entry.offers)}\n    {entry.says}")
        if entry.missing:
            print_text(f"    not installed: {', '.join(entry.missing)}; {entry.install}")
    return 0
