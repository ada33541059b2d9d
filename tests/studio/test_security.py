"""Requests that a page of another site, a rebound name, or a stranger on the machine could send: all are refused.

Every one is a real request to a real server, written byte by byte where a client would not send it.
"""

import http.client
import io
import json
import re
import socket
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from classlens.studio.guard import SINGLE, Guard, without_folders
from classlens.studio.serve import Keys, StudioRequest
from tests.studio.running import running_studio

OWN = object()  # stands for the server's own origin or host, whose port is known when it runs
POSTS = ("/upload", "/explain", "/jobs/1/cancel")
HEADERS = {
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "x-frame-options": "DENY",
    "cache-control": "no-store",
}
PAGE = r"<!doctype html>[^{}]*<h1>Classlens studio</h1><p>([^<]+)</p><p>([^<]*)</p></html>"
PNG = b"\x89PNG\r\n\x1a\n"


def png_chunk(kind, content):
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(width, height):
    """A small file that claims to be a huge picture."""
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return PNG + header + png_chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + png_chunk(b"IEND", b"")


def encoded(form, size=(40, 30)):
    content = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).save(content, form)
    return content.getvalue()


def check_refusal(status, headers, body, wanted):
    """The right status, an error of one line without a path or a trace, and all headers of safety."""
    assert status == wanted, body[:300]
    if headers["content-type"].startswith("text/html"):
        error, hint = re.fullmatch(PAGE, body.decode(), re.DOTALL).groups()
    else:
        said = json.loads(body)
        error, hint = said["error"], said.get("hint", "")
    assert error
    assert not re.search(r"(/[\w.-]+){2,}|Traceback|File \"|\.py", error + hint)
    check_headers(headers)


def check_headers(headers):
    folded = {name.lower(): value for name, value in headers.items()}
    assert {name: folded.get(name) for name in HEADERS} == HEADERS
    policy = folded["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert not any(name.startswith("access-control") for name in folded)
    assert "server" not in folded


def send_raw(port, text):
    """The first line and all of an answer to bytes that no client would send."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        connection.sendall(text)
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status, dict(answer.getheaders()), answer.read()


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:{port}",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:1",
        "127.0.0.1:{port}.evil.example",
        "127.0.0.1.nip.io:{port}",
        "localhost.evil.example:{port}",
        "evil.localhost:{port}",
        "0.0.0.0:{port}",
        "[::]:{port}",
        "[::ffff:127.0.0.1]:{port}",
        "127.1:{port}",
        "2130706433:{port}",
        "user@127.0.0.1:{port}",
        "127.0.0.1:{port}@evil.example",
        "LOCALHOST.:{port}",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/session.json", "/?token={token}"])
def test_a_name_that_is_not_the_servers_own_is_refused_before_anything_else(studio, host, path):
    """DNS rebinding: the browser sends the cookie, or a page guesses the link, under the attacker's name."""
    path = path.format(token=studio.link.rpartition("=")[2])

    answer = studio.ask(path, headers={"Host": host.format(port=studio.port)})

    check_refusal(*answer, 421)


def test_two_names_and_no_name_are_refused(studio):
    port, cookie = studio.port, studio.cookie
    twice = f"GET /session.json HTTP/1.1\r\nHost: {studio.host}\r\nHost: evil.example\r\nCookie: {cookie}\r\n\r\n"
    none = f"GET /session.json HTTP/1.1\r\nCookie: {cookie}\r\n\r\n"

    assert send_raw(port, twice.encode())[0] == 400
    assert send_raw(port, none.encode())[0] == 400
    assert send_raw(port, f"GET /session.json HTTP/1.0\r\nCookie: {cookie}\r\n\r\n".encode())[0] == 421


def test_the_address_in_the_request_line_names_no_other_server(studio):
    line = f"GET http://evil.example/session.json HTTP/1.1\r\nHost: evil.example\r\nCookie: {studio.cookie}\r\n\r\n"

    assert send_raw(studio.port, line.encode())[0] == 421


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "",
        "null",
        "http://evil.example",
        "https://{host}",
        "http://{host}.evil.example",
        "http://evil.example:{port}",
        "http://127.0.0.1",
        "http://127.0.0.1:1",
        "http://localhost:{port}",
        "http://{host}/",
        "http://user@{host}",
        "HTTP://{host}",
        "http://{host} http://evil.example",
        "file://",
        "chrome-extension://abc",
    ],
)
@pytest.mark.parametrize("path", POSTS)
def test_what_changes_something_comes_from_a_page_of_this_server(studio, origin, path):
    """Forged forms and fetches, of other sites and of other servers on this machine, which are the same site."""
    headers = {} if origin is None else {"Origin": origin.format(host=studio.host, port=studio.port)}

    answer = studio.ask(path, method="POST", body=b"{}", headers=headers)

    check_refusal(*answer, 403)


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "http://127.0.0.1:1"])
def test_nobody_reads_across_origins(studio, origin):
    check_refusal(*studio.ask("/session.json", headers={"Origin": origin}), 403)


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
@pytest.mark.parametrize(
    "kind", [("no-cors", "image"), ("no-cors", "script"), ("cors", "empty"), ("navigate", "iframe")]
)
def test_pages_of_other_sites_embed_nothing(studio, site, kind):
    """A page at another port of this machine is the same site: the browser sends it the cookie."""
    headers = {"Sec-Fetch-Site": site, "Sec-Fetch-Mode": kind[0], "Sec-Fetch-Dest": kind[1]}

    check_refusal(*studio.ask("/picture/0/train/0.webp", headers=headers), 403)


