"""What a config can hold.

Numbers, texts, None, lists, tuples, sets, ranges and dicts of these, and names of imported things. The rule of this
file: a name that a config imports stays a name.
"""

from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A value of a config. Python's types cannot say more: the reader finds out as it goes."""


class Symbol:
    """An imported name, never imported: `from mmpretrain.models import ResNet` is `mmpretrain.models.ResNet`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __repr__(self) -> str:
        return self.name
