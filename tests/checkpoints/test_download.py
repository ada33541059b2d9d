import hashlib
import io
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from classlens.checkpoints.download import download
from classlens.errors import DataError

CONTENT = bytes(range(256)) * 4096
NAME = f"resnet50-{hashlib.sha256(CONTENT).hexdigest()[:8]}.pth"


class Handler(BaseHTTPRequestHandler):
    """Serves `CONTENT`, in ranges, and notes what was asked; some paths misbehave."""

    asked: list[tuple[str, str | None]]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        type(self).asked.append((self.path, wanted))
        if self.path.startswith("/gone/"):
            self.send_error(404, "Not Found")
            return
        if self.path.startswith("/moved/"):
            self.send_response(302)
            self.send_header("Location", "http://example.org/weights.pth")
            self.end_headers()
            return
        if self.path.startswith("/mirrored/"):
            self.send_response(302)
            self.send_header("Location", self.path.replace("mirrored", "v1"))
            self.end_headers()
            return
        if self.path.startswith("/unmeasured/"):
            self.send_response(200)
            self.end_headers()
            self.wfile.write(CONTENT)
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(CONTENT):
            self.send_error(416, "Range Not Satisfiable")
            return
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(CONTENT) - start))
        self.end_headers()
        half = len(CONTENT) // 2 if self.path.startswith("/breaks/") and not wanted else len(CONTENT)
        self.wfile.write(CONTENT[start:half])

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with serving(Handler) as address:
        yield address


def test_a_file_is_fetched_once(server, tmp_path):
    first = download(f"{server}/v1/{NAME}", folder=tmp_path)
    second = download(f"{server}/v1/{NAME}", folder=tmp_path)

    assert first == second
    assert first.name == NAME
    assert first.read_bytes() == CONTENT
    assert len(Handler.asked) == 1


def test_files_of_one_name_at_two_addresses_are_two_files(server, tmp_path):
    one, other = (download(f"{server}/{place}/{NAME}", folder=tmp_path) for place in ("v1", "v2"))

    assert one != other


def test_a_download_that_broke_off_is_resumed(server, tmp_path):
    with pytest.raises(DataError, match=r"broke off|cannot be fetched") as caught:
        download(f"{server}/breaks/{NAME}", folder=tmp_path)
    assert "resumed" in caught.value.hint
    assert not list(tmp_path.rglob(NAME))

    path = download(f"{server}/breaks/{NAME}", folder=tmp_path)

    assert path.read_bytes() == CONTENT
    assert Handler.asked[1][1] == f"bytes={len(CONTENT) // 2}-"


def test_a_part_that_is_the_whole_is_taken(server, tmp_path):
    address = f"{server}/v1/{NAME}"
    part = tmp_path / hashlib.sha256(address.encode()).hexdigest()[:8] / f"{NAME}.part"
    part.parent.mkdir()
    part.write_bytes(CONTENT)

    assert download(address, folder=tmp_path).read_bytes() == CONTENT


def test_a_file_that_does_not_match_the_hash_in_its_name_is_thrown_away(server, tmp_path):
    with pytest.raises(DataError, match=r"resnet50-deadbeef\.pth arrived damaged"):
        download(f"{server}/v1/resnet50-deadbeef.pth", folder=tmp_path)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_larger_than_allowed_is_not_fetched(server, tmp_path):
    with pytest.raises(DataError, match="more than is fetched"):
        download(f"{server}/v1/{NAME}", folder=tmp_path, largest=1000)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_file_of_unsaid_size_is_fetched_until_it_is_larger_than_allowed(server, tmp_path):
    address = f"{server}/unmeasured/{NAME}"

    with pytest.raises(DataError, match=r"does not end after 0\.0 GB"):
        download(address, folder=tmp_path / "small", largest=len(CONTENT) - 1)
    assert download(address, folder=tmp_path / "large", largest=len(CONTENT)).read_bytes() == CONTENT


def test_a_redirection_to_a_safe_address_is_followed(server, tmp_path):
    assert download(f"{server}/mirrored/{NAME}", folder=tmp_path).read_bytes() == CONTENT
    assert [path for path, _ in Handler.asked] == [f"/mirrored/{NAME}", f"/v1/{NAME}"]


@pytest.mark.parametrize(("place", "told"), [("v1", "100% of 1 MB\n"), ("unmeasured", "1 MB")])
def test_a_terminal_sees_how_far_it_is(server, tmp_path, place, told, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, "stderr", terminal)

    download(f"{server}/{place}/{NAME}", folder=tmp_path)

    assert terminal.getvalue().rpartition("\r")[2].startswith(f"{NAME}: ")
    assert told in terminal.getvalue()


def test_an_address_that_is_gone_says_so(server, tmp_path):
    with pytest.raises(DataError, match="the server answered 404"):
        download(f"{server}/gone/{NAME}", folder=tmp_path)


def test_a_redirection_to_an_unencrypted_address_is_not_followed(server, tmp_path):
    with pytest.raises(DataError, match=r"refused to fetch weights over http: http://example\.org"):
        download(f"{server}/moved/{NAME}", folder=tmp_path)

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_without_a_server_the_hint_says_what_to_do(tmp_path):
    with pytest.raises(DataError, match="cannot be fetched") as caught:
        download(f"http://127.0.0.1:9/{NAME}", folder=tmp_path)

    assert "fetch the file elsewhere" in caught.value.hint


def test_a_cache_folder_that_cannot_be_made_is_named(server, tmp_path):
    occupied = tmp_path / "cache"
    occupied.write_text("a file")

    with pytest.raises(DataError, match=r"the cache folder .*cache.* cannot be made"):
        download(f"{server}/v1/{NAME}", folder=occupied)


