"""Files at any place: on this disk, behind an address such as s3://bucket/path, or inside a zip or tar file.

A file in an archive has the path `ARCHIVE::NAME`, and a folder in one is written `ARCHIVE/FOLDER`; members are read one
by one, nothing is unpacked. Compressed tar files have no way to one member but through all before it, and are refused.
Addresses are read with fsspec.
"""

import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from classlens.errors import DataError, MissingDependency

ADDRESS, SEPARATOR = "://", "::"
"""What is in every address, and what parts an archive from the name of a file in it."""

ARCHIVE = re.compile(r"(.*?\.(?:zip|tar|tgz|tar\.\w+))(?:/(.*))?", re.IGNORECASE | re.DOTALL)
HEADER, FOLDER, PLAIN_KINDS = 512, ord("5"), b"05\x00"

NO_WAITING = getattr(os, "O_NONBLOCK", 0)  # a named pipe among the pictures would otherwise be waited for without end


def read_bytes(path: str) -> bytes:
    """The content of a file: on this disk, behind an address, or in an archive."""
    try:
        if SEPARATOR in path and is_archive(path.partition(SEPARATOR)[0]):
            data = read_member(path)
        elif ADDRESS in path:
            system, inside = file_system(path)
            data = system.cat_file(inside)
        else:
            with open(path, "rb", opener=lambda name, flags: os.open(name, flags | NO_WAITING)) as file:
                if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                    raise DataError(f"{path}: not a regular file")
                data = file.read()
    except (OSError, ValueError) as error:
        is_broken_link = isinstance(error, FileNotFoundError) and Path(path).is_symlink()
        raise DataError(f"{path}: {'broken link' if is_broken_link else reason_of(error)}") from error
    if not data:
        raise DataError(f"{path}: the file is empty (0 bytes)")
    return data


def reason_of(error: Exception) -> str:
    """The reason in the words of a user."""
    if isinstance(error, FileNotFoundError):
        return "no such file or folder"
    if isinstance(error, IsADirectoryError):
        return "a folder, not a file"
    if isinstance(error, PermissionError):
        return "no permission to read it"
    if isinstance(error, OSError) and error.filename and error.strerror:
        return error.strerror.lower()  # the text of such an error names the file once more
    return str(error) or type(error).__name__


def file_system(path: str) -> tuple[Any, str]:
    """What reads an address, and the path in its own words."""
    try:
        system, inside = import_module("fsspec.core").url_to_fs(path)
    except ImportError as error:  # fsspec, or the package that it needs for this kind of address
        missing = error.name or path.partition(":")[0]
        raise MissingDependency(missing.partition(".")[0], extra="hfds") from error
    except ValueError as error:
        raise DataError(f"{path}: {str(error).lower()}") from error
    return system, inside


def open_anywhere(path: str) -> BinaryIO:
    if ADDRESS not in path:
        return Path(path).open("rb")
    system, inside = file_system(path)
    return cast(BinaryIO, system.open(inside, "rb"))


def exists(path: str) -> bool:
    if ADDRESS not in path:
        return Path(path).is_file()
    system, inside = file_system(path)
    return bool(system.exists(inside))


def join_path(root: str, part: str) -> str:
    """`part` below `root`, unless it stands alone (an absolute path or an address)."""
    root, part = os.path.expanduser(root), os.path.expanduser(part)  # noqa: PTH111 - s3://bucket must stay as it is
    if ADDRESS in part:
        return part
    return os.path.join(root, part) if part else root  # noqa: PTH118


def list_files(path: str) -> tuple[str, list[str]]:
    """The files in an archive, in a folder of one, or below an address: the start of their paths, and their names."""
    if is_archive(path):
        archive, folder = split_archive(path)
        if archive.lower().endswith(".zip"):
            names = [one.filename for one in open_zip(archive).infolist() if not one.is_dir()]
        else:
            names = list(tar_index(archive))
        return archive + SEPARATOR + folder, [name[len(folder) :] for name in names if name.startswith(folder)]
    system, inside = file_system(path)
    try:  # some systems answer `find` with one request
        names = sorted(map(str, system.find(inside))) or system.ls(inside, detail=False)
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: {reason_of(error)}") from error
    start = len(inside.rstrip("/")) + 1
    return path.rstrip("/") + "/", [name[start:] for name in names if len(name) > start]


def is_archive(path: str) -> bool:
    match = ARCHIVE.fullmatch(path)
    return match is not None and not Path(match[1]).is_dir()


def split_archive(path: str) -> tuple[str, str]:
    match = ARCHIVE.fullmatch(path)
    archive, folder = match.groups(default="") if match else (path, "")
    return archive, folder.strip("/") + "/" if folder.strip("/") else ""


def read_member(place: str) -> bytes:
    """The bytes behind `ARCHIVE::NAME`."""
    path, _, name = place.partition(SEPARATOR)
    if path.lower().endswith(".zip"):
        try:
            return open_zip(path).read(name)
        except (KeyError, OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{place}: cannot be read: {str(error).strip(chr(34)).lower()}") from error
    if name not in tar_index(path):
        raise DataError(f"{place}: no such file in the archive")
    start, size = tar_index(path)[name]
    with open_anywhere(path) as file:
        file.seek(start)
        data = file.read(size)
    if len(data) < size:
        raise DataError(f"{place}: the archive is cut short")
    return data


@lru_cache(maxsize=16)
def open_zip(path: str) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(open_anywhere(path) if ADDRESS in path else path)
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be opened as a zip file: {reason_of(error).lower()}") from error


@lru_cache(maxsize=1024)
def tar_index(path: str) -> Mapping[str, tuple[int, int]]:
    """Where the bytes of every file of a tar file start, and how many they are; compressed ones are refused."""
    try:
        index = None if ADDRESS in path else plain_index(path)
        if index is not None:
            return index
        with open_anywhere(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            return {member.name: (member.offset_data, member.size) for member in archive if member.isfile()}
    except (OSError, ValueError, tarfile.TarError) as error:
        hint = "" if isinstance(error, FileNotFoundError) else "unpack compressed archives first"
        reason = reason_of(error).lower()
        raise DataError(f"{path}: cannot be opened as a plain tar file: {reason}", hint=hint) from error


def plain_index(path: str) -> Mapping[str, tuple[int, int]] | None:
    """The same in an eighth of the time, for files with nothing but plain headers in them, as shards mostly are.

    None leaves it to `tarfile`, which also knows what to say of a damaged file. A header takes 512 bytes: the name
    at 0, the size in octal digits at 124, the kind at 156, and at 345 the start of a name too long for its field.
    """
    index: dict[str, tuple[int, int]] = {}
    place, end = 0, os.path.getsize(path)  # noqa: PTH202 - this is called once per shard, of which there are thousands
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123
        while place < end:
            file.seek(place)
            header = file.read(HEADER)
            if header == bytes(HEADER):
                return index
            size = header[124:136].strip(b" \x00")
            if header[257:262] != b"ustar" or header[156] not in PLAIN_KINDS or header[345] or not size.isdigit():
                return None
            length, place = int(size, 8), place + HEADER
            if header[156] != FOLDER:
                index[header[:100].partition(b"\x00")[0].decode("utf-8", "surrogateescape")] = (place, length)
            place += -(-length // HEADER) * HEADER
    return index
