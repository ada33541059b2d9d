"""Annotation lists: `path label` lines, tables with any separator such as CSV, and JSON.

A list has a column of pictures, and one of labels or one per class with 0 or 1 in it, known by heading and content.
Where two columns may be meant, nothing is guessed: the error shows what was understood. A line that cannot be used as
it is becomes a warning with file and line, never a crash and never silence.
"""

import csv
import json
import re
from array import array
from codecs import BOM_UTF8
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import BytesIO, TextIOWrapper
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from classlens.dataset.class_folders import find_misnamed
from classlens.dataset.conventions import SPLIT_OF, is_picture_name, letters_of
from classlens.dataset.dataset import Sample
from classlens.dataset.listing import FIRST, Classes, Listing
from classlens.dataset.packed_names import PackedNames
from classlens.dataset.storage import SEPARATOR, is_archive, join_path, read_bytes, split_archive
from classlens.errors import DataError, first_line, join_first

LISTS = (".txt", ".csv", ".tsv", ".json", ".jsonl")
SAMPLED_BYTES, SAMPLED_ROWS, MANY = 256 * 1024, 1000, 20
"""So much of a list shows what is in it, and more pictures do not have a class each."""

LAST_BLANK, WHOLE_LINE = "path label", "path"
"""Ways to part a line that no table has: paths may hold blanks, so OpenMMLab's own lists are parted at the last one."""

SEPARATORS = {".csv": (",", ";", "\t", "|", LAST_BLANK), ".tsv": ("\t", ",", ";", "|", LAST_BLANK)}
IN_TEXT = ("\t", " ", LAST_BLANK, ",", ";", "|")  # what may part the columns of a list, the likeliest first
PATHS = (
    *("imgpath", "filepath", "imagepath", "path", "filename", "imagefilename", "imagename", "imgname", "imagefile"),
    *("imgfile", "file", "fname", "image", "img", "picture", "photo", "relativepath", "relpath", "imageid", "imgid"),
    *("imageindex", "imageurl", "url", "uri", "name", "id"),
)
LABELS = (
    *("gtlabel", "label", "labels", "target", "targets", "class", "classes", "category", "categories", "y"),
    *("labelid", "classid", "categoryid", "classindex", "classidx", "labelidx", "labelname", "classname"),
    *("categoryname", "classlabel", "groundtruth", "gt"),
)
INDICES = ("", "unnamed0", "index", "idx", "row", "rowid", "no", "number", "id")
SPLIT_HEADINGS = ("split", "set", "subset", "phase", "fold", "partition", "usage")
"""Headings, most telling first, without capitals, blanks, hyphens and underscores."""

INTEGER = re.compile(r"\s*-?\d{1,18}(?:\.0+)?\s*")
NUMBER = re.compile(r"\s*-?\d+(?:\.\d*)?\s*")
ON, OFF = ("1", "1.0", "true"), ("0", "0.0", "-1", "-1.0", "false")

JsonRow = Mapping[str, Any]
Cells = Sequence[str]
Label = str | tuple[str, ...]  # a label as it is written, or several
Rows = Iterator[tuple[int, Sequence[Any]]]  # the cells of every row of a list, and its number
Troubles = dict[str, list[tuple[int, str]]]
"""What is wrong with a list, by its kind: the numbers of the rows, and what more there is to say of each."""


@dataclass(frozen=True)
class Columns:
    """Where a row keeps its picture and its label, or what is on (`hot`) of the classes numbered `classes`.

    `heading` is empty where the first row is a sample.
    """

    path: int = 0
    label: int | None = None
    hot: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    heading: tuple[str, ...] = ()
    note: str = ""


