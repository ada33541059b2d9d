"""One config file and the files it inherits from.

The older style names its bases, `_base_ = ['../_base_/models/resnet50.py']`, and is laid over them; so do JSON and
YAML. The newer one imports them, `with read_base(): from .._base_.models.resnet50 import *`, and changes what it has
got. The rule of this file: bases first; a file is evaluated when all that it inherits is known.
"""

import ast
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from time import time_ns

from classlens.config.budget import TooMuch
from classlens.config.data import load_data
from classlens.config.expressions import BASE
from classlens.config.locating import SUFFIXES, absolute, config_file, nearest
from classlens.config.newer import (
    base_imports,
    changed_bases,
    check_style,
    imports_types,
    module_file,
    style_of,
    take_names,
)
from classlens.config.older import (
    assigns_base,
    base_list,
    data_laid_over,
    forbid_quoted_references,
    laid_over,
    named_bases,
    put_together,
    with_base,
)
from classlens.config.opening import Contents, Reading, Stamp, Style, file_text, stamp, statements_of
from classlens.config.scope import Scope
from classlens.config.statements import run
from classlens.config.templates import filled_in
from classlens.config.trusted import run_trusted
from classlens.errors import ConfigError

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
    except TooMuch as fault:
        raise ConfigError(f"{path}: a value {fault}") from None
    return replace(contents, style=style, stamps=(*contents.stamps, state if source == text else (path, NEVER, 0, 0)))


def read_older(scope: Scope, statements: Sequence[ast.stmt], reading: Reading) -> Contents:
    """A config that is laid over the bases it names."""
    bases = [(address, read_base(address, reading)) for address in named_bases(statements, scope)]
    line = next((node.lineno for node in statements if assigns_base(node)), 1)
    check_style("older", ((f"{scope.path}:{line}: {address}", contents.style) for address, contents in bases))
    base = put_together(bases, scope.path, scope.budget)
    forbid_quoted_references(statements, scope)
    scope = with_base(scope, base)
    if reading.trust:
        run_trusted(statements, scope)
    else:
        run(statements, scope)
    return laid_over(scope, base)


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
    return data_laid_over(values, path, put_together(bases, path, reading.budget), reading.budget)


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
