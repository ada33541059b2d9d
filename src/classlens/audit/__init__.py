"""A whole dataset as a network sees it: a row for every picture, and what they say together.

    classlens.audit(classlens.open_source("demo"), "out/audit")

A `Source` goes in, every picture of a split becomes a row (prediction, loss, maps, features), rows lie in files that
other tools read, too (`rows.py`), and are summed up without holding them all. Nothing here knows processes or clusters:
who spreads the work hands out numbers of shards.
"""

from classlens.audit.carry_out import audit

__all__ = ["audit"]