def list_annotations(path: str, folder: str, classes: Classes = None, *, labelled: bool = True) -> Listing:
    """The samples of a list, whose paths start at `folder`; names are understood as labels where `classes` holds them.

    Paths and labels are kept in two columns instead of a `Sample` per line: a million lines fit into 200 MB.
    """
    is_json = path.lower().endswith((".json", ".jsonl"))
    columns, rows, own = open_json(path) if is_json else open_text(path, labelled=labelled)
    known: Sequence[str] | None = classes or own
    if columns.hot:
        columns, known = number_classes(columns, known, path)
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
    packed = PackedNames(names)

    def sample(index: int) -> Sample:
        return Sample(start + packed[index] if start else join_path(folder, packed[index]), labels[index])

    return Listing(len(packed), sample, tuple(known) if known else None, tuple(notes))


def read_columns(rows: Rows, columns: Columns, troubles: Troubles) -> tuple[list[str], list[Label], Sequence[int]]:
    """The pictures, their labels as written, and the numbers of their rows."""
    names: list[str] = []
    labels: list[Label] = []
    numbers = array("l")
    known: dict[Label, Label] = {}  # equal labels are kept once
    path, place = columns.path, columns.label
    width = 1 + max(path, place or 0, *columns.hot)
    wanted = FIRST.get()
    missing = f"no {columns.heading[path]}" if path < len(columns.heading) else "blank line"
    for number, cells in rows:
        if not wanted.has_room(len(names)):
            break
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
            for kind, detail in meanings[text][1]:
                troubles[kind].append((number, detail))
    return [meanings[text][0] for text in texts]


def number_label(label: Label, classes: Sequence[str] | None) -> tuple[tuple[int, ...], list[tuple[str, str]]]:
    """A label or several (separated by commas) as numbers, and what is wrong with them."""
    if label == "":
        return (), [("no label", "")]
    parts = label if isinstance(label, tuple) else tuple(part.strip() for part in label.split(","))
    if classes and label in classes:
        parts = (str(label),)
    numbers, slips = [], []
    for part in parts:
        if INTEGER.fullmatch(part):
            numbers.append(whole_number(part))
        elif classes and part in classes:
            numbers.append(classes.index(part))
        else:
            slips.append(("label is not a number", f" ({part!r})"))
    if classes and not all(0 <= number < len(classes) for number in numbers):
        written = label if isinstance(label, str) else ",".join(label)
        slips.append((f"label outside 0..{len(classes) - 1}", f" ({written})"))
    return tuple(numbers), slips


def named_classes(labels: set[Label]) -> Classes:
    names = {part for label in labels for part in ([label] if isinstance(label, str) else label) if part}
    if any(NUMBER.fullmatch(name.partition(",")[0]) for name in names):
        return None
    return tuple(sorted(names)) or None


def note_repetitions(
    names: Sequence[str], labels: Sequence[tuple[int, ...]], numbers: Sequence[int], troubles: Troubles, place: str
) -> None:
    """Note names that come twice; they are compared by 8 bytes each first, for a set of names takes ten times that."""
    order = np.sort(np.fromiter(map(hash, names), np.int64, len(names)))
    twice = set(order[1:][order[1:] == order[:-1]].tolist())
    first: dict[str, int] = {}
    for index in [index for index, name in enumerate(names) if hash(name) in twice] if twice else ():
        before = first.setdefault(names[index], index)
        if before != index:
            kind = "listed again" if labels[before] == labels[index] else "listed again with another label"
            troubles[kind].append((numbers[index], f" (first in {place.format(numbers[before])})"))


def read_text(path: str) -> str:
    """A text in UTF-8 or UTF-16, without its byte order mark."""
    return read_utf8(path).decode("utf-8", "surrogateescape")


def read_utf8(path: str) -> bytes:
    """The same as bytes, and in UTF-8; what is not valid in it stays."""
    content = read_bytes(path, "list")
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return content.decode("utf-16", "replace").encode()
    if b"\x00" in content[:SAMPLED_BYTES]:
        raise DataError(f"{path}: not a text: there are zeros in it")
    return content.removeprefix(BOM_UTF8)


