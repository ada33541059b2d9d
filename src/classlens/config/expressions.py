"""The expressions that configs are written in: what each kind means, and the errors that name the line at fault.

The rule of this file: `EXPRESSIONS` lists every kind of expression there is; any other is refused. Nothing here calls
what a config names: calls go through the tables of `functions.py`.
"""

import ast
import operator
import re
from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass, field, replace
from pathlib import Path
from string import Formatter
from typing import Literal

from classlens.config.functions import CONSTANTS, FUNCTIONS, call_method, compute, list_items, make_set, pay_for_field
from classlens.config.settings import Assignment
from classlens.config.values import Budget, Inherited, LimitExceeded, Symbol, Unsupported, Value, copy_value
from classlens.errors import ConfigError, short_repr, suggestion

BASE = "_base_"

Style = Literal["older", "newer", "either"]
"""How a config inherits: by `_base_`, as JSON and YAML do, or by imports; without bases and types it may be either."""

Stamp = tuple[int, int, int]
"""A file as it was when it was read: its time of change in nanoseconds, its size and its inode."""


@dataclass(frozen=True)
class Scope:
    """One config file: its variables while it is evaluated, and what it means to those that inherit from it.

    `chain` are the files that are open, outermost first, this one last. `names` are its variables, `imported` those
    that are no settings, and `lines` says where each was assigned last. `assignments` go from the first base to the
    file itself, `notes` are the deprecations in all of them. `stamps` has a None for a file that must not be kept: what
    it says depends on the environment.
    """

    path: Path
    text: str
    budget: Budget
    trust: bool
    chain: tuple[Path, ...]
    names: dict[str, Value]
    style: Style = "older"
    settings: dict[str, Value] = field(default_factory=dict)
    imported: set[str] = field(default_factory=set)
    lines: dict[str, int] = field(default_factory=dict)
    assignments: list[Assignment] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stamps: dict[Path, Stamp | None] = field(default_factory=dict)


FAULTS = (RuntimeError, ArithmeticError, LookupError, TypeError, ValueError, AttributeError, NameError)
"""What evaluating an expression can raise; MemoryError is not among them because the budget forestalls it."""

TRUST = "--trust-config runs the file as Python; do so only if you trust whoever wrote it"
VARIABLE = "write {{$NAME:default}} for an environment variable, or trust the file with --trust-config"
SPELLED = {ast.FunctionDef: "def", ast.AsyncFunctionDef: "async def", ast.ClassDef: "class", ast.NamedExpr: ":="}


def unsupported(node: ast.expr | ast.stmt) -> Unsupported:
    return Unsupported(f"{SPELLED.get(type(node), type(node).__name__.lower())} is not read")


def error_at(node: ast.expr | ast.stmt, fault: Exception, scope: Scope) -> ConfigError:
    """The error that names the expression at fault and its place, with a hint what to do."""
    lines = re.split(r"\r\n?|\n", scope.text)[node.lineno - 1 : node.end_lineno] or [""]
    lines[-1] = lines[-1].encode()[: node.end_col_offset].decode(errors="replace")
    first = lines[0].encode()[node.col_offset :].decode(errors="replace")
    shown = first[:60] + ("…" if len(first) > 60 or len(lines) > 1 else "")
    where = f"{scope.path}:{node.lineno}"
    match fault:
        case Unsupported():
            return ConfigError(f"{where}: {fault}: `{shown}`", hint=VARIABLE if "env" in str(fault) else TRUST)
        case LimitExceeded():
            return ConfigError(f"{where}: `{shown}` {fault}", hint="write the value down, or make it smaller")
        case RecursionError():
            return ConfigError(f"{where}: `{shown}` is nested too deeply", hint="give parts of it a name of their own")
        case KeyError(args=(key, *_)):
            return ConfigError(f"{where}: no key {short_repr(key)}: `{shown}`")
        case NameError():
            known = [name for name in scope.names if not name.startswith("__")]
            return ConfigError(f"{where}: no variable {shown!r}", hint=suggestion(shown, known))
    return ConfigError(f"{where}: {str(fault) or type(fault).__name__}: `{shown}`")


def evaluate(node: ast.expr, scope: Scope) -> Value:
    """The value of an expression; each costs one unit, and as many as it has items or characters if it is made here."""
    if type(node) is ast.Constant:
        scope.budget.left -= 1
        return node.value
    try:
        scope.budget.spend(1)
        if type(node) is ast.Name:  # here, not in the table: most expressions are names
            if node.id in scope.names:
                return scope.names[node.id]
            raise Unsupported("a function as a value is not read") if node.id in FUNCTIONS else NameError(node.id)
        if type(node) not in EXPRESSIONS:
            raise unsupported(node)
        value = EXPRESSIONS[type(node)](node, scope)
        if isinstance(value, Sized):
            scope.budget.spend(len(value))
        elif type(value) is int:
            scope.budget.spend_on_number(value)
        return value
    except FAULTS as fault:
        raise error_at(node, fault, scope) from None


