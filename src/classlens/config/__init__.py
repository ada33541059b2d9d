"""OpenMMLab-style configs, both generations: read, not run."""

from classlens.config.overrides import misspelled, parse_overrides
from classlens.config.read import load_config, read_config
from classlens.config.settings import Config

__all__ = ["Config", "load_config", "misspelled", "parse_overrides", "read_config"]
