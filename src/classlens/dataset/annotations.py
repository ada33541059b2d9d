"""Annotation lists: `path label` lines, tables with any separator such as CSV, and JSON.

A line that cannot be used as it is becomes a warning with file and line, never a crash and never silence.
"""

import csv
import json
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from io import BytesIO, TextIOWrapper
from pathlib import Path
from typing import Any

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
    heading_of,
    labels_on,
    number_classes,
    whole_number,
)
from classlens.dataset.conventions import is_picture_name, join_first, letters_of
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import Classes, Listing
from classlens.dataset.storage import SEPARATOR, exists, is_archive, join_path, read_bytes, split_archive
from classlens.errors import DataError

LISTS = (".txt", ".csv", ".tsv", ".json", ".jsonl")
SAMPLED_BYTES, SAMPLED_ROWS = 256 * 1024, 1000
"""So much of a list shows what is in it."""

FIRST_BLANK, LAST_BLANK, WHOLE_LINE = "label path", "path label", "path"
"""Ways to part a line that no table has; paths may hold blanks, so that OpenMMLab's own lists end at the last one."""

SEPARATORS = {".csv": (",", ";", "\t", "|", LAST_BLANK), ".tsv": ("\t", ",", ";", "|", LAST_BLANK)}
IN_TEXT = ("\t", " ", LAST_BLANK, ",", ";", "|")
"""What may part the columns of a list, the likeliest first."""

MANY = 20
"""More pictures do not have a class each."""

JsonRow = Mapping[str, Any]


Rows = Iterator[tuple[int, Sequence[Any]]]
"""The cells of every row of a list, and its number."""

Troubles = dict[str, list[tuple[int, str]]]
"""What is wrong with a list, by its kind: the numbers of the rows, and what more there is to say of each."""


def list_annotations(path: str, folder: str, classes: Classes = None, *, labelled: bool = True) -> Listing:
    """The samples of a list, whose paths start at `folder`; names are understood as labels where `classes` holds them.

    Paths and labels are kept in two columns instead of a `Sample` per line: a million lines fit into 200 MB.
    """
    is_json = path.lower().endswith((".json", ".jsonl"))
    columns, rows, stated = open_json(path) if is_json else open_text(path, folder, labelled=labelled)
    known: Sequence[str] | None = classes or stated
    if columns.hot:
        columns, known = number_classes(columns, known, path)
    elif columns.names is not None and not known:
        columns = replace(columns, label=columns.names)
    troubles: Troubles = defaultdict(list)
    names, texts, numbers = read_columns(rows, columns, troubles)
    if not names:
        raise DataError(f"{path}: no line of the form 'path label'")
    notes = [f"{path}: {columns.note}"] if columns.note else []
    if labelled and not known and not columns.hot:
        known = named_classes(set(texts))
        if known and MANY < len(names) == len(known):
            notes.append(f"{path}: every picture has a class of its own, such as {known[0]!r}: no label, perhaps")
    labels = number_labels(texts, known, numbers, troubles) if labelled else [()] * len(names)
    place = "data_list[{}]" if is_json else "{}"
    note_repetitions(names, labels, numbers, troubles, place if is_json else "line {}")
    for kind, slips in troubles.items():
        notes.append(f"{kind}: {join_first([f'{path}:{place.format(number)}{detail}' for number, detail in slips])}")
    if classes:
        one_of_each = dict(zip(labels, names, strict=True))
        folders = {label[0]: Path(name).parent.name for label, name in one_of_each.items() if len(label) == 1}
        if len(set(folders.values())) == len(folders) > 1:  # the pictures lie in a folder for each class
            notes += find_misnamed(folders, classes)
    start = SEPARATOR.join(split_archive(folder)) if is_archive(folder) else ""

    def sample(index: int) -> Sample:
        return Sample(start + names[index] if start else join_path(folder, names[index]), labels[index])

    return Listing(len(names), sample, tuple(known) if known else None, tuple(notes))