def elements(nodes: Sequence[ast.expr], scope: Scope) -> list[Value]:
    """The items of a list, of a tuple or of a call; `*items` are put in place."""
    values = []
    for node in nodes:
        if type(node) is ast.Starred:
            values.extend(list_items(evaluate(node.value, scope), scope.budget))
        else:
            values.append(evaluate(node, scope))
    return values


def set_display(node: ast.Set, scope: Scope) -> Value:
    """A set; but `{{_base_.a.b}}`, which Python sees as a set of a set, is a copy of the inherited value."""
    if (reference := base_reference(node)) is not None:
        return copy_value(evaluate(reference, scope), scope.budget)
    return make_set(scope.budget, elements(node.elts, scope))


def base_reference(node: ast.Set) -> ast.expr | None:
    """The expression `_base_.a.b` in `{{_base_.a.b}}`; None for any other set."""
    match node:
        case ast.Set(elts=[ast.Set(elts=[inner])]):
            root = inner
            while isinstance(root, ast.Attribute | ast.Subscript):
                root = root.value
            return inner if isinstance(root, ast.Name) and root.id == BASE else None
    return None


def dict_display(node: ast.Dict, scope: Scope) -> dict[Value, Value]:
    """`{key: value, **other}`."""
    result = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = evaluate(value_node, scope)
        if key_node is None:
            if not isinstance(value, dict):  # `update` would take pairs, whose keys nobody has paid for
                raise TypeError(f"** is followed by a {type(value).__name__}")
            scope.budget.spend(len(value))
            result.update(value)
        else:
            result[position(key_node, scope)] = value
    return result


def attribute(node: ast.Attribute, scope: Scope) -> Value:
    """A key of an inherited dict, or a part of an imported name."""
    value = evaluate(node.value, scope)
    if type(value) is Symbol:
        full = f"{value.name}.{node.attr}"
        scope.budget.spend(len(full))
        return CONSTANTS.get(full, Symbol(full))
    if type(value) is Inherited:
        return value[node.attr]
    if type(value) is dict:
        raise AttributeError(f"only inherited dicts have attributes, write [{node.attr!r}]")
    raise Unsupported(f"an attribute of a {type(value).__name__} is not read")


def subscript(node: ast.Subscript, scope: Scope) -> Value:
    value = evaluate(node.value, scope)
    if type(value) is Symbol:
        raise Unsupported(f"an item of {value.name} is not read")
    return value[position(node.slice, scope)]


def position(node: ast.expr, scope: Scope) -> Value:
    """The key, the index or the slice in the brackets."""
    if isinstance(node, ast.Slice):
        return slice(*(part and evaluate(part, scope) for part in (node.lower, node.upper, node.step)))
    key = evaluate(node, scope)
    scope.budget.spend_on_key(key)
    return key


def call(node: ast.Call, scope: Scope) -> Value:
    """A call of a known function, or of a known method of a value."""
    callee, owner = node.func, None
    if isinstance(callee, ast.Attribute):
        owner = evaluate(callee.value, scope)
        name = f"{owner.name}.{callee.attr}" if type(owner) is Symbol else callee.attr
    elif isinstance(callee, ast.Name) and isinstance(value := scope.names.get(callee.id, callee), ast.Name | Symbol):
        # An imported function goes by its full name; what is no variable is one of Python's own functions.
        name = value.name if isinstance(value, Symbol) else callee.id
    else:
        raise Unsupported("a call of a value is not read")
    is_method = isinstance(callee, ast.Attribute) and type(owner) is not Symbol
    if not is_method and name not in FUNCTIONS:
        raise Unsupported(f"a call of {name}() is not read")
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(keyword.value, scope)
        if keyword.arg is not None:
            keywords[keyword.arg] = value
            continue
        if twice := keywords.keys() & value.keys():
            raise TypeError(f"{min(twice)} is given twice")
        keywords.update(value)
    if name == "dict" and not is_method and not node.args:  # nearly every call in a config
        return keywords
    arguments = elements(node.args, scope)
    if is_method:
        return call_method(owner, name, arguments, keywords, scope.budget)
    return FUNCTIONS[name](scope.budget, *arguments, **keywords)


def boolean(node: ast.BoolOp, scope: Scope) -> Value:
    """`and`, `or`: the value that decides."""
    value = None
    for part in node.values:
        value = evaluate(part, scope)
        if bool(value) is isinstance(node.op, ast.Or):
            break
    return value


