"""What is replaced in the text of a config before it is parsed: `{{ fileBasename }}` and `{{ $NAME:default }}`.

`{{ _base_.key }}` is no replacement of text in a Python config (it is an expression there); in JSON and YAML it
stands for the inherited value, quoted or not. The rule of this file: it works on text and on nothing else.
"""

import os
import re
from pathlib import Path

from classlens.errors import ConfigError

FILE_VARIABLE = re.compile(r"\{\{\s*(fileDirname|fileBasename|fileBasenameNoExtension|fileExtname)\s*\}\}")
ENVIRONMENT = re.compile(r"""\{\{['"]?\s{0,20}\$(\w+)\s{0,20}:\s{0,20}([^\s{]*?)\s{0,20}['"]?\}\}""")
"""No two repeats can match the same text: one of nothing but `{{$A:` would take hours otherwise."""
BASE_REFERENCE = re.compile(r"\{\{\s*_base_\.([\w.]+)\s*\}\}")
BARE_REFERENCE = re.compile(r"(?<=[:\[,\s-])(\{\{\s*_base_\.[\w.]+\s*\}\})(?=\s*(?:[,\]}\n]|$))")


def filled_in(text: str, path: Path) -> str:
    """The text with file variables and environment variables put in.

    Raises:
        ConfigError: an environment variable is not set and has no default.
    """
    if "{{" not in text:
        return text
    values = {
        "fileDirname": path.parent.as_posix(),
        "fileBasename": path.name,
        "fileBasenameNoExtension": path.stem,
        "fileExtname": path.suffix,
    }
    text = FILE_VARIABLE.sub(lambda found: values[found[1]], text)

    def from_environment(found: re.Match[str]) -> str:
        value = os.environ.get(found[1], found[2])
        if not value:
            line = text.count("\n", 0, found.start()) + 1
            raise ConfigError(
                f"{path}:{line}: the environment variable {found[1]} is not set: `{found[0]}`",
                hint=f"set it, or give a default: {{{{${found[1]}:default}}}}",
            )
        return value

    return ENVIRONMENT.sub(from_environment, text)


def quoted_references(text: str) -> str:
    """JSON or YAML text in which bare `{{ _base_.key }}` has become a string, so that it can be parsed."""
    return BARE_REFERENCE.sub(r'"\1"', text) if "_base_." in text else text
