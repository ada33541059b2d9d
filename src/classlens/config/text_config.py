"""A child config laid over its base.

Dicts are merged key by key; anything else replaces what was there; a dict that says `_delete_=True` replaces too.
The rule of this file: neither side is changed.
"""

import ast
import re
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from classlens.config.budget import Budget, LimitExceeded, Symbol, Value
from classlens.config.data_files import resolved
from classlens.config.expressions import BASE, evaluate
from classlens.config.open_file import BASE_REFERENCE, Contents
from classlens.config.scope import DELETE, Inherited, Scope, copied
from classlens.config.source_map import Assignment
from classlens.errors import ConfigError


@dataclass(frozen=True)
class Child:
    """The file that is laid over its base: its place, and the lines of its settings."""

    path: Path
    lines: Mapping[str, int]
    budget: Budget

    def place(self, name: str) -> str:
        return f"{self.path}:{self.lines[name]}" if name in self.lines else str(self.path)


def merge_settings(settings: Mapping[str, Value], base: Mapping[str, Value], child: Child) -> dict[str, Value]:
    """The settings of a child laid over those of its base.

    Raises:
        ConfigError: the child has a dict where the base has something else.
        TooMuch: the dicts are too large or too deep.
    """
    result = dict(base)
    for name, value in settings.items():
        result[name] = merge_value(value, result[name], (name,), child) if name in result else value
    return result


def merge_value(value: Value, inherited: Value, key: tuple[str, ...], child: Child) -> Value:
    """One value over the inherited one; `key` is the way to it."""
    if not isinstance(value, dict):
        return value
    own = {name: item for name, item in value.items() if name != DELETE} if DELETE in value else value
    if value.get(DELETE, False):
        return own
    if not isinstance(inherited, dict):
        raise ConfigError(
            f"{child.place(key[0])}: {'.'.join(key)} is a dict, but in the base it is {str(inherited)[:40]!r}",
            hint=f"{DELETE}=True in the dict replaces what the base has",
        )
    child.budget.enter(own, len(key))
    result = dict(inherited)
    for name, item in own.items():
        result[name] = merge_value(item, result[name], (*key, str(name)), child) if name in result else item
    return result


DEPRECATION = "_deprecation_"
SCOPE = "_scope_"

MENTION = re.compile(r"_base_(?![\w/]|\s*=[^=])")
"""`_base_` as a value: neither `_base_ = ...` nor part of a path."""


def assigns_base(node: ast.AST) -> bool:
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


def merge_bases(bases: Sequence[tuple[str, Contents]], path: Path, budget: Budget) -> Contents:
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


def merge_into_scope(scope: Scope, base: Contents) -> Contents:
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
    together = merge_settings(names, inherited, Child(scope.path, scope.lines, scope.budget))
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
    except LimitExceeded as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    together = merge_settings(own, base.names, Child(path, {}, budget))
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
