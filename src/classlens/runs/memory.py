"""How a run treats the memory of its process: settings that make it quicker and change no result."""

import ctypes
import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""The numbers of these settings in malloc.h."""

MIB = 2**20


def keep_freed_memory() -> None:
    """Use blocks of up to 32 MiB again, and keep up to 256 MiB of them; other C libraries are left as they are."""
    # glibc hands large blocks back to the kernel as soon as they are freed, and every page of the next one costs a
    # fault: browsing thousands of pictures of much the same size spends a fifth of its time there.
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, 32 * MIB)
    mallopt(TRIM_THRESHOLD, 256 * MIB)


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
