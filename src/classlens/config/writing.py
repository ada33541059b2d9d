"""A config written out with everything resolved, as Python or as data, and what differs between two of them.

The rules of this file: lists are aligned before they are compared, so a stage more in a pipeline is one difference.
What is written is paid for like what is read: shared parts are written wherever they stand, and deep ones are indented.
"""

import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from difflib import SequenceMatcher
from keyword import iskeyword
from unicodedata import normalize

from classlens.config.data_files import BASE_REFERENCE
from classlens.config.open_file import ENVIRONMENT, FILE_VARIABLE
from classlens.config.read import load_config
from classlens.config.settings import Config
from classlens.config.values import CHARACTERS_PER_UNIT, Budget, LimitExceeded, Value
from classlens.errors import ConfigError, short_repr


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
    other = load_config(request.other, {}, trust=request.trust) if request.other is not None else None
    budget = Budget(sys.maxsize) if request.trust else Budget()
    try:
        if other is None:
            text, data = as_python(config, budget), as_data(config, budget)
        else:
            text, data = compare(request, config, other, budget)
    except LimitExceeded as fault:
        raise ConfigError(f"{config.path}: printing it {fault}") from None
    return ConfigText(text, data, (*config.deprecations, *config.slips, *(other.deprecations if other else ())))


def compare(request: ConfigRequest, config: Config, other: Config, budget: Budget) -> tuple[str, Value]:
    """What differs between two configs, as text and as data."""
    rows, lines = [], [f"--- {request.config}", f"+++ {request.other}"]
    for row in differences(config, other, budget):
        sides = [("config", "-", row.first), ("other", "+", row.second)]
        rows.append({"key": row.key} | {side: value for side, _, value in sides if value is not ABSENT})
        lines += [f"{sign} {row.key} = {expression(value, budget)}" for _, sign, value in sides if value is not ABSENT]
    return "\n".join(lines) + "\n" if rows else "no difference\n", as_data(rows, budget)


ABSENT: Value = object()  # stands where one of the two configs has no such key


@dataclass(frozen=True)
class Difference:
    """A dotted key, and what each of the two configs has there."""

    key: str
    first: Value
    second: Value


def differences(first: Value, second: Value, budget: Budget, key: str = "") -> Iterator[Difference]:
    """All keys at which two configs differ, in the order of the first."""
    budget.spend(1 + len(key) // CHARACTERS_PER_UNIT)
    if isinstance(first, dict) and isinstance(second, dict):
        for name in first | second:
            inner = f"{key}.{name}" if key else str(name)
            yield from differences(first.get(name, ABSENT), second.get(name, ABSENT), budget, inner)
    elif is_pipeline(first) and is_pipeline(second):
        yield from between_pipelines(first, second, budget, key)
    elif first != second or type(first) is not type(second):
        yield Difference(key, first, second)


def is_pipeline(value: Value) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(item, dict) for item in value)


