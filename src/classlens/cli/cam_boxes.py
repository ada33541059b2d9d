"""`classlens cam --box`: where the objects are, for the scores that need to know it. In pixels of the pictures as read.

Either four numbers for a single picture, or a table (CSV) with a line for every picture, `name,left,top,right,bottom`.
"""

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

from classlens.errors import DataError

Box = tuple[int, int, int, int]
Boxes = Mapping[Path, Box]


def read_boxes(words: Sequence[str] | None, pictures: Sequence[Path]) -> Boxes:
    """The box of every picture that has one.

    Raises:
        DataError: there are not four numbers in order, several pictures share one box, or no table can be read.
    """
    if not words:
        return {}
    if len(words) == 1:
        return tabled(Path(words[0]).expanduser(), pictures)
    if len(pictures) > 1:
        raise DataError(f"one box for {len(pictures)} pictures", hint="--box FILE.csv, with a line for every picture")
    return dict.fromkeys(pictures, box_of(words, where="--box"))


def tabled(path: Path, pictures: Sequence[Path]) -> Boxes:
    """The boxes of a table, for pictures named by their paths or by their file names alone."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            lines = [line for line in csv.reader(file) if line]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"no table of boxes can be read from {path}: {error}", hint=HINT) from error
    if lines and not lines[0][-1].strip().isdecimal():
        lines = lines[1:]
    found = {line[0].strip(): box_of(line[1:], where=f"{path}: {line[0]}") for line in lines}
    boxes = {picture: found[name] for picture in pictures for name in (str(picture), picture.name) if name in found}
    if not boxes:
        raise DataError(f"{path} has a box for none of the pictures", hint=HINT)
    return boxes


HINT = (
    "--box LEFT TOP RIGHT BOTTOM, or a CSV file of lines NAME,LEFT,TOP,RIGHT,BOTTOM, in pixels of the picture as read"
)


def box_of(words: Sequence[str], *, where: str) -> Box:
    """Four numbers as a box.

    Raises:
        DataError: there are not four, or they are not in order.
    """
    numbers = [int(word) for word in words if word.strip().isdecimal()]
    if len(numbers) != 4 or len(words) != 4 or numbers[0] >= numbers[2] or numbers[1] >= numbers[3]:
        raise DataError(f"{where}: {' '.join(words)} is no box", hint=HINT)
    left, top, right, bottom = numbers
    return left, top, right, bottom
