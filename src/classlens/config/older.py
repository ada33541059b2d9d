"""The older style of config, and JSON and YAML: bases are named, and the file is laid over them.

The rule of this file: it is handed what the bases hold, and opens no file.
"""

import ast
import re
import warnings
from collections.abc import Sequence
from pathlib import Path

from classlens.config.budget import Budget, TooMuch
from classlens.config.data import resolved
from classlens.config.expressions import BASE, evaluate
from classlens.config.inherited import Inherited, copied
from classlens.config.merge import Child, merged
from classlens.config.opening import Contents
from classlens.config.scope import Scope
from classlens.config.templates import BASE_REFERENCE
from classlens.config.value import Symbol, Value
from classlens.config.whereabouts import Assignment
from classlens.errors import ConfigError

DEPRECATION = "_deprecation_"
SCOPE = "_scope_"

MENTION = re.compile(r"_base_(?![\w/]|\s*=[^=])")
"""`_base_` as a value: neither `_base_ = ...` nor part of a path."""


def assigns_base(node: ast.AST) -> bool:
    """Whether the statement is `_base_ = ...`."""
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == BASE


def named_bases(statements: Sequence[ast.stmt], scope: Scope) -> list[str]:
    """The addresses in `_base_ = ...` at the top of the file.

    Raises:
        ConfigError: they are not texts.
    """
    for node in statements:
        if isinstance(node, ast.Assign) and assigns_base(node):
            return base_list(evaluate(node.value, scope), f"{scope.path}:{node.lineno}")
    return []


def base_list(bases: Value, where: str) -> list[str]:
    """One address or a list of addresses, as a list.

    Raises:
        ConfigError: it is neither.
    """
    addresses = [bases] if isinstance(bases, str) else bases
    if not isinstance(addresses, list | tuple) or not all(isinstance(address, str) for address in addresses):
        raise ConfigError(f"{where}: {BASE} is neither a path nor a list of paths: {bases!r}"[:200])
    return list(addresses)


def put_together(bases: Sequence[tuple[str, Contents]], path: Path, budget: Budget) -> Contents:
    """The bases of a file, by their addresses, as one.

    Raises:
        ConfigError: two define the same setting.
    """
    names: dict[str, Value] = {}
    found: list[Assignment] = []
    for address, contents in bases:
        settings = contents.settings()
        if twice := names.keys() & settings.keys():
            raise ConfigError(
                f"{path}: two of its bases define {min(twice)}, the second is {address}",
                hint="bases must not overlap; let one inherit from the other",
            )
        names |= scoped(settings, address.partition("::")[0], budget) if "::" in address else settings
        found += contents.assignments
    return Contents(names, assignments=tuple(found))


def scoped(settings: dict[str, Value], package: str, budget: Budget) -> dict[str, Value]:
    """Settings from another package: the outermost dicts with a type say where it is to be looked up."""

    def mark(value: Value) -> None:
        if isinstance(value, dict):
            if "type" in value:
                value.setdefault(SCOPE, package)
                return
            value = value.values()
        elif not isinstance(value, list | tuple):
            return
        for item in value:
            mark(item)

    own: dict[str, Value] = copied(settings, budget)
    mark(own)
    return own


def with_base(scope: Scope, base: Contents) -> Scope:
    """The scope in which `_base_` can be read and changed; a file that never mentions it does without the copy."""
    if not MENTION.search(scope.text):
        return scope
    return Scope(scope.path, scope.text, scope.budget, copied(base.names, scope.budget, Inherited))


def laid_over(scope: Scope, base: Contents) -> Contents:
    """What an evaluated file means, together with its bases.

    Raises:
        ConfigError: a dict of the file meets something else in a base.
    """
    names = {
        name: value
        for name, value in scope.names.items()
        if name != BASE and not name.startswith("__") and not (name in scope.imported and type(value) is Symbol)
    }
    warn_if_deprecated(names.pop(DEPRECATION, None), scope.path)
    inherited = base.names if scope.base is None else scope.base
    together = merged(names, inherited, Child(scope.path, scope.lines, scope.budget))
    own = (Assignment(name, scope.path, line) for name, line in scope.lines.items())
    return Contents(together, assignments=(*base.assignments, *own))


def data_laid_over(values: dict[str, Value], path: Path, base: Contents, budget: Budget) -> Contents:
    """What JSON or YAML means, together with its bases.

    Raises:
        ConfigError: a reference finds nothing, or a dict meets something else in a base.
    """
    warn_if_deprecated(values.pop(DEPRECATION, None), path)
    try:
        own = resolved(copied(values, budget), base.names, str(path))
    except TooMuch as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    together = merged(own, base.names, Child(path, {}, budget))
    return Contents(together, assignments=(*base.assignments, *(Assignment(name, path, 1) for name in own)))


def forbid_quoted_references(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """`'{{_base_.lr}}'` in quotes stays as it is upstream; it never means what its author wants.

    Raises:
        ConfigError: there is one.
    """
    if "{{" not in scope.text or not BASE_REFERENCE.search(scope.text):
        return
    for node in (part for statement in statements for part in ast.walk(statement)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and BASE_REFERENCE.search(node.value):
            raise ConfigError(
                f"{scope.path}:{node.lineno}: a reference to the base inside a text: {node.value[:60]!r}",
                hint="write it without quotes, or as an f-string: f'{_base_.work_dir}/x'",
            )


def warn_if_deprecated(notice: Value, path: Path) -> None:
    """Say that a config is about to go, and which one takes its place."""
    if notice is None:
        return
    instead = notice.get("expected") if isinstance(notice, dict) else None
    advice = f"; use {instead}" if instead else ""
    warnings.warn(f"{path.name} is deprecated by its authors{advice}", DeprecationWarning, stacklevel=2)
