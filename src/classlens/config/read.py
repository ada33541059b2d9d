"""Read a config with its bases.

A file of the older style names its bases in `_base_ = ...` and is merged over them: dicts key by key, while anything
else, and a dict that says `_delete_=True`, replaces what was there. One of the newer style imports its bases under
`with read_base():` and changes what it imported. The rules of this file: neither side of a merge is changed; bases are
shared by hundreds of configs, so they are kept until one of their files changes.
"""

import ast
import codecs
import re
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from operator import attrgetter
from os.path import join, normpath
from pathlib import Path
from time import time_ns
from typing import TypeGuard

from classlens.config.data_files import BASE_REFERENCE, load_data, resolve_references
from classlens.config.expressions import BASE, Scope, Style, error_at, evaluate
from classlens.config.open_file import SUFFIXES, error_for_file, fill_variables, find_config, first_file, module_file
from classlens.config.overrides import apply_overrides, misspelled
from classlens.config.settings import Assignment, Config
from classlens.config.statements import run, run_trusted
from classlens.config.values import DELETE, Budget, Inherited, LimitExceeded, Symbol, Unsupported, Value, copy_value
from classlens.errors import SHOWN, ConfigError, short_repr, suggestion
from classlens.sharing import unwarned

RESERVED = ("filename", "text", "pretty_text", "env_variables")
"""Names that upstream's own object for a config has: it does not open a file that defines one, or inherits it."""


def read_config(path: str | Path, *, overrides: Mapping[str, Value] | None = None, trust: bool = False) -> Config:
    """Read a config and its bases; the result is made of plain dicts, lists, tuples, numbers and texts.

    Imported names (`type=ResNet` after `from mmpretrain.models import ResNet`) become text: `mmpretrain.models.ResNet`.
    `overrides` are what `parse_overrides` gives: dotted keys and their values. With `trust`, Python configs are run
    as Python instead of being evaluated; only for files whose author is trusted.

    Warns with DeprecationWarning where the authors of a file say that it is deprecated.

    Raises:
        ConfigError: the file is missing, cannot be read, or asks for something outside the safe subset.
    """
    config = load_config(path, overrides or {}, trust=trust)
    for note in config.deprecations:
        warnings.warn(note, DeprecationWarning, stacklevel=2)
    return config


def load_config(address: str | Path, overrides: Mapping[str, Value], *, trust: bool) -> Config:
    """As `read_config`, but deprecations are only noted in the result."""
    file, budget = find_config(address), Budget(sys.maxsize) if trust else Budget()
    try:
        scope = read_file(file, budget, trust=trust)
    except RecursionError:
        raise ConfigError(f"{file} is nested too deeply") from None
    for name in RESERVED:
        if name in scope.names:
            lines = [f"{one.path}:{one.line}" for one in scope.assignments if one.name == name]
            where = [file, *lines][-1]
            raise ConfigError(f"{where}: {name} is reserved for config file", hint="give the setting another name")
    try:
        settings = copy_value(scope.settings, budget, dict)
    except LimitExceeded as fault:
        raise ConfigError(f"{file}: a value {fault}") from None
    config = Config(apply_overrides(settings, overrides) if overrides else settings)
    config.path, config.assignments = file, scope.assignments
    config.deprecations = tuple(dict.fromkeys(scope.notes))
    config.slips = misspelled(settings, overrides) if overrides else ()
    return config


STAMP = attrgetter("st_mtime_ns", "st_size", "st_ino")
LARGEST = 1_000_000  # bytes of a config; those of upstream have at most 20,000
LONGEST_CHAIN = 50  # files of which each inherits from the next one; upstream has chains of 5


