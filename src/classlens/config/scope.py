"""One file under evaluation: its variables, the dicts that it inherits, and the errors that name its lines.

Upstream, a dict written in a file is a plain dict, and one that came from a base is a richer kind: its keys are
attributes, and `update` and `merge` go into nested dicts. Both kinds keep their own behaviour here.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType

from classlens.config.budget import WIDEST_NUMBER, Budget, LimitExceeded, Symbol, Unsupported, Value
from classlens.errors import ConfigError, suggestion

DELETE = "_delete_"
"""The key by which a dict asks to replace the inherited one instead of being merged into it."""


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

    def __copy__(self) -> "Inherited":
        return Inherited(self)

    copy = __copy__

    def pop(self, key: Value, default: Value = None) -> Value:
        return dict.pop(self, key, default)

    def setdefault(self, key: Value, default: Value = None) -> Value:
        """The value of `key`, which is set to `default` if it is absent."""
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
        merged = merge_values(other, dict(self))
        self.clear()
        for key, value in merged.items():
            self[key] = value


def merge_values(over: Value, under: Value) -> Value:
    """What `Inherited.merge` makes of two values; neither is changed."""
    if not isinstance(over, dict):
        return over
    if not isinstance(under, dict):
        return {key: value for key, value in over.items() if key != DELETE}
    if over.get(DELETE, False):
        under = {}
    both = {key: merge_values(over[key], under[key]) if key in over else under[key] for key in under if key != DELETE}
    added = {key: merge_values(over[key], None) for key in over if key not in under and key != DELETE}
    return both | added


def as_inherited(value: Value) -> Value:
    """`value` as an `Inherited` dict holds it: lists are copied, plain dicts in them become `Inherited`."""
    kind = type(value)
    if kind is dict:
        inherited = Inherited()
        for key, item in value.items():
            dict.__setitem__(inherited, key, as_inherited(item))
        return inherited
    if kind is list:
        return [as_inherited(item) for item in value]
    if kind is tuple:
        return tuple([as_inherited(item) for item in value])
    return value


SCALARS = frozenset((str, bool, float, NoneType))


def copy_value(value: Value, budget: Budget, kind: type[dict[Value, Value]] | None = None, depth: int = 0) -> Value:
    """A copy that shares nothing with `value`; every dict in it becomes a `kind`, or stays what it is.

    Copied to plain dicts, imported names become text: that is what leaves the reader.
    """
    own = type(value)
    if own in SCALARS:
        return value
    if own is dict or own is Inherited:
        below = budget.enter(value, depth)
        items = {
            key: item if type(item) in SCALARS else copy_value(item, budget, kind, below) for key, item in value.items()
        }
        return items if (kind or own) is dict else Inherited(items)
    if own is list or own is tuple:
        below = budget.enter(value, depth)
        return own([item if type(item) in SCALARS else copy_value(item, budget, kind, below) for item in value])
    if own is int and value.bit_length() > WIDEST_NUMBER:
        raise LimitExceeded(f"is a number of more than {WIDEST_NUMBER} bits")
    if own is set:
        budget.spend(len(value))
        return {copy_value(item, budget, kind, depth) for item in value}
    return value.name if own is Symbol and kind is dict else value


TRUST = "--trust-config runs the file as Python; do so only if you trust whoever wrote it"

VARIABLE = "write {{$NAME:default}} for an environment variable, or trust the file with --trust-config"

FAULTS = (
    Unsupported,
    LimitExceeded,
    ArithmeticError,
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    NameError,
    RecursionError,
)
"""What evaluating an expression can raise; MemoryError is not among them because the budget forestalls it."""


@dataclass(frozen=True)
class Scope:
    """One config file under evaluation.

    `names` are its variables; `base` is what `_base_` refers to; `imported` are the names that are no settings;
    `lines` says where each variable was last assigned.
    """

    path: Path
    text: str
    budget: Budget
    base: Inherited | None = None
    names: dict[str, Value] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    lines: dict[str, int] = field(default_factory=dict)


SPELLED = {ast.FunctionDef: "def", ast.AsyncFunctionDef: "async def", ast.ClassDef: "class", ast.NamedExpr: ":="}


def unsupported(node: ast.AST) -> Unsupported:
    return Unsupported(f"{SPELLED.get(type(node), type(node).__name__.lower())} is not read")


def error_at(node: ast.AST, fault: Exception, scope: Scope) -> ConfigError:
    """The error that names the expression at fault and its place, with a hint what to do."""
    where = f"{scope.path}:{getattr(node, 'lineno', 1)}"
    shown = excerpt(node, scope.text)
    match fault:
        case Unsupported():
            return ConfigError(f"{where}: {fault}: `{shown}`", hint=VARIABLE if "env" in str(fault) else TRUST)
        case LimitExceeded():
            return ConfigError(f"{where}: `{shown}` {fault}", hint="write the value down, or make it smaller")
        case RecursionError():
            return ConfigError(f"{where}: `{shown}` is nested too deeply", hint="give parts of it a name of their own")
        case KeyError(args=(key, *_)):
            return ConfigError(f"{where}: no key {key!r}: `{shown}`")
        case NameError():
            return ConfigError(f"{where}: no variable {shown!r}", hint=suggestion(shown, scope.names))
    return ConfigError(f"{where}: {str(fault) or type(fault).__name__}: `{shown}`")


def excerpt(node: ast.AST, text: str, longest: int = 60) -> str:
    """The first line of the source of a node, cut to `longest` characters."""
    lines = re.split(r"\r\n?|\n", text)
    if not isinstance(node, ast.expr | ast.stmt) or node.lineno > len(lines):
        return ""
    first = lines[node.lineno - 1].encode()
    end = node.end_col_offset if node.end_lineno == node.lineno else len(first)
    shown = first[node.col_offset : end].decode(errors="replace")
    cut = len(shown) > longest or node.end_lineno != node.lineno
    return shown[:longest] + ("…" if cut else "")
