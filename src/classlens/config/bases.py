"""One config file and the files it inherits from.

There are two styles. The older one names its bases, `_base_ = ['../_base_/models/resnet50.py']`, and is laid over
them. The newer one imports them, `with read_base(): from .._base_.models.resnet50 import *`, and changes what it has
got. The rule of this file: bases first; a file is evaluated when all it inherits is known.
"""

import ast
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from classlens.config.budget import Budget, Refused, TooMuch
from classlens.config.data import load_data, resolved
from classlens.config.expressions import BASE, evaluate
from classlens.config.inherited import Inherited, copied
from classlens.config.locating import absolute, config_file, nearest, package_folder
from classlens.config.merge import merged
from classlens.config.scope import Scope, complaint
from classlens.config.statements import run
from classlens.config.templates import BASE_REFERENCE, filled_in
from classlens.config.value import Symbol, Value
from classlens.config.whereabouts import Assignment
from classlens.errors import ConfigError, suggestion

LEAST_COST = 200
"""What opening a file costs, however small it is."""

DEPRECATION = "_deprecation_"


@dataclass(frozen=True)
class Reading:
    """One call of `read_config`: the budget it has, and the files that are open at the moment."""

    trust: bool = False
    budget: Budget = field(default_factory=Budget)
    chain: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Contents:
    """What a file defines, its bases included; `assignments` go from the first base to the file itself."""

    names: dict[str, Value]
    imported: frozenset[str] = frozenset()
    assignments: tuple[Assignment, ...] = ()

    def settings(self) -> dict[str, Value]:
        """The names that are settings: not imported, not private to Python."""
        return {
            name: value
            for name, value in self.names.items()
            if name not in self.imported and not str(name).startswith("__")
        }


def read_file(path: Path, reading: Reading) -> Contents:
    """Read one file with its bases.

    Raises:
        ConfigError: it cannot be read, or inherits from itself.
    """
    if path in reading.chain:
        circle = " -> ".join(file.name for file in (*reading.chain, path))
        raise ConfigError(f"{path} inherits from itself: {circle}")
    reading = replace(reading, chain=(*reading.chain, path))
    text = file_text(path, reading.budget)
    if path.suffix == ".py":
        return read_python(path, text, reading)
    return read_data(path, text, reading)


def file_text(path: Path, budget: Budget) -> str:
    """The text of a file, paid for before it is read.

    Raises:
        ConfigError: it cannot be read, or is too long.
    """
    try:
        budget.spend(max(path.stat().st_size, LEAST_COST))
        return path.read_text(encoding="utf-8")
    except TooMuch as fault:
        raise ConfigError(f"{path} {fault} with all its bases") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} cannot be read: {fault}") from None


def read_python(path: Path, text: str, reading: Reading) -> Contents:
    """Read a Python config of either style."""
    source = filled_in(text, path)
    statements = parsed(source, path)
    if imports_bases(statements):
        statements = statements if source == text else parsed(text, path)
        return read_newer(Scope(path, text, reading.budget), statements, reading)
    return read_older(Scope(path, source, reading.budget), statements, reading)


def parsed(source: str, path: Path) -> list[ast.stmt]:
    """The statements of a Python config.

    Raises:
        ConfigError: it is not Python, or nested too deeply to be parsed.
    """
    try:
        with warnings.catch_warnings(action="ignore"):
            return ast.parse(source).body
    except SyntaxError as fault:
        raise ConfigError(f"{path}:{fault.lineno or 1}: {fault.msg}: `{(fault.text or '').strip()[:60]}`") from None
    except (RecursionError, MemoryError, ValueError) as fault:
        raise ConfigError(f"{path} cannot be parsed: {fault or 'it is nested too deeply'}") from None


def imports_bases(statements: Sequence[ast.stmt]) -> bool:
    """Whether a file is of the newer style: it reads bases with `with`, or imports what is not part of Python.

    A file that assigns `_base_` is of the older style, whatever it imports.
    """
    newer = False
    for node in statements:
        if isinstance(node, ast.Assign) and any(
            isinstance(name, ast.Name) and name.id == BASE for name in node.targets
        ):
            return False
        if isinstance(node, ast.With):
            newer = True
        elif isinstance(node, ast.ImportFrom):
            newer = newer or node.level > 0 or foreign(node.module or "")
        elif isinstance(node, ast.Import):
            newer = newer or any(foreign(module.name) for module in node.names)
    return newer


def foreign(module: str) -> bool:
    """Whether a module comes from somebody other than Python."""
    return module.partition(".")[0] not in sys.stdlib_module_names


def read_older(scope: Scope, statements: list[ast.stmt], reading: Reading) -> Contents:
    """A config that is laid over the bases it names."""
    base = read_bases(named_bases(statements, scope), scope.path, reading)
    forbid_quoted_references(statements, scope)
    inherited_names = base.names
    if scope.text.count(BASE) > 1:
        inherited_names = copied(base.names, scope.budget, Inherited)
        scope = replace(scope, base=inherited_names)
    run(statements, scope)
    names = {
        name: value
        for name, value in scope.names.items()
        if not name.startswith("__") and not (name in scope.imported and type(value) is Symbol)
    }
    warn_if_deprecated(names.pop(DEPRECATION, None), scope.path)
    try:
        together = merged(names, inherited_names)
    except ConfigError as fault:
        key = str(fault).partition(" ")[0].partition(".")[0]
        raise ConfigError(f"{scope.path}:{scope.lines.get(key, 1)}: {fault}", hint=fault.hint) from None
    return Contents(together, assignments=(*base.assignments, *assignments(scope)))


