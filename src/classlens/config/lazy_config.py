"""The lazy style of config: bases are imported under `with read_base():`, and the file changes what it imported.

The rule of this file: it is handed what the bases hold, and opens no file.
"""

import ast
import sys
from collections.abc import Sequence
from pathlib import Path

from classlens.config.budget import Unsupported
from classlens.config.open_file import absolute, nearest, package_folder
from classlens.config.scope import Inherited, Scope, copy_value, error_at
from classlens.config.text_config import Contents, Style, assigns_base
from classlens.errors import ConfigError, suggestion

ONE_STYLE = (
    "all files of an inheritance chain are of one style: `_base_ = [...]`, or `with read_base():` and imported types"
)


def style_of(statements: Sequence[ast.stmt], path: Path) -> Style:
    """The style of a file: the first statement that belongs to one of them decides, as upstream.

    `_base_ = ...` is of the older style; `with read_base():` and imports of what is not part of Python are of the newer.
    """
    style: Style = "either"
    for node in ast.walk(ast.Module(list(statements), [])):
        if assigns_base(node):
            style = "older"
        elif isinstance(node, ast.With) or (
            isinstance(node, ast.Import | ast.ImportFrom) and imports_types(node) and not imports_reader(node)
        ):
            style = "newer"
        else:
            continue
        break
    named = [node for node in statements if assigns_base(node)]
    opened = [node for node in statements if isinstance(node, ast.With) and reads_base(node.items[0].context_expr)]
    if (style == "newer" and named) or (style == "older" and opened):
        first, *_ = named if style == "newer" else opened
        beside = "`with read_base():`" if opened else "imported types in front of it"
        raise ConfigError(
            f"{path}:{first.lineno}: both styles of config in one file: `_base_ = ...` and {beside}", hint=ONE_STYLE
        )
    if style == "newer" and len(opened) > 1:
        raise ConfigError(
            f"{path}:{opened[1].lineno}: a second `with read_base():`",
            hint="put all imports of bases into the first one",
        )
    return style


def imports_reader(node: ast.AST) -> bool:
    """Whether the statement imports what reads configs: `from mmengine.config import read_base`."""
    if not isinstance(node, ast.ImportFrom) or node.level:
        return False
    return (node.module or "").startswith("mmengine.config") or (
        node.module == "mmengine" and [imported.name for imported in node.names] == ["Config"]
    )


def imports_types(node: ast.AST) -> bool:
    """Whether the statement imports what is not part of Python."""
    if isinstance(node, ast.ImportFrom):
        modules = [node.module or ""]
    else:
        modules = [module.name for module in node.names] if isinstance(node, ast.Import) else []
    return (isinstance(node, ast.ImportFrom) and node.level > 0) or any(
        module.partition(".")[0] not in sys.stdlib_module_names for module in modules
    )


def base_imports(statements: Sequence[ast.stmt], scope: Scope) -> list[ast.ImportFrom]:
    """The imports under `with read_base():`."""
    imports = []
    for node in statements:
        if isinstance(node, ast.Import) and len(node.names) > 1:
            raise ConfigError(
                f"{scope.path}:{node.lineno}: several modules in one import", hint="write a line for each of them"
            )
        if not isinstance(node, ast.With):
            continue
        inside = [statement for statement in node.body if isinstance(statement, ast.ImportFrom)]
        if not reads_base(node.items[0].context_expr) or len(inside) < len(node.body):
            fault = Unsupported("only imports of configs under `with read_base():` are read")
            raise error_at(node, fault, scope)
        imports += inside
    return imports


def reads_base(context: ast.expr) -> bool:
    return isinstance(context, ast.Call) and isinstance(context.func, ast.Name) and context.func.id == "read_base"


def module_file(node: ast.ImportFrom, path: Path) -> Path:
    """The config file that a module name means; dots at its start count folders upwards."""
    where = f"{path}:{node.lineno}"
    parts = (node.module or "").split(".")
    if node.level:
        candidates = [Path(path.parent, *[".."] * (node.level - 1), *parts)]
    else:
        folder = package_folder(parts[0], where)
        candidates = [folder.joinpath(*parts[1:]), folder.joinpath(".mim", *parts[1:])]
    files = [absolute(candidate.with_name(f"{candidate.name}.py")) for candidate in candidates]
    for file in files:
        if file.is_file():
            return file
    raise ConfigError(f"{where}: no such base config: {files[0]}", hint=nearest(files[0]))


def import_names(node: ast.ImportFrom, contents: Contents, scope: Scope) -> None:
    """`from .base import *` makes all names of the base variables of this file, its imported ones included."""
    names = copy_value(contents.names, scope.budget, Inherited)
    scope.imported.update(contents.imported)
    for imported in node.names:
        if imported.name == "*":
            scope.names.update((name, value) for name, value in names.items() if not name.startswith("__"))
        elif imported.name in names:
            scope.names[imported.asname or imported.name] = names[imported.name]
        else:
            raise ConfigError(
                f"{scope.path}:{node.lineno}: no {imported.name} in {'.' * node.level}{node.module}",
                hint=suggestion(imported.name, names),
            )
