"""Listeners: the sockets at which one application is heard, each behind a guard of its own.

A port is there from the first moment, for whoever has the key. The socket in the directory is added
when the directory is known to be ours; it asks for no key, since only its owner can reach it.
"""

from __future__ import annotations

import asyncio
import socket

from starlette.types import ASGIApp

from ackbook.broker.runtime.api.guard import Guard
from ackbook.broker.runtime.api.server import ApiServer


class Listeners:
    """All that listen for one broker. `port` is the one on which it really listens."""

    def __init__(self, app: ASGIApp, key: str, host: str, listener: socket.socket) -> None:
        self._app = app
        self._guards = [Guard(app, key, (host,))]
        self._servers = [ApiServer(self._guards[0], listener)]
        self._running: list[asyncio.Task[None]] = []
        self.port: int = listener.getsockname()[1]

    def start(self) -> None:
        """Listen at the port, on this loop; until `open`, `/health` alone is answered."""
        self._run(self._servers[0])

    def add_local(self, listener: socket.socket) -> None:
        """Listen at the socket of the directory, too."""
        self._guards.append(Guard(self._app, None, ()))
        self._servers.append(ApiServer(self._guards[-1], listener))
        self._run(self._servers[-1])

    def open(self) -> None:
        """From here on everybody is heard."""
        self._say("")

    def close(self, why: str) -> None:
        """Nothing but `/health` is answered, since the broker is `why`: "shutting down"."""
        self._say(why)

    async def stop(self) -> None:
        """Answer what was asked, and listen no more."""
        for server in self._servers:
            server.stop()
        await asyncio.gather(*self._running)

    def _run(self, server: ApiServer) -> None:
        self._running.append(asyncio.create_task(server.run_here()))

    def _say(self, closed: str) -> None:
        for guard in self._guards:
            guard.closed = closed
