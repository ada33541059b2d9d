"""Annotation lists: `path label` lines, CSV, and OpenMMLab's JSON.

A line that cannot be used as it is becomes a warning with file and line, never a crash and never silence.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EVERY_EXTENSION
from classlens.dataset.reading import read_bytes
from classlens.errors import DataError

SHOWN = 5
"""How many lines of each kind of trouble are listed one by one."""

HEADINGS = ("path", "file", "filename", "image", "img_path", "img", "name")


@dataclass
class Troubles:
    """Collects what is wrong, with places; the first few of each kind are listed, the rest counted."""

    path: str
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, place: object) -> None:
        """Remember one."""
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.places.setdefault(kind, []).append(f"{self.path}:{place}")

    def told(self) -> tuple[str, ...]:
        """One sentence per kind."""
        more = {kind: f" and {times - SHOWN} more" if times > SHOWN else "" for kind, times in self.counts.items()}
        return tuple(f"{kind}: {', '.join(found)}{more[kind]}" for kind, found in self.places.items())


@dataclass(frozen=True)
class Annotations:
    """What a list says: file names with their labels, and the class names if it holds them.

    Two columns instead of a `Sample` per line: a million lines fit into 200 MB.
    """

    names: Sequence[str]
    labels: Sequence[tuple[int, ...]]
    classes: tuple[str, ...] | None = None
    warnings: tuple[str, ...] = ()

    def sample(self, index: int) -> Sample:
        """One line."""
        return Sample(self.names[index], self.labels[index])


def read_annotations(path: str, *, classes: Sequence[str] | None = None, labelled: bool = True) -> Annotations:
    """Read a list; names of classes are understood as labels where `classes` holds them.

    Raises:
        DataError: the file is missing, empty, or holds no usable line.
    """
    troubles, suffix = Troubles(path), Path(path).suffix.lower()
    if suffix == ".json":
        return from_json(decoded(path), path, troubles)
    content = as_utf8(read_bytes(path))
    rows = csv_rows if suffix == ".csv" else text_rows if labelled else name_rows
    classes = named_classes(rows(content)) if labelled and not classes else classes
    known: dict[str, tuple[int, ...]] = {}
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    for line, name, label in rows(content):
        if not name:
            troubles.note("blank line", line)
            continue
        found = known.get(label) if labelled else ()
        if found is None:
            found = labels_of(label, classes, line, troubles)
            if len(found) == label.count(",") + 1 and in_range(found, classes):
                known[label] = found
        names.append(name)
        labels.append(found)
    if not names:
        raise DataError(f"{path}: no line of the form 'path label'")
    note_repetitions(names, labels, rows(content), troubles)
    return Annotations(names, labels, tuple(classes) if classes else None, troubles.told())


def named_classes(rows: Iterator[tuple[int, str, str]]) -> tuple[str, ...] | None:
    """The classes of a list whose labels are all names, sorted as class folders would be; None if one is a number."""
    found: set[str] = set()
    for _, _, label in rows:
        if label.partition(",")[0].strip().removeprefix("-").isdecimal():
            return None
        found.add(label)
    return tuple(sorted(found - {""})) or None


def note_repetitions(
    names: Sequence[str], labels: Sequence[tuple[int, ...]], rows: Iterator[tuple[int, str, str]], troubles: Troubles
) -> None:
    """Remember names that come twice. They are told apart by 8 bytes each first: names themselves would take ten."""
    hashes = np.fromiter(map(hash, names), np.int64, len(names))
    order = np.sort(hashes)
    twice = set(order[1:][order[1:] == order[:-1]].tolist())
    if not twice:
        return
    lines = (line for line, name, _ in rows if name)
    seen: dict[str, tuple[int, tuple[int, ...]]] = {}
    for line, name, found in zip(lines, names, labels, strict=True):
        if hash(name) not in twice:
            continue
        first, before = seen.setdefault(name, (line, found))
        if first != line:
            kind = "listed again" if before == found else "listed again with another label"
            troubles.note(kind, f"{line} (first in line {first})")


def decoded(path: str) -> str:
    """The text of a list, without a byte order mark; bytes that are no text are kept as they are."""
    return as_utf8(read_bytes(path)).decode("utf-8", "surrogateescape")


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8 without a byte order mark, whether it was so or UTF-16."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def name_rows(content: bytes) -> Iterator[tuple[int, str, str]]:
    """A path per line."""
    for line, row in enumerate(BytesIO(content), start=1):
        yield line, row.strip().decode("utf-8", "surrogateescape"), ""


def text_rows(content: bytes) -> Iterator[tuple[int, str, str]]:
    """`path label` per line, split at the last blank, tab or comma; paths may hold blanks."""
    for line, row in enumerate(BytesIO(content), start=1):
        whole = row.strip().decode("utf-8", "surrogateescape")
        name, blank, label = whole.rpartition("\t" if "\t" in whole else " ")
        if not blank and "," in whole:
            name, _, label = whole.rpartition(",")
        if not name or (not label.isdecimal() and label.lower().endswith(EVERY_EXTENSION)):
            yield line, whole, ""
        else:
            yield line, name.rstrip(), label


def csv_rows(content: bytes) -> Iterator[tuple[int, str, str]]:
    """`path,label` per row; a heading row is skipped, further columns are ignored."""
    reader = csv.reader(line.decode("utf-8", "surrogateescape") for line in BytesIO(content))
    for row in reader:
        first = row[0].strip() if row else ""
        if reader.line_num == 1 and first.lower() in HEADINGS:
            continue
        yield reader.line_num, first, row[1].strip() if len(row) > 1 else ""


def labels_of(label: str, classes: Sequence[str] | None, line: int, troubles: Troubles) -> tuple[int, ...]:
    """A label or several (separated by commas), as numbers; what is wrong with them is noted."""
    if not label:
        troubles.note("no label", line)
        return ()
    numbers = []
    for part in (one.strip() for one in label.split(",")):
        if classes and part in classes:
            numbers.append(classes.index(part))
        elif part.removeprefix("-").isdecimal():
            numbers.append(int(part))
        else:
            troubles.note("label is not a number", f"{line} ({part!r})")
    if not in_range(numbers, classes):
        troubles.note(f"label outside 0..{len(classes or ()) - 1}", f"{line} ({label})")
    return tuple(numbers)


def in_range(labels: Sequence[int], classes: Sequence[str] | None) -> bool:
    """Whether every label has a class, as far as the classes are known."""
    return not classes or all(0 <= label < len(classes) for label in labels)


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
    names, labels = [], []
    for number, row in enumerate(rows):
        name = row.get("img_path") if isinstance(row, Mapping) else None
        if not isinstance(name, str):
            troubles.note("no img_path", f"data_list[{number}]")
            continue
        names.append(name)
        labels.append(json_labels(row, classes, number, troubles))
    return Annotations(names, labels, classes, troubles.told())


def json_labels(
    row: Mapping[str, Any], classes: Sequence[str] | None, number: int, troubles: Troubles
) -> tuple[int, ...]:
    """`gt_label` as one number or several."""
    label = row.get("gt_label")
    labels = label if isinstance(label, list) else [] if label is None else [label]
    if not all(isinstance(one, int) for one in labels):
        troubles.note("label is not a number", f"data_list[{number}]")
        return ()
    if not in_range(labels, classes):
        troubles.note(f"label outside 0..{len(classes or ()) - 1}", f"data_list[{number}]")
    return tuple(labels)
