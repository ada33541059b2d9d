"""The expressions that configs are written in: what each kind means.

The rule of this file: `EXPRESSIONS` lists every kind of expression there is; any other is refused. Nothing here calls
what a config names: calls go through the tables of `functions.py`.
"""

import ast
from collections.abc import Callable, Iterator, Mapping

from classlens.config.budget import Symbol, Unsupported, Value
from classlens.config.functions import CONSTANTS, FUNCTIONS, call_method, list_items, make_set, unpack_targets
from classlens.config.operators import UNARY, compare, compute, format_value
from classlens.config.scope import FAULTS, Inherited, Scope, copy_value, error_at, unsupported

BASE = "_base_"


def evaluate(node: ast.expr, scope: Scope) -> Value:
    """The value of an expression.

    Raises:
        ConfigError: it is outside the subset, too large, or wrong; the message names file, line and expression.
    """
    kind = type(node)
    if kind is ast.Constant:
        return node.value  # type: ignore[attr-defined]
    try:
        scope.budget.spend(1)
        if isinstance(node, ast.Name) and node.id in scope.names:  # here, not in `variable`: most expressions are names
            return scope.names[node.id]
        if kind not in EXPRESSIONS:
            raise unsupported(node)
        return EXPRESSIONS[kind](node, scope)
    except FAULTS as fault:
        raise error_at(node, fault, scope) from None


def variable(node: ast.Name, scope: Scope) -> Value:
    """What is no variable of this file: `_base_`, or what Python defines in every module."""
    if node.id == BASE and scope.base is not None:
        return scope.base
    if node.id == "__file__":
        return str(scope.path)
    if node.id == "__name__":
        return scope.path.stem
    if node.id in FUNCTIONS:
        raise Unsupported("a function as a value is not read")
    raise NameError(node.id)


def elements(nodes: list[ast.expr], scope: Scope) -> list[Value]:
    """The items of a list, of a tuple or of a call; `*items` are put in place."""
    scope.budget.spend(len(nodes))
    values = []
    for node in nodes:
        if type(node) is ast.Starred:
            values.extend(list_items(evaluate(node.value, scope), scope.budget))
        else:
            values.append(evaluate(node, scope))
    return values


def set_display(node: ast.Set, scope: Scope) -> Value:
    """A set; but `{{_base_.a.b}}`, which Python sees as a set of a set, is a copy of the inherited value."""
    inner = node.elts[0]
    if len(node.elts) == 1 and type(inner) is ast.Set and len(inner.elts) == 1 and rooted_in_base(inner.elts[0]):
        return copy_value(evaluate(inner.elts[0], scope), scope.budget)
    return make_set(elements(node.elts, scope), scope.budget)


def rooted_in_base(node: ast.expr) -> bool:
    """Whether the expression is `_base_.a.b`."""
    while isinstance(node, ast.Attribute | ast.Subscript):
        node = node.value
    return isinstance(node, ast.Name) and node.id == BASE


def dict_display(node: ast.Dict, scope: Scope) -> dict[Value, Value]:
    """`{key: value, **other}`."""
    scope.budget.spend(len(node.values))  # constants are free elsewhere, but a loop may make this dict again and again
    result = {}
    for key_node, value_node in zip(node.keys, node.values, strict=True):
        value = evaluate(value_node, scope)
        if key_node is None:
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
        return CONSTANTS[full] if full in CONSTANTS else Symbol(full)
    if type(value) is Inherited:
        return value[node.attr]
    if type(value) is dict:
        raise AttributeError(f"only inherited dicts have attributes, write [{node.attr!r}]")
    raise Unsupported(f"an attribute of a {type(value).__name__} is not read")


def subscript(node: ast.Subscript, scope: Scope) -> Value:
    """An item or a slice."""
    value = evaluate(node.value, scope)
    if type(value) is Symbol:
        raise Unsupported(f"an item of {value.name} is not read")
    if type(node.slice) is ast.Slice:
        scope.budget.spend(len(value))
    return value[position(node.slice, scope)]


def position(node: ast.expr, scope: Scope) -> Value:
    """The key, the index or the slice in the brackets."""
    if isinstance(node, ast.Slice):
        return slice(*(part and evaluate(part, scope) for part in (node.lower, node.upper, node.step)))
    key = evaluate(node, scope)
    scope.budget.key(key)
    return key


