"""Configs that are run as Python because the user trusts them: by mmengine where it is installed.

mmengine also follows `custom_imports`, so that the user's own types are registered. Without it the file is run by
Classlens, and `custom_imports` stay what they are: names.
"""

from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from classlens.config import Config, read_config
from classlens.config.locating import config_file
from classlens.config.overrides import apply_overrides
from classlens.config.trusted import EXPECTED
from classlens.errors import ConfigError, first_line

RUNNER = "mmengine"


def read_trusted(path: str | Path, *, overrides: Mapping[str, Any] | None = None) -> Config:
    """Run a config and give its settings, as `read_config` does without running it.

    Raises:
        ConfigError: the file is missing, or its code fails.
    """
    if find_spec(RUNNER) is None:
        return read_config(path, overrides=overrides, trust=True)
    from mmengine.config import Config as RunConfig

    file = config_file(path)
    try:
        settings = RunConfig.fromfile(str(file)).to_dict()
    except (*EXPECTED, SyntaxError) as fault:
        missing = isinstance(fault, ImportError)
        hint = "put the folder of your own modules on PYTHONPATH" if missing else "the config was run by mmengine"
        raise ConfigError(f"{file}: {type(fault).__name__}: {first_line(fault)}", hint=hint) from fault
    return Config(apply_overrides(settings, overrides or {}), path=file)
