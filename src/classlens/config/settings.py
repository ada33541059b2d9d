"""The settings of a config: a dict that remembers where they were written, and how a `dict(type=...)` in it is read.

The rule of this file: remembering costs nothing while a config is read. Only when somebody asks for the place of a
nested key are the files looked at again.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from functools import lru_cache
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from classlens.errors import ConfigError, short_repr, suggestion
from classlens.sharing import unwarned

Settings = Mapping[str, Any]  # a `dict(type=..., ...)` of a config, read only


def text(settings: Settings, key: str, where: str) -> str:
    value = settings.get(key) or ""
    if not isinstance(value, str):
        raise ConfigError(f"{where}: {key} is a text, not {short_repr(value)}")
    return value


def split_of(settings: Settings, where: str, *known: str) -> str:
    """The split, by default the first of those that the dataset has."""
    split = settings.get("split", known[0])
    if split not in known:
        kind = settings["type"]
        raise ConfigError(f"{where}: {kind} has no split {short_repr(split)}", hint=suggestion(split, known))
    return str(split)


class Assignment(NamedTuple):
    """A line that assigns a top-level setting."""

    name: str
    path: Path
    line: int


class Config(dict[str, Any]):
    """The settings of a config file: a plain dict that knows its file and the lines of its keys.

    `deprecations` are what its authors say of it and of its bases; `slips` are overrides that nearly equal a key.
    """

    path: Path
    assignments: Sequence[Assignment] = ()
    deprecations: Sequence[str] = ()
    slips: Sequence[str] = ()

    def where(self, key: str) -> str:
        """The place that set a dotted key, as `path/to/file.py:12`; the nearest that is known, at worst the file.

        `train_dataloader.dataset.pipeline.2.type` is looked for where `train_dataloader` was assigned last, then in
        the bases; variables such as `pipeline=train_pipeline` are followed within a file.
        """
        name, *way = key.split(".")
        places = [deepest_place(one, way) for one in reversed(self.assignments) if one.name == name]
        _, place = max(places, key=itemgetter(0), default=(0, str(self.path)))
        return place


@lru_cache(32)
def assigned_values(path: Path, changed: int) -> dict[str, ast.expr]:
    with unwarned():
        module = ast.parse(path.read_text(encoding="utf-8"))
    return {
        target.id: node.value
        for node in module.body
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def deepest_place(assignment: Assignment, way: Sequence[str]) -> tuple[int, str]:
    """How many keys of the way are written down there, and the place of the last one.

    A key is looked for in `dict(key=...)`, in `{'key': ...}`, and as an index in a list.
    """
    name, path, line = assignment
    try:
        values = assigned_values(path, path.stat().st_mtime_ns) if path.suffix == ".py" else {}
    except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
        values = {}
    node, depth = values.get(name), 0
    for part in way:
        node = values.get(node.id) if isinstance(node, ast.Name) else node
        inside: dict[str | None, ast.expr] = {}
        if isinstance(node, ast.Call):
            inside = {keyword.arg: keyword.value for keyword in node.keywords}
        elif isinstance(node, ast.Dict):
            pairs = zip(node.keys, node.values, strict=True)
            inside = {str(key.value): value for key, value in pairs if isinstance(key, ast.Constant)}
        elif isinstance(node, ast.List | ast.Tuple):
            inside = {str(index): item for index, item in enumerate(node.elts)}
        if part not in inside:
            break
        node = inside[part]
        line, depth = node.lineno, depth + 1
    return depth, f"{path}:{line}"
