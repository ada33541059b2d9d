"""Files at any place: on this disk, behind an address such as s3://bucket/path, or inside a zip or tar file.

A file in an archive has the path `ARCHIVE::NAME`, and a folder in one is written `ARCHIVE/FOLDER`; members are read one
by one, nothing is unpacked. Compressed tar files have no way to one member but through all before it, and are refused.
Addresses are read with fsspec. Nothing is read, or unpacked, that is larger than the limit of its kind.
"""

import os
import re
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any, BinaryIO, cast

from classlens.errors import DataError, MissingDependency
from classlens.files import check_size, open_regular, read_regular

ADDRESS, SEPARATOR = "://", "::"
"""What is in every address, and what parts an archive from the name of a file in it."""

ARCHIVE = re.compile(r"(.*?\.(?:zip|tar|tgz|tar\.\w+))(?:/(.*))?", re.IGNORECASE | re.DOTALL)
HEADER, FOLDER, PLAIN_KINDS = 512, ord("5"), b"05\x00"

STORED_OR_DEFLATED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""What is read in a zip file: other ways of packing are unpacked in steps that nothing bounds."""

UNREADABLE = (OSError, ValueError, LookupError, EOFError, OverflowError, RuntimeError, MemoryError, struct.error)
"""What the readers of archives raise at damaged ones, beside errors of their own."""

LARGEST_HEADER = 1 << 20  # bytes of a member's header in a tar file; names and times take some hundred


def read_bytes(path: str, kind: str = "picture") -> bytes:
    """The content of a file, no larger than its kind may be: on this disk, behind an address, or in an archive."""
    try:
        if SEPARATOR in path and is_archive(path.partition(SEPARATOR)[0]):
            data = read_member(path, kind)
        elif ADDRESS in path:
            system, inside = file_system(path)
            check_size(system.size(inside) or 0, kind, path)
            data = system.cat_file(inside)
        else:
            data = read_regular(path, kind)
    except (OSError, ValueError, MemoryError) as error:
        is_broken_link = isinstance(error, FileNotFoundError) and os.path.islink(path)  # noqa: PTH114
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
    if isinstance(error, MemoryError):
        return "there is not enough memory for it"
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


def open_archive(path: str) -> BinaryIO:
    """An archive to read members of; it may be of any size."""
    if ADDRESS not in path:
        return open_regular(path)
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


def read_member(place: str, kind: str) -> bytes:
    """The bytes behind `ARCHIVE::NAME`."""
    path, _, name = place.partition(SEPARATOR)
    if path.lower().endswith(".zip"):
        try:
            member = open_zip(path).getinfo(name)
            check_size(member.file_size, kind, place)
            if member.compress_type not in STORED_OR_DEFLATED:
                raise DataError(f"{place}: cannot be read: packed in another way than zip files mostly are")
            with open_zip(path).open(member) as file:
                return file.read(member.file_size)
        except (KeyError, OSError, EOFError, RuntimeError, zlib.error, zipfile.BadZipFile) as error:
            raise DataError(f"{place}: cannot be read: {str(error).strip(chr(34)).lower()}") from error
    if name not in tar_index(path):
        raise DataError(f"{place}: no such file in the archive")
    start, size = tar_index(path)[name]
    check_size(size, kind, place)
    with open_archive(path) as archive:
        archive.seek(start)
        data = archive.read(size)
    if len(data) < size:
        raise DataError(f"{place}: the archive is cut short")
    return data


@lru_cache(maxsize=16)
def open_zip(path: str) -> zipfile.ZipFile:
    try:
        if ADDRESS in path:
            return zipfile.ZipFile(open_archive(path))
        open_regular(path).close()  # of a pipe or a device nobody looks for the end
        return zipfile.ZipFile(path)
    except (*UNREADABLE, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: cannot be opened as a zip file: {reason_of(error).lower()}") from error


@dataclass(frozen=True)
class Headers:
    """A tar file for `tarfile` to look through: a header that claims to be huge is not read."""

    file: BinaryIO

    def read(self, size: int) -> bytes:
        """The next part of a header."""
        if size > LARGEST_HEADER:
            raise tarfile.ReadError(f"a header of {size:,} bytes")
        return self.file.read(size)

    def seek(self, place: int) -> int:
        """Go to a place counted from the start."""
        return self.file.seek(place)

    def tell(self) -> int:
        """The place where it is."""
        return self.file.tell()


@lru_cache(maxsize=1024)
def tar_index(path: str) -> Mapping[str, tuple[int, int]]:
    """Where the bytes of every file of a tar file start, and how many they are; compressed ones are refused."""
    try:
        index = None if ADDRESS in path else plain_index(path)
        if index is not None:
            return index
        with open_archive(path) as file, tarfile.open(fileobj=cast(BinaryIO, Headers(file)), mode="r:") as archive:
            plain = (member for member in archive if member.isfile() and not member.issparse())
            return {member.name: (member.offset_data, member.size) for member in plain}
    except (*UNREADABLE, tarfile.TarError) as error:
        hint = "" if isinstance(error, FileNotFoundError) else "unpack compressed archives first"
        reason = reason_of(error).lower()
        raise DataError(f"{path}: cannot be opened as a plain tar file: {reason}", hint=hint) from error


def plain_index(path: str) -> Mapping[str, tuple[int, int]] | None:
    """The same in an eighth of the time, for files with nothing but plain headers in them, as shards mostly are.

    None leaves it to `tarfile`, which also knows what to say of a damaged file. A header takes 512 bytes: the name
    at 0, the size in octal digits at 124, the kind at 156, and at 345 the start of a name too long for its field.
    """
    index: dict[str, tuple[int, int]] = {}
    with open_regular(path) as file:
        place, end, raw = 0, os.fstat(file.fileno()).st_size, file.raw  # a buffer would be filled at every header
        while place < end:
            raw.seek(place, os.SEEK_SET)
            header = raw.read(HEADER) or b""
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