def call(node: ast.Call, scope: Scope) -> Value:
    """A call of a known function, or of a known method of a value."""
    callee = node.func
    if isinstance(callee, ast.Attribute):
        owner = evaluate(callee.value, scope)
        is_method = type(owner) is not Symbol
        name = callee.attr if is_method else f"{owner.name}.{callee.attr}"
    elif isinstance(callee, ast.Name) and isinstance(owner := scope.names.get(callee.id, callee), ast.Name | Symbol):
        # An imported function goes by its full name; what is no variable is one of Python's own functions.
        is_method = False
        name = owner.name if isinstance(owner, Symbol) else callee.id
    else:
        raise Unsupported("a call of a value is not read")
    if not is_method and name not in FUNCTIONS:
        raise Unsupported(f"a call of {name}() is not read")
    keywords: dict[str, Value] = {}
    for keyword in node.keywords:
        value = evaluate(keyword.value, scope)
        if keyword.arg is not None:
            keywords[keyword.arg] = value
            continue
        scope.budget.spend(len(value))
        if twice := keywords.keys() & value.keys():
            raise TypeError(f"{min(twice)} is given twice")
        keywords.update(value)
    arguments = elements(node.args, scope) if node.args else []
    if name == "dict" and not is_method and not arguments:  # nearly every call in a config
        scope.budget.spend(len(keywords))
        return keywords
    if is_method:
        return call_method(owner, name, arguments, keywords, scope.budget)
    return FUNCTIONS[name](arguments, keywords, scope.budget)


def boolean(node: ast.BoolOp, scope: Scope) -> Value:
    """`and`, `or`: the value that decides."""
    scope.budget.spend(len(node.values))
    value = None
    for part in node.values:
        value = evaluate(part, scope)
        if bool(value) is isinstance(node.op, ast.Or):
            break
    return value


def comparison(node: ast.Compare, scope: Scope) -> Value:
    """A chain such as `0 < x <= 1`."""
    scope.budget.spend(len(node.ops))
    left = evaluate(node.left, scope)
    for operation, part in zip(node.ops, node.comparators, strict=True):
        right = evaluate(part, scope)
        if not compare(type(operation), left, right, scope.budget):
            return False
        left = right
    return True


def joined_text(node: ast.JoinedStr, scope: Scope) -> str:
    """An f-string."""
    pieces = [str(evaluate(part, scope)) for part in node.values]
    scope.budget.spend(sum(map(len, pieces)))
    return "".join(pieces)


def text_field(node: ast.FormattedValue, scope: Scope) -> str:
    """One `{value!r:form}` of an f-string."""
    conversion = chr(node.conversion) if node.conversion > 0 else None
    form = str(evaluate(node.format_spec, scope)) if node.format_spec else ""
    return format_value(evaluate(node.value, scope), conversion, form, scope.budget)


def comprehension(node: ast.ListComp | ast.GeneratorExp | ast.SetComp, scope: Scope) -> list[Value]:
    return [evaluate(node.elt, scope) for _ in rounds(node.generators, scope)]


def rounds(generators: list[ast.comprehension], scope: Scope) -> Iterator[None]:
    """Go through the loops of a comprehension; its variables are gone afterwards."""
    targets = {part.id for loop in generators for part in ast.walk(loop.target) if isinstance(part, ast.Name)}
    covered = {target: scope.names[target] for target in targets if target in scope.names}
    yield from turns(generators, scope)
    for target in targets:
        scope.names.pop(target, None)
    scope.names.update(covered)


def turns(generators: list[ast.comprehension], scope: Scope) -> Iterator[None]:
    """Yield once for each combination of items that passes the conditions, with the variables bound."""
    loop, *inner = generators
    for item in list_items(evaluate(loop.iter, scope), scope.budget):
        scope.budget.spend(1)
        for target, value in unpack_targets(loop.target, item, scope.budget):
            if not isinstance(target, ast.Name):
                raise Unsupported("a loop over anything but variables is not read")
            scope.names[target.id] = value
        if not all(evaluate(condition, scope) for condition in loop.ifs):
            continue
        if inner:
            yield from turns(inner, scope)
        else:
            yield


EXPRESSIONS: Mapping[type[ast.expr], Callable[[Value, Scope], Value]] = {
    ast.Name: variable,
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
    ast.JoinedStr: joined_text,
    ast.FormattedValue: text_field,
    ast.ListComp: comprehension,
    ast.GeneratorExp: comprehension,
    ast.SetComp: lambda node, scope: make_set(comprehension(node, scope), scope.budget),
    ast.DictComp: lambda node, scope: {
        position(node.key, scope): evaluate(node.value, scope) for _ in rounds(node.generators, scope)
    },
}
