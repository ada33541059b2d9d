"""A child config laid over its base.

Dicts are merged key by key; anything else replaces what was there; a dict that says `_delete_=True` replaces too.
The rule of this file: neither side is changed.
"""

from collections.abc import Mapping
from pathlib import Path

from classlens.config.inherited import DELETE
from classlens.config.value import Value
from classlens.errors import ConfigError


def merged(
    child: Mapping[str, Value], base: Mapping[str, Value], path: Path, lines: Mapping[str, int]
) -> dict[str, Value]:
    """The settings of `child`, which were assigned at `lines` of the file at `path`, laid over those of `base`.

    Raises:
        ConfigError: the child has a dict where the base has something else.
    """
    result = dict(base)
    for name, value in child.items():
        place = f"{path}:{lines[name]}" if name in lines else str(path)
        result[name] = laid(value, result[name], name, place) if name in result else value
    return result


def laid(value: Value, inherited: Value, key: str, place: str) -> Value:
    """One value over the inherited one; `key` and `place` are named in errors.

    Raises:
        ConfigError: it is a dict, and the inherited one is not.
    """
    if not isinstance(value, dict):
        return value
    own = {name: item for name, item in value.items() if name != DELETE} if DELETE in value else value
    if value.get(DELETE, False):
        return own
    if not isinstance(inherited, dict):
        raise ConfigError(
            f"{place}: {key} is a dict, but in the base it is {str(inherited)[:40]!r}",
            hint=f"{DELETE}=True in the dict replaces what the base has",
        )
    result = dict(inherited)
    for name, item in own.items():
        result[name] = laid(item, result[name], f"{key}.{name}", place) if name in result else item
    return result
