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

from classlens.dataset.class_folders import find_misnamed
from classlens.dataset.columns import (
    INTEGER,
    NUMBER,
    PATHS,
    Cells,
    Columns,
    Label,
    find_columns,
    is_heading,
    number_columns,
    read_cells,
    whole_number,
)
from classlens.dataset.conventions import is_picture_name, letters_of
from classlens.dataset.dataset import Sample
from classlens.dataset.json_lists import json_columns, json_rows, rows_of_json
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.storage import SEPARATOR, exists, is_archive, join_path, read_bytes, split_archive
from classlens.errors import DataError

LISTS = (".txt", ".csv", ".tsv", ".json", ".jsonl")
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

Rows = Callable[[Columns], Iterator[Row]]
"""Reads the list from its beginning, by what stands in its columns."""


@dataclass
class Troubles:
    """Collects what is wrong, with places; the first few of each kind are listed, the rest counted."""

    path: str
    counts: Counter[str] = field(default_factory=Counter)
    places: dict[str, list[str]] = field(default_factory=dict)

    def note(self, kind: str, place: object) -> None:
        self.counts[kind] += 1
        if self.counts[kind] <= SHOWN:
            self.places.setdefault(kind, []).append(f"{self.path}:{place}")

    def sentences(self) -> tuple[str, ...]:
        more = {kind: f" and {times - SHOWN} more" if times > SHOWN else "" for kind, times in self.counts.items()}
        return tuple(f"{kind}: {', '.join(places)}{more[kind]}" for kind, places in self.places.items())


def list_annotations(path: str, folder: str, classes: Classes = None, *, labelled: bool = True) -> Listing:
    """The samples of a list, whose paths start at `folder`; names are understood as labels where `classes` holds them.

    Paths and labels are kept in two columns instead of a `Sample` per line: a million lines fit into 200 MB.

    Raises:
        DataError: the file is missing, empty, holds no usable line, or may be understood in several ways.
    """
    rows, columns, stated, missing = open_list(path, labelled=labelled, folder=folder)
    known: Sequence[str] | None = classes or stated
    from_labels: Sequence[str] | None = None
    if columns.hot:
        columns, known = number_columns(columns, known, path)
    elif labelled and not known:
        known = from_labels = names_beside(rows, columns) or named_classes(rows(columns))
    troubles = Troubles(path)
    names, labels = read_labels(rows(columns), known, troubles, missing=missing, labelled=labelled)
    if not names:
        raise DataError(f"{path}: no line of the form 'path label'")
    note_repetitions(names, labels, rows(columns), troubles)
    notes = [f"{path}: {columns.note}"] if columns.note else []
    if from_labels and MANY < len(names) == len(from_labels):
        notes.append(f"{path}: every picture has a class of its own, such as {from_labels[0]!r}: no label, perhaps")
    notes += troubles.sentences()
    if classes:
        one_of_each = dict(zip(labels, names, strict=True))
        folders = {label[0]: Path(name).parent.name for label, name in one_of_each.items() if len(label) == 1}
        if len(set(folders.values())) == len(folders) > 1:  # the pictures lie in a folder for each class
            notes += find_misnamed(folders, classes)
    start = SEPARATOR.join(split_archive(folder)) if is_archive(folder) else ""

    def sample(index: int) -> Sample:
        return Sample(start + names[index] if start else join_path(folder, names[index]), labels[index])

    return Listing(len(names), sample, tuple(known) if known else None, tuple(notes))


def open_list(path: str, *, labelled: bool, folder: str) -> tuple[Rows, Columns, Classes, str]:
    """What reads the rows of a list, its columns, the classes that it states, and what a row without a picture is."""
    if path.lower().endswith((".json", ".jsonl")):
        table, stated = json_rows(read_text(path), path)
        columns, keys = json_columns(table, path)
        return partial(rows_of_json, table, keys), columns, stated, f"no {keys[columns.path]}"
    content = as_utf8(read_bytes(path))
    separator, columns = find_form(content, path, labelled=labelled, folder=folder)
    return partial(rows_of, content, separator, path), columns, None, "blank line"