@pytest.mark.parametrize(("path", "status"), [("/data", 200), ("/look.json", 403), ("/report.html", 403)])
def test_other_sites_may_lead_to_the_page_but_begin_no_work(studio, path, status):
    """A link on another page of this machine may be followed; a report or a check is not begun by that."""
    headers = {"Sec-Fetch-Site": "same-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}

    assert studio.ask(path, headers=headers)[0] == status


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/data",
        "/session.json",
        "/data.json",
        "/picture/0/train/0.webp",
        "/static/index.html",
        "/look.json",
        "/nothing",
    ],
)
def test_nobody_is_let_in_without_the_cookie(studio, path):
    check_refusal(*studio.ask(path, cookie=False), 401)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        *[(path, "text/html; charset=utf-8") for path in ("/", "/look", "/nothing", "/?token=<b>")],
        *[
            (path, "application/json")
            for path in ("/look.json", "/picture/0/train/0.webp", "/explain", "/jobs/1/cancel")
        ],
    ],
)
def test_who_goes_to_a_page_without_a_link_reads_a_page_and_scripts_read_json(studio, path, kind):
    status, headers, body = studio.ask(path, cookie=False)

    check_refusal(status, headers, body, 403 if "token" in path else 401)
    assert headers["content-type"] == kind
    assert b"<script" not in body
    assert b"style" not in body


def test_an_unknown_page_says_where_the_studio_begins(studio):
    answer = studio.ask("/no/such<page>")

    check_refusal(*answer, 404)
    assert b"<p>The studio begins at /.</p>" in answer[2]
    (sheet,) = re.findall(rb'<link rel="stylesheet" href="([^"]+)">', answer[2])
    assert studio.ask(sheet.decode())[0] == 200


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("folder:out/my/photos has no classifier", "folder:out/my/photos has no classifier"),
        ("../c/d.jpg, ./y/z and ~/x/y; a/b", "../c/d.jpg, ./y/z and ~/x/y; a/b"),
        ("say epochs and/or steps/epoch", "say epochs and/or steps/epoch"),
        ("see https://example.org/a/b.pth", "see https://example.org/a/b.pth"),
        ("file:///home/ada/b.pth", "file:b.pth"),
        ("folder:/home/ada/my photos/x has no classifier", "folder:x has no classifier"),
        ("/a/b.jpg is no picture; see c/d", "b.jpg is no picture; see c/d"),
        ("/home/ada/x.jpg and out/y/z", "x.jpg and out/y/z"),
        ("/data/photos has no split val/test", "photos has no split val/test"),
        ("'/home/ada/a.jpg': cut (/srv/b/c.jpg)", "'a.jpg': cut (c.jpg)"),
        ("cannot write /data/photos/: full", "cannot write photos/: full"),
        (r"C:\Users\ada lovelace\a.jpg is cut", "a.jpg is cut"),
        (r"py:C:/Users/ada/train.py:setup", "py:train.py:setup"),
        (r"'\\server\share\a.jpg' is cut", "'a.jpg' is cut"),
        (r"out\my\photos has no classifier", r"out\my\photos has no classifier"),
    ],
)
def test_absolute_folders_are_hidden_and_what_the_user_named_is_whole(text, shown):
    assert without_folders(text) == shown


@pytest.mark.parametrize("path", POSTS)
def test_nobody_changes_anything_without_the_cookie(studio, path):
    check_refusal(*studio.ask(path, method="POST", body=b"", headers={"Origin": studio.address}, cookie=False), 401)


@pytest.mark.parametrize(
    "cookie", ["", "x", "{name}=", "{name}=x", "{name}={value}x", "{value}", "other={value}", "{name}={value[:-1]}"]
)
def test_a_forged_cookie_opens_nothing(studio, cookie):
    name, _, value = studio.cookie.partition("=")
    text = cookie.replace("{value[:-1]}", value[:-1]).format(name=name, value=value)

    check_refusal(*studio.ask("/session.json", cookie=False, headers={"Cookie": text}), 401)


