"""Files that are there whole, or not at all: pictures, pages, tables, numbers and downloads are written here alone.

What is written grows beside its place, under a name of its own, and takes its place when it is complete. Whatever the
disk refuses becomes one error that names the place and the reason.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from classlens.errors import DataError

Content = bytes | Callable[[IO[bytes]], object]
"""What is written: bytes, or a function that writes them into an open file."""


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Work on the disk for `place`.

    Raises:
        DataError: the disk refuses.
    """
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {place}: {reason}", hint="choose another place, or make room") from error


def check_place(path: Path) -> None:
    """Find out before any work whether a file can be written there; nothing is made yet.

    Raises:
        DataError: it cannot, for all that can be known beforehand.
    """
    with writing(path):
        if path.is_dir():
            raise DataError(f"{path} is a folder, not a file", hint="add the name of a file")
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        if not existing.is_dir():
            raise DataError(f"cannot write {path}: {existing} is no folder")
        if not os.access(existing, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            raise DataError(f"cannot write {path}: permission denied")


def write_whole(path: str | Path, content: Content) -> None:
    """Write a file, and the folders on the way; what was there is replaced only by all of it.

    A link stays a link to what is replaced. What is no regular file, such as a pipe, is written as it comes.

    Raises:
        DataError: the disk refuses.
    """
    with writing(path):
        place = os.fspath(path)
        kind = kind_of(place)
        if kind is not None and not stat.S_ISREG(kind):
            fill(place, "wb", content)
            return
        if os.path.islink(place):  # noqa: PTH114
            place = os.path.realpath(place)
        folder = os.path.dirname(place)  # noqa: PTH120 - a path object costs as much as a small picture
        part = os.path.join(folder, f".{os.urandom(8).hex()}.part")  # noqa: PTH118
        try:
            try:
                fill(part, "xb", content, keep=kind is not None)
            except FileNotFoundError:
                os.makedirs(folder, exist_ok=True)  # noqa: PTH103
                fill(part, "xb", content, keep=kind is not None)
            os.replace(part, place)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            raise


def kind_of(place: str) -> int | None:
    """What lies there, as `stat` says it; None for nothing."""
    try:
        return os.stat(place).st_mode  # noqa: PTH116
    except FileNotFoundError:
        return None


def fill(place: str, mode: str, content: Content, *, keep: bool = False) -> None:
    """Write into a file; `keep` waits until it is on the disk.

    Without that, a power cut soon after a file was replaced could leave neither the old content nor the new.
    """
    with open(place, mode, buffering=0 if isinstance(content, bytes) else -1) as file:  # noqa: PTH123
        if callable(content):
            content(file)
            file.flush()
        else:
            rest = memoryview(content)
            while rest:
                rest = rest[file.write(rest) :]
        if keep:
            os.fsync(file.fileno())