def between_pipelines(
    first: Sequence[Value], second: Sequence[Value], budget: Budget, key: str
) -> Iterator[Difference]:
    """The differences of two lists of dicts, those of the same type being compared with one another."""
    types, other_types = ([short_repr(item.get("type", "")) for item in items] for items in (first, second))
    budget.spend(len(types) * len(other_types) * min(len(types), len(other_types)) // 16)  # at worst, aligning is cubic
    matcher = SequenceMatcher(None, types, other_types, autojunk=False)
    for step, start, end, other_start, other_end in matcher.get_opcodes():
        if step == "equal":
            for index, other in zip(range(start, end), range(other_start, other_end), strict=True):
                yield from differences(first[index], second[other], budget, f"{key}.{index}")
            continue
        for index in range(start, end):
            yield Difference(f"{key}.{index}", first[index], ABSENT)
        for index in range(other_start, other_end):
            yield Difference(f"{key}.{index}", ABSENT, second[index])


WIDTH = 110
INDENTS_PER_UNIT = 4


def as_python(settings: Mapping[str, Value], budget: Budget) -> str:
    """All settings as assignments, a line each or more; a name that Python does not allow becomes a comment."""
    lines = []
    for name, value in settings.items():
        if is_name(name):
            lines.append(f"{name} = {expression(value, budget, '', len(name) + 3)}")
        else:
            shown = name if name.isprintable() else repr(name)  # with a line break in it, it would end the comment
            text = f"{shown} = {expression(value, budget, '', len(shown) + 3)}"
            lines.append("# " + text.replace("\n", "\n# "))
    return "\n".join(lines) + "\n"


def is_name(key: Value) -> bool:
    """Whether Python takes `key` for a name, and for this one: outside of ASCII some letters become others."""
    is_word = isinstance(key, str) and key.isidentifier() and not iskeyword(key)
    return is_word and (key.isascii() or normalize("NFKC", key) == key)


def expression(value: Value, budget: Budget, indent: str = "", used: int | None = None) -> str:
    """A value as Python: in one line, unless that is too long for one of which `used` characters are taken already."""
    is_open = used is None or not value or not isinstance(value, dict | list | tuple)
    flat = one_line(value, budget, math.inf if is_open else WIDTH - len(indent) - (used or 0))
    if flat is not None:
        return flat
    inner = indent + " " * 4
    opening, items, closing = parts(value, budget)
    lines = [f"{inner}{prefix}{expression(item, budget, inner, len(prefix) + 1)},\n" for prefix, item in items]
    budget.spend(sum(map(len, lines)) // CHARACTERS_PER_UNIT)
    return f"{opening}\n{''.join(lines)}{indent}{closing}"


def one_line(value: Value, budget: Budget, room: float) -> str | None:
    """A value in one line, or None if that takes more than `room` characters, of which no more are written."""
    if not value or not isinstance(value, dict | list | tuple | set):
        text = leaf(value) if not isinstance(value, str) or len(value) <= room else None
        budget.spend(1 + len(text or "") // CHARACTERS_PER_UNIT)
        return text if text is not None and len(text) <= room else None
    opening, items, closing = parts(value, budget)
    closing = f",{closing}" if isinstance(value, tuple) and len(value) == 1 else closing
    room -= len(opening) + len(closing)
    texts: list[str] = []
    for prefix, item in items:
        room -= len(prefix) + (2 if texts else 0)
        text = one_line(item, budget, room) if room > 0 else None
        if text is None:
            return None
        room -= len(text)
        texts.append(prefix + text)
    return f"{opening}{', '.join(texts)}{closing}"


def parts(value: Value, budget: Budget) -> tuple[str, list[tuple[str, Value]], str]:
    """The brackets of a collection and what lies between them: items, each with what stands in front of it."""
    budget.spend(len(value))
    if not isinstance(value, dict):
        opening, closing = "()" if isinstance(value, tuple) else "[]" if isinstance(value, list) else "{}"
        return opening, [("", item) for item in value], closing
    budget.spend(sum(len(key) for key in value if isinstance(key, str)) // CHARACTERS_PER_UNIT)
    if all(map(is_name, value)):
        return "dict(", [(f"{key}=", item) for key, item in value.items()], ")"
    return "{", [(f"{one_line(key, budget, math.inf)}: ", item) for key, item in value.items()], "}"


def leaf(value: Value) -> str:
    """A number, a text or the like as Python; what a config fills in when it is read is not filled in once more."""
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    if isinstance(value, dict):  # an empty one
        return "dict()"
    if isinstance(value, date):  # which Python has no word for; a name that has to be imported is none
        return repr(str(value))
    text = repr(value)
    if "{{" in text and any(pattern.search(text) for pattern in (FILE_VARIABLE, ENVIRONMENT, BASE_REFERENCE)):
        return text.replace("{{", "{\\x7b")
    return text


def as_data(value: Value, budget: Budget, depth: int = 0) -> Value:
    """A value as JSON can hold it: tuples and sets are lists, what JSON has no word for is text."""
    budget.spend(1 + depth // INDENTS_PER_UNIT)
    if isinstance(value, dict):
        return {as_text(key, budget): as_data(item, budget, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | range):
        return [as_data(item, budget, depth + 1) for item in value]
    if isinstance(value, set | frozenset):
        return sorted((as_data(item, budget, depth + 1) for item in value), key=repr)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if isinstance(value, int | float | None) else as_text(value, budget)


def as_text(value: Value, budget: Budget) -> str:
    text = str(value)
    budget.spend(len(text) // CHARACTERS_PER_UNIT * 2)  # outside of ASCII, JSON writes six or twelve for each
    return text