def read_columns(rows: Rows, columns: Columns, troubles: Troubles) -> tuple[list[str], list[Label], Sequence[int]]:
    """The pictures, their labels as written, and the numbers of their rows."""
    names: list[str] = []
    labels: list[Label] = []
    numbers = array("l")
    known: dict[Label, Label] = {}  # equal labels are kept once
    path, place = columns.path, columns.label
    width = 1 + max(path, place or 0, *columns.hot)
    missing = f"no {columns.heading[path]}" if columns.heading else "blank line"
    for number, cells in rows:
        if len(cells) < width:
            cells = [*cells, *[""] * width]
        name = cells[path].strip()
        if not name:
            troubles[missing].append((number, ""))
            continue
        text = labels_on(columns, cells) if place is None else cells[place]
        label = known.get(text)
        if label is None:
            label = known[text] = text.strip() if isinstance(text, str) else text
        names.append(name)
        labels.append(label)
        numbers.append(number)
    return names, labels, numbers


def number_labels(
    texts: Sequence[Label], classes: Sequence[str] | None, numbers: Sequence[int], troubles: Troubles
) -> list[tuple[int, ...]]:
    """Labels as numbers; what is wrong with them is noted."""
    meanings = {text: number_label(text, classes) for text in set(texts)}
    if any(slips for _, slips in meanings.values()):
        for text, number in zip(texts, numbers, strict=True):
            for kind, detail in meanings[text][1].items():
                troubles[kind].append((number, detail))
    return [meanings[text][0] for text in texts]


def number_label(label: Label, classes: Sequence[str] | None) -> tuple[tuple[int, ...], dict[str, str]]:
    """A label or several (separated by commas) as numbers, and what is wrong with them."""
    if label == "":
        return (), {"no label": ""}
    parts = label if isinstance(label, tuple) else tuple(part.strip() for part in label.split(","))
    if classes and label in classes:
        parts = (str(label),)
    numbers, slips = [], {}
    for part in parts:
        if INTEGER.fullmatch(part):
            numbers.append(whole_number(part))
        elif classes and part in classes:
            numbers.append(classes.index(part))
        else:
            slips["label is not a number"] = f" ({part!r})"
    if classes and not all(0 <= number < len(classes) for number in numbers):
        written = label if isinstance(label, str) else ",".join(label)
        slips[f"label outside 0..{len(classes) - 1}"] = f" ({written})"
    return tuple(numbers), slips


def named_classes(labels: set[Label]) -> Classes:
    """The classes of a list whose labels are all names, sorted as class folders would be; None if one is a number."""
    names = {part for label in labels for part in ([label] if isinstance(label, str) else label) if part}
    if any(NUMBER.fullmatch(name.partition(",")[0]) for name in names):
        return None
    return tuple(sorted(names)) or None


def note_repetitions(
    names: Sequence[str], labels: Sequence[tuple[int, ...]], numbers: Sequence[int], troubles: Troubles, place: str
) -> None:
    """Note names that come twice. They are compared by 8 bytes each first: a set of the names would take ten times that."""
    order = np.sort(np.fromiter(map(hash, names), np.int64, len(names)))
    twice = set(order[1:][order[1:] == order[:-1]].tolist())
    first: dict[str, int] = {}
    for index in [index for index, name in enumerate(names) if hash(name) in twice] if twice else ():
        before = first.setdefault(names[index], index)
        if before != index:
            kind = "listed again" if labels[before] == labels[index] else "listed again with another label"
            troubles[kind].append((numbers[index], f" (first in {place.format(numbers[before])})"))


def read_text(path: str) -> str:
    return read_as_utf8(path).decode("utf-8", "surrogateescape")


