"""Where an audit lies: a folder of this machine, or one behind an address, such as `s3://bucket/audit`.

What is written is there whole or not at all: on a disk because it takes its name when it is complete (`files.py`), in an
object store because such a store has no halves. Addresses are opened by fsspec, which comes with torch; what it needs for
one kind of them, such as s3fs, is the user's to install.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from classlens.errors import DataError, first_line
from classlens.files import check_place, open_regular, write_whole


@dataclass(frozen=True)
class Place:
    """A folder by its path or its address; `name`s are of files in it, with `/` between folders."""

    address: str

    @property
    def is_remote(self) -> bool:
        return "://" in self.address

    def __truediv__(self, name: str) -> str:
        return f"{self.address.rstrip('/')}/{name}"

    def write(self, name: str, content: bytes) -> None:
        """Write a file, all of it or nothing."""
        if not self.is_remote:
            write_whole(Path(self / name), content)
            return
        system, root = self._remote()
        try:
            system.makedirs(f"{root}/{name}".rpartition("/")[0], exist_ok=True)
            system.pipe_file(f"{root}/{name}", content)
        except OSError as error:
            raise DataError(f"cannot write {self / name}: {first_line(error)}", hint="choose another place") from error

    def open(self, name: str) -> IO[bytes]:
        """A file to read; it is the caller's to close.

        Raises:
            FileNotFoundError: there is none.
            DataError: it is no regular file; a pipe would be waited for without end.
        """
        if not self.is_remote:
            return open_regular(self / name)
        system, root = self._remote()
        file: IO[bytes] = system.open(f"{root}/{name}", "rb")
        return file

    def read(self, name: str) -> bytes | None:
        """The content of a file, None where there is none."""
        try:
            with self.open(name) as file:
                return file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except ValueError as error:  # a null byte, or letters that the file system has no bytes for
            raise DataError(f"{self / name!r} can be no file: {first_line(error)}") from error

    def remove(self, name: str) -> None:
        """Remove a file; another one may have done so before."""
        with suppress(FileNotFoundError):
            if self.is_remote:
                system, root = self._remote()
                system.rm_file(f"{root}/{name}")
            else:
                Path(self / name).unlink()

    def names(self, folder: str) -> set[str]:
        """The names of all files in a folder of it; none where there is no such folder."""
        try:
            if not self.is_remote:
                return {one.name for one in Path(self / folder).iterdir()}
            system, root = self._remote()
            return {str(one).rpartition("/")[2] for one in system.ls(f"{root}/{folder}", detail=False)}
        except (FileNotFoundError, NotADirectoryError):
            return set()

    def check(self) -> None:
        """Find out before any work whether a folder on this machine can be written to."""
        if not self.is_remote:
            check_place(Path(self / "manifest.json"))

    def _remote(self) -> tuple[Any, str]:
        from fsspec.core import url_to_fs

        try:
            system, root = url_to_fs(self.address)
        except (ImportError, ValueError) as error:
            message = f"cannot open {self.address}: {first_line(error)}"
            raise DataError(message, hint="fsspec opens addresses") from error
        return system, str(root)
