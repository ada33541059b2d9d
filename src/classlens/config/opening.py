"""From a path to text and statements, for one config file at a time.

The rule of this file: nothing is evaluated here, and no more is read than the budget allows.
"""

import ast
import codecs
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from classlens.config.budget import ALLOWANCE, Budget, TooMuch
from classlens.config.value import Value
from classlens.config.whereabouts import Assignment
from classlens.errors import ConfigError
from classlens.sharing import unwarned

LEAST_COST = 200
"""What opening a file costs, however small it is."""

Style = Literal["older", "newer", "either"]
"""How a config inherits: by `_base_`, as JSON and YAML do, or by imports; a file without bases and types may be either."""

Stamp = tuple[Path, int, int, int]
"""A file as it was when it was read: its path, time of change, size and inode."""


@dataclass(frozen=True)
class Reading:
    """One call of `read_config`: its budget, and the files that are open at the moment, outermost first."""

    trust: bool = False
    budget: Budget = field(default_factory=Budget)
    chain: tuple[Path, ...] = ()

    def inside(self, path: Path) -> "Reading":
        """The same reading, with one more file open.

        Raises:
            ConfigError: that file is open already.
        """
        if path in self.chain:
            circle = " -> ".join(file.name for file in (*self.chain, path))
            raise ConfigError(f"{path} inherits from itself: {circle}")
        return Reading(self.trust, self.budget, (*self.chain, path))


@dataclass(frozen=True)
class Contents:
    """What a file defines, its bases included. Nobody changes it: it may be kept for the next reading.

    `assignments` go from the first base to the file itself; `stamps` are those of all files that were read. `style` is
    that of the file.
    """

    names: dict[str, Value]
    imported: frozenset[str] = frozenset()
    assignments: tuple[Assignment, ...] = ()
    stamps: tuple[Stamp, ...] = ()
    style: Style = "either"

    def settings(self) -> dict[str, Value]:
        """The names that are settings: not imported, not private to Python."""
        return {
            name: value for name, value in self.names.items() if name not in self.imported and not name.startswith("__")
        }


def stamp(path: Path) -> Stamp:
    """The stamp of a file as it is now."""
    state = path.stat()
    return path, state.st_mtime_ns, state.st_size, state.st_ino


def file_text(path: Path, budget: Budget) -> tuple[str, Stamp]:
    """The text of a file, with its stamp.

    Raises:
        ConfigError: it cannot be read, or is too long.
    """
    try:
        state = stamp(path)
        budget.spend(max(state[2], LEAST_COST))
        return path.read_bytes().removeprefix(codecs.BOM_UTF8).decode(), state
    except TooMuch:
        raise ConfigError(f"{path} and its bases are longer than {ALLOWANCE:,} characters") from None
    except (OSError, UnicodeDecodeError) as fault:
        raise ConfigError(f"{path} cannot be read: {getattr(fault, 'strerror', None) or fault}") from None


def statements_of(source: str, path: Path) -> list[ast.stmt]:
    """The statements of a Python config.

    Raises:
        ConfigError: it is not Python, or nested too deeply to be parsed.
    """
    try:
        with unwarned():
            return ast.parse(source).body
    except SyntaxError as fault:
        shown = (fault.text or "").strip()[:60]
        raise ConfigError(f"{path}:{fault.lineno or 1}: {fault.msg}: `{shown}`") from None
    except (RecursionError, MemoryError):
        raise ConfigError(f"{path} cannot be parsed: it is nested too deeply") from None
    except ValueError as fault:
        raise ConfigError(f"{path} cannot be parsed: {fault}") from None
