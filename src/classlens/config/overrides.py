"""`--cfg-options KEY=VALUE ...`: settings of a config, changed from outside.

The rule of this file: values are spelled as upstream spells them: numbers, true/false, None, `a,b`, `[a,b]`, `(a,b)`,
nested, and anything else is text; quotes around a value and all blanks in it are dropped.
"""

import re
from collections.abc import Mapping, Sequence
from contextlib import suppress
from copy import deepcopy

from classlens.config.values import DEEPEST, DELETE, Value
from classlens.errors import ConfigError

OPTION = "--cfg-options"
INDEX = re.compile(r"-?[0-9]{1,9}")

NEAR = 0.75
"""How alike two keys are, of 0 to 1, if one is probably a slip of the other."""


def parse_overrides(words: Sequence[str]) -> dict[str, Value]:
    """Dotted keys and their values, from words such as `a.b=1`, `k=[a,b]`, `k=[(a,b),(c,d)]`; the last one wins.

    Raises:
        ConfigError: a word has no `=`, no key, or brackets that do not match.
    """
    overrides: dict[str, Value] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not all(key.split(".")):
            raise ConfigError(f"{OPTION} {word!r} is not KEY=VALUE", hint="e.g. model.backbone.depth=18")
        overrides.pop(key, None)
        overrides[key] = parse_value(text, word)
    return overrides


def parse_value(text: str, word: str, depth: int = 0) -> Value:
    """One value; `word` is the whole option, for errors."""
    if depth > DEEPEST:
        raise ConfigError(f"{OPTION} {word[:60]!r} is nested too deeply")
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
        raise ConfigError(f"{OPTION} {word[:60]!r}: the brackets do not match")
    else:
        kind = list
    return kind([parse_value(part, word, depth + 1) for part in parts])


def split(text: str, word: str) -> list[str]:
    """The parts between the commas that lie outside all brackets; a comma at the end adds nothing."""
    parts, depth = [""], 0
    for letter in text:
        depth += (letter in "([") - (letter in ")]")
        if letter == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += letter
    if depth:
        raise ConfigError(f"{OPTION} {word[:60]!r}: the brackets do not match")
    return parts if parts[-1] else parts[:-1]


def apply_overrides(config: dict[str, Value], overrides: Mapping[str, Value]) -> dict[str, Value]:
    """The config with the overrides merged into it; the config itself is not changed.

    Numbers in a key choose items of lists, from the end if negative. A dict is merged, or replaces what is there if
    it has `_delete_=True`.

    Raises:
        ConfigError: a key leads into something that has no keys, or to an item that is not there.
    """
    changes: dict[str, Value] = {}
    for key, value in overrides.items():
        *way, last = key.split(".")
        branch = changes
        for part in way:
            branch = branch.setdefault(part, {})
            if not isinstance(branch, dict):
                raise ConfigError(f"{OPTION} {key}: {part} is set to {branch!r} by another option")
        branch[last] = deepcopy(value)
    changed: dict[str, Value] = change_value(config, changes, "")
    return changed


def has_item(items: Sequence[Value], key: str) -> bool:
    return bool(INDEX.fullmatch(key)) and -len(items) <= int(key) < len(items)


def change_value(value: Value, change: Value, where: str) -> Value:
    """`value` with `change` merged into it; `where` is its key in the config."""
    if not isinstance(change, dict):
        return change
    settings = {key: item for key, item in change.items() if key != DELETE}
    if change.get(DELETE, False):
        return settings
    if isinstance(value, dict):
        return value | {
            key: change_value(value[key], item, f"{where}.{key}") if key in value else item
            for key, item in settings.items()
        }
    if not isinstance(value, list | tuple):
        raise ConfigError(
            f"{OPTION} {where[1:]}.{next(iter(settings), '')}: {where[1:]} is {value!r}, which has no keys"[:200],
            hint=f"{where[1:]}=VALUE replaces it",
        )
    items = list(value)
    for key, item in settings.items():
        if not has_item(items, key):
            raise ConfigError(
                f"{OPTION} {where[1:]}.{key}: {where[1:]} is a list of {len(items)}",
                hint=f"its items are 0 to {len(items) - 1}, or -{len(items)} to -1" if items else "it has no items",
            )
        items[int(key)] = change_value(items[int(key)], item, f"{where}.{key}")
    return type(value)(items)


def misspelled(config: Mapping[str, Value], overrides: Mapping[str, Value]) -> list[str]:
    """Hints about overrides that create a key which nearly equals one that `config`, without them, has."""
    from difflib import get_close_matches  # a command without overrides starts faster without it

    hints = []
    for key in overrides:
        value: Value = config
        for part in key.split("."):
            if isinstance(value, list | tuple) and has_item(value, part):
                value = value[int(part)]
            elif isinstance(value, Mapping) and part in value:
                value = value[part]
            else:
                known = [str(name) for name in value] if isinstance(value, Mapping) else []
                if near := get_close_matches(part, known, n=1, cutoff=NEAR):
                    hints.append(f"{key} creates {part}; did you mean {near[0]}?")
                break
    return hints
