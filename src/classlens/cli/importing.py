"""Import the large packages that a command needs, at the least cost to its start."""

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def collecting_later(package: str) -> Iterator[None]:
    """Import a large package without looking for garbage among its objects, now and later: they live with the process.

    Where it is imported already, nothing is changed.
    """
    if package in sys.modules:
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
