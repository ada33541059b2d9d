"""What all threads of a process share, and one of them changes for a moment.

Standard error, Pillow's limits, the filters of warnings, the global random generators, matplotlib's settings, and a
network with its hooks are changed and put back. Two threads that did so at once would put back what the other one had
changed, so whoever changes something of the kind does it alone.
"""

import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

ALONE = threading.RLock()
"""Held while something shared is other than it should be. A thread that has it may take it again."""

if hasattr(os, "register_at_fork"):  # a copy of the process must not start with what another thread has changed
    os.register_at_fork(before=ALONE.acquire, after_in_parent=ALONE.release, after_in_child=ALONE.release)


@contextmanager
def unwarned() -> Iterator[None]:
    with ALONE, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