def comparison(node: ast.Compare, scope: Scope) -> Value:
    """A chain such as `0 < x <= 1`."""
    left = evaluate(node.left, scope)
    for operation, part in zip(node.ops, node.comparators, strict=True):
        right = evaluate(part, scope)
        scope.budget.walk([left, right])
        if not COMPARISONS[type(operation)](left, right):
            return False
        left = right
    return True


def text_field(node: ast.FormattedValue, scope: Scope) -> str:
    value = evaluate(node.value, scope)
    form = str(evaluate(node.format_spec, scope)) if node.format_spec else ""
    pay_for_field(form, value, scope.budget)
    return format(Formatter().convert_field(value, chr(node.conversion) if node.conversion > 0 else None), form)


def comprehension(node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> list[Value]:
    return [evaluate(node.elt, inside) for inside in rounds(node.generators, scope)]


def rounds(loops: Sequence[ast.comprehension], outer: Scope) -> Iterator[Scope]:
    """The scope of every round of a comprehension: once for each combination of items that passes the conditions."""
    outer.budget.spend(len(outer.names))
    scope = replace(outer, names=dict(outer.names), lines={})  # the variables of the loops are gone afterwards
    for item in list_items(evaluate(loops[0].iter, outer), outer.budget):
        scope.budget.spend(1)
        bind([loops[0].target], item, scope)
        if all(evaluate(condition, scope) for condition in loops[0].ifs):
            yield from rounds(loops[1:], scope) if loops[1:] else (scope,)


def bind(targets: Sequence[ast.expr], value: Value, scope: Scope) -> None:
    """Assign to names, to several names at once, to items or to inherited keys."""
    for target in targets:
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
            scope.lines[target.id] = target.lineno
        elif isinstance(target, ast.Tuple | ast.List):
            for part, item in unpack(target.elts, list_items(value, scope.budget)):
                bind([part], item, scope)
        elif isinstance(target, ast.Subscript):
            owner = evaluate(target.value, scope)
            scope.budget.walk(value)
            if isinstance(target.slice, ast.Slice):
                scope.budget.spend(len(owner))
                value = list_items(value, scope.budget)
            owner[position(target.slice, scope)] = value
        elif isinstance(target, ast.Attribute):
            owner = evaluate(target.value, scope)
            if type(owner) is not Inherited:
                raise AttributeError(f"only inherited dicts have attributes, write [{target.attr!r}]")
            scope.budget.walk(value)
            owner[target.attr] = value


def unpack(targets: Sequence[ast.expr], values: list[Value]) -> Iterator[tuple[ast.expr, Value]]:
    """The targets of `a, *b, c = values`, and what each of them gets."""
    starred = next((index for index, target in enumerate(targets) if isinstance(target, ast.Starred)), None)
    if starred is not None and len(values) >= len(targets) - 1:
        after = len(values) - (len(targets) - 1 - starred)
        values = [*values[:starred], values[starred:after], *values[after:]]
    if len(values) != len(targets):
        raise ValueError(f"{len(values)} values for {len(targets)} names")
    for target, value in zip(targets, values, strict=True):
        yield target.value if isinstance(target, ast.Starred) else target, value


COMPARISONS: Mapping[type[ast.cmpop], Callable[[Value, Value], Value]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda item, items: item in items,
    ast.NotIn: lambda item, items: item not in items,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}

UNARY: Mapping[type[ast.unaryop], Callable[[Value], Value]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}

EXPRESSIONS: Mapping[type[ast.expr], Callable[[Value, Scope], Value]] = {
    ast.List: lambda node, scope: elements(node.elts, scope),
    ast.Tuple: lambda node, scope: tuple(elements(node.elts, scope)),
    ast.Set: set_display,
    ast.Dict: dict_display,
    ast.Attribute: attribute,
    ast.Subscript: subscript,
    ast.Call: call,
    ast.BinOp: lambda node, scope: compute(
        type(node.op), evaluate(node.left, scope), evaluate(node.right, scope), scope.budget
    ),
    ast.UnaryOp: lambda node, scope: UNARY[type(node.op)](evaluate(node.operand, scope)),
    ast.BoolOp: boolean,
    ast.Compare: comparison,
    ast.IfExp: lambda node, scope: evaluate(node.body if evaluate(node.test, scope) else node.orelse, scope),
    ast.JoinedStr: lambda node, scope: "".join([str(evaluate(part, scope)) for part in node.values]),
    ast.FormattedValue: text_field,
    ast.ListComp: comprehension,
    ast.GeneratorExp: comprehension,
    ast.SetComp: lambda node, scope: make_set(scope.budget, comprehension(node, scope)),
    ast.DictComp: lambda node, scope: {
        position(node.key, inside): evaluate(node.value, inside) for inside in rounds(node.generators, scope)
    },
}
