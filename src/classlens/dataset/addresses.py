"""Files behind addresses such as s3://bucket/path or https://host/path, through fsspec where it is installed."""

import os
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from classlens.errors import DataError, MissingDependency


def is_remote(path: str) -> bool:
    return "://" in path


def file_system(path: str) -> tuple[Any, str]:
    """What reads an address, and the path in its own words.

    Raises:
        MissingDependency: fsspec, or the package behind the protocol, is not installed.
        DataError: nobody knows the protocol.
    """
    try:
        url_to_fs = import_module("fsspec.core").url_to_fs
    except ModuleNotFoundError as error:
        raise MissingDependency("fsspec", extra="hfds") from error
    try:
        system, inside = url_to_fs(path)
    except ImportError as error:
        raise MissingDependency(str(error.name or path.partition(":")[0]), extra="hfds") from error
    except ValueError as error:
        raise DataError(f"{path}: {str(error).lower()}") from error
    return system, inside


def read_remote(path: str) -> bytes:
    """The content of a remote file.

    Raises:
        DataError: it is missing or cannot be read.
    """
    system, inside = file_system(path)
    try:
        data: bytes = system.cat_file(inside)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {reason_of(error)}") from error
    return data


def opened_anywhere(path: str) -> BinaryIO:
    """A file to read from at any place, here or behind an address.

    Raises:
        OSError: it is missing or cannot be read.
    """
    if not is_remote(path):
        return Path(path).open("rb")
    system, inside = file_system(path)
    return cast(BinaryIO, system.open(inside, "rb"))


def exists(path: str) -> bool:
    """Whether there is such a file, here or behind an address."""
    if not is_remote(path):
        return Path(path).is_file()
    system, inside = file_system(path)
    return bool(system.exists(inside))


def names_behind(path: str) -> list[str]:
    """The files below an address, as paths from there; some systems answer this with one request.

    Raises:
        DataError: there is no such folder, or nobody answers.
    """
    system, inside = file_system(path)
    try:
        found = sorted(map(str, system.find(inside))) or system.ls(inside, detail=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {reason_of(error)}") from error
    start = len(inside.rstrip("/")) + 1
    return [name[start:] for name in found if len(name) > start]


def reason_of(error: Exception) -> str:
    return "no such file or folder" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__


def joined(root: str, part: str) -> str:
    """`part` below `root`, unless it stands alone (an absolute path or an address)."""
    part = os.path.expanduser(part)  # noqa: PTH111 - addresses such as s3://bucket must stay as they are
    if not root or Path(part).is_absolute() or "://" in part:
        return part
    return os.path.join(os.path.expanduser(root), part) if part else os.path.expanduser(root)  # noqa: PTH111, PTH118
