"""What a config can hold, what work on it costs, and how it is copied.

Numbers, texts, None, lists, tuples, sets, ranges and dicts of these, and names of imported things. The rules of this
file: a name that a config imports stays a name; work is paid for before it is done.

Upstream, a dict written in a file is a plain dict, and one that came from a base is a richer kind: its keys are
attributes, and `update` and `merge` go into nested dicts. Both kinds keep their own behaviour here.
"""

from dataclasses import dataclass
from types import NoneType
from typing import Any, TypeAlias

Value: TypeAlias = Any
"""A value of a config. Python's types cannot say more: the reader finds out as it goes."""

DELETE = "_delete_"  # the key by which a dict asks to replace the inherited one instead of being merged into it


@dataclass(frozen=True, slots=True, eq=False)
class Symbol:
    """An imported name, never imported: `from mmpretrain.models import ResNet` is `mmpretrain.models.ResNet`."""

    name: str

    def __getattr__(self, part: str) -> "Symbol":
        # Only code that is run as Python gets here (`nn.ReLU` in a trusted config); the evaluator looks at `name`.
        if part.startswith("__") or part == "name":
            raise AttributeError(part)
        return Symbol(f"{self.name}.{part}")

    def __repr__(self) -> str:
        return self.name


class Inherited(dict[Value, Value]):
    """A dict from a base file. A class with methods because trusted configs call them as Python."""

    def __getattr__(self, name: str) -> Value:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no key {name!r}") from None

    def __setattr__(self, name: str, value: Value) -> None:
        self[name] = value

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __setitem__(self, key: Value, value: Value) -> None:
        dict.__setitem__(self, key, as_inherited(value))

    def copy(self) -> "Inherited":
        return Inherited(self)

    def pop(self, key: Value, default: Value = None) -> Value:
        return dict.pop(self, key, default)

    def setdefault(self, key: Value, default: Value = None) -> Value:
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Value, **settings: Value) -> None:
        """Merge the others into this one, going into dicts that both have."""
        for key, value in dict(*others, **settings).items():
            mine = self.get(key)
            if isinstance(mine, Inherited) and isinstance(value, dict):
                mine.update(value)
            else:
                self[key] = value

    def merge(self, other: dict[Value, Value]) -> None:
        """Merge `other` into this one as a child config is merged over its base, `_delete_` included."""
        merged = as_inherited(merge_values(other, dict(self)))
        self.clear()
        dict.update(self, merged)


def merge_values(over: Value, under: Value) -> Value:
    """What `Inherited.merge` makes of two values; neither is changed."""
    if not isinstance(over, dict):
        return over
    if not isinstance(under, dict):
        return {key: value for key, value in over.items() if key != DELETE}
    if over.get(DELETE, False):
        under = {}
    return {
        key: merge_values(over[key], under.get(key)) if key in over else under[key]
        for key in under | over
        if key != DELETE
    }


def as_inherited(value: Value) -> Value:
    """`value` as an `Inherited` dict holds it: lists are copied, plain dicts in them become `Inherited`."""
    kind = type(value)
    if kind is dict:
        return Inherited({key: as_inherited(item) for key, item in value.items()})
    if kind is list or kind is tuple:
        return kind([as_inherited(item) for item in value])
    return value


ALLOWANCE = 1_000_000  # units of work for one config with all its bases; the largest upstream config needs about 40,000
DEEPEST = 64  # how many lists and dicts may lie inside one another; upstream configs reach 14
WIDEST_NUMBER = 4096  # bits of the largest whole number
BITS_PER_UNIT = 64  # of a whole number: its digits are paid for wherever it is made, looked at or copied
CHARACTERS_PER_UNIT = 8  # of a text that is copied: it is shared, but whoever prints the copies writes it each time
CONTAINER = 2  # what a list, set or dict costs besides its items: an empty one takes memory too
WIDEST_KEY = 60  # bits of the largest whole number as a key: beyond, Python gives many numbers the same hash
COMPOUND_KEY = 5000
"""What a tuple costs as a key: tuples with the same hash can be made at will, and are compared one by one."""


