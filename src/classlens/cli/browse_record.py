"""One folder holds the pictures of one run: a small file in it says what they were made of.

What is the same makes the same pictures, so they may come again, or more of them; anything else would mix with them.
Contents count, not names: a config that was edited is another one, and a folder by another path is the same.
"""

import argparse
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

RECORD = "browse.json"
PAGES = (".html", ".htm")
NAMED, LONGEST = 3, 60
"""So many differences are named, each value in so many letters."""

LARGE = 100_000_000
"""Bytes of a file that is not read to see whether it has changed."""

ADDRESS = re.compile(r" at 0x[0-9a-f]+")
"""Where in memory an object lies, which is another place in every run."""

OF_PIXELS = ("phase", "epoch", "seed", "rescale_factor", "bgr2rgb")
"""What decides the pixels drawn for an index, besides the dataset."""

OF_SHEETS = ("index", "classes", "in_order", "shuffle", "show_number", "repeat", "grid", "batch")
"""What decides which samples come together on a sheet."""


def claim_folder(folder: str, arguments: argparse.Namespace, dataset: Dataset) -> bool:
    """Note in the folder what makes its pictures; whether an earlier run of the same has been there.

    Raises:
        DataError: the folder holds pictures that were made of something else, or takes no files.
    """
    place = Path(folder) / RECORD
    now: dict[str, Any] = json.loads(json.dumps(options_of(arguments) | contents_of(arguments, dataset)))
    before = earlier(place)
    if before is not None and before != now:
        changed = list(differences(before, now))
        told = ", ".join(map(difference, changed[:NAMED]))
        told += f", and {len(changed) - NAMED} more differences" if len(changed) > NAMED else ""
        raise DataError(
            f"{folder} holds pictures of another run: made with {told}",
            hint="another --output-dir keeps both; delete that folder to have only the new ones",
        )
    if before is None:
        write_whole(place, json.dumps(now, indent=1).encode())
    return before is not None


def check_places(arguments: argparse.Namespace) -> None:
    """Refuse to write where it would harm what is read.

    Raises:
        DataError: the pictures would lie in the folder that is looked at, and be samples of the next run; or the page
            has not the name of one.
    """
    kind, _, place = arguments.config.partition(":")
    if kind == "folder" and arguments.output_dir:
        read, written = Path(place).resolve(), Path(arguments.output_dir).resolve()
        if read == written or read in written.parents:
            raise DataError(
                f"{arguments.output_dir} lies in {place}, whose pictures are shown: what is written would join them",
                hint="choose an --output-dir outside",
            )
    if arguments.html and Path(arguments.html).suffix.casefold() not in PAGES:
        raise DataError(f"--html writes {' or '.join(PAGES)} files, not {arguments.html}")


def options_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """The options that count here, as JSON gives them back."""
    given = vars(arguments) | {"bgr2rgb": arguments.bgr2rgb or arguments.channel_order == "RGB"}
    sheets = arguments.grid is not None or arguments.batch is not None
    names = (*OF_PIXELS, *(("mode",) if arguments.batch is None else ()), *(OF_SHEETS if sheets else ()))
    return {name: given[name] for name in names}


def contents_of(arguments: argparse.Namespace, dataset: Dataset) -> dict[str, Any]:
    """What the samples are made of: settings and stages, the place of a folder, the content of lists and code.

    Where the number of samples changes, other pictures have the numbers.
    """
    kind, rest = split_address(arguments.config)
    path = rest.partition(".py:")[0] + ".py" if kind == "py" and ".py:" in rest else rest
    contents: dict[str, Any] = {"samples": dataset.length, "classes": dataset.classes, "loader": dataset.loader}
    files = list(lists_in(dataset.settings))
    if kind != DEFAULT:
        files += [Path(path)] if path else []
        contents["source"] = f"{kind}:{rest.replace(path, os.path.realpath(path), 1) if os.path.exists(path) else rest}"  # noqa: PTH110
    contents["files"] = {str(file.resolve()): digest(file) for file in files}
    contents["stages"] = [{"type": one.name, **one.settings} for one in dataset.stages]
    if dataset.settings:  # these tell of the stages, too
        contents |= {"dataset": dataset.settings, "stages": None}
    if arguments.batch is not None:
        contents["batches"] = repr(dataset.batch)
    return dict(json.loads(ADDRESS.sub("", json.dumps(as_data(contents)))))


def lists_in(settings: object) -> Iterator[Path]:
    """The annotation lists that a dataset's settings name, also inside wrappers."""
    if isinstance(settings, Mapping):
        if settings.get("ann_file") and isinstance(settings["ann_file"], str):
            yield Path(str(settings.get("data_root") or ""), settings["ann_file"])
        for value in settings.values():
            yield from lists_in(value)
    elif isinstance(settings, list | tuple):
        for value in settings:
            yield from lists_in(value)


def digest(path: Path) -> str:
    """What is in a file; of a large one, its size."""
    try:
        large = path.stat().st_size > LARGE
        return f"{path.stat().st_size} bytes" if large else sha256(path.read_bytes()).hexdigest()[:16]
    except OSError:
        return ""


def earlier(place: Path) -> Mapping[str, Any] | None:
    """The options of the run that is there, or None."""
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def difference(row: Difference) -> str:
    """What was, and what is now."""
    head, _, file = row.key.partition(".")
    if head == "files" and ABSENT not in (row.first, row.second):
        return f"another content of {file}"
    return f"{row.key if file else row.key.replace('_', '-')} {said(row.first)} (now {said(row.second)})"


def said(value: object) -> str:
    """A value in few letters."""
    if value is None or value is False or value == [] or value is ABSENT:
        return "not given"
    return shorten(" ".join(map(str, value)) if isinstance(value, list) else str(value), LONGEST, placeholder=" ...")