def open_text(path: str, *, labelled: bool) -> tuple[Columns, Rows, None]:
    """A list in lines: what parts its columns is what most speaks for, in its beginning."""
    content, suffix = read_utf8(path), Path(path).suffix.lower()
    end = content.rfind(b"\n", 0, SAMPLED_BYTES) + 1 if len(content) > SAMPLED_BYTES else 0
    start = content[:end] or content
    candidates = SEPARATORS.get(suffix, IN_TEXT if labelled else (WHOLE_LINE,))
    tables = {one: [row for _, row in part_lines(start, one, path) if any(row)] for one in candidates}
    form = max(candidates, key=lambda one: likelihood(tables[one], one, strict=candidates is IN_TEXT))
    if not tables[form]:
        raise DataError(f"{path}: no line of the form 'path label'")
    if form in (LAST_BLANK, WHOLE_LINE):
        columns = Columns(0, 1 if labelled else None, heading=heading_of(tables[form]))
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
    if form in (LAST_BLANK, WHOLE_LINE):
        for number, line in enumerate(lines, start=1):
            yield number, part_at_last_blank(line.strip()) if form == LAST_BLANK else (line.strip(),)
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


def likelihood(rows: Sequence[Cells], form: str, *, strict: bool) -> float:
    """How much speaks for a separator: above 1 for a column of pictures, 1 for a heading, 0 for some columns."""
    if not rows:
        return -1
    headed = any(letters_of(cell) in PATHS for cell in rows[0])
    widths = Counter(map(len, rows))
    # in a text, blanks and tabs are often part of a name: there they have to make columns of every row
    fewest = min(widths) if strict and form in "\t " else widths.most_common(1)[0][0]
    if fewest < 2 or (form == " " and (not headed or len(widths) > 1)):
        return -1
    body = rows[1:] if headed else rows
    most = max(sum(is_picture_name(row[place]) for row in body if place < len(row)) for place in range(fewest))
    return 1 + most / len(body) if 2 * most >= len(body) > 0 else int(headed)


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
    except (ValueError, RecursionError, MemoryError) as error:  # a number of thousands of digits, brackets as deep
        raise DataError(
            f"{path}: not a list in JSON: {type(error).__name__}: {first_line(error)[:80].lower()}"
        ) from error
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
    readers = [(key, as_name if key == keys[columns.path] else as_cell) for key in keys]
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
    entries = rows if isinstance(rows, list | tuple) else ()
    return [one for one in entries if isinstance(one, Mapping) and isinstance(one.get("id"), int)]


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


def as_name(value: object) -> str:
    return value if isinstance(value, str) else ""


def as_cell(value: object) -> Label:
    return tuple(map(as_text, value or ())) if value is None or isinstance(value, list) else as_text(value)


def whole_number(cell: str) -> int:
    return int(cell.partition(".")[0])


def are_pictures(cells: Cells) -> bool:
    return bool(cells) and 2 * sum(map(is_picture_name, cells)) >= len(cells)


def are_integers(cells: Cells) -> bool:
    return bool(cells) and all(map(INTEGER.fullmatch, cells))


def heading_of(rows: Sequence[Cells]) -> tuple[str, ...]:
    """The first row, if it names the columns: by a known name, or by words above pictures or numbers."""
    first = tuple(cell.strip() for cell in rows[0])
    if any(map(is_picture_name, first)):
        return ()
    if any(letters_of(cell) in PATHS for cell in first):
        return first
    columns = list(zip_longest(*rows[1:], fillvalue=""))[: len(first)]
    are_words = all(cell and not INTEGER.fullmatch(cell) for cell in first)
    return first if are_words and any(are_pictures(cells) or are_integers(cells) for cells in columns) else ()


def find_columns(rows: Sequence[Cells], where: str) -> Columns:
    heading = heading_of(rows)
    return Table(heading, tuple(zip_longest(*rows[1 if heading else 0 :], fillvalue="")), where).find_columns()


