"""`--cfg-options KEY=VALUE ...`: settings of a config, changed from outside.

The rule of this file: values are spelled as upstream spells them: numbers, true/false, None, `a,b`, `[a,b]`, `(a,b)`,
nested, and anything else is text; quotes around a value and all blanks in it are dropped.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy

from classlens.config.values import DEEPEST, DELETE, Value
from classlens.errors import ConfigError, near_names, short_repr

OPTION = "--cfg-options"
LONGEST_WORD = 50_000  # characters of KEY=VALUE


def parse_overrides(words: Sequence[str]) -> dict[str, Value]:
    """Dotted keys and their values, from words such as `a.b=1`, `k=[a,b]`, `k=[(a,b),(c,d)]`; the last one wins.

    Raises:
        ConfigError: a word has no `=`, no key, or brackets that do not match.
    """
    overrides: dict[str, Value] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"{OPTION} {short_repr(word)} is not KEY=VALUE", hint="e.g. model.backbone.depth=18")
        if key.count(".") >= DEEPEST or len(word) > LONGEST_WORD:
            limits = f"at most {DEEPEST} keys deep and {LONGEST_WORD:,} characters long"
            raise ConfigError(f"{OPTION} {short_repr(word, 60)} is too much: a setting is {limits}")
        overrides.pop(key, None)
        overrides[key] = parse_value(text, word)
    return overrides


def parse_value(text: str, word: str, depth: int = 0) -> Value:
    """One value; `word` is the whole option, for errors."""
    if depth > DEEPEST:
        raise ConfigError(f"{OPTION} {short_repr(word, 60)} is nested too deeply")
    text = text.strip("'\"").replace(" ", "")
    kind = {"()": tuple, "[]": list}.get(text[:1] + text[-1:])
    if not kind and "," not in text:
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
        return {"true": True, "false": False}.get(text.lower(), None if text == "None" else text)
    parts = split(text, word)
    if kind and len(parts) == 1:
        parts = split(text[1:-1], word)
    elif parts == [text]:
        raise ConfigError(f"{OPTION} {short_repr(word, 60)}: the brackets do not match")
    else:
        kind = list
    return kind([parse_value(part, word, depth + 1) for part in parts])


def split(text: str, word: str) -> list[str]:
    """The parts between the commas that lie outside all brackets; a comma at the end adds nothing."""
    parts, depth, start = [], 0, 0
    for sign in re.finditer(r"[(\[,)\]]", text):
        depth += (sign[0] in "([") - (sign[0] in ")]")
        if sign[0] == "," and depth == 0:
            parts.append(text[start : sign.start()])
            start = sign.end()
    parts.append(text[start:])
    if depth:
        raise ConfigError(f"{OPTION} {short_repr(word, 60)}: the brackets do not match")
    return parts if parts[-1] else parts[:-1]


def apply_overrides(config: Value, overrides: Mapping[str, Value]) -> Value:
    """The config with the overrides merged into it; the config itself is not changed.

    Numbers in a key choose items of lists, from the end if negative. A dict is merged, or replaces what is there if
    it has `_delete_=True`.
    """
    for key in sorted(overrides, key=lambda key: not key.endswith(f".{DELETE}")):
        config = change(config, key.split("."), deepcopy(overrides[key]), key)
    return config


def change(value: Value, way: Sequence[str], new: Value, key: str) -> Value:
    """`value` with `new` in the place to which `way` leads, which is the end of `key`."""
    if not way and not isinstance(new, dict):
        return new
    if not way:
        for name in sorted(new, key=lambda name: name != DELETE):
            value = change(value, [name], new[name], f"{key}.{name}")
        return value
    part, *rest = way
    if part == DELETE and not rest:
        return {} if new else value
    if isinstance(value, dict):
        return value | {part: change(value.get(part, {}), rest, new, key)}
    where = key.removesuffix("." + ".".join(way))
    if not isinstance(value, list | tuple):
        complaint = f"{OPTION} {where}.{part}: {where} is {short_repr(value)}, which has no keys"
        raise ConfigError(complaint, hint=f"{where}=VALUE replaces it")
    if not has_item(value, part):
        last = f"0 to {len(value) - 1}, or -{len(value)} to -1" if value else "none, it is empty"
        complaint = f"{OPTION} {where}.{part}: {where} is a list of {len(value)}"
        raise ConfigError(complaint, hint=f"its items are {last}")
    items = list(value)
    items[int(part)] = change(items[int(part)], rest, new, key)
    return type(value)(items)


def has_item(items: Sequence[Value], key: str) -> bool:
    return re.fullmatch("-?[0-9]{1,9}", key) is not None and -len(items) <= int(key) < len(items)


def misspelled(config: Mapping[str, Value], overrides: Mapping[str, Value]) -> list[str]:
    """Hints about overrides that create a key which nearly equals one that `config`, without them, has."""
    hints = []
    for key in overrides:
        value: Value = config
        for part in key.split("."):
            if isinstance(value, list | tuple) and has_item(value, part):
                value = value[int(part)]
            elif isinstance(value, Mapping) and part in value:
                value = value[part]
            else:
                known = value if isinstance(value, Mapping) else ()
                if near := near_names(part, known, most=1, alike=0.75):
                    hints.append(f"{key} creates {part}; did you mean {near[0]}?")
                break
    return hints
