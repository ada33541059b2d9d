"""Open what the user named, and tell what they should know about it."""

import sys

from classlens.adapters import Options, open_source
from classlens.source import Source


def open_target(address: str, options: Options) -> Source:
    """The source behind an address; notes on it go to standard error."""
    source = open_source(address, options=options)
    for note in source.notes:
        print(f"note:  {note}", file=sys.stderr)
    return source
