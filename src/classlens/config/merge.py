"""A child config laid over its base.

Dicts are merged key by key; anything else replaces what was there; a dict that says `_delete_=True` replaces too.
The rule of this file: neither side is changed.
"""

from classlens.config.inherited import DELETE
from classlens.config.value import Value
from classlens.errors import ConfigError


def merged(child: dict[str, Value], base: dict[str, Value], *, where: str = "") -> dict[str, Value]:
    """`child` laid over `base`; `where` is the key under which they lie, for errors.

    Raises:
        ConfigError: the child has a dict where the base has something else.
    """
    result = dict(base)
    for key, value in child.items():
        inherited = result.get(key)
        if not isinstance(value, dict) or key not in result:
            result[key] = value
        elif value.get(DELETE, False):
            result[key] = {own: item for own, item in value.items() if own != DELETE}
        elif isinstance(inherited, dict):
            over = {own: item for own, item in value.items() if own != DELETE} if DELETE in value else value
            result[key] = merged(over, inherited, where=f"{where}{key}.")
        else:
            raise ConfigError(
                f"{where}{key} is a dict, but the base has {type(inherited).__name__} {str(inherited)[:40]!r} there",
                hint=f"{DELETE}=True in the dict replaces what the base has",
            )
    return result
