"""Configs whose author is trusted: run as Python, for what the safe subset leaves out.

The rule of this file: it is reached only when the user has said `--trust-config`. Bases and merging are those of every
other config; only the statements of the file are handed to Python itself.
"""

import ast
import copy
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import time_ns
from types import FunctionType, ModuleType

from classlens.config.budget import ALLOWANCE, Budget, LimitExceeded, Value
from classlens.config.data_files import load_data
from classlens.config.expressions import BASE, rooted_in_base
from classlens.config.lazy_config import (
    base_imports,
    changed_bases,
    check_style,
    imports_types,
    module_file,
    style_of,
    take_names,
)
from classlens.config.open_file import (
    SUFFIXES,
    Contents,
    Reading,
    Stamp,
    Style,
    absolute,
    config_file,
    file_text,
    filled_in,
    nearest,
    stamp,
    statements_of,
)
from classlens.config.overrides import apply_overrides
from classlens.config.scope import Scope, copied
from classlens.config.source_map import Config
from classlens.config.statements import run
from classlens.config.text_config import (
    assigns_base,
    base_list,
    data_laid_over,
    forbid_quoted_references,
    merge_bases,
    merge_into_scope,
    named_bases,
    with_base,
)
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
    body = [References().visit(copy.deepcopy(node)) for node in statements if not assigns_base(node)]
    module = ast.fix_missing_locations(ast.Module(body, type_ignores=[]))
    names = scope.names | {BASE: scope.base, "__file__": str(scope.path), "__name__": scope.path.stem}
    try:
        exec(compile(module, str(scope.path), "exec"), names)
    except EXPECTED as fault:
        lines = [
            frame.lineno for frame in traceback.extract_tb(fault.__traceback__) if frame.filename == str(scope.path)
        ]
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


SETTLED = 2_000_000_000
"""Nanoseconds after a change before a file is kept: two changes within a tick of the clock look like one."""

NEVER = sys.maxsize
"""The time of change of what is never kept: it depends on the environment, not on files alone."""

MOST_KEPT = 512

LARGEST_KEPT = 50_000
"""Budget beyond which a base is read anew each time."""


@dataclass(frozen=True)
class Kept:
    """A base as it was read, and the budget that reading it took."""

    contents: Contents
    cost: int


KEPT: dict[str, Kept] = {}
"""The bases read so far, by folder and address. An entry counts only while its files are unchanged."""