@pytest.mark.parametrize("token", ["x", "{cookie}", "{used}", "{used}x", "%00", "%ff"])
def test_a_wrong_or_used_link_opens_nothing(studio, token):
    used, cookie = studio.link.rpartition("=")[2], studio.cookie.partition("=")[2]

    check_refusal(*studio.ask(f"/?token={token.format(used=used, cookie=cookie)}", cookie=False), 403)


@pytest.mark.parametrize(
    "path",
    [
        "/static/../session.py",
        "/static/../../errors.py",
        "/static/%2e%2e/session.py",
        "/static/..%2fsession.py",
        "/static/..%5csession.py",
        "/static//etc/passwd",
        "/static/%2fetc%2fpasswd",
        "/static/....//session.py",
        "/static/index.html%00.js",
        "/static/",
        "/static/index.html/",
        "/etc/passwd",
        "/../../../../etc/passwd",
        "/%2e%2e/%2e%2e/etc/passwd",
        "/picture/0/train/../../../etc/passwd",
        "/picture/0/..%2f..%2f/0.webp",
        "/picture/0/train/%2e%2e.webp",
        "/picture/0//etc/passwd.webp",
        "/picture/-1/train/0.webp",
        "/picture/0/train/-1.webp",
        "/picture/0/train/1e3.webp",
        "/picture/0/train/999999999999999999999999.webp",
        "/picture/7/train/0.webp",
        "/picture/0/nosplit/0.webp",
        "/stage/0/train/0/99.webp",
        "/batch/0/train/99999.json",
        "/upload/99.webp",
        "/jobs/99999.json",
        "/part/99999/0.bin",
        "/part/-1/0.webp",
        "/curve/9/0.bin",
        "/http://evil.example/",
        "/file:///etc/passwd",
    ],
)
def test_no_address_leads_to_a_file_or_to_elsewhere(studio, path):
    check_refusal(*studio.ask(path), 404)


@pytest.mark.parametrize(
    "query",
    [
        "start=-1",
        "start=x",
        "start=1.5",
        "count=0",
        "count=100000",
        "class=-2",
        "target=-1",
        "start=9999999999999999999",
        "count=%D9%A3",
    ],
)
def test_numbers_are_numbers(studio, query):
    assert studio.ask(f"/data.json?{query}")[0] in (400, 404)


@pytest.mark.parametrize("query", ["mode=evil", "edge=0", "edge=100000", "seed=x", "seed=-1"])
def test_pictures_are_drawn_in_known_ways_only(studio, query):
    check_refusal(*studio.ask(f"/picture/0/train/0.webp?{query}"), 400)


def test_long_addresses_and_headers_are_refused(studio):
    check_refusal(*studio.ask(f"/data.json?q={'a' * 5000}"), 414)
    check_refusal(*studio.ask(f"/jobs/{'9' * 5000}.json"), 414)
    assert studio.ask(f"/data.json?q={'a' * 300}")[0] == 400
    assert studio.ask("/data.json", headers={"X-Long": "a" * 100_000})[0] == 431


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND"])
def test_other_methods_are_refused(studio, method):
    """OPTIONS is what a browser asks before a request to another origin: it is never told that it may."""
    check_refusal(*studio.ask("/session.json", method=method, headers={"Origin": studio.address}), 405)


def test_what_is_read_cannot_be_posted_to_and_the_other_way_round(studio):
    check_refusal(*studio.ask("/session.json", method="POST", body=b"", headers={"Origin": studio.address}), 405)
    check_refusal(*studio.ask("/upload"), 405)


def test_a_websocket_is_not_opened(studio):
    headers = {
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": "a" * 22 + "==",
    }

    assert studio.ask("/socket", headers=headers)[0] == 404
    assert studio.ask("/socket", headers=headers | {"Host": f"evil.example:{studio.port}"})[0] == 421


