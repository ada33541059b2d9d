"""OpenMMLab-style configs, both generations: read, not run."""

from classlens.config.overrides import misspelled, parse_overrides
from classlens.config.read import read_config
from classlens.config.source_map import Config

__all__ = ["Config", "misspelled", "parse_overrides", "read_config"]