def read_file(path: Path, reading: Reading) -> Contents:
    """Read one file with its bases.

    Raises:
        ConfigError: it cannot be read, or inherits from itself.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} is no config", hint=f"a config is a file in {', '.join(SUFFIXES)}")
    inside = reading.inside(path)
    text, state = file_text(path, reading.budget)
    source = filled_in(text, path)
    style: Style = "older"
    try:
        if path.suffix != ".py":
            contents = read_data(path, source, inside)
        elif (style := style_of(statements := statements_of(source, path), path)) == "newer":
            # Upstream puts no file and environment variables into configs of the newer style.
            statements = statements if source == text else statements_of(text, path)
            contents = read_newer(Scope(path, text, reading.budget), statements, inside)
        else:
            contents = read_older(Scope(path, source, reading.budget), statements, inside)
    except LimitExceeded as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    return replace(contents, style=style, stamps=(*contents.stamps, state if source == text else (path, NEVER, 0, 0)))


def read_older(scope: Scope, statements: Sequence[ast.stmt], reading: Reading) -> Contents:
    """A config that is laid over the bases it names."""
    bases = [(address, read_base(address, reading)) for address in named_bases(statements, scope)]
    line = next((node.lineno for node in statements if assigns_base(node)), 1)
    check_style("older", ((f"{scope.path}:{line}: {address}", contents.style) for address, contents in bases))
    base = merge_bases(bases, scope.path, scope.budget)
    forbid_quoted_references(statements, scope)
    scope = with_base(scope, base)
    if reading.trust:
        run_trusted(statements, scope)
    else:
        run(statements, scope)
    return merge_into_scope(scope, base)


def read_newer(scope: Scope, statements: Sequence[ast.stmt], reading: Reading) -> Contents:
    """A config that imports its bases: their settings are variables of the file before its first line."""
    bases = []
    for node in base_imports(statements, scope):
        file = module_file(node, scope.path)
        bases.append(kept_or_read(str(file), partial(Path, file), reading))
        check_style("newer", [(f"{scope.path}:{node.lineno}: {file.name}", bases[-1].style)])
        take_names(node, bases[-1], scope)
    rest = [node for node in statements if not isinstance(node, ast.With)]
    if reading.trust:
        imports = [node for node in rest if imports_types(node)]
        run_trusted([node for node in rest if node not in imports], scope, imports)
    else:
        run(rest, scope)
    return changed_bases(scope, bases)


def read_data(path: Path, source: str, reading: Reading) -> Contents:
    """A JSON or YAML config, laid over the bases it names."""
    values = load_data(source, path, reading.budget)
    bases = [(address, read_base(address, reading)) for address in base_list(values.pop(BASE, []), str(path))]
    check_style("older", ((f"{path}: {address}", contents.style) for address, contents in bases))
    return data_laid_over(values, path, merge_bases(bases, path, reading.budget), reading.budget)


def read_base(address: str, reading: Reading) -> Contents:
    """Read the base that the innermost open file names.

    Raises:
        ConfigError: it is missing or cannot be read.
    """
    path = reading.chain[-1]
    return kept_or_read(f"{path.parent}{os.sep}{address}", partial(base_file, address, path), reading)


def base_file(address: str, path: Path) -> Path:
    """The file that an address means in the file at `path`.

    Raises:
        ConfigError: there is none.
    """
    if "::" in address:
        return config_file(address)
    target = absolute(Path(address), path.parent)
    if not target.is_file():
        raise ConfigError(f"{path}: no such base config: {address}", hint=nearest(target))
    return target


def kept_or_read(key: str, find: Callable[[], Path], reading: Reading) -> Contents:
    """What a base holds. Bases are shared by hundreds of configs, and kept until one of their files changes.

    Raises:
        ConfigError: it is missing or cannot be read.
    """
    kept = KEPT.get(key)
    if kept is not None and not reading.trust and unchanged(kept.contents.stamps):
        reading.budget.spend(kept.cost)
        return kept.contents
    now, before = time_ns(), reading.budget.left
    contents = read_file(find(), reading)
    cost = before - reading.budget.left
    settled = all(now - changed > SETTLED for _, changed, _, _ in contents.stamps)
    if settled and cost <= LARGEST_KEPT and not reading.trust:
        if len(KEPT) >= MOST_KEPT:
            KEPT.clear()
        KEPT[key] = Kept(contents, cost)
    return contents


def unchanged(stamps: Sequence[Stamp]) -> bool:
    """Whether files are as they were when they were stamped."""
    try:
        return all(stamp(state[0]) == state for state in stamps)
    except OSError:
        return False


RESERVED = ("filename", "text", "pretty_text", "env_variables")


def read_config(path: str | Path, *, overrides: Mapping[str, Value] | None = None, trust: bool = False) -> Config:
    """Read a config and its bases; the result is made of plain dicts, lists, tuples, numbers and texts.

    Imported names (`type=ResNet` after `from mmpretrain.models import ResNet`) become text: `mmpretrain.models.ResNet`.
    `overrides` are what `parse_overrides` gives: dotted keys and their values. With `trust`, Python configs are run
    as Python instead of being evaluated; only for files whose author is trusted.

    Raises:
        ConfigError: the file is missing, cannot be read, or asks for something outside the safe subset.
    """
    file = config_file(path)
    reading = Reading(trust, Budget(sys.maxsize if trust else ALLOWANCE))
    contents = read_file(file, reading)
    forbid_reserved(contents, file)
    try:
        values = copied(contents.settings(), reading.budget, dict)
    except LimitExceeded as fault:
        raise ConfigError(f"{file}: a value {fault}") from None
    settings = apply_overrides(values, overrides) if overrides else values
    return Config(settings, path=file, assignments=contents.assignments)


def forbid_reserved(contents: Contents, file: Path) -> None:
    """Names that upstream's own object for a config has: it does not open a file that defines one, or inherits it.

    Raises:
        ConfigError: there is one.
    """
    for name in RESERVED:
        if name in contents.names:
            lines = [f"{one.path}:{one.line}" for one in contents.assignments if one.name == name]
            where = lines[-1] if lines else file
            raise ConfigError(f"{where}: {name} is reserved for config file", hint="give the setting another name")
