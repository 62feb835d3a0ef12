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
from ackbook.journal import Files, OsFiles

PARTS = ("holders", "spool", "screens", "logs")


class BrokerDirectory:
    """The directory of one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.journal = self.directory / "journal"
        self.holders = self.directory / "holders"
        self.logs = self.directory / "logs"
        self._connection = self.directory / CONNECTION_FILE

    def make(self, files: Files | None = None) -> None:
        """Make what is missing, private to its owner, each name durable in the directory that holds
        it: what is acknowledged in a journal is worth nothing below a name that a power cut takes
        back. Raises OSError."""
        files = files or OsFiles()
        files.make_dir(self.directory)
        for part in PARTS:
            files.make_dir(self.directory / part)

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
