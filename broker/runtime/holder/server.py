"""Server: the holder's door. One broker is obeyed at a time: the one with the highest epoch.

| a `Hello` comes with | then |
|---|---|
| another protocol | `EpochRefusal(other_protocol)`, closed |
| a lower epoch, another journal, the same epoch of another instance | `EpochRefusal(older_epoch)` |
| another process, while the broker that is obeyed runs | `EpochRefusal(older_epoch)` |
| a history that does not go on from the one that is obeyed | `EpochRefusal(older_epoch)` |
| a higher epoch, or the same epoch and instance | the older connections end, then `Welcome` |

A broker runs while its process has its journal locked, or is connected here: then whoever else says
hello has opened a copy of that journal.

An older connection ends at once: what was not yet read from it is thrown away. Frames before the
`Hello`, and bytes that are no frame, are answered with `EpochRefusal(bad_frame)` and a closed
connection. Output for a broker that reads slowly is dropped, oldest first, and its offsets show the
gap; a broker that does not even take the reports is cut off, since it gets the truth when it comes
back. This module knows frames and epochs; what a frame means is the desk's affair.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from collections import deque
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from ackbook.broker.runtime.system.home import Home
from ackbook.broker.runtime.system.processes import Stat, holds_lock, stat
from ackbook.broker.wire.frames import (
    FRAME_BYTES_MAX,
    PROTOCOL,
    BrokerFrame,
    EpochRefusal,
    Hello,
    HolderFrame,
    Output,
    Welcome,
    decode_broker,
    encode,
)

OUTPUT_BYTES_MAX = 1024 * 1024
"""Output kept for a broker that reads slowly: some seconds of a busy screen."""

JOURNAL = "journal"
"""What a broker has locked, in its directory."""

WAITING_BYTES_MAX = 8 * 1024 * 1024
"""Other frames kept for it. They are few and small, so by then nobody is reading."""


FAREWELL_S = 2.0
"""For the last frames to leave; who has not read them by then does not read."""


class Desk(Protocol):
    """Who answers: the holder itself, or the scripted one of the tests."""

    def welcome(self) -> Welcome:
        """How it stands, at this moment."""

    def introduction(self) -> EpochRefusal:
        """Who it is that does not obey."""

    def obey(self, frame: BrokerFrame) -> None:
        """Do what the broker that is obeyed now says."""

    def left(self) -> None:
        """The broker that was obeyed has closed its connection, and no other has come."""


class HolderServer:
    """Accepts brokers, and speaks to the one that is obeyed. `look`: at the process of
    a pid, None where there is none."""

    def __init__(self, desk: Desk, home: Home, look: Callable[[int], Stat | None] = stat) -> None:
        self._desk = desk
        self._home = home
        self._look = look
        self._obeyed: BrokerLink | None = None
        self._epoch = 0
        self._instance = ""
        self._journal_id = ""
        self._lineages: tuple[str, ...] = ()
        self._process = (0, 0)
        self._listeners: list[asyncio.Server] = []
        self._links: set[BrokerLink] = set()

    async def start(self, listener: socket.socket) -> asyncio.Server:
        """Let brokers in by this door, too. Raises OSError."""
        loop = asyncio.get_running_loop()
        door = await loop.create_unix_server(lambda: BrokerLink(self), sock=listener)
        self._listeners.append(door)
        return door

    async def stop(self) -> None:
        """Say what there is to say, then close everything."""
        for listener in self._listeners:
            listener.close()
        links = list(self._links)
        for link in links:
            link.close()
        try:
            async with asyncio.timeout(FAREWELL_S):
                await asyncio.gather(*(link.gone.wait() for link in links))
        except TimeoutError:
            for link in links:
                link.drop()

    @property
    def connected(self) -> bool:
        """A broker is obeyed now."""
        return self._obeyed is not None

    def tell(self, frame: HolderFrame) -> None:
        """Send to the broker that is obeyed; without one, it will learn from the `Welcome`."""
        if self._obeyed is not None:
            self._obeyed.send(frame)

    def came(self, link: BrokerLink) -> None:
        self._links.add(link)

    def went(self, link: BrokerLink) -> None:
        self._links.discard(link)
        if link is self._obeyed:
            self._obeyed = None
            self._desk.left()

    def take(self, link: BrokerLink, frame: BrokerFrame) -> None:
        """A frame that arrived on this connection."""
        if isinstance(frame, Hello):
            self._greet(link, frame)
        elif link is self._obeyed:
            self._desk.obey(frame)
        else:
            link.refuse(self._refusal("bad_frame", "hello comes first"))

    def _greet(self, link: BrokerLink, hello: Hello) -> None:
        if hello.protocol != PROTOCOL:
            link.refuse(self._refusal("other_protocol", f"this one speaks {PROTOCOL}"))
            return
        if (why := self._older(hello)) is not None:
            link.refuse(self._refusal("older_epoch", why))
            return
        self._epoch, self._instance = hello.epoch, hello.instance
        self._journal_id, self._lineages = hello.journal_id, hello.lineages
        self._process = (hello.pid, hello.started)
        self._home.follow(hello.home, hello.home_is)
        self._obeyed = None
        for other in list(self._links):
            if other is not link:
                other.drop()
        link.send(self._desk.welcome())
        self._obeyed = link

    def _older(self, hello: Hello) -> str | None:
        if self._journal_id and hello.journal_id != self._journal_id:
            return "this holder belongs to another journal"
        another = not hello.pid or (hello.pid, hello.started) != self._process
        if another and self._is_held():
            return f"the broker that it obeys still runs (pid {self._process[0]})"
        if hello.lineages != self._lineages:
            if hello.lineages[: len(self._lineages)] != self._lineages:
                return "this holder went on in another history of this journal"
            return "the broker that it obeys is connected" if another and self.connected else None
        if hello.epoch < self._epoch:
            return f"epoch {self._epoch} was seen"
        if hello.epoch == self._epoch and hello.instance != self._instance:
            return f"epoch {self._epoch} belongs to another instance"
        return None

    def _is_held(self) -> bool:
        """Whether the broker that is obeyed runs."""
        pid, started = self._process
        running = self._look(pid) if pid else None
        if running is None or running.started != started:
            return False
        if self.connected or not self._home.is_held:
            return True
        return holds_lock(pid, self._home.here / JOURNAL)

    def _refusal(
        self, reason: Literal["older_epoch", "other_protocol", "bad_frame"], detail: str
    ) -> EpochRefusal:
        who = self._desk.introduction()
        return msgspec.structs.replace(
            who,
            reason=reason,
            epoch=self._epoch,
            detail=detail,
            obeys=self._process[0] if self._is_held() else 0,
            home_is=self._home.identity,
        )


class BrokerLink(asyncio.Protocol):
    """One connection: lines in, frames out, both within bounds."""

    def __init__(self, server: HolderServer) -> None:
        self.gone = asyncio.Event()
        self._server = server
        self._transport: asyncio.Transport | None = None
        self._unread = bytearray()
        self._deaf = False
        self._paused = False
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._output: deque[bytes] = deque()
        self._output_bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._server.came(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._deaf = True
        self._server.went(self)
        self.gone.set()

    def data_received(self, data: bytes) -> None:
        self._unread += data
        while not self._deaf and (end := self._unread.find(b"\n")) >= 0:
            line = bytes(self._unread[:end])
            del self._unread[: end + 1]
            try:
                frame = decode_broker(line)
            except msgspec.DecodeError as error:
                self.refuse(EpochRefusal(reason="bad_frame", detail=str(error)))
                return
            self._server.take(self, frame)
        if len(self._unread) > FRAME_BYTES_MAX:
            self.refuse(EpochRefusal(reason="bad_frame", detail="the line is too long"))

    def send(self, frame: HolderFrame) -> None:
        if self._deaf or self._transport is None:
            return
        data = encode(frame)
        if not self._paused:
            self._transport.write(data)
        elif isinstance(frame, Output):
            self._output.append(data)
            self._output_bytes += len(data)
            while self._output_bytes > OUTPUT_BYTES_MAX:
                self._output_bytes -= len(self._output.popleft())
        else:
            self._waiting.append(data)
            self._waiting_bytes += len(data)
            if self._waiting_bytes > WAITING_BYTES_MAX:
                sys.stderr.write("a broker does not read; its connection is closed\n")
                self.drop()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        """Reports first: they are why anybody connects."""
        self._paused = False
        while self._transport is not None and not self._paused:
            if self._waiting:
                data = self._waiting.popleft()
                self._waiting_bytes -= len(data)
            elif self._output:
                data = self._output.popleft()
                self._output_bytes -= len(data)
            else:
                return
            self._transport.write(data)

    def refuse(self, refusal: EpochRefusal) -> None:
        self.send(refusal)
        self.close()

    def close(self) -> None:
        """Close once what was sent has left, and hear nothing more."""
        self._deaf = True
        if self._transport is not None:
            self._transport.close()

    def drop(self) -> None:
        """Close now; what was not yet read from it is thrown away."""
        self._deaf = True
        self._unread.clear()
        if self._transport is not None:
            self._transport.abort()
