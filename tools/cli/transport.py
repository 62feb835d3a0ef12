"""Transport: how the broker of a directory is reached, and why it is that one.

What a file says can be copied, restored, and outlive whom it tells of. So nothing is sent anywhere
because a file names it:

| way | who answers there |
|---|---|
| the socket in the directory | who bound it there, and the kernel says which process that is |
| the port in `connection.json` | who listens there, if it holds the lock of this very journal |

The socket is its owner's, so that no key is shown. A broker of 0.1.0 has none; it is reached in
the second way. A copy of a directory has neither, whatever its files say: its socket is nobody's.
"""

from __future__ import annotations

import http.client
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.wire.connection import Connection
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.place import Place

SERVED = "localhost"
"""Whom a request is for, by whatever way; the guard of every broker knows it."""

CONNECT_S_MAX = 5.0
"""Somebody on this machine who does not even accept for so long hangs."""


@dataclass(frozen=True, slots=True)
class OverSocket:
    """The broker that listens in the directory. `told`: its `connection.json`, if that is its."""

    path: Path
    pid: int
    told: Connection | None

    def headers(self) -> dict[str, str]:
        """Nothing: who gets here may ask."""
        return {}

    def link(self) -> socket.socket:
        """A connected socket. Raises OSError."""
        return unix_sockets.connect(str(self.path))


@dataclass(frozen=True, slots=True)
class OverPort:
    """A broker without a socket, which was seen to hold the lock and to listen."""

    told: Connection

    @property
    def pid(self) -> int:
        """The process that holds the lock."""
        return self.told.pid

    def headers(self) -> dict[str, str]:
        """Its key: it asks everybody for that."""
        return {"X-API-Key": self.told.api_key}

    def link(self) -> socket.socket:
        """A connected socket. Raises OSError."""
        host = self.told.url.partition("//")[2].rpartition(":")[0].strip("[]") or "127.0.0.1"
        link = socket.create_connection((host, self.told.port), CONNECT_S_MAX)
        link.setblocking(False)
        return link


Transport: TypeAlias = OverSocket | OverPort


def find(place: Place) -> Transport:
    """The way to the broker that runs in this directory. Raises `Failure` where none does, whatever
    the files in it say, and where the directory may be somebody else's."""
    place.check_private()
    try:
        pid = unix_sockets.listener_of(str(place.socket))
    except OSError:  # no such socket, nobody behind it, or not ours
        return _over_port(place)
    try:
        told = place.written()
    except Failure:
        told = None
    return OverSocket(place.socket, pid, told if told is not None and told.pid == pid else None)


def connection(transport: Transport, timeout_s: float | None) -> http.client.HTTPConnection:
    """A connection that the first request on it opens; what waits longer than this raises
    TimeoutError."""
    return _Connection(transport, timeout_s)


def _over_port(place: Place) -> OverPort:
    from ackbook.broker.runtime.system.processes import holds_lock, listens_at

    told = place.written()
    lock = place.directory / "journal" / "LOCK"
    if holds_lock(told.pid, lock) and listens_at(told.pid, told.port):
        return OverPort(told)
    raise place.no_broker(told.pid)


class _Connection(http.client.HTTPConnection):
    def __init__(self, transport: Transport, timeout_s: float | None) -> None:
        super().__init__(SERVED, timeout=timeout_s)
        self._transport = transport

    def connect(self) -> None:
        self.sock = self._transport.link()
        self.sock.settimeout(self.timeout)
