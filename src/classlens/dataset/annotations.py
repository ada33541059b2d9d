"""Annotation lists: `path label` lines, tables with any separator such as CSV, and JSON.

A line that cannot be used as it is becomes a warning with file and line, never a crash and never silence.
"""

import csv
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO, TextIOWrapper
from pathlib import Path

import numpy as np

from classlens.dataset.addresses import exists, joined
from classlens.dataset.archives import SEPARATOR, inside, is_archive
from classlens.dataset.class_folders import Classes, misnamed
from classlens.dataset.columns import (
    INTEGER,
    NUMBER,
    PATHS,
    Cells,
    Columns,
    Label,
    find_columns,
    in_order,
    is_heading,
    is_picture,
    parts_of,
    whole_number,
    word,
)
from classlens.dataset.dataset import Sample
from classlens.dataset.decode import read_bytes
from classlens.dataset.json_lists import json_columns, json_rows, rows_of_json
from classlens.dataset.listing import EVERY_EXTENSION, Listing
from classlens.errors import DataError

SHOWN = 5
"""How many lines of each kind of trouble are listed one by one."""

SAMPLED = 256 * 1024
"""So many bytes of a list show what is in it."""

LAST_BLANK = ""
"""Stands for the separator of OpenMMLab's own lists: the last blank of a line, for paths may hold blanks."""

SEPARATORS = {".csv": (",", ";", "\t", "|", LAST_BLANK), ".tsv": ("\t", ",", ";", "|", LAST_BLANK)}
IN_TEXT = ("\t", " ", LAST_BLANK, ",", ";", "|")
"""What may part the columns of a list, the likeliest first."""

MOST_CLASSES, MANY = 100_000, 20
"""Numbers above the first name no classes; more pictures than the second do not have a class each."""

Row = tuple[int | str, str, Label]
"""The place of a sample in its list, its picture, and its label as written there."""


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
        return Sample(self.names[index], self.labels[index])


def read_annotations(
    path: str, *, classes: Sequence[str] | None = None, labelled: bool = True, folder: str = ""
) -> Annotations:
    """Read a list; names of classes are understood as labels where `classes` holds them.

    Raises:
        DataError: the file is missing, empty, holds no usable line, or may be understood in several ways.
    """
    troubles, suffix = Troubles(path), Path(path).suffix.lower()
    rows: Callable[[Columns], Iterator[Row]]
    if suffix in (".json", ".jsonl"):
        table, stated = json_rows(decoded(path), path)
        columns, keys = json_columns(table, path)
        rows, missing, classes = partial(rows_of_json, table, keys), f"no {keys[columns.path]}", classes or stated
    else:
        content = as_utf8(read_bytes(path))
        separator, columns = form_of(content, path, labelled=labelled, folder=folder)
        rows, missing = partial(rows_of, content, separator, path), "blank line"
    called: Sequence[str] | None = None
    if columns.hot:
        columns, classes = in_order(columns, classes, path)
    elif labelled and not classes:
        beside = columns.names is not None and names_beside(rows(columns), rows(replace(columns, label=columns.names)))
        classes = beside or named_classes(rows(columns))
        called = classes
    known: dict[Label, tuple[int, ...]] = {}
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    for place, name, label in rows(columns):
        if not name:
            troubles.note(missing, place)
            continue
        found = known.get(label) if labelled else ()
        if found is None:
            before = troubles.counts.total()
            found = labels_of(label, classes, place, troubles)
            if troubles.counts.total() == before:
                known[label] = found
        names.append(name)
        labels.append(found)
    if not names:
        raise DataError(f"{path}: no line of the form 'path label'")
    note_repetitions(names, labels, rows(columns), troubles)
    notes = [f"{path}: {columns.note}"] if columns.note else []
    if called and MANY < len(names) == len(called):
        notes.append(f"{path}: every picture has a class of its own, such as {called[0]!r}: no label, perhaps")
    return Annotations(names, labels, tuple(classes) if classes else None, (*notes, *troubles.told()))


def named_classes(rows: Iterator[Row]) -> tuple[str, ...] | None:
    """The classes of a list whose labels are all names, sorted as class folders would be; None if one is a number."""
    found: set[Label] = set()
    for _, _, label in rows:
        if label in found:
            continue
        for one in (label,) if isinstance(label, str) else label:
            if NUMBER.fullmatch(one.partition(",")[0]):
                return None
        found.add(label)
    return (
        tuple(sorted({one for label in found for one in ((label,) if isinstance(label, str) else label) if one}))
        or None
    )


