"""Files behind addresses such as s3://bucket/path, through fsspec where it is installed."""

from importlib import import_module
from typing import Any

from classlens.adapters.openmm.samples.listing import Listing
from classlens.dataset.dataset import Sample
from classlens.dataset.folder import EVERY_EXTENSION
from classlens.errors import DataError, MissingDependency


def is_remote(path: str) -> bool:
    """Whether a path is an address with a protocol."""
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
        raise DataError(f"{path}: {error}") from error
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
        reason = "no such file" if isinstance(error, FileNotFoundError) else str(error) or type(error).__name__
        raise DataError(f"{path}: {reason}") from error
    return data


def remote_folder(path: str) -> Listing:
    """Class folders behind an address, listed by one request.

    Raises:
        DataError: there is no such folder, or no picture in it.
    """
    system, inside = file_system(path)
    try:
        found = sorted(str(name) for name in system.find(inside))
    except OSError as error:
        raise DataError(f"{path}: {error}") from error
    inside = inside.rstrip("/")
    names = [name[len(inside) + 1 :] for name in found if name.lower().endswith(EVERY_EXTENSION)]
    names = [name for name in names if not any(part.startswith(".") for part in name.split("/"))]
    if not names:
        raise DataError(f"no picture behind {path}")
    classes = tuple(sorted({name.split("/")[0] for name in names if "/" in name}))
    numbers = {name: number for number, name in enumerate(classes)}

    def sample(index: int) -> Sample:
        first, slash, _ = names[index].partition("/")
        return Sample(f"{path.rstrip('/')}/{names[index]}", (numbers[first],) if slash else ())

    return Listing(len(names), sample, classes or None, content=lambda index: read_remote(sample(index).path or ""))