def read_labels(
    rows: Iterator[Row], classes: Sequence[str] | None, troubles: Troubles, *, missing: str, labelled: bool
) -> tuple[list[str], list[tuple[int, ...]]]:
    """The pictures and their labels as numbers; `missing` says what a row without a picture is."""
    known: dict[Label, tuple[int, ...]] = {}
    names: list[str] = []
    labels: list[tuple[int, ...]] = []
    for place, name, label in rows:
        if not name:
            troubles.note(missing, place)
            continue
        numbers = known.get(label) if labelled else ()
        if numbers is None:
            before = troubles.counts.total()
            numbers = label_numbers(label, classes, place, troubles)
            if troubles.counts.total() == before:
                known[label] = numbers
        names.append(name)
        labels.append(numbers)
    return names, labels


def label_numbers(label: Label, classes: Sequence[str] | None, place: int | str, troubles: Troubles) -> tuple[int, ...]:
    """A label or several (separated by commas), as numbers; what is wrong with them is noted."""
    if label == "":
        troubles.note("no label", place)
        return ()
    parts: Sequence[str]
    if isinstance(label, tuple):
        parts = label
    else:
        parts = [label] if classes and label in classes else [part.strip() for part in label.split(",")]
    numbers = []
    for part in parts:
        if INTEGER.fullmatch(part):
            numbers.append(whole_number(part))
        elif classes and part in classes:
            numbers.append(classes.index(part))
        else:
            troubles.note("label is not a number", f"{place} ({part!r})")
    if classes and not all(0 <= number < len(classes) for number in numbers):
        written = label if isinstance(label, str) else ",".join(label)
        troubles.note(f"label outside 0..{len(classes) - 1}", f"{place} ({written})")
    return tuple(numbers)


def named_classes(rows: Iterator[Row]) -> Classes:
    """The classes of a list whose labels are all names, sorted as class folders would be; None if one is a number."""
    labels: set[Label] = set()
    names: set[str] = set()
    for _, _, label in rows:
        if label not in labels:
            labels.add(label)
            parts = (label,) if isinstance(label, str) else label
            if any(NUMBER.fullmatch(part.partition(",")[0]) for part in parts):
                return None
            names.update(filter(None, parts))
    return tuple(sorted(names)) or None


def names_beside(rows: Rows, columns: Columns) -> Classes:
    """The classes of a list that has their names beside their numbers; None if these contradict each other."""
    if columns.names is None:
        return None
    numbered, named = rows(columns), rows(replace(columns, label=columns.names))
    pairs = {(str(number), str(name)) for (_, _, number), (_, _, name) in zip(numbered, named, strict=True)}
    names = {whole_number(number): name for number, name in pairs if INTEGER.fullmatch(number)}
    if not names or len(names) < len(pairs) or not 0 <= min(names) <= max(names) < MOST_CLASSES:
        return None
    return tuple(names.get(number) or str(number) for number in range(max(names) + 1))


def note_repetitions(
    names: Sequence[str], labels: Sequence[tuple[int, ...]], rows: Iterator[Row], troubles: Troubles
) -> None:
    """Note names that come twice. They are compared by 8 bytes each first: a set of the names would take ten times that."""
    order = np.sort(np.fromiter(map(hash, names), np.int64, len(names)))
    twice = set(order[1:][order[1:] == order[:-1]].tolist())
    if not twice:
        return
    lines = (line for line, name, _ in rows if name)
    first_of: dict[str, tuple[int | str, tuple[int, ...]]] = {}
    for line, name, numbers in zip(lines, names, labels, strict=True):
        if hash(name) not in twice:
            continue
        first, before = first_of.setdefault(name, (line, numbers))
        if first != line:
            kind = "listed again" if before == numbers else "listed again with another label"
            troubles.note(kind, f"{line} (first in {'line ' if isinstance(first, int) else ''}{first})")


