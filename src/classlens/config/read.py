"""Open an OpenMMLab-style config: `read_config` gives what the file and its bases mean, without running them.

Python configs of both styles (`_base_ = [...]` and `with read_base():`), JSON and YAML. The rule of this file: one
reading has one budget, whatever number of files it opens.
"""

import sys
from collections.abc import Mapping
from pathlib import Path

from classlens.config.bases import read_file
from classlens.config.budget import ALLOWANCE, Budget, TooMuch
from classlens.config.inherited import copied
from classlens.config.locating import config_file
from classlens.config.opening import Contents, Reading
from classlens.config.overrides import apply_overrides
from classlens.config.value import Value
from classlens.config.whereabouts import Config
from classlens.errors import ConfigError

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
    except TooMuch as fault:
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
