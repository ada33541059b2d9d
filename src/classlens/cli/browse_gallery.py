"""All pictures of a run on one page, in one file that needs nothing else.

Pictures travel as data beside the text; cells are made at once but filled only when they come into sight, so that a
thousand tiles open within a second.
"""

import argparse
import base64
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from classlens.cli.browse_job import PageTile, SampleResult
from classlens.cli.browse_outputs import as_data
from classlens.dataset.dataset import Dataset


def page_of(rows: Sequence[SampleResult], dataset: Dataset, arguments: argparse.Namespace) -> str:
    """The page as text."""
    cells = [cell(row, row.tile) for row in rows if row.tile is not None]
    template = files("classlens.cli").joinpath("gallery.html").read_text(encoding="utf-8")
    title = escape(f"{arguments.config} · {dataset.name} · {arguments.mode} · seed {arguments.seed}")
    data = json.dumps(cells, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    before, _, after = template.partition("@DATA@")
    return before.replace("@TITLE@", title) + data + after


def cell(row: SampleResult, tile: PageTile) -> dict[str, Any]:
    """One sample: its facts and its picture."""
    facts = {key: value for key, value in as_data(row).items() if key not in ("stages", "file")}
    height, width = tile.size
    return {**facts, "width": width, "height": height, "image": base64.b64encode(tile.webp).decode("ascii")}
