"""Values that came from a base file, as the inheriting file sees them, and the way back to plain values.

Upstream, a dict written in a file is a plain dict, and one that came from a base is a richer kind: its keys are
attributes, and `update` and `merge` go into nested dicts. Both kinds keep their own behaviour here.
"""

from types import NoneType

from classlens.config.budget import WIDEST_NUMBER, Budget, TooMuch
from classlens.config.value import Symbol, Value

DELETE = "_delete_"
"""The key by which a dict asks to replace the inherited one instead of being laid over it."""


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
        dict.__setitem__(self, key, rebuilt(value))

    def __copy__(self) -> "Inherited":
        return Inherited(self)

    copy = __copy__

    def pop(self, key: Value, default: Value = None) -> Value:
        """Take a key out; one that is absent is no error."""
        return dict.pop(self, key, default)

    def setdefault(self, key: Value, default: Value = None) -> Value:
        """The value of `key`, which is set to `default` if it is absent."""
        if key not in self:
            self[key] = default
        return self[key]

    def update(self, *others: Value, **settings: Value) -> None:
        """Lay the others over this one, going into dicts that both have."""
        for key, value in dict(*others, **settings).items():
            mine = self.get(key)
            if isinstance(mine, Inherited) and isinstance(value, dict):
                mine.update(value)
            else:
                self[key] = value

    def merge(self, other: dict[Value, Value]) -> None:
        """Lay `other` over this one as a child config lies over its base, `_delete_` included."""
        merged = combined(other, dict(self))
        self.clear()
        for key, value in merged.items():
            self[key] = value


def combined(over: Value, under: Value) -> Value:
    """What `Inherited.merge` makes of two values; neither is changed."""
    if not isinstance(over, dict):
        return over
    if not isinstance(under, dict):
        return {key: value for key, value in over.items() if key != DELETE}
    if over.get(DELETE, False):
        under = {}
    both = {key: combined(over[key], under[key]) if key in over else under[key] for key in under if key != DELETE}
    added = {key: combined(over[key], None) for key in over if key not in under and key != DELETE}
    return both | added


def rebuilt(value: Value) -> Value:
    """`value` as an `Inherited` dict holds it: lists are copied, plain dicts in them become `Inherited`."""
    kind = type(value)
    if kind is dict:
        inherited = Inherited()
        for key, item in value.items():
            dict.__setitem__(inherited, key, rebuilt(item))
        return inherited
    if kind is list:
        return [rebuilt(item) for item in value]
    if kind is tuple:
        return tuple([rebuilt(item) for item in value])
    return value


SCALARS = frozenset((str, bool, float, NoneType))


def copied(value: Value, budget: Budget, kind: type[dict[Value, Value]] | None = None, depth: int = 0) -> Value:
    """A copy that shares nothing with `value`; every dict in it becomes a `kind`, or stays what it is.

    Copied to plain dicts, imported names become text: that is what leaves the reader.

    Raises:
        TooMuch: the value is too large, too deep, or contains itself.
    """
    own = type(value)
    if own in SCALARS:
        return value
    if own is dict or own is Inherited:
        below = budget.enter(value, depth)
        items = {
            key: item if type(item) in SCALARS else copied(item, budget, kind, below) for key, item in value.items()
        }
        return items if (kind or own) is dict else Inherited(items)
    if own is list or own is tuple:
        below = budget.enter(value, depth)
        return own([item if type(item) in SCALARS else copied(item, budget, kind, below) for item in value])
    if own is int and value.bit_length() > WIDEST_NUMBER:
        raise TooMuch(f"is a number of more than {WIDEST_NUMBER} bits")
    if own is set:
        budget.spend(len(value))
        return {copied(item, budget, kind, depth) for item in value}
    return value.name if own is Symbol and kind is dict else value
