"""The statements that configs are written in: what each kind does, or all of them run as Python.

The rules of this file: `STATEMENTS` lists every kind there is; `def`, `class`, `while`, `try`, `with` and the like are
refused. Imports bring names, not modules: nothing is imported. Only `run_trusted` hands statements to Python itself.
"""

import ast
import traceback
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType, ModuleType

from classlens.config.expressions import FAULTS, Scope, base_reference, bind, error_at, evaluate, position, unsupported
from classlens.config.functions import CONSTANTS, compute, list_items
from classlens.config.values import Inherited, Symbol, Unsupported, Value
from classlens.errors import ConfigError, short_repr


def run(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """Evaluate statements in order; what they assign is in `scope.names`."""
    for node in statements:
        try:
            if type(node) not in STATEMENTS:
                raise unsupported(node)
            scope.budget.spend(1)
            STATEMENTS[type(node)](node, scope)
        except FAULTS as fault:
            raise error_at(node, fault, scope) from None


def annotated_assign(node: ast.AnnAssign, scope: Scope) -> None:
    if node.value is not None:
        bind([node.target], evaluate(node.value, scope), scope)


def augmented_assign(node: ast.AugAssign, scope: Scope) -> None:
    value, change = evaluate(node.target, scope), evaluate(node.value, scope)
    bind([node.target], compute(type(node.op), value, change, scope.budget, in_place=True), scope)


def loop(node: ast.For, scope: Scope) -> None:
    """A loop over a collection, without `break` and `continue`."""
    for item in list_items(evaluate(node.iter, scope), scope.budget):
        scope.budget.spend(1)
        bind([node.target], item, scope)
        run(node.body, scope)
    run(node.orelse, scope)


def delete(node: ast.Delete, scope: Scope) -> None:
    """`del` of a variable, of an item or of an inherited key."""
    for target in node.targets:
        if isinstance(target, ast.Name):
            evaluate(target, scope)  # an error if there is no such variable
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
    if not evaluate(node.test, scope):
        complaint = evaluate(node.msg, scope) if node.msg else "the assertion does not hold"
        raise ValueError(complaint if isinstance(complaint, str) else short_repr(complaint))


def import_names(node: ast.Import | ast.ImportFrom, scope: Scope) -> None:
    """`from a import b` brings the name b for a.b, `import a.b` the name a; the constants of `math` are numbers."""
    for imported in node.names:
        if imported.name == "*":
            raise Unsupported("import * from something that is no base config is not read")
        if isinstance(node, ast.ImportFrom):
            short = imported.asname or imported.name
            module = "." * node.level + (node.module or "")
            scope.budget.spend(len(module))  # which every name gets a copy of
            full = f"{module}.{imported.name}"
        else:
            short = imported.asname or imported.name.partition(".")[0]
            full = imported.name if imported.asname else short
        scope.names[short] = CONSTANTS.get(full, Symbol(full))
        scope.imported.add(short)


STATEMENTS: Mapping[type[ast.stmt], Callable[[Value, Scope], object]] = {
    ast.Assign: lambda node, scope: bind(node.targets, evaluate(node.value, scope), scope),
    ast.AnnAssign: annotated_assign,
    ast.AugAssign: augmented_assign,
    ast.Expr: lambda node, scope: evaluate(node.value, scope),
    ast.If: lambda node, scope: run(node.body if evaluate(node.test, scope) else node.orelse, scope),
    ast.For: loop,
    ast.Delete: delete,
    ast.Assert: check,
    ast.Import: import_names,
    ast.ImportFrom: import_names,
    ast.Pass: lambda node, scope: None,
}


EXPECTED = (*FAULTS, AssertionError, ImportError, OSError)
"""What a config that is run as Python can raise by a slip of its author."""


class References(ast.NodeTransformer):
    """`{{_base_.x}}`, which Python takes for a set of a set, becomes `_base_.x`."""

    def visit_Set(self, node: ast.Set) -> ast.AST:
        return base_reference(node) or self.generic_visit(node)


def run_trusted(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """Run statements as Python; what they assign is in `scope.names`, without modules and functions."""
    file = str(scope.path)
    module = ast.fix_missing_locations(References().visit(ast.Module(list(statements), type_ignores=[])))
    names = dict(scope.names)
    try:
        exec(compile(module, file, "exec"), names)
    except EXPECTED as fault:
        frames = traceback.extract_tb(fault.__traceback__)
        lines = [str(frame.lineno) for frame in frames if frame.filename == file]
        raise ConfigError(f"{':'.join([file, *lines[-1:]])}: {type(fault).__name__}: {fault}") from fault
    scope.names.clear()
    for name, value in names.items():
        if not name.startswith("__") and not isinstance(value, FunctionType | ModuleType):
            scope.names[name] = value
    for node in statements:
        if isinstance(node, ast.Assign):
            scope.lines.update((target.id, node.lineno) for target in node.targets if isinstance(target, ast.Name))
