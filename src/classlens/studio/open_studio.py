"""`classlens.studio`: a studio beside what else a program or a notebook does, until it is closed."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING

from classlens.adapters import Options
from classlens.studio.guard import Keys
from classlens.studio.serve import address_of, bind, make_server
from classlens.studio.session import Session, StudioRequest

if TYPE_CHECKING:
    from uvicorn import Server

ENDS_WITHIN = 3.0  # seconds


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
