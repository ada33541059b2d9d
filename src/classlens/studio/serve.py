"""`classlens.studio`: what is asked of it, a socket, the server behind it, the link that opens it, and its end.

The socket is there before anything is opened, so that the link can be printed at once, and a port that is taken is one
error. What serves is imported behind it: the process that only waits for its child stays small. `starlette` and `uvicorn`
come with the extra `studio`; nothing else of Classlens imports them.
"""

from __future__ import annotations

import hmac
import os
import secrets
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from classlens.adapters import Options
from classlens.errors import ConfigError, DataError, MissingDependency

if TYPE_CHECKING:
    from uvicorn import Server

    from classlens.studio.session import Session

TOKEN_BYTES = 24  # 192 bits
LEAST_TOKEN = 16  # letters of a token that a user makes up
LOOPBACK = ("127.0.0.1", "localhost", "::1")
CONNECTIONS = 200  # at once
TURN = 0.0005  # seconds until a thread that works in the background lets the server have its turn
KEEP_ALIVE = 75  # seconds
ENDS_WITHIN = 3.0  # seconds in which a studio in a thread ends
LAST_ANSWERS = 1  # seconds that open connections have when the server ends


@dataclass(frozen=True)
class StudioRequest:
    """What a studio shows, and where it is served.

    `targets` are addresses, `checkpoints` weights for the first of them that has a classifier. `port` 0 is any that is
    free. A `host` that others can reach needs a `token`, which is then the password of the page. `dataset_size` and
    `gpus` are those of training; `log` is what a training run of the first target with a schedule wrote. `audit` is a
    folder that `classlens audit` has written, of the pictures of one of the targets.

    Raises:
        ConfigError: no target is named, or the host needs a token, or the token is too short.
        DataError: there is no such checkpoint, log or audit.
    """

    targets: tuple[str, ...]
    checkpoints: tuple[str, ...] = ()
    options: Options = field(default_factory=Options)
    host: str = "127.0.0.1"
    port: int = 0
    token: str | None = None
    dataset_size: int | None = None
    gpus: int = 1
    log: Path | None = None
    audit: str | None = None

    def __post_init__(self) -> None:
        if not self.targets:
            raise ConfigError("a studio needs something to show", hint="name a config or another address, e.g. demo")
        if self.checkpoints:
            from classlens.checkpoints.download import check_checkpoints  # brings what speaks to the network

            check_checkpoints(self.checkpoints)
        if self.log is not None and not self.log.exists():
            hint = "give the file that the training run wrote, or its folder"
            raise DataError(f"no such log: {self.log}", hint=hint)
        if self.audit is not None and "://" not in self.audit and not Path(self.audit, "manifest.json").is_file():
            raise DataError(f"no audit in {self.audit}", hint="`classlens audit TARGET --output DIR` makes one")
        if not self.is_local and not self.token:
            hint = "an SSH tunnel needs no --host; or choose a password: --token TEXT"
            raise ConfigError(f"--host {self.host} lets others in: it needs a token", hint=hint)
        if self.token is not None and (len(self.token) < LEAST_TOKEN or not self.token.isascii()):
            hint = "python -c 'import secrets; print(secrets.token_urlsafe(24))' makes a good one"
            raise ConfigError(f"a token has {LEAST_TOKEN} letters or more, of ASCII", hint=hint)

    @property
    def is_local(self) -> bool:
        """Whether only this machine can reach the page."""
        return self.host in LOOPBACK


