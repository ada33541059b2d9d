"""A config as text: Python that `read_config` reads back to the same values.

The rule of this file: what fits into one line is one line; settings keep their order.
"""

import math
from collections.abc import Iterator, Mapping
from keyword import iskeyword

from classlens.config.value import Value

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
    """Whether a key can be written as `key=...`."""
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
    """What opens and closes a collection."""
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
