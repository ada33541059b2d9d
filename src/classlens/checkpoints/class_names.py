"""Names of classes, in any of the forms in which people keep them: as the user says them, or as a file holds them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from classlens.errors import DataError
from classlens.files import read_regular

KEYS = ("classes", "CLASSES", "class_names", "class_to_idx", "idx_to_class", "id2label", "label_names", "names")
"""Under which keys trainers save the names beside the weights."""

HOW = "one name a line, a JSON list, or a JSON table of names and numbers; or names with commas between"


def names_in(value: Any) -> tuple[str, ...] | None:  # noqa: ANN401 - whatever a file holds
    """Names in the order of their numbers: out of a list, or a table from name to number or from number to name."""
    if isinstance(value, Mapping):
        if not all(isinstance(key, str | int) for key in value):
            return None
        by_number = {str(number): name for number, name in value.items()}
        if all(isinstance(number, int) for number in value.values()):
            by_number = {str(number): name for name, number in value.items()}
        value = [by_number.get(str(number)) for number in range(len(by_number))]
    if isinstance(value, (list, tuple)) and value and all(isinstance(name, str) for name in value):
        return tuple(value)
    return None


def read_names(names_or_file: str) -> tuple[str, ...]:
    """The names that `--classes` gives: a file of them, or the names themselves."""
    path, hint = Path(names_or_file).expanduser(), f"give {HOW}"
    if not path.is_file():
        parts = tuple(name.strip() for name in names_or_file.split(","))
        if len(parts) < 2 or not all(parts):
            raise DataError(f"no class names in {names_or_file!r}, and no such file", hint=hint)
        return parts
    try:
        text = read_regular(path, "list").decode("utf-8-sig")
        content = json.loads(text) if path.suffix == ".json" else text.splitlines()
    except (OSError, ValueError, RecursionError, MemoryError) as error:
        raise DataError(f"no class names can be read from {path}: {error}", hint=hint) from error
    if isinstance(content, list):
        content = [name.strip() if isinstance(name, str) else name for name in content if name != ""]
    inside = (content.get(key) for key in KEYS) if isinstance(content, Mapping) else ()
    names = next(filter(None, map(names_in, (content, *inside))), None)
    if names is None:
        raise DataError(f"{path} holds no class names", hint=hint)
    return names
