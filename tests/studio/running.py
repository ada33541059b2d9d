"""A real studio in a process of its own, and a browser that writes down whatever a page should not do."""

import asyncio
import http.client
import json
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

LINK = re.compile(r"http://\S+/\?token=\S+")


@dataclass
class Studio:
    """A running server; `link` is its first one-time link, and `cookie` what that one gave."""

    process: subprocess.Popen
    link: str
    cookie: str = ""

    @property
    def address(self):
        return self.link.partition("/?")[0]

    @property
    def host(self):
        return self.address.removeprefix("http://")

    @property
    def port(self):
        return int(self.host.rpartition(":")[2])

    def next_link(self):
        """The link that it has printed after the last one was used."""
        return read_link(self.process)

    def ask(self, path, *, method="GET", body=None, headers=(), cookie=True, host=None):
        """Status, headers and body of one request exactly as written; with the cookie, unless that is left out."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
        sent = {"Host": host or self.host, **({"Cookie": self.cookie} if cookie else {}), **dict(headers)}
        if body is not None and "Content-Length" not in sent:
            sent["Content-Length"] = str(len(body))
        for name, value in sent.items():
            for one in value if isinstance(value, list) else [value]:
                connection.putheader(name, one)
        connection.endheaders(body)
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read()
        connection.close()
        return result

    def get(self, path):
        """The JSON at a path."""
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body[:500])
        return json.loads(body)

    def wait(self, path):
        """The JSON at a path, once what it is about is no longer on its way."""
        while (answer := self.get(path)).get("state") in ("counting", "loading", "waiting", "running"):
            time.sleep(0.05)
        return answer

    def post(self, path, data=b""):
        """The JSON that comes back for JSON, or for bytes."""
        body = data if isinstance(data, bytes) else json.dumps(data).encode()
        status, _, answer = self.ask(path, method="POST", body=body, headers={"Origin": self.address})
        return status, json.loads(answer)


def read_link(process):
    while line := process.stdout.readline():
        if match := LINK.search(line):
            return match[0]
    raise AssertionError(f"no link was printed: {process.stderr.read()}")


@contextmanager
def running_studio(*words, opened=True, **settings):
    """A studio of these words of the command line, until the end of the block."""
    command = [sys.executable, "-m", "classlens", "studio", *words, "--no-browser"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **settings)
    try:
        studio = Studio(process, read_link(process))
        if opened:
            path = studio.link.removeprefix(studio.address)
            studio.cookie = studio.ask(path, cookie=False)[1]["set-cookie"].partition(";")[0]
        yield studio
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()


def ask_inside(session, address, receive=None):
    """Status, headers and body of one request to the application itself, in this process; `receive` is as in ASGI."""
    from classlens.studio.routes import make_application

    path, _, query = address.partition("?")
    scope = {
        "type": "http", "http_version": "1.1", "method": "GET", "scheme": "http", "server": ("127.0.0.1", 80),
        "path": path, "raw_path": path.encode(), "query_string": query.encode(), "root_path": "", "headers": [],
    }  # fmt: skip
    sent = []

    async def wait():
        await asyncio.sleep(600)

    async def send(message):
        sent.append(message)

    async def answer():
        await make_application(session)(scope, receive or wait, send)

    try:
        with ThreadPoolExecutor(1) as thread:  # in this one a browser's driver may have a loop that runs
            thread.submit(asyncio.run, answer()).result()
    except LookupError:  # a mistake is raised again once it is answered
        assert sent[0]["status"] == 500
    headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], headers, b"".join(one.get("body", b"") for one in sent[1:])


def fail_at_work(report, number, said):
    raise ValueError(said)


def report_for_ever(report, number):
    while True:
        report("going on")
        time.sleep(0.01)


def say_nothing(report, number):
    report("for a long time")
    time.sleep(600)


@dataclass
class Recorder:
    """What a page did that it should not: words on the console, breaches of its CSP, and requests to elsewhere."""

    address: str
    console: list = field(default_factory=list)
    outside: list = field(default_factory=list)
    failed: list = field(default_factory=list)

    def watch(self, page):
        """Write down what this page does from now on."""
        page.on("console", lambda said: self.console.append(said.text) if said.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: self.console.append(str(error)))
        page.on("request", self.note_request)
        page.on("response", lambda one: self.failed.append(f"{one.status} {one.url}") if one.status >= 400 else None)

    def note_request(self, request):
        """A request to another place than the server is one too many; `blob:` and `data:` ask nobody."""
        if not request.url.startswith((f"{self.address}/", "blob:", "data:")):
            self.outside.append(request.url)

    @property
    def slips(self):
        """All of it: empty for a page that behaves. Breaches of the CSP are errors on the console."""
        return [*self.console, *self.outside, *self.failed]


def enter(open_page, server, path, **settings):
    """A page of another server than the one that the tests share."""
    page = open_page(**settings)
    page.recorder.address = server.address
    page.goto(server.next_link())
    page.locator(".views").wait_for(timeout=90_000)  # the link's own page goes on by itself
    page.goto(server.address + path)
    page.recorder.console.clear()  # the data view, on which the link ends, may have none to show
    page.recorder.failed.clear()
    return page
