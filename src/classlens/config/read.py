"""Read a config with its bases.

The rule of this file: bases are shared by hundreds of configs, so they are kept until one of their files changes.
"""

import ast
import os
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import time_ns

from classlens.config.budget import ALLOWANCE, Budget, LimitExceeded, Value
from classlens.config.data_files import BASE_REFERENCE, load_data
from classlens.config.expressions import BASE, evaluate
from classlens.config.lazy_config import ONE_STYLE, base_imports, import_names, imports_types, module_file, style_of
from classlens.config.open_file import (
    SUFFIXES,
    absolute,
    fill_variables,
    find_config,
    nearest,
    parse,
    read_text,
    stamp,
)
from classlens.config.overrides import apply_overrides, misspelled
from classlens.config.run_trusted import run_trusted
from classlens.config.scope import Inherited, Scope, copy_value
from classlens.config.source_map import Assignment, Config
from classlens.config.statements import run
from classlens.config.text_config import (
    MENTION,
    NO_BASE,
    Contents,
    Style,
    assigns_base,
    forbid_quoted_references,
    mark_scope,
    merge_over,
)
from classlens.errors import ConfigError

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
    file = find_config(address)
    reading = FileReader(Budget(sys.maxsize if trust else ALLOWANCE), trust)
    contents = read_file(file, reading)
    for name in RESERVED:
        if name in contents.names:
            lines = [f"{one.path}:{one.line}" for one in contents.assignments if one.name == name]
            where = lines[-1] if lines else file
            raise ConfigError(f"{where}: {name} is reserved for config file", hint="give the setting another name")
    try:
        settings = copy_value(contents.settings(), reading.budget, dict)
    except LimitExceeded as fault:
        raise ConfigError(f"{file}: a value {fault}") from None
    slips = misspelled(settings, overrides) if overrides else ()
    return Config(
        apply_overrides(settings, overrides) if overrides else settings,
        path=file,
        assignments=contents.assignments,
        deprecations=tuple(dict.fromkeys(contents.notes)),
        slips=slips,
    )


@dataclass(frozen=True)
class FileReader:
    """One call of `read_config`: its budget, and the files that are open at the moment, outermost first."""

    budget: Budget
    trust: bool
    chain: tuple[Path, ...] = ()


