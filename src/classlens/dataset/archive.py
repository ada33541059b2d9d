"""Pictures inside zip and tar files, read one by one without unpacking anything.

A picture in an archive has the path `ARCHIVE::NAME`. Compressed tar files have no way to one member but through all
before it, and are refused.
"""

import tarfile
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from classlens.errors import DataError

SEPARATOR = "::"
SUFFIXES = (".zip", ".tar")
Place = tuple[int, int]
"""Where the bytes of a member start in a tar file, and how many they are."""


def is_archive(path: str) -> bool:
    """Whether a path is meant as an archive."""
    return path.lower().endswith(SUFFIXES)


@lru_cache(maxsize=16)
def opened_zip(path: str) -> zipfile.ZipFile:
    """A zip file, kept open.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be opened as a zip file: {str(error).lower()}") from error


@lru_cache(maxsize=1024)
def tar_index(path: str) -> Mapping[str, Place]:
    """Where every file of a tar file lies.

    Raises:
        DataError: it is missing, damaged or compressed.
    """
    try:
        with tarfile.open(path, "r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    except (OSError, tarfile.TarError) as error:
        hint = "unpack compressed archives first" if Path(path).exists() else ""
        raise DataError(f"{path}: cannot be opened as a plain tar file: {str(error).lower()}", hint=hint) from error


def names_in(path: str) -> list[str]:
    """The names of all files in an archive, in its order."""
    if path.lower().endswith(".zip"):
        return [one.filename for one in opened_zip(path).infolist() if not one.is_dir()]
    return list(tar_index(path))


def read_member(place: str) -> bytes:
    """The bytes behind `ARCHIVE::NAME`.

    Raises:
        DataError: there is no such file in the archive, or it is damaged or encrypted.
    """
    path, _, name = place.partition(SEPARATOR)
    if path.lower().endswith(".zip"):
        try:
            return opened_zip(path).read(name)
        except (KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
            raise DataError(f"{place}: cannot be read: {str(error).strip(chr(34)).lower()}") from error
    if name not in tar_index(path):
        raise DataError(f"{place}: no such file in the archive")
    start, size = tar_index(path)[name]
    with Path(path).open("rb") as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise DataError(f"{place}: the archive is cut short")
    return data
