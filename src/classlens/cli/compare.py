"""Put two audits of the same pictures side by side: accuracy, changed predictions, negative flips, how maps moved.

For example:

  classlens compare out/before out/after
  classlens compare out/before out/after --html comparison.html

A and B are folders that `classlens audit` wrote, of one list of pictures and two networks. Lists that differ are refused:
their rows cannot be paired.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from classlens.printed import json_text, print_text


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Two audits, and a page."""
    parser.add_argument("first", metavar="A", help="folder of an audit, e.g. by the old checkpoint")
    parser.add_argument("second", metavar="B", help="folder of another audit of the same pictures")
    parser.add_argument("--html", type=Path, metavar="FILE", help="page with the pictures that only A has right")


def run(arguments: argparse.Namespace) -> int:
    """Compare, and print the table."""
    from classlens.audit.comparison import compare
    from classlens.figures import draw
    from classlens.figures.drawing import PAGES, check_ending

    if arguments.html is not None:
        check_ending(arguments.html, PAGES)
    comparison = compare(arguments.first, arguments.second)
    drawing = draw(comparison)
    if arguments.html is not None:
        drawing.save(arguments.html)
    print_text(json_text(comparison.as_data(), indent=2) if arguments.json else str(drawing))
    return 0
