"""What the settings of a stage must be, one rule for each kind of value, and a record that checks its own.

A rule is what holds for a value that makes sense, and how a sentence about it goes on after its name.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

Setting: TypeAlias = Any
"""One value of a config; whoever uses it checks what it is."""


def is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not math.isnan(value)


def pair(value: int | Sequence[int]) -> tuple[int, int]:
    """One number for both sides, or two numbers."""
    if isinstance(value, int):
        return value, value
    first, second = value
    return int(first), int(second)


def is_colour(value: Setting) -> bool:
    parts = [value] * 3 if is_number(value) else value
    return isinstance(parts, (list, tuple)) and len(parts) == 3 and all(map(is_number, parts))


Rule: TypeAlias = tuple[Callable[[Setting], bool], str]

SIDES: Rule = (lambda value: all(side > 0 for side in pair(value)), "must be above 0")
ABOVE_0: Rule = (lambda value: is_number(value) and value > 0, "must be above 0")
WHOLE: Rule = (lambda value: isinstance(value, int) and value > 0 and value is not True, "is a whole number above 0")
COUNT: Rule = (lambda value: isinstance(value, int) and value >= 0, "is a whole number and not below 0")
NOT_NEGATIVE: Rule = (lambda value: is_number(value) and value >= 0, "is a number and not below 0")
NUMBER: Rule = (is_number, "is a number")
PROBABILITY: Rule = (lambda value: is_number(value) and 0 <= value <= 1, "must lie in [0, 1]")
PART: Rule = (lambda value: isinstance(value, float) and 0 <= value <= 1, "is a float and must lie in [0, 1]")
RANGE: Rule = (lambda value: len(value) == 2 and 0 <= value[0] <= value[1], "is a range (low, high), not below 0")
COLOUR: Rule = (is_colour, "is a number or three")


def one_of(*names: str | None) -> Rule:
    return lambda value: value in names, f"is one of {', '.join(filter(None, names))}"


class Record:
    """The settings of a stage, checked one by one by the rules for their names, and then together."""

    checks: ClassVar[Mapping[str, Rule]] = {}

    def __post_init__(self) -> None:
        for name, (holds, words) in self.checks.items():
            value = getattr(self, name)
            if not holds(value):
                raise ValueError(f"{name} {words}, not {value!r}")
        self.check()

    def check(self) -> None:
        """Refuse settings that do not go together, with a ValueError."""
