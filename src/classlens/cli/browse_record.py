"""One folder holds the pictures of one run: a small file in it says which options made them.

The same options make the same pictures, so they may come again, or more of them. Other options would mix with them.
"""

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classlens.errors import DataError
from classlens.files import write_whole

RECORD = "browse.json"
PAGES = (".html", ".htm")
OF_PIXELS = ("config", "phase", "epoch", "cfg_options", "seed", "rescale_factor", "bgr2rgb")
"""What decides the pixels drawn for an index."""

OF_SHEETS = ("index", "classes", "in_order", "shuffle", "show_number", "repeat", "grid", "batch")
"""What decides which samples come together on a sheet."""


def claim(folder: str, arguments: argparse.Namespace, samples: int) -> bool:
    """Note in the folder what makes its pictures; whether an earlier run with the same options has been there.

    `samples` is the length of the dataset: where it changes, other pictures have the numbers.

    Raises:
        DataError: the folder holds pictures that other options made, or takes no files.
    """
    place, now = Path(folder) / RECORD, options_of(arguments) | {"samples": samples}
    before = earlier(place)
    if before is not None and before != now:
        changed = [name for name in now if name in before and now[name] != before[name]]
        changed = changed or [name for name in {**now, **before} if now.get(name) != before.get(name)]
        told = ", ".join(f"{name.replace('_', '-')} {said(before.get(name))}" for name in changed)
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
    options: dict[str, Any] = json.loads(json.dumps({name: given[name] for name in names}))
    return options


def earlier(place: Path) -> Mapping[str, Any] | None:
    """The options of the run that is there, or None."""
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def said(value: object) -> str:
    """An option's value in few letters."""
    if value is None or value is False or value == []:
        return "not given"
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)
