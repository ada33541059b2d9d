"""All pictures of a run on one page, in one file that needs nothing else.

Pictures travel as data beside the text; cells are made at once but filled only when they come into sight, so that a
thousand tiles open within a second.
"""

import argparse
import base64
import io
import json
from collections.abc import Sequence
from html import escape
from importlib.resources import files
from typing import Any

from PIL import Image as Pillow

from classlens.cli.browse_job import Row
from classlens.cli.browse_outputs import as_data
from classlens.cli.browse_sheets import pixels_of
from classlens.dataset.dataset import Dataset

TILE = 160
"""Longest side of a single picture; strips keep their size."""


def page_of(rows: Sequence[Row], dataset: Dataset, arguments: argparse.Namespace) -> str:
    """The page as text."""
    strips = arguments.mode in ("concat", "pipeline") or arguments.grid
    cells = [cell(row, None if strips else TILE) for row in rows if row.jpeg is not None]
    template = files("classlens.cli").joinpath("gallery.html").read_text(encoding="utf-8")
    title = escape(f"{arguments.config} · {dataset.name} · {arguments.mode} · seed {arguments.seed}")
    data = json.dumps(cells, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    before, _, after = template.partition("@DATA@")
    return before.replace("@TITLE@", title) + data + after


def cell(row: Row, longest: int | None) -> dict[str, Any]:
    """One sample: its facts and its picture."""
    picture = Pillow.fromarray(pixels_of(row.jpeg or b""))
    if longest is not None:
        picture.thumbnail((longest, longest), Pillow.Resampling.BILINEAR, reducing_gap=2.0)
    content = io.BytesIO()
    picture.save(content, "WEBP", quality=75, method=0)
    facts = {key: value for key, value in as_data(row).items() if key not in ("stages", "file", "seed")}
    image = base64.b64encode(content.getvalue()).decode("ascii")
    return {**facts, "width": picture.width, "height": picture.height, "image": image}
