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

import contextlib
import os
import socket
import tempfile
from pathlib import Path

import msgspec
import orjson

from ackbook.broker.runtime.system import unix_sockets
from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.private_paths import check_private, make_private
from ackbook.broker.wire.connection import CONNECTION_FILE, SOCKET_FILE, Connection
from ackbook.journal import Displaced, Files, OsFiles
from ackbook.journal.storage.held_directory import HeldDirectory

BACKLOG = 1024
"""Commands that come at once are let in one after the other; none is turned away."""

PARTS = ("holders", "spool", "screens", "logs")


class BrokerDirectory:
    """The directory of one broker."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self.journal = self.directory / "journal"
        self.home = Home(self.directory, None)
        self._published: os.stat_result | None = None
        self._heard: os.stat_result | None = None

    @property
    def holders(self) -> Path:
        """Where sockets are found; by a path that is good wherever the directory is."""
        return self.home.here / "holders"

    @property
    def logs(self) -> Path:
        """Where logs are, by such a path."""
        return self.home.here / "logs"

    def make(self, files: Files | None = None) -> None:
        """Make what is missing, private to its owner, and hold it. Each name is durable in the
        directory that holds it: what is acknowledged in a journal is worth nothing below a name
        that a power cut takes back. Raises `NotPrivate` and OSError."""
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
        self.home = Home.hold(self.directory)

    def check_holds(self, journal: HeldDirectory) -> None:
        """Raises `Displaced` when the journal that was opened is not the one of this directory:
        then the name came to mean another directory while this broker started."""
        found = journal.others.status_of(self.home.here / self.journal.name)
        if not journal.others.status(journal.handle).is_same(found):
            what = f"{self.directory} was moved or replaced while this broker started"
            raise Displaced(what, "start it again")

    def listen(self) -> socket.socket:
        """The socket at which whoever owns the directory is heard. Only for who has its lock: what
        another one left there is removed. Raises OSError."""
        self._socket.unlink(missing_ok=True)
        listener = unix_sockets.listen(str(self._socket), BACKLOG)
        self._heard = self._socket.stat()
        return listener

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
        for path, ours in ((self._socket, self._heard), (self._connection, self._published)):
            with contextlib.suppress(FileNotFoundError):
                if ours is not None and os.path.samestat(path.stat(), ours):
                    path.unlink()

    @property
    def _connection(self) -> Path:
        return self.home.here / CONNECTION_FILE

    @property
    def _socket(self) -> Path:
        return self.home.here / SOCKET_FILE