@pytest.mark.parametrize("address", ["http://example.org/a.pth", "file:///etc/passwd", "ftp://example.org/a.pth"])
def test_other_protocols_are_refused(address, tmp_path: Path):
    with pytest.raises(DataError, match="refused to fetch weights over"):
        download(address, folder=tmp_path)


def test_an_address_of_no_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="names no file"):
        download("https://example.org/", folder=tmp_path)


class Careful(BaseHTTPRequestHandler):
    """Serves `content` as a server of files does, in ranges; slowly if asked to."""

    content = CONTENT
    misplaced = False
    asked: list[tuple[str | None, int]]

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(self.content):
            type(self).asked.append((wanted, 416))
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(self.content)}")
            self.end_headers()
            return
        start = 7 if wanted and self.misplaced else start
        type(self).asked.append((wanted, 206 if wanted else 200))
        self.send_response(206 if wanted else 200)
        if wanted:
            self.send_header("Content-Range", f"bytes {start}-{len(self.content) - 1}/{len(self.content)}")
        self.send_header("Content-Length", str(len(self.content) - start))
        self.end_headers()
        pieces = 50 if self.path.startswith("/slow/") else 1
        step = -(-(len(self.content) - start) // pieces)
        for place in range(start, len(self.content), step):
            self.wfile.write(self.content[place : place + step])
            time.sleep(0.02 if pieces > 1 else 0)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


@pytest.fixture
def careful(monkeypatch) -> Iterator[str]:
    Careful.asked = []
    monkeypatch.setattr(Careful, "content", CONTENT)
    monkeypatch.setattr(Careful, "misplaced", False)
    with serving(Careful) as address:
        yield address


FETCH = """
import hashlib, pathlib, sys
from classlens.checkpoints.download import download
path = download(sys.argv[1], folder=pathlib.Path(sys.argv[2]))
print(path.name, hashlib.sha256(path.read_bytes()).hexdigest())
"""


def fetching(url, folder):
    words = [sys.executable, "-c", FETCH, url, str(folder)]
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def left(folder):
    return [path.name for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("name", ["weights.pth", NAME])
def test_several_processes_that_want_one_file_fetch_it_once_and_all_get_it(name, careful, tmp_path):
    processes = [fetching(f"{careful}/slow/{name}", tmp_path) for _ in range(4)]

    said = [process.communicate(timeout=60) for process in processes]

    assert [out for out, _ in said] == [f"{name} {hashlib.sha256(CONTENT).hexdigest()}\n"] * 4
    assert [process.returncode for process in processes] == [0] * 4
    assert Careful.asked == [(None, 200)]
    assert sum("is being fetched by another process" in err for _, err in said) == 3
    assert left(tmp_path) == [name]


def test_threads_that_want_one_file_get_it(careful, tmp_path):
    with ThreadPoolExecutor(4) as threads:
        paths = list(threads.map(lambda _: download(f"{careful}/slow/weights.pth", folder=tmp_path), range(4)))

    assert {path.read_bytes() for path in paths} == {CONTENT}
    assert len(Careful.asked) == 1


LONG = f"resnet50-{hashlib.sha256(CONTENT * 4).hexdigest()[:8]}.pth"


@pytest.mark.parametrize("name", [LONG, "weights.pth"], ids=["digits in the name", "other content meanwhile"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT], ids=str)
def test_what_a_stopped_process_left_is_gone_on_with_if_its_name_tells_what_it_is(
    number, name, careful, tmp_path, monkeypatch
):
    monkeypatch.setattr(Careful, "content", CONTENT * 4)
    process = fetching(f"{careful}/slow/{name}", tmp_path)
    while process.poll() is None and not any(path.stat().st_size for path in tmp_path.rglob("*.part")):
        time.sleep(0.01)
    process.send_signal(number)
    process.communicate(timeout=60)
    if name != LONG:
        monkeypatch.setattr(Careful, "content", CONTENT[::-1] * 4)

    path = download(f"{careful}/slow/{name}", folder=tmp_path)

    assert path.read_bytes() == Careful.content
    assert Careful.asked[1][1] == (206 if name == LONG else 200)
    assert left(tmp_path) == [name]


def part_of(address, folder, content):
    """What an earlier download left."""
    place = folder / hashlib.sha256(address.encode()).hexdigest()[:8]
    place.mkdir()
    part = place / f"{address.rpartition('/')[2]}.part"
    part.write_bytes(content)


@pytest.mark.parametrize("name", ["weights.pth", NAME])
@pytest.mark.parametrize(
    "content",
    [CONTENT + b"more", b"x" * len(CONTENT), b"x" * 100, CONTENT[:100]],
    ids=["longer", "as long", "other", "a start"],
)
def test_nothing_that_lies_there_can_make_the_file_a_wrong_one(content, name, careful, tmp_path):
    part_of(f"{careful}/v/{name}", tmp_path, content)

    assert download(f"{careful}/v/{name}", folder=tmp_path).read_bytes() == CONTENT
    assert left(tmp_path) == [name]


def test_a_piece_from_another_place_is_not_put_behind_the_others(careful, tmp_path, monkeypatch):
    monkeypatch.setattr(Careful, "misplaced", True)
    part_of(f"{careful}/v/{NAME}", tmp_path, CONTENT[:100])

    assert download(f"{careful}/v/{NAME}", folder=tmp_path).read_bytes() == CONTENT
    assert [status for _, status in Careful.asked] == [206, 200]
