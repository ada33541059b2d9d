"""Configs whose author is trusted: run as Python, for what the safe subset leaves out.

The rule of this file: it runs only under `--trust-config`. Bases and merging are those of every
other config; only the statements of the file are handed to Python itself.
"""

import ast
import traceback
from collections.abc import Sequence
from types import FunctionType, ModuleType

from classlens.config.budget import Value
from classlens.config.expressions import BASE, rooted_in_base
from classlens.config.scope import Scope
from classlens.config.statements import run
from classlens.config.text_config import assigns_base
from classlens.errors import ConfigError

EXPECTED = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
)


class References(ast.NodeTransformer):
    """`{{_base_.x}}`, which Python takes for a set of a set, becomes `_base_.x`."""

    def visit_Set(self, node: ast.Set) -> ast.expr:
        """Replace the outer set if the inner one holds nothing but a reference."""
        inner = node.elts[0]
        if len(node.elts) == 1 and isinstance(inner, ast.Set) and rooted_in_base(inner.elts[0]):
            return inner.elts[0]
        self.generic_visit(node)
        return node


def run_trusted(statements: Sequence[ast.stmt], scope: Scope, imports: Sequence[ast.stmt] = ()) -> None:
    """Run statements as Python; what they assign is in `scope.names`, without modules and functions.

    `imports` bring names of types and are not followed, as in configs of the newer style.

    Raises:
        ConfigError: the code fails, with the line at which it does.
    """
    run(imports, scope)
    body = [References().visit(node) for node in statements if not assigns_base(node)]
    module = ast.fix_missing_locations(ast.Module(body, type_ignores=[]))
    names: dict[str, Value] = scope.names | {BASE: scope.base, "__file__": str(scope.path), "__name__": scope.path.stem}
    try:
        exec(compile(module, str(scope.path), "exec"), names)
    except EXPECTED as fault:
        frames = traceback.extract_tb(fault.__traceback__)
        lines = [frame.lineno for frame in frames if frame.filename == str(scope.path)]
        place = f"{scope.path}:{lines[-1]}" if lines else str(scope.path)
        raise ConfigError(f"{place}: {type(fault).__name__}: {fault}") from fault
    scope.names.update(
        (name, value)
        for name, value in names.items()
        if name != BASE and not name.startswith("__") and not isinstance(value, FunctionType | ModuleType)
    )
    for node in body:
        if isinstance(node, ast.Assign):
            scope.lines.update((target.id, node.lineno) for target in node.targets if isinstance(target, ast.Name))
