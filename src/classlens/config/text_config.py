"""The text style of config, which names its bases in `_base_ = ...`, and how it is merged over them.

Dicts are merged key by key; anything else replaces what was there; a dict that says `_delete_=True` replaces too.
The rule of this file: neither side of a merge is changed.
"""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from classlens.config.budget import Budget, Symbol, Value
from classlens.config.data_files import BASE_REFERENCE, resolve_references
from classlens.config.expressions import BASE
from classlens.config.open_file import Stamp
from classlens.config.scope import DELETE, Scope, copy_value
from classlens.config.source_map import Assignment
from classlens.errors import ConfigError

Style = Literal["older", "newer", "either"]
"""How a config inherits: by `_base_`, as JSON and YAML do, or by imports; a file without bases and types may be either."""


@dataclass(frozen=True)
class Contents:
    """What a file defines, its bases included. Nobody changes it: it may be kept for the next reading.

    `assignments` go from the first base to the file itself; `stamps` are those of all files that were read, `notes`
    are the deprecations in them. `style` is that of the file.
    """

    names: dict[str, Value]
    imported: frozenset[str] = frozenset()
    assignments: tuple[Assignment, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    notes: tuple[str, ...] = ()
    style: Style = "either"

    def settings(self) -> dict[str, Value]:
        return {
            name: value for name, value in self.names.items() if name not in self.imported and not name.startswith("__")
        }


NO_BASE = Contents({})
DEPRECATION = "_deprecation_"

MENTION = re.compile(r"_base_(?![\w/]|\s*=[^=])")
"""`_base_` as a value: neither `_base_ = ...` nor part of a path."""


def assigns_base(node: ast.AST) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == BASE


def mark_scope(settings: dict[str, Value], package: str, budget: Budget) -> dict[str, Value]:
    """Settings from another package: the outermost dicts with a type say where it is to be looked up."""

    def mark(value: Value) -> None:
        if isinstance(value, dict):
            if "type" in value:
                value.setdefault("_scope_", package)
                return
            value = value.values()
        elif not isinstance(value, list | tuple):
            return
        for item in value:
            mark(item)

    own: dict[str, Value] = copy_value(settings, budget)
    mark(own)
    return own


def merge_dicts(own: Mapping[str, Value], inherited: Mapping[str, Value], scope: Scope, *key: str) -> dict[str, Value]:
    """A dict of the file in `scope` over the inherited one; `key` is the way to both."""
    result = dict(inherited)
    for name, value in own.items():
        if name in inherited and isinstance(value, dict):
            settings = {part: item for part, item in value.items() if part != DELETE} if DELETE in value else value
            if value.get(DELETE, False):
                value = settings
            elif isinstance(inherited[name], dict):
                scope.budget.enter(settings, len(key) + 1)
                value = merge_dicts(settings, inherited[name], scope, *key, str(name))
            else:
                way = (*key, str(name))
                line = f":{scope.lines[way[0]]}" if way[0] in scope.lines else ""
                raise ConfigError(
                    f"{scope.path}{line}: {'.'.join(way)} is a dict, but in the base it is {str(inherited[name])[:40]!r}",
                    hint=f"{DELETE}=True in the dict replaces what the base has",
                )
        result[name] = value
    return result


def merge_over(base: Contents, scope: Scope) -> Contents:
    """What an evaluated file means, together with its bases.

    Raises:
        ConfigError: a reference of JSON or YAML leads nowhere, or a dict of the file meets something else in a base.
    """
    names = {
        name: value
        for name, value in scope.names.items()
        if name != BASE and not name.startswith("__") and not (type(value) is Symbol and name in scope.imported)
    }
    notes = base.notes
    if (notice := names.pop(DEPRECATION, None)) is not None:
        instead = notice.get("expected") if isinstance(notice, dict) else None
        advice = f"; use {instead}" if instead else ""
        notes = (*notes, f"{scope.path.name} is deprecated by its authors{advice}")
    lines: Mapping[str, int] = scope.lines
    if scope.path.suffix != ".py":
        names = resolve_references(copy_value(names, scope.budget), base.names, str(scope.path))
        lines = dict.fromkeys(names, 1)
    own = (Assignment(name, scope.path, line) for name, line in lines.items())
    return Contents(
        merge_dicts(names, base.names if scope.base is None else scope.base, scope),
        assignments=(*base.assignments, *own),
        stamps=base.stamps,
        notes=notes,
    )


def forbid_quoted_references(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """`'{{_base_.lr}}'` in quotes stays as it is upstream; it never means what its author wants."""
    for node in (part for statement in statements for part in ast.walk(statement)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and BASE_REFERENCE.search(node.value):
            raise ConfigError(
                f"{scope.path}:{node.lineno}: a reference to the base inside a text: {node.value[:60]!r}",
                hint="write it without quotes, or as an f-string: f'{_base_.work_dir}/x'",
            )
