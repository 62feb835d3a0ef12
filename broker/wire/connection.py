"""What `connection.json` says: one struct for who writes it and for those who read it."""

from __future__ import annotations

import msgspec

CONNECTION_FILE = "connection.json"
"""In the directory of the broker that it tells of."""

SOCKET_FILE = "broker.sock"
"""Beside it: the same API over a unix socket, for the owner of the directory, without the key."""


class Connection(msgspec.Struct, frozen=True):
    """Where a running broker is reached, and with which key. `directory` is absolute. A broker of
    0.1.0 did not write its `version`."""

    url: str
    port: int
    api_key: str
    pid: int
    directory: str = ""
    version: str = ""