def read_as_utf8(path: str) -> bytes:
    """A text as UTF-8 without a byte order mark, whether it was so or UTF-16."""
    content = read_bytes(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode()
    return content.removeprefix(b"\xef\xbb\xbf")


def open_text(path: str, folder: str, *, labelled: bool) -> tuple[Columns, Rows, None]:
    """A list in lines: what parts its columns is what most speaks for, in its beginning."""
    content, suffix = read_as_utf8(path), Path(path).suffix.lower()
    start = content
    if len(content) > SAMPLED_BYTES:
        start = content[: content.rfind(b"\n", 0, SAMPLED_BYTES) + 1] or content
    candidates = SEPARATORS.get(suffix, IN_TEXT if labelled else (WHOLE_LINE,))
    tables = {one: [row for _, row in part_lines(start, one, path) if any(row)] for one in candidates}
    form = max(candidates, key=lambda one: likelihood(tables[one], one, strict=candidates is IN_TEXT))
    if not tables[form]:
        raise DataError(f"{path}: no line of the form 'path label'")
    if form == WHOLE_LINE:
        columns = Columns(heading=heading_of(tables[form]))
    elif form == LAST_BLANK:
        form, columns = find_label_first(tables[form], path, folder)
    else:
        columns = find_columns(tables[form], path)
        columns = columns if labelled else replace(columns, label=None, hot=())
    rows = part_lines(content, form, path)
    if columns.heading:
        next((row for _, row in rows if any(row)), None)
    return columns, rows, None


def part_lines(content: bytes, form: str, path: str) -> Iterator[tuple[int, Sequence[str]]]:
    """The rows of a list with their lines; a table has no blank ones."""
    lines = TextIOWrapper(BytesIO(content), "utf-8", "surrogateescape", newline="")
    if part := PARTS.get(form):
        for number, line in enumerate(lines, start=1):
            yield number, part(line.strip())
        return
    reader = csv.reader(lines, delimiter=form, skipinitialspace=form != " ")
    try:
        for cells in reader:
            if any(cells) and not (reader.line_num == 1 and cells[0].startswith("sep=")):  # as Excel begins a table
                yield reader.line_num, cells
    except csv.Error as error:
        raise DataError(f"{path}:{reader.line_num}: not a table: {error}") from error


def part_at_last_blank(line: str) -> tuple[str, str]:
    """The path and the label, which the last tab parts, or else the last blank or comma; there may be no label."""
    name, blank, label = line.rpartition("\t" if "\t" in line else " ")
    if not blank and "," in line:
        name, _, label = line.rpartition(",")
    if not name or (not label.isdecimal() and is_picture_name(label)):
        return line, ""
    return name.rstrip(), label


PARTS: Mapping[str, Callable[[str], Sequence[str]]] = {
    FIRST_BLANK: lambda line: line.split(maxsplit=1),
    LAST_BLANK: part_at_last_blank,
    WHOLE_LINE: lambda line: (line,),
}


def likelihood(rows: Sequence[Cells], form: str, *, strict: bool) -> float:
    """How much speaks for a separator: above 1 for a column of pictures, 1 for a heading, 0 for some columns.

    In a text, blanks and tabs are often part of a name: there it has to make columns of every row.
    """
    if not rows:
        return -1
    headed = any(letters_of(cell) in PATHS for cell in rows[0])
    widths = Counter(map(len, rows))
    fewest = min(widths) if strict and form in "\t " else widths.most_common(1)[0][0]
    if fewest < 2 or (form == " " and (not headed or len(widths) > 1)):
        return -1
    body = rows[1:] if headed else rows
    most = max(sum(is_picture_name(row[place]) for row in body if place < len(row)) for place in range(fewest))
    return 1 + most / len(body) if 2 * most >= len(body) > 0 else int(headed)


def find_label_first(rows: Sequence[Cells], path: str, folder: str) -> tuple[str, Columns]:
    """Whether lines are `path label` or `label path`; the latter look like names with a blank in them."""
    heading = heading_of(rows)
    usual = LAST_BLANK, Columns(0, 1, heading=heading)
    lines = [name for name, label in rows[1 if heading else 0 :] if not label]
    pairs = [line.split(" ", 1) for line in lines if " " in line]
    if not pairs or len(pairs) + bool(heading) < len(rows) or (folder and exists(join_path(folder, lines[0]))):
        return usual
    labels = {label for label, _ in pairs}
    if all(map(INTEGER.fullmatch, labels)) or (folder and exists(join_path(folder, pairs[0][1]))):
        return FIRST_BLANK, replace(find_columns(pairs, path), heading=heading)
    if 1 < len(labels) < len(pairs):
        raise DataError(
            f"{path}: not clear whether {lines[0]!r} is the name of a picture or a label before one",
            hint="write the label behind the picture, or name the columns in the first line: label path",
        )
    return usual


def open_json(path: str) -> tuple[Columns, Rows, Classes]:
    """A list in JSON, whose columns are the keys of its rows; `img_path` and `gt_label` are OpenMMLab's."""
    content = read_text(path)
    try:
        if path.lower().endswith(".jsonl"):
            data: Any = [json.loads(line) for line in content.splitlines() if line.strip()]
        else:
            data = json.loads(content)
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON: {error.msg.lower()}") from error
    whole = data if isinstance(data, Mapping) else {"data_list": data}
    rows = json_rows(whole, path)
    sample = rows[:SAMPLED_ROWS]
    keys = tuple(dict.fromkeys(key for row in sample for key in row))
    if not keys:
        raise DataError(f"{path}: its samples are empty")
    if "img_path" in keys and ("gt_label" in keys or not {"label", "labels"}.intersection(keys)):
        columns = Columns(keys.index("img_path"), keys.index("gt_label") if "gt_label" in keys else None, heading=keys)
    else:
        table = [[as_text(row.get(key)) for key in keys] for row in sample]
        columns = find_columns(table if all(key.isdecimal() for key in keys) else [keys, *table], path)
    readers = [(key, as_text if key == keys[columns.path] else as_cell) for key in keys]
    cells = ((number, [read(row.get(key)) for key, read in readers]) for number, row in enumerate(rows))
    return columns, cells, stated_classes(whole.get("metainfo") or whole)


def json_rows(data: Mapping[str, Any], path: str) -> list[JsonRow]:
    """The samples as dicts; cells without names stand under the numbers of their columns."""
    rows = data.get("data_list", data)
    if rows is data and isinstance(data.get("annotations"), list):
        rows = join_by_id(data)
    if isinstance(rows, Mapping) and any(map(is_picture_name, rows)):
        return [{"path": name, "label": label} for name, label in rows.items()]
    if isinstance(rows, Mapping):
        tables = [one for one in rows.values() if isinstance(one, list) and one and isinstance(one[0], Mapping)]
        rows = tables[0] if len(tables) == 1 else None
    if not isinstance(rows, list) or not rows:
        keys = f"; it has {', '.join(list(data)[:5])}" if data and "data_list" not in data else ""
        raise DataError(
            f"{path}: no data_list with samples in it{keys}", hint="a list of dicts with path and label does"
        )
    lists = (row if isinstance(row, list | Mapping) else [row] for row in rows)
    return [row if isinstance(row, Mapping) else {str(n): cell for n, cell in enumerate(row)} for row in lists]


def stated_classes(metainfo: object) -> Classes:
    """The class names under `classes`, or under `categories` in the order of their ids, as OpenMMLab reads them."""
    if not isinstance(metainfo, Mapping):
        return None
    if isinstance(metainfo.get("classes"), list | tuple) and metainfo["classes"]:
        return tuple(map(str, metainfo["classes"]))
    ordered = sorted(with_ids(metainfo.get("categories")), key=lambda one: int(one["id"]))
    return tuple(str(one.get("category_name", one.get("name", one["id"]))) for one in ordered) or None


def with_ids(rows: object) -> list[JsonRow]:
    """The entries of a list that have a number under `id`."""
    listed = rows if isinstance(rows, list | tuple) else ()
    return [one for one in listed if isinstance(one, Mapping) and isinstance(one.get("id"), int)]


def join_by_id(data: Mapping[str, Any]) -> list[JsonRow]:
    """The form of COCO and iNaturalist: images, annotations and categories refer to each other by ids."""
    ids = sorted(int(one["id"]) for one in with_ids(data.get("categories")))
    places = {number: place for place, number in enumerate(ids)}
    labels: dict[int, dict[int, None]] = {}
    for one in data["annotations"]:
        image, number = (one.get(key) if isinstance(one, Mapping) else None for key in ("image_id", "category_id"))
        if isinstance(image, int) and isinstance(number, int):
            labels.setdefault(image, {})[places.get(number, number)] = None
    images = with_ids(data.get("images"))
    return [{"path": one.get("file_name"), "label": list(labels.get(one["id"], ()))} for one in images]


def as_text(value: object) -> str:
    return "" if value is None else str(int(value) if isinstance(value, bool) else value)


def as_cell(value: object) -> Label:
    """A label, or several, as written; none where there is nothing."""
    return tuple(map(as_text, value or ())) if value is None or isinstance(value, list) else as_text(value)