@dataclass(eq=False)
class Keys:
    """What lets a browser in: the token of a link, which works once unless the user chose it, and the cookie after it."""

    chosen: str | None = None
    on_used: Callable[[], object] = lambda: None
    cookie: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))
    token: str = field(default_factory=lambda: secrets.token_urlsafe(TOKEN_BYTES))

    def __post_init__(self) -> None:
        self.token = self.chosen or self.token

    def redeem(self, token: str) -> bool:
        """Whether the token is right; a new one takes its place."""
        if not hmac.compare_digest(token.encode(), self.token.encode()):
            return False
        if self.chosen is None:
            self.token = secrets.token_urlsafe(TOKEN_BYTES)
            self.on_used()
        return True


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; 0 is any free port.

    Raises:
        ConfigError: the port is taken, or the host is not of this machine.
        MissingDependency: what answers at it, starlette or uvicorn, is not installed.
    """
    for package in ("starlette", "uvicorn"):
        if find_spec(package) is None:
            raise MissingDependency(package, extra="studio")
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Of a socket that names its protocol asyncio sends answers at once; others wait 40 ms for a word from the browser.
    server = socket.socket(kind, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        server.bind((host, port))
        server.listen(CONNECTIONS)
    except (OSError, OverflowError) as error:
        server.close()
        reason = (getattr(error, "strerror", None) or str(error)).lower()
        hint = "another --port, or none for any that is free" if port else "leave --host out for this machine alone"
        raise ConfigError(f"cannot serve at {host}:{port}: {reason}", hint=hint) from error
    return server


def address_of(server: socket.socket, host: str) -> str:
    """Host and port, as in a URL and for ssh."""
    return f"{f'[{host}]' if ':' in host else host}:{server.getsockname()[1]}"


def link_of(server: socket.socket, host: str, keys: Keys) -> str:
    """The address with its token, which works once; the next one is another."""
    return f"http://{address_of(server, host)}/?token={keys.token}"


def tunnel_line(server: socket.socket, host: str) -> str:
    """The command that leads here from the user's own machine, where this one is reached by SSH; "" elsewhere."""
    place = os.environ.get("SSH_CONNECTION", "").split()
    if len(place) != 4:
        return ""
    user = os.environ.get("USER") or os.environ.get("LOGNAME") or "USER"
    ssh_port = "" if place[3] == "22" else f" -p {place[3]}"
    return f"ssh -N -L {server.getsockname()[1]}:{address_of(server, host)}{ssh_port} {user}@{place[2]}"


def make_server(server: socket.socket, session: Session, keys: Keys) -> Server:
    """What answers at the socket, once it runs."""
    import uvicorn

    from classlens.studio.guard import LARGEST_HEAD, Guard
    from classlens.studio.routes import make_application

    sys.setswitchinterval(TURN)
    guard = Guard(make_application(session), session.request, server.getsockname()[1], keys)
    config = uvicorn.Config(
        guard,
        http="h11",
        ws="none",
        lifespan="off",
        loop="asyncio",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=CONNECTIONS,
        h11_max_incomplete_event_size=2 * LARGEST_HEAD,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=LAST_ANSWERS,
    )
    return uvicorn.Server(config)


@dataclass(frozen=True, eq=False)
class RunningStudio:
    """A studio in a thread: `link` opens it in one browser, `close` ends it."""

    session: Session = field(repr=False)
    listener: socket.socket = field(repr=False)
    keys: Keys = field(repr=False)
    server: Server = field(repr=False)
    thread: threading.Thread = field(repr=False)

    @property
    def link(self) -> str:
        """The link that lets in the next browser."""
        return link_of(self.listener, self.session.request.host, self.keys)

    def close(self) -> None:
        """End the server and what works for it."""
        self.server.should_exit = True
        self.thread.join(ENDS_WITHIN)
        self.session.close()

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.link)}" target="_blank" rel="noreferrer">Classlens studio</a>'


def studio(
    *targets: str,
    checkpoints: Sequence[str] = (),
    audit: str | None = None,
    port: int = 0,
    options: Options | None = None,
) -> RunningStudio:
    """Serve the page of some targets on this machine; the call comes back at once.

    Args:
        targets: addresses, such as the path of a config, or `demo`.
        checkpoints: weights for the classifier, to be compared where they are several.
        audit: a folder that `classlens audit` has written, of the pictures of one of the targets.
        port: 0 is any that is free.

    Raises:
        ConfigError: no target is named, or the port is taken.
        DataError: there is no such checkpoint or audit.
        MissingDependency: starlette or uvicorn is not installed.
    """
    from classlens.studio.session import Session

    request = StudioRequest(targets, tuple(checkpoints), options or Options(), port=port, audit=audit)
    listener, session, keys = bind(request.host, request.port), Session(request), Keys()
    server = make_server(listener, session, keys)
    thread = threading.Thread(target=server.run, args=([listener],), name="studio", daemon=True)
    thread.start()
    return RunningStudio(session, listener, keys, server, thread)