def test_bodies_are_as_large_as_they_may_be(studio):
    """A body that says too much is refused unread; one that does not say is refused when it has become too much."""
    origin = {"Origin": studio.address}
    check_refusal(*studio.ask("/upload", method="POST", body=b"", headers=origin | {"Content-Length": "33000000"}), 413)
    check_refusal(*studio.ask("/explain", method="POST", body=b" " * 70_000, headers=origin), 413)
    check_refusal(
        *studio.ask("/jobs/1/cancel", method="POST", body=b"", headers=origin | {"Content-Length": "99999999999"}), 413
    )
    head = f"POST /explain HTTP/1.1\r\nHost: {studio.host}\r\nCookie: {studio.cookie}\r\nOrigin: {studio.address}\r\n"
    chunks = b"Transfer-Encoding: chunked\r\n\r\n" + b"1000\r\n" + b" " * 4096 + b"\r\n"
    assert send_raw(studio.port, head.encode() + chunks + (b"1000\r\n" + b" " * 4096 + b"\r\n") * 20)[0] == 413


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", 415),
        (b"no picture", 415),
        (b"<svg xmlns='http://www.w3.org/2000/svg' onload='alert(1)'/>", 415),
        (b"%PDF-1.7 ...", 415),
        (b"%!PS-Adobe-3.0 EPSF-3.0", 415),
        (b"PK\x03\x04" + b"\0" * 100, 415),
        (b"GIF89a" + b"\0" * 3, 415),
        (encoded("TIFF"), 415),
        (encoded("ICO"), 415),
        (encoded("PPM"), 415),
        (bomb(60_000, 60_000), 422),
        (bomb(2**31 - 1, 2**31 - 1), 422),
        (encoded("JPEG")[:200], 415),
        (bomb(100, 100), 422),
    ],
    ids=lambda value: value[:12].hex() if isinstance(value, bytes) else str(value),
)
def test_what_is_uploaded_is_a_picture_of_a_usual_kind(studio, content, status):
    check_refusal(*studio.ask("/upload", method="POST", body=content, headers={"Origin": studio.address}), status)


def test_an_upload_is_encoded_anew(studio):
    """What a picture file holds beside its pixels, such as a script behind its end, does not come back."""
    hostile = encoded("PNG") + b"<script>alert(1)</script>"

    status, said = studio.post("/upload", hostile)
    _, headers, body = studio.ask(said["picture"])

    assert (status, said["width"], said["height"]) == (200, 40, 30)
    assert headers["content-type"] == "image/webp"
    assert body[:4] == b"RIFF"
    assert b"script" not in body


@pytest.mark.parametrize(
    "order",
    [
        b"",
        b"{",
        b"[]",
        b"1",
        b'{"path": "/etc/passwd"}',
        b'{"target": "demo"}',
        b'{"index": true}',
        b'{"index": "/etc/passwd"}',
        b'{"checkpoints": ["/tmp/evil.pth"]}',
        b'{"checkpoints": "x"}',
        b'{"methods": [{}]}',
        b'{"methods": ["' + b"a" * 300 + b'"]}',
        b'{"layers": "x"}',
        b'{"config": "evil.py"}',
        b"[" * 5000,
        b"\xff\xfe",
        json.dumps({"methods": ["GradCAM"] * 10, "classes": list(range(10))}).encode(),
    ],
    ids=lambda order: order[:30].decode("latin-1"),
)
def test_an_order_holds_numbers_and_names_only(studio, order):
    """No config, checkpoint or file is opened because a page says so."""
    check_refusal(*studio.ask("/explain", method="POST", body=order, headers={"Origin": studio.address}), 400)


@pytest.mark.parametrize(
    "path", ["/", "/data", "/session.json", "/data.json", "/picture/0/train/0.webp", "/static/index.html"]
)
def test_every_answer_has_the_headers_of_safety(studio, path):
    status, headers, _ = studio.ask(path)

    assert status == 200
    check_headers(headers)


def test_the_link_opens_one_browser_and_its_cookie_is_out_of_reach_of_scripts():
    with running_studio("demo", opened=False) as fresh:
        path = fresh.link.removeprefix(fresh.address)
        token = path.rpartition("=")[2]

        status, headers, body = fresh.ask(path, cookie=False)
        again = fresh.ask(path, cookie=False)
        following = fresh.next_link()

    assert len(token) >= 32  # 24 bytes, written in 6 bits a letter
    assert (status, b"url=/" in body, token.encode() in body) == (200, True, False)
    assert re.fullmatch(r"classlens-studio-\d+=[\w-]{32}; HttpOnly; SameSite=Strict; Path=/", headers["set-cookie"])
    check_refusal(*again, 403)
    assert token not in following


def test_the_server_listens_on_this_machine_only(studio):
    """The socket itself: other interfaces refuse the connection."""
    address = next(
        (
            one[4][0]
            for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
            if not one[4][0].startswith("127.")
        ),
        None,
    )
    if address is None:
        pytest.skip("this machine has no address but loopback")
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((address, studio.port), timeout=2)


def test_what_is_no_request_of_http_is_answered_by_nobody():
    guard = Guard(None, StudioRequest(("demo",)), 80, Keys())

    with pytest.raises(RuntimeError, match="the studio answers http only, not websocket"):
        guard({"type": "websocket"}, None, None).send(None)


@pytest.mark.parametrize("name", SINGLE)
def test_two_headers_where_one_decides_are_refused(studio, name):
    usual = {"host": studio.host, "cookie": studio.cookie, "origin": studio.address}
    lines = [f"{key}: {value}" for key, value in usual.items()] + [f"{name}: 1", f"{name}: 2"]
    head = "\r\n".join(["GET /session.json HTTP/1.1", *lines, "", ""])

    assert send_raw(studio.port, head.encode())[0] == 400
