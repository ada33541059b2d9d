"""Files: those that Classlens writes, which are there whole or not at all, those of strangers, and those it comes with.

Pictures, pages, tables and numbers are written here alone. They grow beside their place, under a name of their own, and
take it when they are complete. Whoever writes holds a lock on what grows; what nobody holds was left by a process that
was killed, and is removed by the next one that writes there. Whatever the disk refuses becomes one error that names the
place and the reason. What a stranger wrote is opened here alone: a regular file, so that nothing is waited for, and none
too large.
"""

import os
import re
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache, lru_cache
from io import BufferedReader
from itertools import islice
from pathlib import Path
from typing import IO

from classlens.errors import DataError, suggestion

try:
    import fcntl
except ImportError:  # Windows, where nothing is locked or removed
    fcntl = None  # type: ignore[assignment]

INSTALLED = Path(__file__).parent / "shipped"
SHIPPED = INSTALLED if INSTALLED.is_dir() else Path(__file__).parents[2]
"""Where `configs` and `demo` lie: a clone has them at its top, an installed package carries copies inside itself."""

CONFIGS, PHOTOS = SHIPPED / "configs", SHIPPED / "demo" / "photos"

CHECKPOINT_ENDINGS = (".pth", ".pt", ".ckpt", ".safetensors", ".bin", ".pkl", ".pth.tar")
LOOKED_AT = 10_000  # entries of a folder among which a missing one is looked for

Content = bytes | Callable[[IO[bytes]], object]
"""What is written: bytes, or a function that writes them into an open file."""

UNFINISHED: set[str] = set()
"""What this process is writing."""

PART = re.compile(r"\.[0-9a-f]{16}\.part")


def suggest_path(path: Path, accept: Callable[[Path], bool] = Path.exists) -> str:
    """The names most like a missing one, in its folder or, if that is missing too, the folders like it."""
    missing = path.expanduser().absolute()
    while not missing.parent.is_dir():
        missing = missing.parent
    is_folder = missing != path.expanduser().absolute()
    accept = Path.is_dir if is_folder else accept
    names: list[str] = []
    with suppress(OSError):
        entries = islice(missing.parent.iterdir(), LOOKED_AT)
        names = [one.name for one in entries if not one.name.startswith(".") and accept(one)]
    ending = missing.suffix.casefold()
    near = suggestion(missing.name, names, compared=lambda name: name.removesuffix(ending))
    near = near if near.startswith("did") else ""
    return "; ".join(filter(None, (f"there is no folder {missing}", near))) if is_folder else near


LIMITS = {
    "pixels": 200e6,  # of a picture
    "picture": 256e6,  # bytes of a picture file, and of a member of an archive
    "list": 512e6,  # bytes of a list, also once it is unpacked
    "checkpoint": 8e9,  # bytes of a file of weights
    "rows": 50e6,  # of a table
    "seconds": 60.0,  # for one sample in a process of its own
}
"""How large a stranger's file may be, by kind. `limit` reads them, and SECURITY.md explains them."""

CHOSEN = "CLASSLENS_LIMITS"
"""The environment variable of other limits, as in `pixels=400e6,seconds=300`: processes that are started have it too."""

NO_WAITING = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # a named pipe would be waited for without end


def limit(kind: str) -> float:
    """The largest that is allowed of a kind; the user may have chosen it."""
    return chosen_limits(os.environ.get(CHOSEN, "")).get(kind, LIMITS[kind])


@cache
def chosen_limits(text: str) -> dict[str, float]:
    """The limits in a text of the form `NAME=NUMBER,NAME=NUMBER`."""
    limits = {}
    for part in filter(None, text.split(",")):
        name, _, number = part.partition("=")
        if name not in LIMITS:
            raise DataError(f"no limit named {name[:40]!r}", hint=suggestion(name[:40], LIMITS))
        try:
            limits[name] = float(number)
        except ValueError:
            raise DataError(
                f"limit {name}: {number[:40]!r} is no number", hint=f"e.g. {name}={LIMITS[name]:g}"
            ) from None
        if not limits[name] > 0:
            raise DataError(f"limit {name}: {number[:40]} is not above 0", hint=f"e.g. {name}={LIMITS[name]:g}")
    return limits


