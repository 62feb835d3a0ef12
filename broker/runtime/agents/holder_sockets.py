"""Holder sockets: where the holders of a broker are reached, each by one name in several places.

The first place is the broker's own directory, the others are those of the rendezvous. A holder is
known by its file name, which no two ever share.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import msgspec

from ackbook.broker.runtime.agents.holder_link import HolderLink, connect
from ackbook.broker.runtime.system import rendezvous, unix_sockets
from ackbook.broker.runtime.system.shortage import shortage
from ackbook.broker.wire.frames import Hello, Welcome
from ackbook.projections.world.fold import key_of

SOCKET_SUFFIX = ".sock"


class HolderSocket(msgspec.Struct, frozen=True):
    """One holder's: its file name, and the paths at which it may listen, the likeliest first."""

    name: str
    paths: tuple[str, ...]

    async def connect(self, hello: Hello) -> tuple[HolderLink, Welcome]:
        """Reach the holder wherever it listens. Raises what `holder_link.connect` raises; OSError
        is that of the first path, unless another one says that somebody is there."""
        gone: OSError | None = None
        for path in self.paths:
            try:
                return await connect(path, hello)
            except OSError as error:
                if says_nothing(error):
                    raise
                gone = gone or error
        raise gone or FileNotFoundError(self.name)

    def remove_left(self) -> None:
        """Remove the names on which nobody listens any more; one on which somebody does is the
        only way to whoever that is."""
        for path in self.paths:
            if unix_sockets.is_left(path):
                with suppress(OSError):
                    os.unlink(path)

    def kill(self) -> None:
        """Kill the process that listens there, whether or not it answers."""
        for path in self.paths:
            with suppress(OSError):
                unix_sockets.kill_listener(path)
                return


class HolderSockets:
    """All of one journal's: those in `directory` and those that are listed elsewhere."""

    def __init__(self, directory: Path, journal_id: str, environment: Mapping[str, str]) -> None:
        self._directory = directory
        self._journal_id = journal_id
        self._environment = environment

    @property
    def listing(self) -> str:
        """The directory in which new holders are to be listed, or nothing."""
        return rendezvous.chosen(self._journal_id, self._environment)

    def called(self, name: str) -> HolderSocket:
        """That of the holder with this file name, whether or not anybody listens there."""
        return HolderSocket(name, tuple(str(place / name) for place in self._places()))

    def found(self) -> list[HolderSocket]:
        """All that are there, whether or not anybody listens."""
        names = {path.name for place in self._places() for path in place.glob(f"*{SOCKET_SUFFIX}")}
        return [self.called(name) for name in sorted(names)]

    def _places(self) -> list[Path]:
        listed = rendezvous.all_of(self._journal_id, self._environment)
        return [self._directory, *listed]


def socket_name(name: str, generation: int) -> str:
    """A file name that says whose it is, and that no two holders ever share."""
    plain = re.sub(r"[^a-z0-9_-]+", "_", key_of(name))[:40]
    return f"{plain}.{generation}.{secrets.token_hex(4)}{SOCKET_SUFFIX}"


def says_nothing(error: OSError) -> bool:
    """Whether the holder may be there all the same: it is slow, or the machine is short of what a
    connection takes."""
    return isinstance(error, TimeoutError | BlockingIOError) or shortage(error) is not None
