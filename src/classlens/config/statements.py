"""The statements that configs are written in: what each kind does.

The rule of this file: `STATEMENTS` lists every kind there is; `def`, `class`, `while`, `try`, `with` and the like are
refused. Imports bring names, not modules: nothing is imported.
"""

import ast
import copy
from collections.abc import Callable, Mapping, Sequence

from classlens.config.budget import Symbol, Unsupported, Value
from classlens.config.expressions import BASE, evaluate, position
from classlens.config.functions import CONSTANTS, list_items, unpack_targets
from classlens.config.operators import compute
from classlens.config.scope import FAULTS, Inherited, Scope, error_at, unsupported


def run(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """Evaluate statements in order; what they assign is in `scope.names`.

    Raises:
        ConfigError: one is outside the subset, or wrong; the message names file, line and expression.
    """
    for node in statements:
        try:
            if type(node) not in STATEMENTS:
                raise unsupported(node)
            scope.budget.spend(1)
            STATEMENTS[type(node)](node, scope)
        except FAULTS as fault:
            raise error_at(node, fault, scope) from None


def bind(target: ast.expr, value: Value, scope: Scope) -> None:
    """Assign to a name, to several names, to an item or to an inherited key."""
    for single, part in unpack_targets(target, value, scope.budget):
        if isinstance(single, ast.Name):
            scope.names[single.id] = part
        elif isinstance(single, ast.Subscript):
            owner = evaluate(single.value, scope)
            scope.budget.walk(part)
            if isinstance(single.slice, ast.Slice):
                scope.budget.spend(len(owner))
                part = list_items(part, scope.budget)
            owner[position(single.slice, scope)] = part
        elif isinstance(single, ast.Attribute):
            owner = evaluate(single.value, scope)
            if type(owner) is not Inherited:
                raise AttributeError(f"only inherited dicts have attributes, write [{single.attr!r}]")
            scope.budget.walk(part)
            owner[single.attr] = part


def assign(node: ast.Assign, scope: Scope) -> None:
    """`a = b = value`; `_base_ = ...` has been followed before the file is evaluated."""
    if any(isinstance(target, ast.Name) and target.id == BASE for target in node.targets):
        return
    value = evaluate(node.value, scope)
    for target in node.targets:
        if isinstance(target, ast.Name):
            scope.names[target.id] = value
            scope.lines[target.id] = node.lineno
        else:
            bind(target, value, scope)


def annotated_assign(node: ast.AnnAssign, scope: Scope) -> None:
    """`name: type = value`; the type is not looked at."""
    if node.value is not None:
        bind(node.target, evaluate(node.value, scope), scope)


def augmented_assign(node: ast.AugAssign, scope: Scope) -> None:
    """`target += value`."""
    loaded = copy.copy(node.target)
    loaded.ctx = ast.Load()
    value = evaluate(node.value, scope)
    bind(node.target, compute(type(node.op), evaluate(loaded, scope), value, scope.budget, in_place=True), scope)


def loop(node: ast.For, scope: Scope) -> None:
    """A loop over a collection, without `break` and `continue`."""
    for item in list_items(evaluate(node.iter, scope), scope.budget):
        scope.budget.spend(1)
        bind(node.target, item, scope)
        run(node.body, scope)
    run(node.orelse, scope)


def delete(node: ast.Delete, scope: Scope) -> None:
    """`del` of a variable, of an item or of an inherited key."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            if target.id not in scope.names:
                raise NameError(target.id)
            del scope.names[target.id]
        elif isinstance(target, ast.Subscript):
            owner = evaluate(target.value, scope)
            scope.budget.spend(len(owner))
            del owner[position(target.slice, scope)]
        elif isinstance(target, ast.Attribute) and type(owner := evaluate(target.value, scope)) is Inherited:
            del owner[target.attr]
        else:
            raise Unsupported("this kind of del is not read")


def check(node: ast.Assert, scope: Scope) -> None:
    """`assert condition, message`."""
    if not evaluate(node.test, scope):
        raise ValueError(evaluate(node.msg, scope) if node.msg else "the assertion does not hold")


def import_modules(node: ast.Import, scope: Scope) -> None:
    """`import a.b` brings the name a; `import a.b as c` brings the name c for a.b."""
    for module in node.names:
        short = module.asname or module.name.partition(".")[0]
        scope.names[short] = Symbol(module.name if module.asname else short)
        scope.imported.add(short)


def import_names(node: ast.ImportFrom, scope: Scope) -> None:
    """`from a import b` brings the name b for a.b; the constants of `math` are numbers."""
    for imported in node.names:
        if imported.name == "*":
            raise Unsupported("import * from something that is no base config is not read")
        full = f"{'.' * node.level}{node.module or ''}.{imported.name}"
        short = imported.asname or imported.name
        scope.names[short] = CONSTANTS[full] if full in CONSTANTS else Symbol(full)
        scope.imported.add(short)


STATEMENTS: Mapping[type[ast.stmt], Callable[[Value, Scope], None]] = {
    ast.Assign: assign,
    ast.AnnAssign: annotated_assign,
    ast.AugAssign: augmented_assign,
    ast.Expr: lambda node, scope: evaluate(node.value, scope),
    ast.If: lambda node, scope: run(node.body if evaluate(node.test, scope) else node.orelse, scope),
    ast.For: loop,
    ast.Delete: delete,
    ast.Assert: check,
    ast.Import: import_modules,
    ast.ImportFrom: import_names,
    ast.Pass: lambda node, scope: None,
}
