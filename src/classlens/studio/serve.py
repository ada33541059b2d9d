"""The studio's server: a socket, the link that opens it, and an end without delay.

The socket is there before anything is opened, so that the link can be printed at once, and a port that is taken is one
error. `starlette` and `uvicorn` come with the extra `studio`; nothing else of Classlens imports them.
"""

from __future__ import annotations

import os
import socket
import sys
from typing import TYPE_CHECKING

from classlens.errors import ConfigError, MissingDependency
from classlens.studio.guard import LARGEST_HEAD, Guard, Keys

if TYPE_CHECKING:
    from uvicorn import Server

    from classlens.studio.session import Session

CONNECTIONS = 200  # at once
TURN = 0.0005  # seconds until a thread that works in the background lets the server have its turn
KEEP_ALIVE = 75  # seconds
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
