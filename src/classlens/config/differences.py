"""What differs between two configs, key by key.

The rule of this file: lists are aligned before they are compared, so a stage more in a pipeline is one difference.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher

from classlens.config.value import Value


@dataclass(frozen=True)
class Absent:
    """Stands where one of the two configs has no such key."""


ABSENT = Absent()


@dataclass(frozen=True)
class Difference:
    """A dotted key, and what each of the two configs has there."""

    key: str
    first: Value
    second: Value


def differences(first: Value, second: Value, key: str = "") -> Iterator[Difference]:
    """All keys at which two configs differ, in the order of the first."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in [*first, *(name for name in second if name not in first)]:
            yield from differences(
                first.get(name, ABSENT), second.get(name, ABSENT), f"{key}.{name}" if key else str(name)
            )
    elif are_pipelines(first) and are_pipelines(second):
        yield from between_lists(first, second, key)
    elif first != second or type(first) is not type(second):
        yield Difference(key, first, second)


def are_pipelines(value: Value) -> bool:
    """Whether a value is a list of dicts: only these are looked into item by item."""
    return isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value)


def between_lists(first: Sequence[Value], second: Sequence[Value], key: str) -> Iterator[Difference]:
    """The differences of two lists of dicts, those of the same type being compared with one another."""
    matcher = SequenceMatcher(None, types_of(first), types_of(second), autojunk=False)
    for step, start, end, start_second, end_second in matcher.get_opcodes():
        if step == "equal":
            for index, other in zip(range(start, end), range(start_second, end_second), strict=True):
                yield from differences(first[index], second[other], f"{key}.{index}")
            continue
        for index in range(start, end):
            yield Difference(f"{key}.{index}", first[index], ABSENT)
        for index in range(start_second, end_second):
            yield Difference(f"{key}.{index}", ABSENT, second[index])


def types_of(items: Sequence[Value]) -> list[str]:
    """The types that dicts of a config name."""
    return [str(item.get("type", "")) for item in items]