class Unsupported(RuntimeError):
    """Something that the safe subset of Python leaves out; `--trust-config` would run it."""


class LimitExceeded(RuntimeError):
    """A value or a computation beyond the bounds above."""


@dataclass(slots=True)
class Budget:
    """What is left to spend; the one object here that changes, because all parts of one reading share it."""

    left: int = ALLOWANCE

    def spend(self, units: int, depth: int = 0) -> None:
        """Pay for what lies inside `depth` lists and dicts."""
        self.left -= units
        if self.left < 0:
            raise LimitExceeded(f"needs more than {ALLOWANCE:,} steps, characters or items")
        if depth >= DEEPEST:
            raise LimitExceeded(f"is nested more than {DEEPEST} levels deep, or contains itself")

    def spend_on_number(self, value: int) -> None:
        bits = value.bit_length()
        if bits > WIDEST_NUMBER:
            raise LimitExceeded(f"is a number of more than {WIDEST_NUMBER} bits")
        self.spend(bits // BITS_PER_UNIT)

    def spend_on_key(self, value: Value) -> None:
        """Pay for using a value as a key of a dict or a member of a set."""
        kind = type(value)
        if kind is int:
            if value.bit_length() > WIDEST_KEY:
                raise LimitExceeded(f"has a key of more than {WIDEST_KEY} bits")
        elif kind not in (str, bytes, float, bool, NoneType):
            self.spend(COMPOUND_KEY)
            self.walk(value)

    def walk(self, value: Value, depth: int = 0) -> None:
        """Pay for looking at every part of `value`, as comparing, hashing, printing or copying it does.

        A part that is shared is paid for each time it is reached: `a = [a, a]`, repeated, grows without using memory.
        """
        kind = type(value)
        if kind in (str, bytes, range):
            self.spend(len(value))
        elif kind is Symbol:
            self.spend(len(value.name))
        elif kind is int:
            self.spend_on_number(value)
        elif isinstance(value, list | tuple | set | dict):
            self.spend(len(value) + CONTAINER, depth)
            for item in value:
                self.walk(item, depth + 1)
                if isinstance(value, dict):
                    self.walk(value[item], depth + 1)


SCALARS = frozenset((bool, float, NoneType))
LONG = 100  # characters above which a text in a copy is paid for
WORD = 1 << BITS_PER_UNIT  # whole numbers below it cost nothing


def copy_value(value: Value, budget: Budget, kind: type[dict[Value, Value]] | None = None, depth: int = 0) -> Value:
    """A copy that shares nothing with `value`; every dict in it becomes a `kind`, or stays what it is.

    Copied to plain dicts, imported names become text: that is what leaves the reader.
    """
    own = type(value)
    if own is dict or own is Inherited:
        budget.spend(len(value) + CONTAINER, depth)
        items = {
            key: item
            if ((its := type(item)) is str and len(item) < LONG)
            or (its is int and -WORD < item < WORD)
            or its in SCALARS
            else copy_value(item, budget, kind, depth + 1)
            for key, item in value.items()
        }
        return items if (kind or own) is dict else Inherited(items)
    if own in (list, tuple, set):
        budget.spend(len(value) + CONTAINER, depth)
        return own(
            [
                item
                if ((its := type(item)) is str and len(item) < LONG)
                or (its is int and -WORD < item < WORD)
                or its in SCALARS
                else copy_value(item, budget, kind, depth + 1)
                for item in value
            ]
        )
    if own is int:
        budget.spend_on_number(value)
    elif own is str or own is bytes or own is range:
        budget.spend(len(value) // (1 if own is range else CHARACTERS_PER_UNIT))
    elif own is Symbol:
        budget.spend(len(value.name) // CHARACTERS_PER_UNIT)
    return value.name if own is Symbol and kind is dict else value
