"""What `connection.json` says: one struct for who writes it and for those who read it."""

from __future__ import annotations

import msgspec

CONNECTION_FILE = "connection.json"
"""In the directory of the broker that it tells of."""


class Connection(msgspec.Struct, frozen=True):
    """Where a running broker is reached, and with which key. `directory` is absolute."""

    url: str
    port: int
    api_key: str
    pid: int
    directory: str