def read_text(path: str) -> str:
    return as_utf8(read_bytes(path)).decode("utf-8", "surrogateescape")


def as_utf8(content: bytes) -> bytes:
    """Text as UTF-8 without a byte order mark, whether it was so or UTF-16."""
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def find_form(content: bytes, path: str, *, labelled: bool, folder: str) -> tuple[str, Columns]:
    """What parts the columns of a list, and what stands in them."""
    suffix = Path(path).suffix.lower()
    start = content if len(content) <= SAMPLED else content[: content.rfind(b"\n", 0, SAMPLED) + 1] or content
    if not labelled and suffix not in SEPARATORS:
        rows = [[name] for _, name, _ in name_rows(start) if name]
        headed = bool(rows) and is_heading(rows[0], rows[1:])
        return LAST_BLANK, Columns(heading=tuple(rows[0]) if headed else ())
    candidates = SEPARATORS.get(suffix, IN_TEXT)
    tables: dict[str, Sequence[Cells]] = {
        separator: [row for _, row in table_rows(start, separator, path)] for separator in candidates if separator
    }
    tables[LAST_BLANK] = [(name, label) for _, name, label in text_rows(start) if name]
    best = max(candidates, key=lambda one: likelihood(tables[one], one, strict=candidates is IN_TEXT))
    if not tables[best]:
        raise DataError(f"{path}: no line of the form 'path label'")
    if best != LAST_BLANK:
        columns = find_columns(tables[best], path)
        return best, columns if labelled else replace(columns, label=None, hot=())
    return best, blank_columns(tables[best], path, folder)


def likelihood(rows: Sequence[Cells], separator: str, *, strict: bool) -> float:
    """How much speaks for a separator: above 1 for a column of pictures, 1 for a heading, 0 for some columns.

    In a text, blanks and tabs are often part of a name: there it has to make columns of every row.
    """
    if not rows:
        return -1
    headed = any(letters_of(cell) in PATHS for cell in rows[0])
    fewest = min(map(len, rows)) if strict and separator in "\t " else Counter(map(len, rows)).most_common(1)[0][0]
    uneven = separator == " " and (not headed or len(set(map(len, rows))) > 1)
    if fewest < 2 or uneven:
        return -1
    body = rows[1:] if headed else rows
    most = max(sum(is_picture_name(row[place]) for row in body if place < len(row)) for place in range(fewest))
    return 1 + most / len(body) if 2 * most >= len(body) > 0 else int(headed)


def blank_columns(rows: Sequence[Cells], path: str, folder: str) -> Columns:
    """The columns of `path label` lines, or of `label path` lines, which look like names with a blank in them."""
    headed = is_heading(rows[0], rows[1:])
    heading = tuple(rows[0]) if headed else ()
    lines = [name for name, label in rows[1 if headed else 0 :] if not label]
    pairs = [(label, name) for label, blank, name in (line.partition(" ") for line in lines) if blank]
    if not pairs or len(pairs) + headed < len(rows) or (folder and exists(join_path(folder, lines[0]))):
        return Columns(0, 1, heading=heading)
    if all(INTEGER.fullmatch(label) for label, _ in pairs) or (folder and exists(join_path(folder, pairs[0][1]))):
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
    elif columns.path == 0:
        rows = name_rows(content) if columns.label is None else text_rows(content)
    else:
        parts = ((line, *name.partition(" ")) for line, name, _ in name_rows(content))
        rows = ((line, name.lstrip(), label) for line, label, _, name in parts)
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
            yield line, *read_cells(columns, row)


def table_rows(content: bytes, separator: str, path: str) -> Iterator[tuple[int, Cells]]:
    """The rows of a table with their lines, without blank ones."""
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
        if not name or (not label.isdecimal() and is_picture_name(label)):
            yield line, whole, ""
        else:
            yield line, name.rstrip(), label
