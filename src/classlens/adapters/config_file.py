"""Find a config, read it with the user's overrides, and collect what the user should hear about it."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from classlens.config import Config, misspelled, read_config
from classlens.config.overrides import apply_overrides
from classlens.sharing import ALONE
from classlens.shipped import shipped_config


def open_settings(file: Path, overrides: Mapping[str, Any], *, trust: bool) -> tuple[Config, tuple[str, ...]]:
    """The settings of a config, and notes: deprecations, and overrides that nearly equal a key but are none.

    With `trust` the config is run as Python, by mmengine where it is installed; a note says where mmengine failed.

    Raises:
        ConfigError: the file is missing, or says something that cannot be read without running it.
    """
    read: Callable[[Path], Config] = read_config
    heard: tuple[type[Warning], ...] = (DeprecationWarning,)
    if trust:
        from classlens.adapters.trusted_config import RunByClasslens, read_trusted

        read, heard = read_trusted, (DeprecationWarning, RunByClasslens)
    with ALONE, warnings.catch_warnings(record=True) as notices:
        for category in heard:
            warnings.simplefilter("always", category)
        config = read(file)
    slips = misspelled(config, overrides)
    if overrides:
        config = Config(apply_overrides(config, overrides), path=config.path, assignments=config.assignments)
    told = [str(notice.message) for notice in notices if issubclass(notice.category, heard)]
    return config, tuple(dict.fromkeys([*told, *slips]))


def found_config(path: str) -> Path:
    """The file itself, or, where there is none, the shipped config of that documented name."""
    given = Path(path)
    if given.exists() or not path.removeprefix("./").startswith("configs/"):
        return given
    shipped = shipped_config(path.removeprefix("./").removeprefix("configs/"))
    return shipped if shipped.exists() else given