def check_size(size: float, kind: str, where: str | Path) -> None:
    """Refuse what is larger than the limit of its kind, before any of it is read."""
    if size > limit(kind):
        hint = f"if it is meant to be that large: --limit {kind}={size * 1.1:.2g}"
        raise DataError(f"{where}: {size / 1e6:,.0f} MB, the limit is {limit(kind) / 1e6:,.0f} MB", hint=hint)


def open_regular(path: str | Path, kind: str = "") -> BufferedReader:
    """Open a stranger's file to read it: a regular one, however it is named, and not larger than its kind may be.

    Raises:
        OSError: there is no such file, or no right to read it.
        DataError: it is a pipe, a socket, a device or a folder, or too large.
    """
    file = open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_WAITING))  # noqa: SIM115
    try:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{path}: not a regular file")
        if kind:
            check_size(status.st_size, kind, path)
    except BaseException:
        file.close()
        raise
    return file


def read_regular(path: str | Path, kind: str) -> bytes:
    """The whole content of a stranger's file."""
    with open_regular(path, kind) as file:
        size = os.fstat(file.fileno()).st_size
        return file.read(size)  # what the system makes up while it is read, as in /proc, has no size


@contextmanager
def writing(place: str | Path) -> Iterator[None]:
    """Work on the disk for `place`; what the disk refuses is a DataError."""
    try:
        yield
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"cannot write {place}: {reason}", hint="choose another place, or make room") from error


def check_place(path: Path) -> None:
    """Find out before any work whether a file can be written there, as far as can be known; nothing is made yet."""
    with writing(path):
        if path.is_dir():
            raise DataError(f"{path} is a folder, not a file", hint="add the name of a file")
        existing = next(folder for folder in path.absolute().parents if folder.exists())
        if not existing.is_dir():
            raise DataError(f"cannot write {path}: {existing} is no folder", hint="choose another place")
        if not os.access(existing, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
            raise DataError(f"cannot write {path}: permission denied", hint="choose another place")


def write_whole(path: str | Path, content: Content) -> None:
    """Write a file, and the folders on the way; what was there is replaced only by all of it.

    A link stays a link to what is replaced. What is no regular file, such as a pipe, is written as it comes. What
    replaces something waits until it is on the disk: a power cut soon after could leave neither the old nor the new.
    """
    fill = content if callable(content) else lambda file: file.write(content)
    with writing(path):
        place = os.fspath(path)  # a path object costs as much as a small picture
        try:
            is_new, is_regular = False, stat.S_ISREG(os.stat(place).st_mode)  # noqa: PTH116
        except FileNotFoundError:
            is_new = is_regular = True
        if not is_regular:
            with open(place, "wb") as file:  # noqa: PTH123
                fill(file)
            return
        place = os.path.realpath(place) if os.path.islink(place) else place  # noqa: PTH114
        folder = os.path.dirname(place)  # noqa: PTH120
        if is_new and folder and not os.path.isdir(folder):  # noqa: PTH112
            os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        remove_stale(folder or ".")
        part = os.path.join(folder, f".{os.urandom(8).hex()}.part")  # noqa: PTH118
        UNFINISHED.add(part)
        try:
            with open(part, "xb") as file:  # noqa: PTH123
                with suppress(OSError, AttributeError):  # there are disks and systems without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                fill(file)
                file.flush()
                if not is_new:
                    os.fsync(file.fileno())
                if fcntl is None:
                    file.close()  # Windows moves no open file
                os.replace(part, place)  # noqa: PTH105
        except BaseException:
            with suppress(OSError):
                os.unlink(part)  # noqa: PTH108
            raise
        finally:
            UNFINISHED.discard(part)


@lru_cache(maxsize=4096)
def remove_stale(folder: str) -> None:
    """Remove what processes that were killed have left unfinished in a folder; once is enough."""
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries if fcntl else ():
            if PART.fullmatch(entry.name):
                with suppress(OSError), open(entry.path, "rb") as file:  # noqa: PTH123
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    state = os.fstat(file.fileno())
                    if state.st_size or time.time() - state.st_mtime > 1:  # else it may not be locked yet
                        os.unlink(entry.path)  # noqa: PTH108


def remove_unfinished() -> None:
    for part in tuple(UNFINISHED):
        with suppress(OSError):
            os.unlink(part)  # noqa: PTH108