def read_file(path: Path, reading: FileReader) -> Contents:
    """Read one file with its bases.

    Raises:
        ConfigError: it cannot be read, or inherits from itself.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(f"{path} is no config", hint=f"a config is a file in {', '.join(SUFFIXES)}")
    chain = (*reading.chain, path)
    if path in reading.chain:
        raise ConfigError(f"{path} inherits from itself: {' -> '.join(file.name for file in chain)}")
    reading = FileReader(reading.budget, reading.trust, chain)
    text, state = read_text(path, reading.budget)
    source = fill_variables(text, path) if "{{" in text else text
    style: Style = "older"
    try:
        if path.suffix != ".py":
            contents = read_data(Scope(path, source, reading.budget), reading)
        elif (style := style_of(statements := parse(source, path), path)) == "newer":
            # Upstream puts no file and environment variables into configs of the newer style.
            statements = statements if source == text else parse(text, path)
            contents = read_newer(Scope(path, text, reading.budget), statements, reading)
        else:
            contents = read_older(Scope(path, source, reading.budget), statements, reading)
    except LimitExceeded as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    return replace(contents, style=style, stamps=(*contents.stamps, state if source == text else (path, NEVER, 0, 0)))


def read_older(scope: Scope, statements: Sequence[ast.stmt], reading: FileReader) -> Contents:
    """A config that is merged over the bases it names."""
    base = NO_BASE
    named = next((node for node in statements if isinstance(node, ast.Assign) and assigns_base(node)), None)
    if named is not None:
        base = read_bases(evaluate(named.value, scope), f"{scope.path}:{named.lineno}", scope, reading)
    if "{{" in scope.text and BASE_REFERENCE.search(scope.text):
        forbid_quoted_references(statements, scope)
    if MENTION.search(scope.text):  # a file that never reads `_base_` does without the copy
        scope = replace(scope, base=copy_value(base.names, scope.budget, Inherited))
    if reading.trust:
        run_trusted(statements, scope)
    else:
        run(statements, scope)
    return merge_over(base, scope)


def read_newer(scope: Scope, statements: Sequence[ast.stmt], reading: FileReader) -> Contents:
    """A config that imports its bases: their settings are variables of the file before its first line."""
    bases = []
    for node in base_imports(statements, scope):
        file = module_file(node, scope.path)
        bases.append(read_base(str(file), partial(Path, file), reading))
        check_style("newer", f"{scope.path}:{node.lineno}: {file.name}", bases[-1])
        import_names(node, bases[-1], scope)
    rest = [node for node in statements if not isinstance(node, ast.With)]
    if reading.trust:
        imports = [node for node in rest if imports_types(node)]
        run_trusted([node for node in rest if node not in imports], scope, imports)
    else:
        run(rest, scope)
    contents = inherit(scope.names, bases)
    own = (Assignment(name, scope.path, line) for name, line in scope.lines.items())
    return replace(contents, imported=frozenset(scope.imported), assignments=(*contents.assignments, *own))


def read_data(scope: Scope, reading: FileReader) -> Contents:
    """A JSON or YAML config, merged over the bases it names."""
    scope.names.update(load_data(scope.text, scope.path, scope.budget))
    return merge_over(read_bases(scope.names.get(BASE, []), str(scope.path), scope, reading), scope)


def read_bases(bases: Value, where: str, scope: Scope, reading: FileReader) -> Contents:
    """The bases of a file of the older style as one: `bases` is an address or a list of addresses.

    Raises:
        ConfigError: it is neither; one is missing or cannot be read; or two of them define the same setting.
    """
    addresses = [bases] if isinstance(bases, str) else bases
    if not isinstance(addresses, list | tuple) or not all(isinstance(address, str) for address in addresses):
        raise ConfigError(f"{where}: {BASE} is neither a path nor a list of paths: {bases!r}"[:200])
    names: dict[str, Value] = {}
    bases_read = []
    for address in addresses:
        find = partial(find_base, address, scope.path)
        base = read_base(f"{scope.path.parent}{os.sep}{address}", find, reading)
        check_style("older", f"{where}: {address}", base)
        settings = base.settings()
        if twice := names.keys() & settings.keys():
            raise ConfigError(
                f"{scope.path}: two of its bases define {min(twice)}, the second is {address}",
                hint="bases must not overlap; let one inherit from the other",
            )
        names |= mark_scope(settings, address.partition("::")[0], scope.budget) if "::" in address else settings
        bases_read.append(base)
    return inherit(names, bases_read)


def inherit(names: dict[str, Value], bases: Sequence[Contents]) -> Contents:
    """What several bases are together, where their settings are `names`."""
    return Contents(
        names,
        assignments=tuple(one for base in bases for one in base.assignments),
        stamps=tuple(one for base in bases for one in base.stamps),
        notes=tuple(one for base in bases for one in base.notes),
    )


def check_style(style: Style, where: str, base: Contents) -> None:
    if base.style not in (style, "either"):
        raise ConfigError(f"{where} is of the {base.style} style, what inherits from it of the {style}", hint=ONE_STYLE)


def find_base(address: str, path: Path) -> Path:
    """The file that an address means in the file at `path`."""
    if "::" in address:
        return find_config(address)
    target = absolute(path.parent / address)
    if not target.is_file():
        raise ConfigError(f"{path}: no such base config: {address}", hint=nearest(target))
    return target


SETTLED = 2_000_000_000
"""Nanoseconds after a change before a file is kept: two changes within a tick of the clock look like one."""

NEVER = sys.maxsize
"""The time of change of what is never kept: it depends on the environment, not on files alone."""

MOST_KEPT = 512

LARGEST_KEPT = 50_000
"""Budget beyond which a base is read anew each time."""

CACHE: dict[str, tuple[Contents, int]] = {}
"""The bases read so far and the budget that each took, by folder and address; they count while files are unchanged."""


def read_base(key: str, find: Callable[[], Path], reading: FileReader) -> Contents:
    """What a base holds, from the cache if its files are unchanged.

    Raises:
        ConfigError: it is missing or cannot be read.
    """
    if key in CACHE and not reading.trust:
        contents, cost = CACHE[key]
        try:
            unchanged = all(stamp(state[0]) == state for state in contents.stamps)
        except OSError:
            unchanged = False
        if unchanged:
            reading.budget.spend(cost)
            return contents
    now, before = time_ns(), reading.budget.left
    contents = read_file(find(), reading)
    cost = before - reading.budget.left
    settled = all(now - changed > SETTLED for _, changed, _, _ in contents.stamps)
    if settled and cost <= LARGEST_KEPT and not reading.trust:
        if len(CACHE) >= MOST_KEPT:
            CACHE.clear()
        CACHE[key] = contents, cost
    return contents
