"""A child config laid over its base.

Dicts are merged key by key; anything else replaces what was there; a dict that says `_delete_=True` replaces too.
The rule of this file: neither side is changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from classlens.config.budget import Budget
from classlens.config.inherited import DELETE
from classlens.config.value import Value
from classlens.errors import ConfigError


@dataclass(frozen=True)
class Child:
    """The file that is laid over its base: its place, and the lines of its settings."""

    path: Path
    lines: Mapping[str, int]
    budget: Budget

    def place(self, name: str) -> str:
        """Where the file assigned a setting."""
        return f"{self.path}:{self.lines[name]}" if name in self.lines else str(self.path)


def merged(settings: Mapping[str, Value], base: Mapping[str, Value], child: Child) -> dict[str, Value]:
    """The settings of a child laid over those of its base.

    Raises:
        ConfigError: the child has a dict where the base has something else.
        TooMuch: the dicts are too large or too deep.
    """
    result = dict(base)
    for name, value in settings.items():
        result[name] = laid(value, result[name], (name,), child) if name in result else value
    return result


def laid(value: Value, inherited: Value, key: tuple[str, ...], child: Child) -> Value:
    """One value over the inherited one; `key` is the way to it."""
    if not isinstance(value, dict):
        return value
    own = {name: item for name, item in value.items() if name != DELETE} if DELETE in value else value
    if value.get(DELETE, False):
        return own
    if not isinstance(inherited, dict):
        raise ConfigError(
            f"{child.place(key[0])}: {'.'.join(key)} is a dict, but in the base it is {str(inherited)[:40]!r}",
            hint=f"{DELETE}=True in the dict replaces what the base has",
        )
    child.budget.enter(own, len(key))
    result = dict(inherited)
    for name, item in own.items():
        result[name] = laid(item, result[name], (*key, str(name)), child) if name in result else item
    return result
