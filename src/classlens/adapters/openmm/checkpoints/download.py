"""Fetching a checkpoint once: https only, resumed where it broke off, checked, and kept in the cache folder.

A file is only ever found under its own name when it is complete; until then it is `NAME.part`.
"""

import hashlib
import re
import sys
from http.client import HTTPException, HTTPMessage
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import unquote, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from platformdirs import user_cache_path

from classlens.errors import DataError

LARGEST = 4 * 1024**3
"""Bytes after which a download is given up; the largest official checkpoint is under half of it."""

CHUNK = 1 << 20
PATIENCE = 30
"""Seconds without a byte after which a server counts as gone."""

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def download(url: str, *, folder: Path | None = None, largest: int = LARGEST) -> Path:
    """The local copy of `url`, fetched unless it is in the cache.

    Raises:
        DataError: the address is not https, the server cannot be reached, what it sent is too long or damaged, or the
            cache folder cannot be written.
    """
    refuse_plain(url)
    name = Path(unquote(urlsplit(url).path)).name
    if not name:
        raise DataError(f"{url} names no file", hint="give the address of the .pth file itself")
    place = (folder or user_cache_path("classlens") / "checkpoints") / hashlib.sha256(url.encode()).hexdigest()[:8]
    target = place / name
    if target.is_file():
        return target
    make_folder(place)
    part = target.with_name(f"{name}.part")
    fetch(url, part, largest=largest)
    check_hash(part, name)
    part.replace(target)
    return target


def make_folder(place: Path) -> None:
    """Make the folder of one address in the cache.

    Raises:
        DataError: it cannot be made.
    """
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(
            f"the cache folder {place} cannot be made: {error.strerror}",
            hint="fetch the file by hand and give its path, or let XDG_CACHE_HOME name a folder that can be written",
        ) from error


def refuse_plain(url: str) -> None:
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
        refuse_plain(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def fetch(url: str, part: Path, *, largest: int) -> None:
    """Write what `url` sends into `part`, after what is already there.

    Raises:
        DataError: the server cannot be reached, breaks off, or sends more than `largest` bytes.
    """
    have = part.stat().st_size if part.is_file() else 0
    request = Request(url, headers={"Range": f"bytes={have}-"} if have else {})
    try:
        with build_opener(SafeRedirects).open(request, timeout=PATIENCE) as answer:
            have = have if answer.status == 206 else 0
            total = have + int(answer.headers.get("Content-Length") or 0)
            if total > largest:
                raise DataError(f"{url} is {total / 1e9:.1f} GB, more than is fetched", hint="fetch it by hand")
            with part.open("ab" if have else "wb") as file:
                while chunk := answer.read(CHUNK):
                    have += len(chunk)
                    if have > largest:
                        raise DataError(f"{url} does not end after {largest / 1e9:.1f} GB", hint="fetch it by hand")
                    file.write(chunk)
                    report(part.stem, have, total)
    except HTTPError as error:
        if error.code == 416:  # nothing is left to send: the part is the whole
            return
        raise DataError(f"{url}: the server answered {error.code} {error.reason}", hint="check the address") from error
    except (URLError, HTTPException, OSError) as error:
        reason = getattr(error, "reason", error)
        hint = "without a network, fetch the file elsewhere and give its path; a started download is resumed"
        raise DataError(f"{url} cannot be fetched: {reason}", hint=hint) from error
    if have < total:
        raise DataError(f"{url} broke off after {have} of {total} bytes", hint="run again: the download is resumed")


def report(name: str, have: int, total: int) -> None:
    """One line of progress, where a person is watching."""
    if sys.stderr.isatty():
        share = f"{have / total:4.0%} of {total / 1e6:.0f} MB" if total else f"{have / 1e6:.0f} MB"
        print(f"\r{name}: {share}", end="\n" if have == total else "", file=sys.stderr, flush=True)


def check_hash(part: Path, name: str) -> None:
    """Compare with the hash that OpenMMLab writes into file names: the first digits of the sha256.

    Raises:
        DataError: they differ; the damaged file is deleted.
    """
    expected = re.search(r"-([0-9a-f]{8,64})\.(?:pth|pt|safetensors)$", name)
    if expected is None:
        return
    with part.open("rb") as file:
        seen = hashlib.file_digest(file, "sha256").hexdigest()
    if not seen.startswith(expected[1]):
        part.unlink()
        raise DataError(f"{name} arrived damaged: its sha256 begins with {seen[:8]}", hint="run again to fetch it anew")
