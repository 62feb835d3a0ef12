"""The broker's place on disk: one directory with everything, its owner's alone.

```
DIR/                0700
  journal/          the journal, and nothing else
  connection.json   0600, atomic: where the broker that runs here is reached, and with which key
  broker.sock       0600: the same API for the owner of the directory, who shows no key
  holders/          sockets of holders
  spool/            bodies that are too large to be typed
  screens/          what stood on screens when evidence was taken, the newest of each holder
  logs/             what holders and the broker tell operators
```

One that somebody else could change is refused, and so are links in it: what was put there by
another user, or came with an archive, must not make a broker write elsewhere.
"""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

import msgspec
import orjson

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.runtime.system.private_paths import check_private, make_private
from ackbook.broker.wire.connection import CONNECTION_FILE, SOCKET_FILE, Connection
from ackbook.journal import Files, OsFiles

BACKLOG = 1024
"""Commands that come at once are let in one after the other; none is turned away."""

PARTS = ("holders", "spool", "screens", "logs")


class BrokerDirectory:
    """The directory of one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.journal = self.directory / "journal"
        self.holders = self.directory / "holders"
        self.logs = self.directory / "logs"
        self._connection = self.directory / CONNECTION_FILE
        self._socket = self.directory / SOCKET_FILE

    def make(self, files: Files | None = None) -> None:
        """Make what is missing, private to its owner, each name durable in the directory that holds
        it: what is acknowledged in a journal is worth nothing below a name that a power cut takes
        back. Raises `NotPrivate` and OSError."""
        files = files or OsFiles()
        check_private(self.directory)
        files.make_dir(self.directory)
        check_private(self.directory)
        for part in PARTS:
            files.make_dir(self.directory / part)
            make_private(self.directory / part)
        if self.journal.is_symlink():
            check_private(self.journal)  # it may stand on another disk
        elif self.journal.exists():
            make_private(self.journal)

    def listen(self) -> socket.socket:
        """The socket at which whoever owns the directory is heard. Only for who has its lock: what
        another one left there is removed. Raises OSError."""
        self._socket.unlink(missing_ok=True)
        return unix_sockets.listen(str(self._socket), BACKLOG)

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
        self._socket.unlink(missing_ok=True)
        self._connection.unlink(missing_ok=True)