@dataclass(frozen=True)
class Table:
    """The first rows of a list by column, under the heading if there is one."""

    heading: tuple[str, ...]
    columns: tuple[Cells, ...]
    where: str

    def under(self, words: Sequence[str]) -> list[int]:
        """Columns with one of these headings, the most telling first."""
        heading = [letters_of(cell) for cell in self.heading[: len(self.columns)]]
        return [number for one in words for number, cell in enumerate(heading) if cell == one]

    def values(self, number: int) -> set[str]:
        return {cell.strip().lower() for cell in self.columns[number]}

    def find_columns(self) -> Columns:
        """The columns of the pictures and of their labels, unless several may be."""
        path = self.find_pictures()
        labels = [number for number in self.under(LABELS) if number != path]
        left = [number for number in range(len(self.columns)) if number != path and number not in labels]
        splits = [n for n in left if n in self.under(SPLIT_HEADINGS) or self.values(n) <= SPLIT_OF.keys()]
        note = f"all rows are shown, whatever {self.describe(splits[0])} says" if splits else ""
        columns = Columns(path, heading=self.heading, note=note)
        if labels:
            return replace(columns, label=labels[0])
        left = [number for number in left if number not in self.under(INDICES)]
        left = [number for number in left if number not in splits] or left
        if len(left) > 1 and all(self.values(number) <= {*ON, *OFF} for number in left):
            return replace(columns, hot=tuple(left))
        if len(left) > 1:
            raise self.doubt("labels", left)
        cells = self.columns[left[0]] if left else ()
        if left and left[0] < path and are_integers(cells) and len(set(cells)) == len(cells) > 2:
            raise self.doubt("labels, or a running number", left)
        return replace(columns, label=left[0] if left else None)

    def find_pictures(self) -> int:
        """The column of the pictures: by its cells, by its heading, or the first in which no cell comes twice."""
        pictures = [number for number, cells in enumerate(self.columns) if are_pictures(cells)]
        by_heading = [number for number in self.under(PATHS) if len(pictures) < 2 or number in pictures]
        if len(pictures) > 1 and not by_heading:
            raise self.doubt("pictures", pictures)
        best = pictures if len(pictures) == 1 else by_heading
        if best or self.heading:
            return [*best, 0][0]
        return next((number for number, cells in enumerate(self.columns) if len(set(cells)) == len(cells)), 0)

    def describe(self, number: int) -> str:
        return f"column {self.heading[number]!r}" if number < len(self.heading) else f"column {number + 1}"

    def doubt(self, what: str, numbers: Sequence[int]) -> DataError:
        columns = [
            f"{self.describe(number)} ({', '.join(dict.fromkeys(self.columns[number][:3]))}, ...)" for number in numbers
        ]
        return DataError(
            f"{self.where}: not clear which column holds {what}: {join_first(columns, between=' or ')}",
            hint="name the columns in the first line, the pictures path and their classes label, or leave others out",
        )


def number_classes(columns: Columns, classes: Sequence[str] | None, where: str) -> tuple[Columns, Sequence[str] | None]:
    """Columns of one class each with the numbers of these classes, and the classes: those known, or the heading's."""
    is_named = max(columns.hot) < len(columns.heading)
    names = tuple(columns.heading[number] for number in columns.hot) if is_named else ()
    numbers: Iterable[int] = range(len(columns.hot))
    if classes and names and set(names) <= set(classes):
        numbers = map(classes.index, names)
    elif classes and len(columns.hot) != len(classes):
        raise DataError(f"{where}: {len(columns.hot)} columns of 0 and 1, but {len(classes)} class names")
    return replace(columns, classes=tuple(numbers)), classes or names or None


def labels_on(columns: Columns, row: Sequence[Label]) -> tuple[str, ...]:
    """The numbers of the classes whose columns are on; what is neither on nor off is for the reader to refuse."""
    labels = []
    for number, column in zip(columns.classes, columns.hot, strict=True):
        cell = str(row[column] or "").strip().lower()
        if cell not in OFF:
            labels.append(str(number) if cell in ON else f"{cell!r} for class {number}")
    return tuple(labels)
