"""What `read_config` returns: a dict that remembers where its settings were written.

The rule of this file: remembering costs nothing while a config is read. Only when somebody asks for the place of a
nested key is the file parsed again.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple


class Assignment(NamedTuple):
    """A line that assigns a top-level setting."""

    name: str
    path: Path
    line: int


class Config(dict[str, Any]):
    """The settings of a config file: a plain dict that knows its file and the lines of its keys."""

    path: Path
    assignments: tuple[Assignment, ...]

    def __init__(self, settings: dict[str, Any], *, path: Path, assignments: Sequence[Assignment] = ()) -> None:
        super().__init__(settings)
        self.path = path
        self.assignments = tuple(assignments)

    def where(self, key: str) -> str:
        """The place that set a dotted key, as `file.py:12`; the nearest that is known, at worst the file.

        `train_dataloader.dataset.pipeline.2.type` is looked for where `train_dataloader` was assigned last, then in
        the bases.
        """
        name = key.partition(".")[0]
        for assignment in reversed(self.assignments):
            if assignment.name == name:
                return f"{assignment.path}:{assignment.line}"
        return str(self.path)
