"""A config written out with everything resolved, as Python or as data, and what differs between two of them.

The rule of this file: lists are aligned before they are compared, so a stage more in a pipeline is one difference.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import SequenceMatcher
from keyword import iskeyword

from classlens.config.read import load_config
from classlens.config.values import Value


@dataclass(frozen=True)
class ConfigRequest:
    """Which config is written out, or compared with `other`, which is read without the overrides.

    `overrides` are what `parse_overrides` gives. With `trust` both configs are run as Python.
    """

    config: str
    other: str | None = None
    overrides: Mapping[str, Value] = field(default_factory=dict)
    trust: bool = False


@dataclass(frozen=True)
class ConfigText:
    """A config, or what differs between two, as `text` and as `data` for JSON; `notes` are on deprecations and slips."""

    text: str
    data: Value
    notes: tuple[str, ...]

    def __str__(self) -> str:
        return self.text


def write_config(request: ConfigRequest) -> ConfigText:
    """Write out a config with all bases merged, variables resolved and overrides applied, or what differs in `other`.

    The text is Python that can be saved and used as a config; of two configs, a line with - for what the first has and
    one with + for what the other has.

    Raises:
        ConfigError: a file is missing, cannot be read, or asks for something outside the safe subset.
    """
    config = load_config(request.config, request.overrides, trust=request.trust)
    notes = (*config.deprecations, *config.slips)
    if request.other is None:
        return ConfigText(as_python(config), as_data(config), notes)
    other = load_config(request.other, {}, trust=request.trust)
    rows, lines = [], [f"--- {request.config}", f"+++ {request.other}"]
    for row in differences(config, other):
        sides = [("config", "-", row.first), ("other", "+", row.second)]
        rows.append({"key": row.key} | {side: value for side, _, value in sides if value is not ABSENT})
        lines += [f"{sign} {row.key} = {one_line(value)}" for _, sign, value in sides if value is not ABSENT]
    text = "\n".join(lines) + "\n" if rows else "no difference\n"
    return ConfigText(text, as_data(rows), (*notes, *other.deprecations))


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
    return [str(item.get("type", "")) for item in items]


WIDTH = 110
INDENT = "    "


def as_python(settings: Mapping[str, Value]) -> str:
    """All settings as assignments, a line each or more; a name that Python does not allow becomes a comment."""
    lines = []
    for name, value in settings.items():
        text = f"{name} = {expression(value, '', len(name) + 3)}"
        lines.append(text if is_name(name) else "# " + text.replace("\n", "\n# "))
    return "\n".join(lines) + "\n"


def is_name(key: Value) -> bool:
    return isinstance(key, str) and key.isidentifier() and not iskeyword(key)


def expression(value: Value, indent: str, used: int) -> str:
    """A value as Python, in a line that is indented by `indent` and of which `used` characters are taken already."""
    flat = one_line(value)
    if len(indent) + used + len(flat) <= WIDTH or not isinstance(value, dict | list | tuple) or not value:
        return flat
    opening, closing = brackets(value)
    inner = indent + INDENT
    parts = [f"{inner}{prefix}{expression(item, inner, len(prefix) + 1)},\n" for prefix, item in entries(value)]
    return f"{opening}\n{''.join(parts)}{indent}{closing}"


def one_line(value: Value) -> str:
    """A value as Python in one line, however long."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    opening, closing = brackets(value)
    parts = [f"{prefix}{one_line(item)}" for prefix, item in entries(value)]
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    return f"{opening}{', '.join(parts)}{comma}{closing}"


def brackets(value: Value) -> tuple[str, str]:
    if isinstance(value, dict):
        return ("dict(", ")") if all(map(is_name, value)) else ("{", "}")
    return ("(", ")") if isinstance(value, tuple) else ("[", "]")


def entries(value: Value) -> Iterator[tuple[str, Value]]:
    """The items of a collection, each with what is written before it."""
    if not isinstance(value, dict):
        yield from (("", item) for item in value)
    elif all(map(is_name, value)):
        yield from ((f"{key}=", item) for key, item in value.items())
    else:
        yield from ((f"{one_line(key)}: ", item) for key, item in value.items())


def as_data(value: Value) -> Value:
    """A value as JSON can hold it: tuples and sets are lists, what JSON has no word for is text."""
    if isinstance(value, dict):
        return {str(key): as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_data(item) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((as_data(item) for item in value), key=repr)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, str | int | float | None) else str(value)
