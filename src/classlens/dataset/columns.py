"""What stands in which column of an annotation list, by the names in its heading and by what its cells hold.

A list has a column of pictures, and one of labels or one per class with 0 or 1 in it; running numbers and splits are
left out. Where two columns may be meant, nothing is guessed: the error shows what was understood.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from classlens.dataset.conventions import SPLIT_OF, is_picture_name, join_first, letters_of
from classlens.errors import DataError

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
SHOWN = 3
"""How many cells of a doubtful column an error shows."""

Cells = Sequence[str]
Label = str | tuple[str, ...]
"""A label as it is written, or several."""


@dataclass(frozen=True)
class Columns:
    """Where a row keeps its picture and its label, or the names of classes beside their numbers.

    Instead there may be one column per class (`hot`), which are the classes numbered `classes`. `heading` is empty
    where the first row is a sample.
    """

    path: int = 0
    label: int | None = None
    hot: tuple[int, ...] = ()
    classes: tuple[int, ...] = ()
    names: int | None = None
    heading: tuple[str, ...] = ()
    note: str = ""


def whole_number(cell: str) -> int:
    return int(cell.partition(".")[0])


def are_pictures(cells: Cells) -> bool:
    return bool(cells) and 2 * sum(map(is_picture_name, cells)) >= len(cells)


def are_integers(cells: Cells) -> bool:
    return bool(cells) and all(map(INTEGER.fullmatch, cells))


def is_running(cells: Cells) -> bool:
    """Whether the cells count the rows, from 0 or from 1."""
    if len(cells) < 2 or not are_integers(cells):
        return False
    first = whole_number(cells[0])
    return first in (0, 1) and [whole_number(cell) - first for cell in cells] == list(range(len(cells)))


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
    """Understand the columns of a list by its first rows."""
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
        others = [number for number in range(len(self.columns)) if number != path]
        labels = [number for number in self.under(LABELS) if number in others]
        splits = [number for number in others if number not in labels and self.values(number) <= SPLIT_OF.keys()]
        splits += [number for number in self.under(SPLIT_HEADINGS) if number in others and number not in labels]
        note = f"all rows are shown, whatever {self.describe(min(splits))} says" if splits else ""
        columns = Columns(path, heading=self.heading, note=note)
        if labels:
            numbers = [number for number in labels if are_integers(self.columns[number])]
            texts = [number for number in labels if number not in numbers]
            return replace(columns, label=[*numbers, *labels][0], names=texts[0] if numbers and texts else None)
        left = [number for number in others if number not in self.under(INDICES)]
        running = [number for number in left if number < path and is_running(self.columns[number])]
        if running and left == running and len(self.columns[0]) > 2:
            raise self.doubt("labels, or a running number", running)
        for needless in (running, splits):
            left = [number for number in left if number not in needless] or left
        if len(left) > 1 and all(self.values(number) <= {*ON, *OFF} for number in left):
            return replace(columns, hot=tuple(left))
        if len(left) > 1:
            raise self.doubt("labels", left)
        return replace(columns, label=left[0] if left else None)

    def find_pictures(self) -> int:
        """The column of the pictures: by its cells, by its heading, or the first in which no cell comes twice."""
        shown = [number for number, cells in enumerate(self.columns) if are_pictures(cells)]
        by_heading = self.under(PATHS)
        if len(shown) > 1:
            by_heading = [number for number in by_heading if number in shown]
            if not by_heading:
                raise self.doubt("pictures", shown)
            return by_heading[0]
        if shown or self.heading:
            return [*shown, *by_heading, 0][0]
        return next((number for number, cells in enumerate(self.columns) if len(set(cells)) == len(cells)), 0)

    def describe(self, number: int) -> str:
        return f"column {self.heading[number]!r}" if number < len(self.heading) else f"column {number + 1}"

    def doubt(self, what: str, numbers: Sequence[int]) -> DataError:
        shown = [
            f"{self.describe(number)} ({', '.join(dict.fromkeys(self.columns[number][:SHOWN]))}, ...)"
            for number in numbers
        ]
        return DataError(
            f"{self.where}: not clear which column holds {what}: {join_first(shown, between=' or ')}",
            hint="name the columns in the first line, the pictures path and their classes label, or leave others out",
        )


def number_classes(columns: Columns, classes: Sequence[str] | None, where: str) -> tuple[Columns, Sequence[str] | None]:
    """Columns of one class each with the numbers of these classes, and the classes: those known, or the heading's."""
    names = tuple(columns.heading[number] for number in columns.hot) if columns.heading else ()
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
