"""What the statements of one config file share while they are evaluated, and how a complaint names the place.

The rule of this file: every fault that a config can cause leaves the reader as one `ConfigError` that names file,
line and expression.
"""

import ast
import re
from dataclasses import dataclass, field
from pathlib import Path

from classlens.config.budget import Budget, Refused, TooMuch
from classlens.config.inherited import Inherited
from classlens.config.value import Value
from classlens.errors import ConfigError, suggestion

TRUST = "--trust-config runs the file as Python; do so only if you trust whoever wrote it"

VARIABLE = "write {{$NAME:default}} for an environment variable, or trust the file with --trust-config"

FAULTS = (
    Refused,
    TooMuch,
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


SPELLED = {
    ast.FunctionDef: "def",
    ast.AsyncFunctionDef: "async def",
    ast.ClassDef: "class",
    ast.Lambda: "lambda",
    ast.NamedExpr: ":=",
    ast.While: "while",
    ast.Try: "try",
    ast.With: "with",
    ast.Starred: "*",
    ast.Global: "global",
    ast.Raise: "raise",
}


def unread(node: ast.AST) -> Refused:
    """The refusal of a kind of statement or expression."""
    return Refused(f"{SPELLED.get(type(node), type(node).__name__)} is not read")


def complaint(fault: Exception, node: ast.AST, scope: Scope) -> ConfigError:
    """The error that tells a user which expression of which file is at fault, and what to do."""
    where = f"{scope.path}:{getattr(node, 'lineno', 1)}"
    shown = excerpt(node, scope.text)
    if isinstance(fault, Refused):
        return ConfigError(f"{where}: {fault}: `{shown}`", hint=VARIABLE if "env" in str(fault) else TRUST)
    if isinstance(fault, TooMuch):
        return ConfigError(f"{where}: `{shown}` {fault}", hint="write the value down, or make it smaller")
    if isinstance(fault, RecursionError):
        return ConfigError(f"{where}: `{shown}` is nested too deeply", hint="give parts of it a name of their own")
    if isinstance(fault, KeyError):
        return ConfigError(f"{where}: no key {fault.args[0]!r}: `{shown}`" if fault.args else f"{where}: `{shown}`")
    if isinstance(fault, NameError):
        return ConfigError(f"{where}: no variable {shown!r}", hint=suggestion(shown, scope.names))
    return ConfigError(f"{where}: {str(fault) or type(fault).__name__}: `{shown}`")


def excerpt(node: ast.AST, text: str, longest: int = 60) -> str:
    """The first line of what the node was parsed from, cut to `longest` characters."""
    lines = re.split(r"\r\n?|\n", text)
    if not isinstance(node, ast.expr | ast.stmt) or node.lineno > len(lines):
        return ""
    first = lines[node.lineno - 1].encode()
    end = node.end_col_offset if node.end_lineno == node.lineno else len(first)
    shown = first[node.col_offset : end].decode(errors="replace")
    cut = len(shown) > longest or node.end_lineno != node.lineno
    return shown[:longest] + ("…" if cut else "")