def read_file(path: Path, budget: Budget, *, trust: bool, chain: tuple[Path, ...] = ()) -> Scope:
    """Read one file with its bases; `chain` are the files that inherit from it, outermost first."""
    if path.suffix not in SUFFIXES:
        raise error_for_file(path)
    scope = Scope(path, "", budget, trust, (*chain, path), {"__file__": str(path), "__name__": path.stem})
    if path in chain:
        raise ConfigError(f"{path} inherits from itself: {' -> '.join(file.name for file in scope.chain)}")
    if len(chain) >= LONGEST_CHAIN:
        raise ConfigError(f"{path}: more than {LONGEST_CHAIN} configs inherit from one another, from {chain[0]} on")
    try:
        stamp = STAMP(path.stat())
        if stamp[1] > LARGEST and not trust:
            raise ConfigError(f"{path} is no config: it has {stamp[1]:,} bytes, a config at most {LARGEST:,}")
        budget.spend(stamp[1] + 200)  # opening a file is like reading so many characters
        text = path.read_bytes().removeprefix(codecs.BOM_UTF8).decode()
        scope = replace(scope, text=fill_variables(text, path, budget) if "{{" in text else text)
        if path.suffix == ".py":
            style, statements = parse(scope.text, path, budget)
        else:
            style, statements = "older", []
            scope = replace(scope, names=load_data(scope.text, path, budget))
        if style == "newer" and scope.text != text:  # upstream puts no variables into configs of the newer style
            scope = replace(scope, text=text)
            style, statements = parse(text, path, budget)
        settings = read_newer(statements, scope) if style == "newer" else read_older(statements, scope)
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from None
    except LimitExceeded as fault:
        raise ConfigError(f"{path}: the file, or a value in it, {fault}") from None
    scope.assignments.extend(Assignment(name, path, line) for name, line in scope.lines.items())
    scope.stamps[path] = stamp if scope.text == text else None
    return replace(scope, style=style, settings=settings, names=scope.names if style == "newer" else settings)


ONE_STYLE = "all files of a chain are of one style: `_base_ = [...]`, or `with read_base():` and imported types"


WORD = re.compile(r"\w+|[^\w ]")
FORMATTED = re.compile(r"[fF][rR]?['\"]")
SMALL = 1 << 16  # characters up to which it is not worth while to count words


def parse(text: str, path: Path, budget: Budget) -> tuple[Style, list[ast.stmt]]:
    """The style and the statements of a Python config; the first statement that belongs to one style decides."""
    # The tree takes up to 1 KB for every word and sign, and an f-string its length times its fields.
    size = len(text)
    words = size if size <= SMALL else sum(1 for _ in WORD.finditer(text))
    fields = text.count("{") * size // 4096
    budget.spend(max(0, 4 * words - size) + (fields if size <= SMALL or FORMATTED.search(text) else 0))
    try:
        with unwarned():
            module = ast.parse(text)
    except SyntaxError as fault:
        shown = (fault.text or "").strip()[:60]
        raise ConfigError(f"{path}:{fault.lineno or 1}: {fault.msg}: `{shown}`") from None
    except (RecursionError, MemoryError, ValueError) as fault:
        raise ConfigError(f"{path} cannot be parsed: {str(fault) or 'it is nested too deeply'}") from None
    style: Style = "either"
    for node in ast.walk(module):
        if assigns_base(node):
            style = "older"
        elif isinstance(node, ast.With) or (
            isinstance(node, ast.Import | ast.ImportFrom) and imports_types(node) and not imports_reader(node)
        ):
            style = "newer"
        if style != "either":
            break
    naming = [node.lineno for node in module.body if assigns_base(node)]
    importing = [node.lineno for node in module.body if isinstance(node, ast.With) and reads_base(node)]
    if naming and (importing or style == "newer"):
        raise ConfigError(
            f"{path}:{max(naming[:1] + importing[:1])}: both styles of config in one file: `_base_ = ...` beside "
            "`with read_base():` or types imported in front of it",
            hint=ONE_STYLE,
        )
    if importing[1:]:
        hint = "put all imports of bases into the first one"
        raise ConfigError(f"{path}:{importing[1]}: a second `with read_base():`", hint=hint)
    return style, module.body


def assigns_base(node: ast.AST) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == BASE


def imports_types(node: ast.stmt) -> bool:
    modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
    if isinstance(node, ast.ImportFrom):
        modules = ["." * node.level + (node.module or "")]
    return any(module.partition(".")[0] not in sys.stdlib_module_names for module in modules)


def imports_reader(node: ast.Import | ast.ImportFrom) -> bool:
    """Whether the statement imports what reads configs, which is no type."""
    if isinstance(node, ast.Import) or node.level or not node.module:
        return False
    names = [alias.name for alias in node.names]
    return node.module.startswith("mmengine.config") or (node.module == "mmengine" and names == ["Config"])


