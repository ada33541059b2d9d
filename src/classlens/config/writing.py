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
    """A config, or what differs between two, as `text` and as `data` for JSON; `notes` name deprecations and slips."""

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
        lines += [f"{sign} {row.key} = {expression(value)}" for _, sign, value in sides if value is not ABSENT]
    text = "\n".join(lines) + "\n" if rows else "no difference\n"
    return ConfigText(text, as_data(rows), (*notes, *other.deprecations))


ABSENT: Value = object()  # stands where one of the two configs has no such key


@dataclass(frozen=True)
class Difference:
    """A dotted key, and what each of the two configs has there."""

    key: str
    first: Value
    second: Value


def differences(first: Value, second: Value, key: str = "") -> Iterator[Difference]:
    """All keys at which two configs differ, in the order of the first."""
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first | second:
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(first.get(name, ABSENT), second.get(name, ABSENT), inner)
    elif is_pipeline(first) and is_pipeline(second):
        yield from between_pipelines(first, second, key)
    elif first != second or type(first) is not type(second):
        yield Difference(key, first, second)


def is_pipeline(value: Value) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value)


def between_pipelines(first: Sequence[Value], second: Sequence[Value], key: str) -> Iterator[Difference]:
    """The differences of two lists of dicts, those of the same type being compared with one another."""
    types, other_types = ([str(item.get("type", "")) for item in items] for items in (first, second))
    matcher = SequenceMatcher(None, types, other_types, autojunk=False)
    for step, start, end, other_start, other_end in matcher.get_opcodes():
        if step == "equal":
            for index, other in zip(range(start, end), range(other_start, other_end), strict=True):
                yield from differences(first[index], second[other], f"{key}.{index}")
            continue
        for index in range(start, end):
            yield Difference(f"{key}.{index}", first[index], ABSENT)
        for index in range(other_start, other_end):
            yield Difference(f"{key}.{index}", ABSENT, second[index])


WIDTH = 110


def as_python(settings: Mapping[str, Value]) -> str:
    """All settings as assignments, a line each or more; a name that Python does not allow becomes a comment."""
    lines = []
    for name, value in settings.items():
        text = f"{name} = {expression(value, '', len(name) + 3)}"
        lines.append(text if is_name(name) else "# " + text.replace("\n", "\n# "))
    return "\n".join(lines) + "\n"


def is_name(key: Value) -> bool:
    return isinstance(key, str) and key.isidentifier() and not iskeyword(key)


def expression(value: Value, indent: str = "", used: int | None = None) -> str:
    """A value as Python: in one line, unless that is too long for one of which `used` characters are taken already."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if not isinstance(value, dict | list | tuple):
        return repr(value)
    if not isinstance(value, dict):
        opening, closing = ("(", ")") if isinstance(value, tuple) else ("[", "]")
        items = [("", item) for item in value]
    elif all(map(is_name, value)):
        opening, closing = "dict(", ")"
        items = [(f"{key}=", item) for key, item in value.items()]
    else:
        opening, closing = "{", "}"
        items = [(f"{expression(key)}: ", item) for key, item in value.items()]
    parts = [prefix + expression(item) for prefix, item in items]
    comma = "," if isinstance(value, tuple) and len(value) == 1 else ""
    flat = f"{opening}{', '.join(parts)}{comma}{closing}"
    if used is None or not value or len(indent) + used + len(flat) <= WIDTH:
        return flat
    inner = indent + " " * 4
    lines = [f"{inner}{prefix}{expression(item, inner, len(prefix) + 1)},\n" for prefix, item in items]
    return f"{opening}\n{''.join(lines)}{indent}{closing}"


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
