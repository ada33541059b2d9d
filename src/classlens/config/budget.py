"""How much work one config may ask for, so that no file can hang the reader or fill the memory.

Everything is paid from one purse: a step of the evaluator costs 1, and so does every character and every item that
is read, copied or made. The rule of this folder: pay first, then make. What is made is therefore never larger than
what is left, and no loop runs longer.
"""

from collections.abc import Sized
from types import NoneType

from classlens.config.value import Value

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


class Refused(Exception):
    """Something that the safe subset of Python leaves out; `--trust-config` would run it."""


class TooMuch(Exception):
    """A value or a computation beyond the bounds above."""


class Budget:
    """The purse. The one object here that changes: it is what all parts of one reading have in common."""

    __slots__ = ("left",)

    def __init__(self, allowance: int = ALLOWANCE) -> None:
        self.left = allowance

    def spend(self, units: int) -> None:
        """Pay before the work is done.

        Raises:
            TooMuch: not so much is left.
        """
        self.left -= units
        if self.left < 0:
            raise TooMuch(EXHAUSTED)

    def enter(self, items: Sized, depth: int) -> int:
        """Pay for the items of a collection that lies at `depth`; the depth at which they lie.

        Raises:
            TooMuch: there are too many, or they lie too deep.
        """
        if depth >= DEEPEST:
            raise TooMuch(f"is nested more than {DEEPEST} levels deep, or contains itself")
        self.left -= len(items)
        if self.left < 0:
            raise TooMuch(EXHAUSTED)
        return depth + 1

    def key(self, value: Value) -> None:
        """Pay for using a value as a key of a dict or a member of a set.

        Raises:
            TooMuch: it is a very large number, or there are very many tuples.
        """
        kind = type(value)
        if kind is int:
            if value.bit_length() > WIDEST_KEY:
                raise TooMuch(f"has a key of more than {WIDEST_KEY} bits")
        elif kind not in (str, bytes, float, bool, NoneType):
            self.walk(value)
            self.spend(COMPOUND_KEY)

    def walk(self, value: Value, depth: int = 0) -> None:
        """Pay for looking at every part of `value`, as comparing, hashing, printing or copying it does.

        A part that is shared is paid for each time it is reached: `a = [a, a]`, repeated, grows without using memory.

        Raises:
            TooMuch: the value is too large, too deep, or contains itself.
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