def reads_base(node: ast.With) -> bool:
    match node.items[0].context_expr:
        case ast.Call(func=ast.Name(id="read_base")):
            return True
    return False


MENTION = re.compile(r"_base_(?![\w/]|\s*=[^=])")  # `_base_` as a value: neither `_base_ = ...` nor part of a path


def read_older(statements: Sequence[ast.stmt], scope: Scope) -> dict[str, Value]:
    """The settings of a file merged over those of the bases it names; what JSON or YAML says is in `scope.names`."""
    path = scope.path
    bases, where = scope.names.pop(BASE, []), str(path)
    named = [node for node in statements if assigns_base(node)]
    if named:
        bases, where = evaluate(named[0].value, scope), f"{path}:{named[0].lineno}"
    inherited = read_bases(bases, where, scope) if bases != [] else {}
    if path.suffix != ".py":
        scope.budget.walk(scope.names)
        scope.names.update(resolve_references(scope.names, inherited, where, scope.budget))
        scope.lines.update(dict.fromkeys(scope.names, 1))
    elif MENTION.search(scope.text):  # a file that never reads `_base_` does without the copy
        refuse_quoted_references(statements, scope)
        inherited = copy_value(inherited, scope.budget, Inherited)
        scope.names[BASE] = inherited
    (run_trusted if scope.trust else run)([node for node in statements if node not in named], scope)
    settings = {
        name: value
        for name, value in scope.names.items()
        if name != BASE and not name.startswith("__") and not (type(value) is Symbol and name in scope.imported)
    }
    if (notice := settings.pop("_deprecation_", None)) is not None:
        instead = notice.get("expected") if isinstance(notice, dict) else None
        instead = instead[:SHOWN] if isinstance(instead, str) else instead and short_repr(instead)
        scope.notes.append(f"{path.name} is deprecated by its authors" + (f"; use {instead}" if instead else ""))
    return merge(settings, inherited, scope) if inherited else settings


def read_bases(bases: Value, where: str, scope: Scope) -> dict[str, Value]:
    """The settings of all bases of a file of the older style: `bases` is an address or a list of addresses."""
    addresses = [bases] if isinstance(bases, str) else bases
    if not isinstance(addresses, list | tuple) or not all(isinstance(address, str) for address in addresses):
        raise ConfigError(f"{where}: {BASE} is neither a path nor a list of paths: {short_repr(bases)}")
    together: dict[str, Value] = {}
    folder = str(scope.path.parent)
    for address in addresses:
        package, in_package, _ = address.partition("::")
        place = address if in_package else normpath(join(folder, address))  # noqa: PTH118 - path objects are slow
        missing = f"{scope.path}: no such base config: {address}"
        find = partial(find_config, address) if in_package else partial(first_file, [place], missing)
        settings = read_base(place, find, "older", f"{where}: {address}", scope).settings
        scope.budget.spend(len(settings))
        if twice := together.keys() & settings.keys():
            raise ConfigError(
                f"{scope.path}: two of its bases define {min(twice)}, the second is {address}",
                hint="bases must not overlap; let one inherit from the other",
            )
        if in_package:
            scope.budget.walk(settings)
            settings = {name: mark_scope(value, package) for name, value in settings.items()}
        together |= settings
    return together


def mark_scope(value: Value, package: str) -> Value:
    """`value` from another package: its outermost dicts with a type say where that is to be looked up."""
    if isinstance(value, list | tuple):
        return type(value)([mark_scope(item, package) for item in value])
    if isinstance(value, dict) and "type" not in value:
        return {key: mark_scope(item, package) for key, item in value.items()}
    return {**value, "_scope_": value.get("_scope_", package)} if isinstance(value, dict) else value


def refuse_quoted_references(statements: Sequence[ast.stmt], scope: Scope) -> None:
    """`'{{_base_.lr}}'` in quotes stays as it is upstream; it never means what its author wants."""
    if not BASE_REFERENCE.search(scope.text):
        return
    for node in ast.walk(ast.Module(list(statements), [])):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and BASE_REFERENCE.search(node.value):
            raise ConfigError(
                f"{scope.path}:{node.lineno}: a reference to the base inside a text: {node.value[:60]!r}",
                hint="write it without quotes, or as an f-string: f'{_base_.work_dir}/x'",
            )


