"""Settings: one `dict(type=..., ...)` of a config, and what is read from it."""

from collections.abc import Mapping
from typing import Any

from classlens.errors import ConfigError, suggestion

Settings = Mapping[str, Any]
"""A `dict(type=..., ...)` of a config, read only."""


def text(settings: Settings, key: str, where: str) -> str:
    """A setting that is a text, empty where it is not given.

    Raises:
        ConfigError: it is something else.
    """
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is a text, not {value!r}")
    return value


def split_of(settings: Settings, where: str, *known: str) -> str:
    """The split, by default the first of those that the dataset has.

    Raises:
        ConfigError: it has no such split.
    """
    split = settings.get("split", known[0])
    if split not in known:
        kind = settings["type"]
        raise ConfigError(f"{where}: {kind} has no split {split!r}", hint=suggestion(str(split), known))
    return str(split)
