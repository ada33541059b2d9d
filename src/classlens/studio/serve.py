"""`classlens.studio`: a socket, the server behind it, the link that opens it, and an end without delay.

The socket is there before anything is opened, so that the link can be printed at once, and a port that is taken is one
error. `starlette` and `uvicorn` come with the extra `studio`; nothing else of Classlens imports them.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from classlens.adapters import Options
from classlens.errors import ConfigError, MissingDependency
from classlens.studio.guard import LARGEST_HEAD, Guard, Keys
from classlens.studio.session import Session, StudioRequest

if TYPE_CHECKING:
    from uvicorn import Server

CONNECTIONS = 200  # at once
TURN = 0.0005  # seconds until a thread that works in the background lets the server have its turn
KEEP_ALIVE = 75  # seconds
ENDS_WITHIN = 3.0  # seconds in which a studio in a thread ends
LAST_ANSWERS = 1  # seconds that open connections have when the server ends


def bind(host: str, port: int) -> socket.socket:
    """A socket that listens; 0 is any free port.

    Raises:
        ConfigError: the port is taken, or the host is not of this machine.
    """
    kind = socket.AF_INET6 if ":" in host else socket.AF_INET
    server = socket.socket(kind, socket.SOCK_STREAM)
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
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{server.getsockname()[1]}"


def tunnel_line(server: socket.socket, host: str) -> str:
    """The command that leads here from the user's own machine, where this one is reached by SSH; "" elsewhere."""
    place = os.environ.get("SSH_CONNECTION", "").split()
    if len(place) != 4:
        return ""
    port, user = server.getsockname()[1], os.environ.get("USER") or os.environ.get("LOGNAME") or "USER"
    ssh_port = "" if place[3] == "22" else f" -p {place[3]}"
    name = f"[{host}]" if ":" in host else host
    return f"ssh -N -L {port}:{name}:{port}{ssh_port} {user}@{place[2]}"


def make_server(server: socket.socket, session: Session, keys: Keys) -> Server:
    """What answers at the socket, once it runs.

    Raises:
        MissingDependency: starlette or uvicorn is not installed.
    """
    try:
        import uvicorn

        from classlens.studio.routes import make_application
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("classlens"):
            raise
        raise MissingDependency(error.name.partition(".")[0], extra="studio") from error
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
        """The address with its token, which works once; the next one is another."""
        return f"{address_of(self.listener, self.session.request.host)}/?token={self.keys.token}"

    def close(self) -> None:
        """End the server and what works for it."""
        self.server.should_exit = True
        self.thread.join(ENDS_WITHIN)
        self.session.close()

    def _repr_html_(self) -> str:
        return f'<a href="{escape(self.link)}" target="_blank" rel="noreferrer">Classlens studio</a>'


def studio(
    *targets: str, checkpoints: Sequence[str] = (), port: int = 0, options: Options | None = None
) -> RunningStudio:
    """Serve the page of some targets on this machine; the call comes back at once.

    Args:
        targets: addresses, such as the path of a config, or `demo`.
        checkpoints: weights for the classifier, to be compared where they are several.
        port: 0 is any that is free.

    Raises:
        ConfigError: no target is named, or the port is taken.
        MissingDependency: starlette or uvicorn is not installed.
    """
    request = StudioRequest(targets, tuple(checkpoints), options or Options(), port=port)
    listener, session, keys = bind(request.host, request.port), Session(request), Keys()
    server = make_server(listener, session, keys)
    thread = threading.Thread(target=server.run, args=([listener],), name="studio", daemon=True)
    thread.start()
    return RunningStudio(session, listener, keys, server, thread)