def merge(own: Mapping[str, Value], inherited: Value, scope: Scope, *key: str) -> dict[str, Value]:
    """A dict of the file in `scope` over the inherited one; `key` is the way to both."""
    if not isinstance(inherited, dict):
        line = f":{scope.lines[key[0]]}" if key[0] in scope.lines else ""
        raise ConfigError(
            f"{scope.path}{line}: {'.'.join(key)} is a dict, but in the base it is {short_repr(inherited, 40)}",
            hint=f"{DELETE}=True in the dict replaces what the base has",
        )
    scope.budget.spend(len(own) + len(inherited), len(key))
    result = dict(inherited)
    for name, value in own.items():
        result[name] = value
        if name in inherited and isinstance(value, dict):
            scope.budget.spend(len(value))
            result[name] = {part: item for part, item in value.items() if part != DELETE}
            if not value.get(DELETE, False):
                result[name] = merge(result[name], inherited[name], scope, *key, str(name))
    return result


def read_newer(statements: Sequence[ast.stmt], scope: Scope) -> dict[str, Value]:
    """The settings of a file that imports its bases: they are its variables before its first line."""
    own = []
    for node in statements:
        where = f"{scope.path}:{node.lineno}"
        if isinstance(node, ast.Import) and len(node.names) > 1:
            raise ConfigError(f"{where}: several modules in one import", hint="write a line for each of them")
        if not isinstance(node, ast.With):
            own.append(node)
            continue
        imports = [inner for inner in node.body if isinstance(inner, ast.ImportFrom)]
        if not reads_base(node) or len(imports) < len(node.body):
            raise error_at(node, Unsupported("only imports of configs under `with read_base():` are read"), scope)
        for inner in imports:
            import_base(inner, scope)
    if scope.trust:
        run([node for node in own if imports_types(node)], scope)
        run_trusted([node for node in own if not imports_types(node)], scope)
    else:
        run(own, scope)
    return {
        name: value for name, value in scope.names.items() if name not in scope.imported and not name.startswith("__")
    }


def import_base(node: ast.ImportFrom, scope: Scope) -> None:
    """`from .base import *` makes all names of the base variables of this file, its imported ones included."""
    file, where = module_file(node, scope.path), f"{scope.path}:{node.lineno}"
    base = read_base(str(file), lambda: file, "newer", f"{where}: {file.name}", scope)
    names = copy_value(base.names, scope.budget, Inherited)
    scope.imported.update(base.imported)
    for imported in node.names:
        if imported.name == "*":
            scope.names.update((name, value) for name, value in names.items() if not name.startswith("__"))
        elif imported.name in names:
            scope.names[imported.asname or imported.name] = names[imported.name]
        else:
            missing = f"{where}: no {imported.name} in {'.' * node.level}{node.module}"
            raise ConfigError(missing, hint=suggestion(imported.name, names))


SETTLED = 2_000_000_000
"""Nanoseconds after a change before a file is kept: two changes within a tick of the clock look like one."""

KEPT: dict[str, tuple[Scope, int]] = {}
"""The bases read so far, and what each took of the budget; they count while their files are unchanged."""


def read_base(place: str, find: Callable[[], Path], style: Style, where: str, scope: Scope) -> Scope:
    """What a base of the file in `scope` holds, from memory if its files are unchanged, else from where `find` finds it."""
    base, cost = KEPT.get(place, (None, 0))
    try:
        is_current = base is not None and all(STAMP(path.stat()) == stamp for path, stamp in base.stamps.items())
    except OSError:
        is_current = False
    if base is None or not is_current or scope.trust:
        now, before = time_ns(), scope.budget.left
        base = read_file(find(), scope.budget, trust=scope.trust, chain=scope.chain)
        if not scope.trust and all(stamp and now - stamp[0] > SETTLED for stamp in base.stamps.values()):
            if len(KEPT) >= 512:
                KEPT.clear()
            KEPT[place] = base, before - scope.budget.left
    else:
        scope.budget.spend(cost)
    if base.style not in (style, "either"):
        raise ConfigError(f"{where} is of the {base.style} style, what inherits from it of the {style}", hint=ONE_STYLE)
    scope.assignments.extend(base.assignments)
    scope.notes.extend(base.notes)
    scope.stamps.update(base.stamps)
    return base
