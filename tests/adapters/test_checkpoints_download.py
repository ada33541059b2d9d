import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from classlens.adapters.openmm.checkpoints.download import download
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


@pytest.fixture
def server() -> Iterator[str]:
    Handler.asked = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as served:
        thread = threading.Thread(target=served.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{served.server_address[1]}"
        served.shutdown()
        thread.join()


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
