"""One folder holds the pictures of one run: a small file in it says what they were made of.

What is the same makes the same pictures, so they may come again, or more of them; anything else would mix with them.
Contents count, not names: a config that was edited is another one, and a folder by another path is the same.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path
from textwrap import shorten
from typing import Any

from classlens.adapters import DEFAULT, split_address
from classlens.config.writing import ABSENT, Difference, as_data, differences
from classlens.dataset.dataset import Dataset
from classlens.errors import DataError
from classlens.files import write_whole
from classlens.runs.browse_samples import BrowseRequest

RECORD = "browse.json"
NAMED, LONGEST = 3, 60  # so many differences are named, each value in so many letters
LARGE = 100_000_000  # bytes of a file that is not read to see whether it has changed
ADDRESS = re.compile(r" at 0x[0-9a-f]+")  # where in memory an object lies, which is another place in every run

ALWAYS = {"phase": "phase", "seed": "seed", "rescale_factor": "rescale", "bgr2rgb": "swap_channels"}
ON_SHEETS = {name: name for name in ("in_order", "shuffle", "repeat", "grid", "batch")} | {
    "index": "indices",
    "show_number": "number",
}
"""Options, as the command calls them, that decide the pixels of a sample, and which samples share a sheet."""


def claim_folder(target: str | None, dataset: Dataset, request: BrowseRequest) -> bool:
    """Note in the output folder what makes its pictures; whether an earlier run of the same has been there."""
    place = Path(request.output_dir) / RECORD
    contents = as_data(describe_contents(target, dataset, request))
    now: dict[str, Any] = json.loads(ADDRESS.sub("", json.dumps(contents)))
    try:
        before = json.loads(place.read_bytes())
    except (OSError, ValueError):
        before = None
    if not isinstance(before, dict):
        write_whole(place, json.dumps(now, indent=1).encode())
        return False
    if before != now:
        changed = list(differences(before, now))
        listed = ", ".join(map(describe_difference, changed[:NAMED]))
        listed += f", and {len(changed) - NAMED} more differences" if len(changed) > NAMED else ""
        raise DataError(
            f"{request.output_dir} holds pictures of another run: made with {listed}",
            hint="another --output-dir keeps both; delete that folder to have only the new ones",
        )
    return True


def describe_contents(target: str | None, dataset: Dataset, request: BrowseRequest) -> dict[str, Any]:
    """What decides the pixels drawn for an index: options, settings and stages, the content of lists and code.

    Where the number of samples changes, other pictures have the numbers.
    """
    is_sheet = request.grid is not None or request.batch is not None
    words = ALWAYS | (ON_SHEETS if is_sheet else {}) | ({"mode": "mode"} if request.batch is None else {})
    contents = {word: getattr(request, name) for word, name in words.items()}
    contents |= {"epoch": request.options.epoch, "samples": dataset.length, "loader": dataset.loader}
    contents |= {"classes": dataset.classes, "stages": [{"type": one.name, **one.settings} for one in dataset.stages]}
    if dataset.settings:  # these describe the stages, too
        contents |= {"dataset": dataset.settings, "stages": None}
    if request.batch is not None:
        contents["batches"] = repr(dataset.batch)
    if is_sheet and request.classes:
        contents["class"] = request.classes
    scheme, rest = (DEFAULT, "") if target is None else split_address(target)
    files = list(annotation_lists(dataset.settings))
    if scheme != DEFAULT:
        path = rest.partition(".py:")[0] + ".py" if scheme == "py" and ".py:" in rest else rest
        files += [Path(path)] if path else []
        is_there = os.path.exists(path)  # noqa: PTH110
        contents["source"] = f"{scheme}:{rest.replace(path, os.path.realpath(path), 1) if is_there else rest}"
    contents["files"] = {str(file.resolve()): digest(file) for file in files}
    return contents


def annotation_lists(settings: object) -> Iterator[Path]:
    """The annotation lists that a dataset's settings name, also inside wrappers."""
    if isinstance(settings, Mapping):
        if settings.get("ann_file") and isinstance(settings["ann_file"], str):
            yield Path(str(settings.get("data_root") or ""), settings["ann_file"])
        settings = tuple(settings.values())
    if isinstance(settings, list | tuple):
        for value in settings:
            yield from annotation_lists(value)


def digest(path: Path) -> str:
    """What is in a file; of a large one, its size."""
    try:
        size = path.stat().st_size
        return f"{size} bytes" if size > LARGE else sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def describe_difference(row: Difference) -> str:
    """What was, and what is now, each in few letters."""
    head, _, file = row.key.partition(".")
    values = []
    for value in (row.first, row.second):
        text = " ".join(map(str, value)) if isinstance(value, list) else str(value)
        is_given = value != [] and not any(value is nothing for nothing in (None, False, ABSENT))
        values.append(shorten(text, LONGEST, placeholder=" ...") if is_given else "not given")
    if head == "files" and ABSENT not in (row.first, row.second):
        return f"another content of {file}"
    return f"{row.key if file else row.key.replace('_', '-')} {values[0]} (now {values[1]})"
