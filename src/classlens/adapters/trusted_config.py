"""Configs that are run as Python because the user trusts them: by mmengine where it is installed.

mmengine also follows `custom_imports`, so that the user's own types are registered. Without it the file is run by
Classlens, and `custom_imports` stay what they are: names. So is a file on which mmengine fails and Classlens does not:
some versions of Python and mmengine do not go together.
"""

import re
import warnings
from importlib.util import find_spec
from pathlib import Path

from classlens.config import Config, read_config
from classlens.config.open_file import config_file
from classlens.config.read import EXPECTED
from classlens.errors import ConfigError, first_line

RUNNER = "mmengine"


class RunByClasslens(UserWarning):
    """The category of the note that mmengine failed on a config, and Classlens ran it."""


def read_trusted(path: str | Path) -> Config:
    """Run a config and give its settings, as `read_config` does without running it.

    Warns with `RunByClasslens` where mmengine is installed, but fails.

    Raises:
        ConfigError: the file is missing, or its code fails.
    """
    if find_spec(RUNNER) is None:
        return read_config(path, trust=True)
    file = config_file(path)
    try:
        import mmengine
        import yaml  # mmengine needs it
    except ImportError as fault:
        warnings.warn(f"{RUNNER} cannot be imported ({fault}): run by Classlens instead", RunByClasslens, stacklevel=2)
        return read_config(file, trust=True)
    try:
        return Config(mmengine.Config.fromfile(str(file)).to_dict(), path=file)
    except ImportError as fault:
        hint = "put the folder of your own modules on PYTHONPATH"
        raise ConfigError(f"{file}: {type(fault).__name__}: {first_line(fault)}", hint=hint) from fault
    except (*EXPECTED, SyntaxError, re.error, yaml.YAMLError) as fault:
        reason = f"{type(fault).__name__}: {first_line(fault)}" if str(fault) else type(fault).__name__
        try:
            config = read_config(file, trust=True)
        except ConfigError as ours:
            raise ConfigError(str(ours), hint=f"mmengine says: {reason}") from fault
        note = f"mmengine {mmengine.__version__} fails on {file.name} ({reason}): run by Classlens instead"
        warnings.warn(note, RunByClasslens, stacklevel=2)
        return config
