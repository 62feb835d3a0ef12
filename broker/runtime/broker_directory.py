"""The broker's place on disk: one directory with everything, readable by its owner alone.

```
DIR/                0700
  journal/          the journal, and nothing else
  connection.json   0600, atomic: where the broker that runs here is reached, and with which key
  holders/          sockets of holders
  spool/            bodies that are too large to be typed
  screens/          what stood on screens when evidence was taken, the newest of each holder
  logs/             what holders and the broker tell operators
```
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import msgspec
import orjson

from ackbook.broker.wire.connection import CONNECTION_FILE, Connection

PARTS = ("holders", "spool", "screens", "logs")


class BrokerDirectory:
    """The directory of one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.journal = self.directory / "journal"
        self.holders = self.directory / "holders"
        self.logs = self.directory / "logs"
        self._connection = self.directory / CONNECTION_FILE

    def make(self) -> None:
        """Make what is missing, private to its owner. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in PARTS:
            (self.directory / part).mkdir(mode=0o700, exist_ok=True)

    def publish(self, connection: Connection) -> None:
        """Say where the broker is, all at once."""
        handle, name = tempfile.mkstemp(prefix=".connection-", dir=self.directory)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(orjson.dumps(msgspec.to_builtins(connection)) + b"\n")
            Path(name).replace(self._connection)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def withdraw(self) -> None:
        """The broker is gone."""
        self._connection.unlink(missing_ok=True)
