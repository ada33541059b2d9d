"""What `read_config` returns: a dict that remembers where its settings were written.

The rule of this file: remembering costs nothing while a config is read. Only when somebody asks for the place of a
nested key are the files looked at again.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

FILES = 32
"""How many files are kept as they were parsed, for the next question about one of them."""


class Assignment(NamedTuple):
    """A line that assigns a top-level setting."""

    name: str
    path: Path
    line: int


class Config(dict[str, Any]):
    """The settings of a config file: a plain dict that knows its file and the lines of its keys.

    `deprecations` are what its authors say of it and of its bases; `slips` are overrides that nearly equal a key.
    """

    def __init__(
        self,
        settings: dict[str, Any],
        *,
        path: Path,
        assignments: Sequence[Assignment] = (),
        deprecations: Sequence[str] = (),
        slips: Sequence[str] = (),
    ) -> None:
        super().__init__(settings)
        self.path = path
        self.assignments = tuple(assignments)
        self.deprecations = tuple(deprecations)
        self.slips = tuple(slips)

    def where(self, key: str) -> str:
        """The place that set a dotted key, as `path/to/file.py:12`; the nearest that is known, at worst the file.

        `train_dataloader.dataset.pipeline.2.type` is looked for where `train_dataloader` was assigned last, then in
        the bases; variables such as `pipeline=train_pipeline` are followed within a file.
        """
        name, *way = key.split(".")
        best, reached = str(self.path), -1
        for assignment in reversed(self.assignments):
            if assignment.name == name:
                line, depth = deepest_line(assignment, way)
                if depth > reached:
                    best, reached = f"{assignment.path}:{line}", depth
        return best


@lru_cache(FILES)
def assigned_values(path: Path, changed: int) -> dict[str, ast.expr]:
    return {
        target.id: node.value
        for node in ast.parse(path.read_text(encoding="utf-8")).body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def deepest_line(assignment: Assignment, way: Sequence[str]) -> tuple[int, int]:
    """The line of the last key on the way that is written down there, and how many of them are.

    A key is looked for in `dict(key=...)`, in `{'key': ...}`, and as an index in a list.
    """
    if assignment.path.suffix != ".py":
        return assignment.line, 0
    try:
        values = assigned_values(assignment.path, assignment.path.stat().st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return assignment.line, 0
    node: ast.expr | None = values.get(assignment.name)
    line, depth = assignment.line, 0
    for part in way:
        node = values.get(node.id) if isinstance(node, ast.Name) else node
        inner: ast.expr | None = None
        if isinstance(node, ast.Call):
            inner = next((keyword.value for keyword in node.keywords if keyword.arg == part), None)
        elif isinstance(node, ast.Dict):
            keys = [str(key.value) if isinstance(key, ast.Constant) else None for key in node.keys]
            inner = node.values[keys.index(part)] if part in keys else None
        elif isinstance(node, ast.List | ast.Tuple) and part.isdecimal() and int(part) < len(node.elts):
            inner = node.elts[int(part)]
        if inner is None:
            break
        node, line, depth = inner, inner.lineno, depth + 1
    return line, depth
