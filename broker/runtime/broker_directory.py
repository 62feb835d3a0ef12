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

from ackbook.broker.runtime.system.home import Home
from ackbook.broker.wire.connection import CONNECTION_FILE, Connection
from ackbook.journal import Displaced
from ackbook.journal.storage.held_directory import HeldDirectory

PARTS = ("holders", "spool", "screens", "logs")


class BrokerDirectory:
    """The directory of one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.journal = self.directory / "journal"
        self.home = Home(self.directory, None)
        self._published: os.stat_result | None = None

    @property
    def holders(self) -> Path:
        """Where sockets are found; by a path that is good wherever the directory is."""
        return self.home.here / "holders"

    def make(self) -> None:
        """Make what is missing, private to its owner, and hold it. Raises OSError."""
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.home = Home.hold(self.directory)
        for part in PARTS:
            (self.home.here / part).mkdir(mode=0o700, exist_ok=True)

    def check_holds(self, journal: HeldDirectory) -> None:
        """Raises `Displaced` when the journal that was opened is not the one of this directory:
        then the name came to mean another directory while this broker started."""
        found = journal.others.status_of(self.home.here / self.journal.name)
        if not journal.others.status(journal.handle).is_same(found):
            what = f"{self.directory} was moved or replaced while this broker started"
            raise Displaced(what, "start it again")

    def publish(self, connection: Connection) -> None:
        """Say where the broker is, all at once."""
        handle, name = tempfile.mkstemp(prefix=".connection-", dir=self.home.here)
        try:
            with os.fdopen(handle, "wb") as file:
                self._published = os.fstat(handle)
                file.write(orjson.dumps(msgspec.to_builtins(connection)) + b"\n")
            Path(name).replace(self._connection)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise

    def withdraw(self) -> None:
        """The broker is gone. What another one says of itself there, stays."""
        try:
            found = self._connection.stat()
        except FileNotFoundError:
            return
        if self._published is not None and os.path.samestat(found, self._published):
            self._connection.unlink(missing_ok=True)

    @property
    def _connection(self) -> Path:
        return self.home.here / CONNECTION_FILE