def assignments(scope: Scope) -> Iterator[Assignment]:
    """Where the file assigns its settings."""
    return (Assignment(name, scope.path, line) for name, line in scope.lines.items())


def named_bases(statements: Sequence[ast.stmt], scope: Scope) -> list[str]:
    """The addresses in `_base_ = ...`; as upstream, only a literal at the top of the file counts.

    Raises:
        ConfigError: they are not texts.
    """
    for node in statements:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == BASE:
            bases = evaluate(node.value, scope)
            return base_list(bases, f"{scope.path}:{node.lineno}")
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


def read_bases(addresses: Sequence[str], path: Path, reading: Reading) -> Contents:
    """The bases of a file, put together.

    Raises:
        ConfigError: one is missing, or two define the same setting.
    """
    names: dict[str, Value] = {}
    found: list[Assignment] = []
    for address in addresses:
        contents = read_file(base_file(address, path), reading)
        if twice := names.keys() & contents.settings().keys():
            raise ConfigError(
                f"{path}: two bases define {min(twice)}, the second is {address}",
                hint="bases must not overlap; let one inherit from the other",
            )
        names |= scoped(contents.settings(), address, reading.budget)
        found += contents.assignments
    return Contents(names, assignments=tuple(found))


def base_file(address: str, path: Path) -> Path:
    """The file that a base address means, seen from the file at `path`.

    Raises:
        ConfigError: it is missing.
    """
    if "::" in address:
        return config_file(address)
    target = absolute(path.parent / address)
    if target.is_file():
        return target
    try:
        return config_file(target)
    except ConfigError as fault:
        raise ConfigError(f"{path}: {fault}, named as its base", hint=fault.hint) from None


def scoped(settings: dict[str, Value], address: str, budget: Budget) -> dict[str, Value]:
    """Settings from another package: its outermost typed dicts say where their types are to be looked up."""
    if "::" not in address:
        return settings
    package = address.partition("::")[0]

    def mark(value: Value) -> None:
        if isinstance(value, dict):
            if "type" in value:
                value.setdefault("_scope_", package)
                return
            for item in value.values():
                mark(item)
        elif isinstance(value, list | tuple):
            for item in value:
                mark(item)

    own: dict[str, Value] = copied(settings, budget)
    mark(own)
    return own


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


def read_newer(scope: Scope, statements: list[ast.stmt], reading: Reading) -> Contents:
    """A config that imports its bases: their settings are variables of the file before its first line."""
    found: list[Assignment] = []
    rest: list[ast.stmt] = []
    for node in statements:
        if not isinstance(node, ast.With):
            rest.append(node)
            continue
        for statement in base_imports(node, scope):
            contents = import_base(statement, scope, reading)
            scope.imported.update(contents.imported)
            found += contents.assignments
    run(rest, scope)
    return Contents(scope.names, frozenset(scope.imported), (*found, *assignments(scope)))


def base_imports(node: ast.With, scope: Scope) -> list[ast.ImportFrom]:
    """The imports under `with read_base():`.

    Raises:
        ConfigError: there is something else, or another `with`.
    """
    context = node.items[0].context_expr
    reads_base = isinstance(context, ast.Call) and ast.unparse(context.func).rpartition(".")[2] == "read_base"
    imports = [statement for statement in node.body if isinstance(statement, ast.ImportFrom)]
    if not reads_base or len(imports) < len(node.body):
        fault = Refused("only imports of base configs under `with read_base():` are read")
        raise complaint(fault, node, scope)
    return imports


def import_base(node: ast.ImportFrom, scope: Scope, reading: Reading) -> Contents:
    """`from .._base_.models.resnet50 import *` under `with read_base():`.

    Raises:
        ConfigError: the base is missing or has no such name.
    """
    where = f"{scope.path}:{node.lineno}"
    contents = read_file(module_file(node, scope.path, where), reading)
    names = copied(contents.names, reading.budget, Inherited)
    for imported in node.names:
        if imported.name == "*":
            scope.names.update((name, value) for name, value in names.items() if not name.startswith("__"))
        elif imported.name in names:
            scope.names[imported.asname or imported.name] = names[imported.name]
        else:
            raise ConfigError(f"{where}: no {imported.name} in {node.module}", hint=suggestion(imported.name, names))
    return contents


def module_file(node: ast.ImportFrom, path: Path, where: str) -> Path:
    """The config file that a module name means; dots at its start count folders upwards.

    Raises:
        ConfigError: it is missing.
    """
    parts = (node.module or "").split(".")
    if node.level:
        folder = Path(path.parent, *[".."] * (node.level - 1))
        candidates = [folder.joinpath(*parts)]
    else:
        folder = package_folder(parts[0], where)
        candidates = [folder.joinpath(*parts[1:]), folder.joinpath(".mim", *parts[1:])]
    files = [absolute(candidate).with_suffix(".py") for candidate in candidates]
    for file in files:
        if file.is_file():
            return file
    raise ConfigError(f"{where}: no such base config: {files[0]}", hint=nearest(files[0]))


def read_data(path: Path, text: str, reading: Reading) -> Contents:
    """A JSON or YAML config, laid over its bases as one of the older style is."""
    values = load_data(filled_in(text, path), path, reading.budget)
    base = read_bases(base_list(values.pop(BASE, []), str(path)), path, reading)
    warn_if_deprecated(values.pop(DEPRECATION, None), path)
    try:
        own = resolved(copied(values, reading.budget), base.names, str(path))
        together = merged(own, base.names)
    except TooMuch as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    except ConfigError as fault:
        raise ConfigError(f"{path}: {fault}" if str(path) not in str(fault) else str(fault), hint=fault.hint) from None
    return Contents(together, assignments=(*base.assignments, *(Assignment(key, path, 1) for key in own)))
