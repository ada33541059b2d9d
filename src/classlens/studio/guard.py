"""The door of the studio: every request passes here before anything else looks at it.

The server listens on this machine only, but pages of other sites run on this machine as well, in the same browser. So a
request must name the server by its own address (a name that an attacker's DNS leads here is refused), carry the cookie
that the one-time link has set, and, if it changes anything, come from a page of this very server. Nothing is allowed to
other origins, and a page may load nothing but what the server itself has.
"""

from __future__ import annotations

import asyncio
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from ipaddress import ip_address
from socket import gethostname
from typing import TYPE_CHECKING, Any

from starlette.datastructures import Headers, MutableHeaders, QueryParams
from starlette.responses import HTMLResponse, Response

from classlens.errors import ClasslensError
from classlens.printed import json_text
from classlens.words import Phrase, say

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from classlens.studio.serve import Keys, StudioRequest

LONGEST_ADDRESS = 4096  # less than the 4,300 digits up to which Python reads a number
LARGEST_HEAD = 16_384  # bytes of the headers of a request
MOST_BYTES = 64 * 1024  # of the body of a request, but for pictures that are uploaded
UPLOAD_BYTES = 32_000_000
SECONDS = 60.0  # for one answer; what takes longer is a job
SECONDS_OF = {"/report.html": 1800.0}  # a download, for which the browser waits by itself
READING_SAFELY = ("GET", "HEAD")

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Cache-Control": "no-store",
}
"""What every answer says, whatever it is."""


GO_ON = '<!doctype html><title>Classlens</title><meta http-equiv="refresh" content="0;url=/">'


NAME = r"(?:(?!\.\w+\s)[^\s/\\:;'\"])+"
FOLDERS = re.compile(  # a name of a folder has up to three words; more are prose, and so is what follows `x.jpg `
    r"(?<![\w.~/\\)-])(?!(?<=:)//[^/])(?:[A-Za-z]:[/\\]|/|\\\\)[/\\]*"
    rf"(?:{NAME}(?: {NAME}){{0,2}}[/\\]+)*(?=[^/\\\s:;'\",)])"
)


def without_folders(text: str) -> str:
    """A message that names files without the absolute folders in front of them; what is relative, or a URL, stays."""
    return FOLDERS.sub("", text)


class Refused(ClasslensError):
    """A request that is not answered, and with which status. The page says a phrase in its reader's language."""

    def __init__(self, status: int, said: str | Phrase, *, hint: str = "") -> None:
        super().__init__(str(said), hint=hint)
        self.status, self.said = status, said

    def facts(self) -> dict[str, Any]:
        """What the page needs to say it."""
        return {"key": self.said.key, "values": self.said.values} if isinstance(self.said, Phrase) else {}


