"""What a config can hold.

Numbers, texts, None, lists, tuples, sets, ranges and dicts of these, and names of imported things. The rule of this
file: a name that a config imports stays a name.
"""

from collections.abc import Sized
from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A value of a config. Python's types cannot say more: the reader finds out as it goes."""


class Symbol:
    """An imported name, never imported: `from mmpretrain.models import ResNet` is `mmpretrain.models.ResNet`."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __getattr__(self, part: str) -> "Symbol":
        # Only code that is run as Python gets here (`nn.ReLU` in a trusted config); the evaluator looks at `name`.
        if part.startswith("__") or part == "name":
            raise AttributeError(part)
        return Symbol(f"{self.name}.{part}")

    def __repr__(self) -> str:
        return self.name


ALLOWANCE = 1_000_000
"""Units of work for one config with all its bases; the largest upstream config needs about 60,000."""

EXHAUSTED = f"needs more than {ALLOWANCE:,} steps, characters or items"

DEEPEST = 64
"""How many lists and dicts may lie inside one another; upstream configs reach 14."""

WIDEST_NUMBER = 4096
"""Bits of the largest whole number."""

WIDEST_KEY = 60
"""Bits of the largest whole number as a key: beyond, Python gives many numbers the same hash."""

COMPOUND_KEY = 5000
"""What a tuple costs as a key: tuples with the same hash can be made at will, and are compared one by one."""


class Unsupported(Exception):
    """Something that the safe subset of Python leaves out; `--trust-config` would run it."""


class LimitExceeded(Exception):
    """A value or a computation beyond the bounds above."""


@dataclass(slots=True)
class Budget:
    """What is left to spend; the one object here that changes, because all parts of one reading share it."""

    left: int = ALLOWANCE

    def spend(self, units: int) -> None:
        """Pay before the work is done.

        Raises:
            LimitExceeded: not so much is left.
        """
        self.left -= units
        if self.left < 0:
            raise LimitExceeded(EXHAUSTED)

    def enter(self, items: Sized, depth: int) -> int:
        """Pay for the items of a collection that lies at `depth`; the depth at which they lie."""
        if depth >= DEEPEST:
            raise LimitExceeded(f"is nested more than {DEEPEST} levels deep, or contains itself")
        self.left -= len(items)
        if self.left < 0:
            raise LimitExceeded(EXHAUSTED)
        return depth + 1

    def key(self, value: Value) -> None:
        """Pay for using a value as a key of a dict or a member of a set."""
        kind = type(value)
        if kind is int:
            if value.bit_length() > WIDEST_KEY:
                raise LimitExceeded(f"has a key of more than {WIDEST_KEY} bits")
        elif kind not in (str, bytes, float, bool, NoneType):
            self.walk(value)
            self.spend(COMPOUND_KEY)

    def walk(self, value: Value, depth: int = 0) -> None:
        """Pay for looking at every part of `value`, as comparing, hashing, printing or copying it does.

        A part that is shared is paid for each time it is reached: `a = [a, a]`, repeated, grows without using memory.

        Raises:
            LimitExceeded: the value is too large, too deep, or contains itself.
        """
        kind = type(value)
        if kind in (str, bytes, range):
            self.spend(len(value))
        elif kind in (list, tuple, set, frozenset):
            below = self.enter(value, depth)
            for item in value:
                self.walk(item, below)
        elif isinstance(value, dict):
            below = self.enter(value, depth)
            for key, item in value.items():
                self.walk(key, below)
                self.walk(item, below)
