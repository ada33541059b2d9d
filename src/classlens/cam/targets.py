"""The class that is explained, as the user says it: a number, a name, `top5`, `predicted`, or a contrast `a - b`.

No torch in here: where the names of the classes are known beforehand, a slip in one is found before torch is imported.
"""

import re
from collections.abc import Sequence
from typing import TypeAlias

from classlens.errors import NotFound

Target: TypeAlias = int | str | tuple[int, ...]  # explained in every picture; a tuple names one class for each of them
PREDICTED = "predicted"
TOP = re.compile(r"top[ -]?([1-9]\d*)", re.IGNORECASE)
CONTRAST = re.compile(r"\s+-\s+")


def sides_of(target: Target, classes: tuple[str, ...]) -> Sequence[Target]:
    """The two sides of a contrast, else the target alone: a class may have a dash in its name."""
    sides = CONTRAST.split(target.strip()) if isinstance(target, str) else ()
    return (target,) if len(sides) != 2 or find_by_name(str(target), classes) else sides


def check_targets(targets: Sequence[int | str], classes: tuple[str, ...]) -> None:
    """Refuse a target that names none of the classes."""
    for target in targets:
        if isinstance(target, int) or not TOP.fullmatch(target.strip()):
            for side in sides_of(target, classes):
                if str(side).strip().casefold() != PREDICTED:
                    class_index(str(side), len(classes), classes)


def class_index(target: int | str, count: int, classes: tuple[str, ...]) -> int:
    """The index of one class, given by number or by name."""
    if isinstance(target, int) or re.fullmatch(r"-?\d+", target.strip()):
        if 0 <= int(target) < count:
            return int(target)
        raise NotFound("class", str(int(target)), [f"0 to {count - 1}"])
    matches = find_by_name(target, classes)
    if len(matches) > 1:
        raise NotFound("single class", target, [str(match) for match in matches])
    if not matches:
        names = {part.strip() for name in classes for part in name.split(",")}
        raise NotFound("class", target, names or [f"0 to {count - 1}, by number only"])
    return matches[0]


def find_by_name(target: str, classes: tuple[str, ...]) -> list[int]:
    """Classes of that name, any case; failing that, classes with that name among several, as in `tench, Tinca tinca`."""
    folded = target.strip().casefold()
    whole = [index for index, name in enumerate(classes) if name.casefold() == folded]
    return whole or [
        index for index, name in enumerate(classes) if folded in (part.strip().casefold() for part in name.split(","))
    ]