@dataclass(frozen=True, eq=False)
class Guard:
    """An ASGI application around another one, which gets only requests that may be answered."""

    inside: ASGIApp
    request: StudioRequest
    port: int
    keys: Keys

    @property
    def cookie_name(self) -> str:
        return f"classlens-studio-{self.port}"  # browsers keep one jar for all ports of a machine

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            raise RuntimeError(f"the studio answers http only, not {scope['type']}")
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        try:
            if self.check(scope, Headers(scope=scope)):
                await self.let_in()(scope, receive, send_guarded)
                return
            seconds = SECONDS_OF.get(scope["path"], SECONDS)
            await asyncio.wait_for(self.inside(scope, limited(scope, receive), send_guarded), seconds)
        except (Refused, TimeoutError) as error:
            refused = error if isinstance(error, Refused) else Refused(503, say("refused.slow"))
            if not started:  # the connection ends with it: what is left of a body is not read
                facts, closed = (
                    {"error": str(refused), "hint": refused.hint, **refused.facts()},
                    {"connection": "close"},
                )
                await refusal(scope, facts, refused.status, closed)(scope, receive, send_guarded)

    def check(self, scope: Scope, headers: Headers) -> bool:
        """Refuse what may not be answered; whether it is somebody with a right token, who gets a cookie."""
        for name in SINGLE:
            if len(headers.getlist(name)) > 1:
                raise Refused(400, f"several headers {name}")
        if not self.knows_host(headers.get("host", "")):
            raise Refused(421, "this server has another name", hint="open the link that classlens studio has printed")
        if sum(len(name) + len(value) for name, value in headers.raw) > LARGEST_HEAD:
            raise Refused(431, "the headers are too large")
        if len(scope["path"]) + len(scope["query_string"]) > LONGEST_ADDRESS:
            raise Refused(414, "the address is too long")
        check_origin(scope["method"], scope["path"], headers)
        return self.check_keys(scope, headers.get("cookie", ""))

    def check_keys(self, scope: Scope, cookies: str) -> bool:
        """Refuse who has neither the cookie nor, at `/`, a token; whether it is the latter."""
        pairs = (one.strip().partition("=") for one in cookies.split(";"))
        values = [value for name, _, value in pairs if name == self.cookie_name]
        is_known = any(hmac.compare_digest(value.encode(), self.keys.cookie.encode()) for value in values)
        token = QueryParams(scope["query_string"]).get("token")
        if scope["path"] == "/" and scope["method"] == "GET" and token:
            if is_known or self.keys.redeem(token):
                return True
            hint = "each link opens one browser; classlens studio prints a new one as soon as one is used"
            raise Refused(403, "this link has been used, or was never right", hint=hint)
        if not is_known:
            raise Refused(401, "nobody is let in without its link", hint="open the link that classlens studio prints")
        return False

    def knows_host(self, host: str) -> bool:
        """Whether a Host header names this server: loopback, its own address, or, if it listens to all, any address."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            return False
        if name in ("127.0.0.1", "localhost", "[::1]"):
            return True
        if self.request.host not in EVERYWHERE:
            return name in (self.request.host, f"[{self.request.host}]")
        try:  # no DNS leads from a name to this
            return bool(ip_address(name.removeprefix("[").removesuffix("]")))
        except ValueError:
            return name.casefold() == gethostname().casefold()

    def let_in(self) -> Response:
        """What gives the browser its cookie, and goes on to an address without a token.

        It is no redirection: to one that begins with a link of another page, such as a notebook, browsers send no cookie
        that is strictly for this site.
        """
        cookie = f"{self.cookie_name}={self.keys.cookie}; HttpOnly; SameSite=Strict; Path=/"
        return HTMLResponse(GO_ON, headers={"set-cookie": cookie})


def check_origin(method: str, path: str, headers: Mapping[str, str]) -> None:
    """Refuse what a page of another origin asks for; what changes something has to come from a page of this one.

    A server at another port of this machine is another origin, but the same site: browsers send it the cookie.
    """
    reads, origin = method in READING_SAFELY, headers.get("origin", "")
    if origin != f"http://{headers['host']}" and not (reads and not origin):
        raise Refused(403, "asked by a page of another origin, or by none")
    goes_there = (headers.get("sec-fetch-mode"), headers.get("sec-fetch-dest")) == ("navigate", "document")
    is_page = reads and goes_there and "." not in path  # what has an ending may begin work
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none") and not is_page:
        raise Refused(403, "asked by a page of another site")


SINGLE = ("host", "origin", "cookie", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest", "content-length")
EVERYWHERE = ("0.0.0.0", "::")


def limited(scope: Scope, receive: Receive) -> Receive:
    """What receives a body, and refuses one that is too large, as it says or as it turns out."""
    most = UPLOAD_BYTES if scope["path"] == "/upload" else MOST_BYTES
    too_large = Refused(413, say("refused.large", most=f"{most:,}"), hint="shrink the picture")
    said = Headers(scope=scope).get("content-length", "0")
    if not said.isdecimal() or len(said) > 18 or int(said) > most:
        raise too_large
    taken = 0

    async def receive_limited() -> Message:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise too_large
        return message

    return receive_limited


REFUSAL = """<!doctype html><html lang="en"><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<meta name="viewport" content="width=device-width"><title>Classlens studio</title>{}
<h1>Classlens studio</h1><p>{}</p><p>{}</p></html>"""
LOOK = '<link rel="stylesheet" href="/static/style.css"><body class="state">'  # for those who may have the file
WORK = ("upload", "explain", "jobs")  # addresses without an ending that scripts ask


def refusal(
    scope: Scope, facts: Mapping[str, Any], status: int, headers: Mapping[str, str] | None = None, *, look: str = ""
) -> Response:
    """The `error` and `hint` as a page where a user may have gone, and as JSON for scripts."""
    path = scope["path"]
    if scope["method"] not in READING_SAFELY or "." in path.rpartition("/")[2] or path.split("/")[1] in WORK:
        return Response(json_text(facts), status, headers, "application/json")
    sentences = (escape(f"{text[:1].upper()}{text[1:]}.") if text else "" for text in (facts["error"], facts["hint"]))
    return HTMLResponse(REFUSAL.format(look, *sentences), status, headers)
