"""Peers: the session that a connection over the socket in the directory comes from.

The kernel says which process connected, and `/proc` which session that is in. Both are looked up
once, when the connection is let in: its process may be gone later, and its pid be another's. What
is found travels with each request of the connection, a WebSocket included. Over the port nobody
knows who connects.
"""

from __future__ import annotations

import asyncio

from starlette.requests import HTTPConnection
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.runtime.system.processes import session_of

NO_SESSION = 0
"""What is told of a peer over the port, and of one that was gone when it was looked for."""

_PEER = "peer_session"
"""Its key in the state that uvicorn copies into every request of a connection."""


class LocalConnection(HttpToolsProtocol):
    """A connection over a unix socket, which knows where it comes from."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Look once; everything else is uvicorn's."""
        super().connection_made(transport)
        try:
            pid, _ = unix_sockets.peer_of(transport.get_extra_info("socket"))
        except OSError:  # it has hung up
            return
        self.app_state = {**self.app_state, _PEER: session_of(pid)}


def peer_session(request: HTTPConnection) -> int:
    """The session that a request comes from, by the pid of its leader; `NO_SESSION` where nobody
    knows."""
    found = request.scope.get("state", {}).get(_PEER, NO_SESSION)
    assert isinstance(found, int)
    return found
