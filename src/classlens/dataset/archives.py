"""Pictures inside zip and tar files, read one by one without unpacking anything, here or behind an address.

A picture in an archive has the path `ARCHIVE::NAME`; a folder in one is written `ARCHIVE/FOLDER`. Compressed tar files
have no way to one member but through all before it, and are refused.
"""

import os
import re
import tarfile
import zipfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from classlens.dataset.addresses import is_remote, opened_anywhere, reason_of
from classlens.errors import DataError

SEPARATOR = "::"
ARCHIVE = re.compile(r"(.*?\.(?:zip|tar|tgz|tar\.\w+))(?:/(.*))?", re.IGNORECASE | re.DOTALL)
HEADER, FOLDER, PLAIN_KINDS = 512, ord("5"), b"05\x00"
Place = tuple[int, int]
"""Where the bytes of a member start in a tar file, and how many they are."""


def is_archive(path: str) -> bool:
    """Whether a path is meant as an archive, or as a folder in one."""
    found = ARCHIVE.fullmatch(path)
    return found is not None and not Path(found[1]).is_dir()


def inside(path: str) -> tuple[str, str]:
    """The archive of a path, and the folder in it: empty, or ending in a slash."""
    found = ARCHIVE.fullmatch(path)
    archive, folder = found.groups(default="") if found else (path, "")
    return archive, folder.strip("/") + "/" if folder.strip("/") else ""


@lru_cache(maxsize=16)
def opened_zip(path: str) -> zipfile.ZipFile:
    """A zip file, kept open.

    Raises:
        DataError: it is missing or damaged.
    """
    try:
        return zipfile.ZipFile(opened_anywhere(path) if is_remote(path) else path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be opened as a zip file: {reason_of(error).lower()}") from error


@lru_cache(maxsize=1024)
def tar_index(path: str) -> Mapping[str, Place]:
    """Where every file of a tar file lies.

    Raises:
        DataError: it is missing, damaged or compressed.
    """
    try:
        found = None if is_remote(path) else plain_index(path)
        if found is not None:
            return found
        with opened_anywhere(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    except (OSError, ValueError, tarfile.TarError) as error:
        hint = "" if isinstance(error, FileNotFoundError) else "unpack compressed archives first"
        reason = reason_of(error).lower()
        raise DataError(f"{path}: cannot be opened as a plain tar file: {reason}", hint=hint) from error


def plain_index(path: str) -> Mapping[str, Place] | None:
    """The same in an eighth of the time, for files with nothing but plain headers in them, as shards mostly are.

    None leaves it to `tarfile`, which also knows what to say of a damaged file. A header takes 512 bytes: the name
    at 0, the size in octal digits at 124, the kind at 156, and at 345 the start of a name too long for its field.
    """
    found: dict[str, Place] = {}
    place, end = 0, os.path.getsize(path)  # noqa: PTH202 - this is called once per shard, of which there are thousands
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while place < end:
            file.seek(place)
            header = file.read(HEADER)
            if header == bytes(HEADER):
                return found
            size = header[124:136].strip(b" \x00")
            if header[257:262] != b"ustar" or header[156] not in PLAIN_KINDS or header[345] or not size.isdigit():
                return None
            length, place = int(size, 8), place + HEADER
            if header[156] != FOLDER:
                found[header[:100].partition(b"\x00")[0].decode("utf-8", "surrogateescape")] = (place, length)
            place += -(-length // HEADER) * HEADER
    return found


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
    with opened_anywhere(path) as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise DataError(f"{place}: the archive is cut short")
    return data