def names_beside(numbers: Iterator[Row], names: Iterator[Row]) -> tuple[str, ...] | None:
    """The classes of a list that has their names beside their numbers; None if these contradict each other."""
    pairs = {(str(number), str(name)) for (_, _, number), (_, _, name) in zip(numbers, names, strict=True)}
    found = {whole_number(number): name for number, name in pairs if INTEGER.fullmatch(number)}
    if not found or len(found) < len(pairs) or not 0 <= min(found) <= max(found) < MOST_CLASSES:
        return None
    return tuple(found.get(number) or str(number) for number in range(max(found) + 1))


def note_repetitions(
    names: Sequence[str], labels: Sequence[tuple[int, ...]], rows: Iterator[Row], troubles: Troubles
) -> None:
    """Remember names that come twice. They are told apart by 8 bytes each first: names themselves would take ten."""
    hashes = np.fromiter(map(hash, names), np.int64, len(names))
    order = np.sort(hashes)
    twice = set(order[1:][order[1:] == order[:-1]].tolist())
    if not twice:
        return
    lines = (line for line, name, _ in rows if name)
    seen: dict[str, tuple[int | str, tuple[int, ...]]] = {}
    for line, name, found in zip(lines, names, labels, strict=True):
        if hash(name) not in twice:
            continue
        first, before = seen.setdefault(name, (line, found))
        if first != line:
            kind = "listed again" if before == found else "listed again with another label"
            troubles.note(kind, f"{line} (first in {'line ' if isinstance(first, int) else ''}{first})")


def decoded(path: str) -> str:
    return as_utf8(read_bytes(path)).decode("utf-8", "surrogateescape")


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8 without a byte order mark, whether it was so or UTF-16."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def form_of(content: bytes, path: str, *, labelled: bool, folder: str) -> tuple[str, Columns]:
    """What parts the columns of a list, and what stands in them.

    Raises:
        DataError: it may be understood in several ways.
    """
    suffix = Path(path).suffix.lower()
    sample = content if len(content) <= SAMPLED else content[: content.rfind(b"\n", 0, SAMPLED) + 1] or content
    if not labelled and suffix not in SEPARATORS:
        rows = [[name] for _, name, _ in name_rows(sample) if name]
        headed = bool(rows) and is_heading(rows[0], rows[1:])
        return LAST_BLANK, Columns(heading=tuple(rows[0]) if headed else ())
    candidates = SEPARATORS.get(suffix, IN_TEXT)
    tables = {separator: sample_rows(sample, separator, path) for separator in candidates}
    best = max(candidates, key=lambda one: likelihood(tables[one], one, strict=candidates is IN_TEXT))
    if not tables[best]:
        raise DataError(f"{path}: no line of the form 'path label'")
    if best != LAST_BLANK:
        columns = find_columns(tables[best], path)
        return best, columns if labelled else replace(columns, label=None, hot=())
    return best, blank_columns(tables[best], path, folder)


def sample_rows(sample: bytes, separator: str, path: str) -> list[Cells]:
    """The rows of the beginning of a list, by one separator."""
    if separator == LAST_BLANK:
        return [(name, label) for _, name, label in text_rows(sample) if name]
    return [row for _, row in table_rows(sample, separator, path)]


def likelihood(rows: Sequence[Cells], separator: str, *, strict: bool) -> float:
    """How much speaks for a separator: above 1 for a column of pictures, 1 for a heading, 0 for some columns.

    In a text blanks and tabs are often part of a name: there it has to make columns of every row.
    """
    if not rows:
        return -1
    headed = any(word(cell) in PATHS for cell in rows[0])
    fewest = min(map(len, rows)) if strict and separator in "\t " else Counter(map(len, rows)).most_common(1)[0][0]
    uneven = separator == " " and (not headed or len(set(map(len, rows))) > 1)
    if fewest < 2 or uneven:
        return -1
    body = rows[1:] if headed else rows
    most = max(sum(is_picture(row[place]) for row in body if place < len(row)) for place in range(fewest))
    return 1 + most / len(body) if 2 * most >= len(body) > 0 else int(headed)


