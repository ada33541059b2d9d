"""Annotation lists: `path label` lines, CSV, and OpenMMLab's JSON.

A line that cannot be used as it is becomes a warning with file and line, never a crash and never silence.
"""

import csv
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from classlens.dataset.dataset import Sample
from classlens.dataset.reading import read_bytes
from classlens.errors import DataError

SHOWN = 5
"""How many lines of each kind of trouble are listed one by one."""

HEADINGS = ("path", "file", "filename", "image", "img_path", "img", "name")


@dataclass
class Troubles:
    """Collects what is wrong, with places; the first few of each kind are listed, the rest counted."""

    path: str
    places: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, place: object) -> None:
        """Remember one."""
        self.places.setdefault(kind, []).append(f"{self.path}:{place}")

    def told(self) -> tuple[str, ...]:
        """One sentence per kind."""
        return tuple(
            f"{kind}: {', '.join(found[:SHOWN])}" + (f" and {len(found) - SHOWN} more" if len(found) > SHOWN else "")
            for kind, found in self.places.items()
        )


@dataclass(frozen=True)
class Annotations:
    """What a list says: file names with their labels, and the class names if it holds them."""

    samples: tuple[Sample, ...]
    classes: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()


def read_annotations(path: str, *, classes: Sequence[str] | None = None, labelled: bool = True) -> Annotations:
    """Read a list; names of classes are understood as labels where `classes` holds them.

    Raises:
        DataError: the file is missing, empty, or holds no usable line.
    """
    content = decoded(path)
    troubles = Troubles(path)
    suffix = Path(path).suffix.lower()
    if suffix == ".json":
        return from_json(content, path, troubles)
    rows = csv_rows(content) if suffix == ".csv" else text_rows(content, labelled)
    lookup = {name: number for number, name in enumerate(classes or ())}
    samples: list[Sample] = []
    seen: dict[str, tuple[int, tuple[int, ...]]] = {}
    for line, name, label in rows:
        if not name:
            troubles.note("blank line", line)
            continue
        labels = labels_of(label, lookup, line, troubles) if labelled else ()
        if any(not 0 <= number < len(classes or ()) for number in labels) and classes:
            troubles.note(f"label outside 0..{len(classes) - 1}", f"{line} ({label})")
        if name in seen:
            kind = "listed again" if seen[name][1] == labels else "listed again with another label"
            troubles.note(kind, f"{line} (first in line {seen[name][0]})")
        seen.setdefault(name, (line, labels))
        samples.append(Sample(name, labels))
    if not samples:
        raise DataError(f"{path}: no line of the form 'path label'")
    return Annotations(tuple(samples), tuple(classes) if classes else None, troubles.told())


def decoded(path: str) -> str:
    """The text of a list, without a byte order mark."""
    content = read_bytes(path)
    encoding = "utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return content.decode(encoding)
    except UnicodeDecodeError:
        return content.decode("utf-8", "surrogateescape")


def text_rows(content: str, labelled: bool) -> Iterator[tuple[int, str, str]]:  # noqa: FBT001 - split from its caller
    """`path label` per line, split at the last blank, tab or comma; paths may hold blanks."""
    for line, row in enumerate(content.splitlines(), start=1):
        row = row.strip()
        if not labelled:
            yield line, row, ""
            continue
        name, blank, label = row.rpartition("\t" if "\t" in row else " ")
        if not blank and "," in row:
            name, _, label = row.rpartition(",")
        yield (line, name.strip(), label.strip()) if name else (line, row, "")


def csv_rows(content: str) -> Iterator[tuple[int, str, str]]:
    """`path,label` per row; a heading row is skipped, further columns are ignored."""
    reader = csv.reader(content.splitlines())
    for row in reader:
        first = row[0].strip() if row else ""
        if reader.line_num == 1 and first.lower() in HEADINGS:
            continue
        yield reader.line_num, first, row[1].strip() if len(row) > 1 else ""


def labels_of(label: str, lookup: Mapping[str, int], line: int, troubles: Troubles) -> tuple[int, ...]:
    """A label or several (separated by commas), as numbers."""
    if not label:
        troubles.note("no label", line)
        return ()
    numbers = []
    for part in label.split(","):
        if part.strip() in lookup:
            numbers.append(lookup[part.strip()])
            continue
        try:
            numbers.append(int(part))
        except ValueError:
            troubles.note("label is not a number", f"{line} ({part.strip()!r})")
    return tuple(numbers)


def from_json(content: str, path: str, troubles: Troubles) -> Annotations:
    """OpenMMLab's `{metainfo: {classes}, data_list: [{img_path, gt_label}]}`, or the list alone.

    Raises:
        DataError: it is no such JSON.
    """
    try:
        found = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg.lower()}") from error
    rows = found.get("data_list") if isinstance(found, Mapping) else found
    if not isinstance(rows, list) or not rows:
        raise DataError(f"{path}: no data_list with samples in it")
    info = found.get("metainfo", {}) if isinstance(found, Mapping) else {}
    classes = tuple(map(str, info.get("classes", ()))) or None
    samples = []
    for number, row in enumerate(rows):
        name = row.get("img_path") if isinstance(row, Mapping) else None
        if not isinstance(name, str):
            troubles.note("no img_path", f"data_list[{number}]")
            continue
        samples.append(Sample(name, json_labels(row, classes, number, troubles)))
    return Annotations(tuple(samples), classes, troubles.told())


def json_labels(
    row: Mapping[str, Any], classes: Sequence[str] | None, number: int, troubles: Troubles
) -> tuple[int, ...]:
    """`gt_label` as one number or several."""
    label = row.get("gt_label")
    labels = label if isinstance(label, list) else [] if label is None else [label]
    if not all(isinstance(one, int) for one in labels):
        troubles.note("label is not a number", f"data_list[{number}]")
        return ()
    if classes and any(not 0 <= one < len(classes) for one in labels):
        troubles.note(f"label outside 0..{len(classes) - 1}", f"data_list[{number}]")
    return tuple(labels)
