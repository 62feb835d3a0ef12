"""Listening: the names at which a holder is reached, and that they stay.

A name is removed with the directory that it stands in, by whoever cleans up, or by a backup that
takes its place; the holder lives on and must be found. So each name is looked at about once a
second, and bound again when it has gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import sys
from pathlib import Path

from ackbook.broker.runtime.holder.server import HolderServer
from ackbook.broker.runtime.system import rendezvous, unix_sockets

LOOK_S = 1.0
"""Between two looks whether a name is still there."""


class SocketName:
    """One name. `listed`: in the directory of a rendezvous, which is made when it has gone."""

    def __init__(self, path: Path, *, listed: bool = False) -> None:
        self.path = path
        self._listed = listed
        self._bound: os.stat_result | None = None
        self._listener: asyncio.Server | None = None

    def bind(self) -> socket.socket:
        """A listening socket of that name. Raises OSError."""
        if self._listed:
            rendezvous.make(self.path.parent)
        listener = unix_sockets.listen(str(self.path))
        self._bound = self.path.stat()
        return listener

    async def serve(self, server: HolderServer, listener: socket.socket | None = None) -> None:
        """Let brokers in by this name: at `listener`, or where it is bound now. Raises OSError."""
        listener = listener or self.bind()
        before, self._listener = self._listener, await server.start(listener)
        if before is not None:
            before.close()

    def is_there(self) -> bool:
        """Whether the name still means the socket that was bound."""
        with contextlib.suppress(OSError):
            return self._bound is not None and os.path.samestat(self.path.stat(), self._bound)
        return False

    def remove(self) -> None:
        """Nobody is heard here any more. What somebody else put there stays."""
        if self.is_there():
            with contextlib.suppress(OSError):
                self.path.unlink()
                if self._listed:
                    self.path.parent.rmdir()


async def keep(names: list[SocketName], server: HolderServer) -> None:
    """Bind again what has gone, for as long as the holder lives. Where that is not possible now,
    the log says so once, and it is tried again."""
    told: dict[SocketName, str] = {}
    while True:
        for name in names:
            if name.is_there():
                continue
            try:
                await name.serve(server)
            except OSError as error:
                if told.get(name) != (said := str(error)):
                    told[name] = said
                    sys.stderr.write(f"nobody finds this holder at {name.path}: {said}\n")
        await asyncio.sleep(LOOK_S)
