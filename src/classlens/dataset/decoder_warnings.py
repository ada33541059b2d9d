"""What C libraries print about a damaged file while they decode it.

libjpeg and libpng repair what they can, return a wrong picture without an error, and only mention it on the
process's standard error. Here that text is caught and becomes a remark on the file instead of noise on the terminal.
"""

import os
import tempfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from classlens.sharing import ALONE

COMPLAINTS = ("corrupt", "premature end", "extraneous bytes", "invalid", "crc", "inconsistent", "warning", "error")
DAMAGED = "damaged data, shown as decoded: "
"""How the remark begins on a file that decodes, but is not what was saved."""

STOPS = "training stops here: "
"""How the remark begins on a sample that is shown, but never reaches the network."""


@cache
def sink(process: int) -> int:
    """A nameless file for what native code prints in one process: a forked copy writes into one of its own."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


@contextmanager
def capture_stderr() -> Iterator[list[str]]:
    """Collect the lines that native code writes to file descriptor 2 inside the block.

    One thread at a time: the descriptor belongs to the whole process. Where there is none to redirect (some services
    have no standard error), nothing is collected.
    """
    lines: list[str] = []
    with ALONE:
        try:
            stderr = os.dup(2)
        except OSError:
            yield lines
            return
        collected = sink(os.getpid())
        os.dup2(collected, 2)
        try:
            yield lines
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            if size := os.fstat(collected).st_size:
                os.lseek(collected, 0, os.SEEK_SET)
                text = os.read(collected, size).decode("utf-8", "replace")
                os.ftruncate(collected, 0)
                os.lseek(collected, 0, os.SEEK_SET)
                lines += filter(None, map(str.strip, text.splitlines()))


def damage(lines: Sequence[str]) -> str:
    return next((line for line in lines if any(word in line.lower() for word in COMPLAINTS)), "")


def wrong_checksum(png: bytes) -> str:
    """The first chunk of a PNG file whose checksum is wrong; nothing for an intact one, or another kind of file."""
    start = 8 if png.startswith(b"\x89PNG") else len(png)
    while start + 12 <= len(png):
        end = start + 8 + int.from_bytes(png[start : start + 4], "big")
        if zlib.crc32(png[start + 4 : end]) != int.from_bytes(png[end : end + 4], "big"):
            return f"wrong checksum of chunk {png[start + 4 : start + 8].decode('ascii', 'replace')}"
        start = end + 4
    return ""


def damage_in(remarks: Sequence[str]) -> str:
    return next((remark for remark in remarks if remark.startswith((DAMAGED, STOPS))), "")