def blank_columns(rows: Sequence[Cells], path: str, folder: str) -> Columns:
    """The columns of `path label` lines, or of `label path` lines, which look like names with a blank in them.

    Raises:
        DataError: the labels may also be a running number.
    """
    headed = is_heading(rows[0], rows[1:])
    heading = tuple(rows[0]) if headed else ()
    lines = [name for name, label in rows[1 if headed else 0 :] if not label]
    pairs = [(label, name) for label, blank, name in (line.partition(" ") for line in lines) if blank]
    if not pairs or len(pairs) + headed < len(rows) or (folder and exists(joined(folder, lines[0]))):
        return Columns(0, 1, heading=heading)
    if all(INTEGER.fullmatch(label) for label, _ in pairs) or (folder and exists(joined(folder, pairs[0][1]))):
        return replace(find_columns(pairs, path), heading=heading)
    if 1 < len({label for label, _ in pairs}) < len(pairs):
        raise DataError(
            f"{path}: not clear whether {lines[0]!r} is the name of a picture or a label before one",
            hint="write the label behind the picture, or name the columns in the first line: label path",
        )
    return Columns(0, 1, heading=heading)


def rows_of(content: bytes, separator: str, path: str, columns: Columns) -> Iterator[Row]:
    """Every sample with its line, without the heading."""
    if separator != LAST_BLANK:
        rows: Iterator[Row] = table_samples(table_rows(content, separator, path), columns)
    elif columns.label is None and columns.path == 0:
        rows = name_rows(content)
    else:
        rows = text_rows(content) if columns.path == 0 else label_first_rows(content)
    if columns.heading:
        next((name for _, name, _ in rows if name), None)
    return rows


def table_samples(rows: Iterator[tuple[int, Cells]], columns: Columns) -> Iterator[Row]:
    """The samples of a table; what nearly all rows are goes first, for there are millions."""
    path, label = columns.path, -1 if columns.label is None or columns.hot else columns.label
    longest = max(path, label)
    for line, row in rows:
        if label >= 0 and len(row) > longest:
            yield line, row[path].strip(), row[label].strip()
        else:
            yield line, *parts_of(columns, row)


def table_rows(content: bytes, separator: str, path: str) -> Iterator[tuple[int, Cells]]:
    """The rows of a table with their lines, without blank ones.

    Raises:
        DataError: it is no table, for instance because a quotation mark is left open.
    """
    lines = TextIOWrapper(BytesIO(content), "utf-8", "surrogateescape", newline="")
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=separator != " ")
    try:
        for row in reader:
            if any(row) and not (reader.line_num == 1 and row[0].startswith("sep=")):  # as Excel begins a table
                yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not a table: {error}") from error


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


def label_first_rows(content: bytes) -> Iterator[tuple[int, str, str]]:
    """`label path` per line; paths may hold blanks."""
    for line, whole, _ in name_rows(content):
        label, _, name = whole.partition(" ")
        yield line, name.lstrip(), label


def labels_of(label: Label, classes: Sequence[str] | None, place: int | str, troubles: Troubles) -> tuple[int, ...]:
    """A label or several (separated by commas), as numbers; what is wrong with them is noted."""
    if label == "":
        troubles.note("no label", place)
        return ()
    numbers = []
    if isinstance(label, tuple):
        parts: Sequence[str] = label
    else:
        parts = [label] if classes and label in classes else [part.strip() for part in label.split(",")]
    for part in parts:
        if INTEGER.fullmatch(part):
            numbers.append(whole_number(part))
        elif classes and part in classes:
            numbers.append(classes.index(part))
        else:
            troubles.note("label is not a number", f"{place} ({part!r})")
    if not in_range(numbers, classes):
        shown = label if isinstance(label, str) else ",".join(label)
        troubles.note(f"label outside 0..{len(classes or ()) - 1}", f"{place} ({shown})")
    return tuple(numbers)


def in_range(labels: Sequence[int], classes: Sequence[str] | None) -> bool:
    return not classes or all(0 <= label < len(classes) for label in labels)


def annotated(path: str, folder: str, classes: Classes, *, labelled: bool = True) -> Listing:
    """The samples of an annotation list, whose paths start at `folder`."""
    found = read_annotations(path, classes=classes, labelled=labelled, folder=folder)

    start = SEPARATOR.join(inside(folder)) if is_archive(folder) else ""

    def sample(index: int) -> Sample:
        name = found.names[index]
        return Sample(start + name if start else joined(folder, name), found.labels[index])

    one_of_each = dict(zip(found.labels, found.names, strict=True)) if classes else {}
    folders = {label[0]: Path(name).parent.name for label, name in one_of_each.items() if len(label) == 1}
    by_class = len(set(folders.values())) == len(folders) > 1
    warnings = found.warnings + tuple(misnamed(folders, classes or ()) if by_class else ())
    return Listing(len(found.names), sample, classes or found.classes, warnings=warnings)
