"""How the C library treats the memory of pictures that are no longer needed.

glibc hands large blocks back to the kernel as soon as they are freed, and every page of the next block costs a fault:
browsing thousands of pictures of much the same size spends a fifth of its time there.
"""

import ctypes

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""The numbers of these settings in malloc.h."""

MIB = 2**20


def keep_freed_memory() -> None:
    """Use blocks of up to 32 MiB again, and keep up to 256 MiB of them; other C libraries are left as they are."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(MMAP_THRESHOLD, 32 * MIB)
    mallopt(TRIM_THRESHOLD, 256 * MIB)
