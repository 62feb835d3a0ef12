"""Tty: the one place where bytes go into the terminal and come out of it.

Output is read in bounded bites, fed to the screen and handed to the listener with its offset, so
that a flood neither grows memory nor starves the sockets. Input goes in as whole bursts, one after
the other: a keystroke of a human or an answer to a query never lands inside a paste.

This module knows no messages; it decides nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ackbook.broker.runtime.holder.process import TerminalProgram
from ackbook.broker.runtime.holder.screen import GhosttyScreen, Screen
from ackbook.broker.wire.evidence import TerminalView

BITES_MAX = 16
"""Reads of 4 KiB (a terminal gives no more) before the sockets get their turn."""

REPLIES_BYTES_MAX = 4_096
"""Answers to queries kept while a burst is typed; a program that asks for more gets none."""

STALL_S = 5.0
"""A terminal that has taken no byte for so long belongs to a program that does not read."""


class Tty:
    """A program's terminal with its screen. `heard` gets every piece of output and its offset."""

    def __init__(self, program: TerminalProgram, rows: int, cols: int) -> None:
        self.program = program
        self.screen: Screen = GhosttyScreen(rows, cols, self._reply)
        self.offset = 0
        self.open = True
        self.human_attached = False
        self.heard: Callable[[bytes, int], None] = lambda data, offset: None
        self.closed: Callable[[], None] = lambda: None
        self._loop = asyncio.get_running_loop()
        self._hands = asyncio.Lock()
        self._replies = bytearray()

    def start(self) -> None:
        """Begin to read."""
        self._loop.add_reader(self.program.fd, self._readable)

    def stop(self) -> None:
        if self.open:
            self.open = False
            self._loop.remove_reader(self.program.fd)

    def view(self) -> TerminalView:
        """What stands on the screen now."""
        modes = self.program.modes()
        return TerminalView(
            rows=self.screen.rows(),
            cols=self.screen.size[1],
            cursor=self.screen.cursor,
            offset=self.offset,
            unread=self.program.unread() if modes.canonical and self.open else None,
        )

    def resize(self, rows: int, cols: int) -> None:
        self.screen.resize(rows, cols)
        self.program.resize(rows, cols)

    async def type(self, data: bytes, stall_s: float = STALL_S) -> int:
        """Write one burst; how many bytes the terminal took before it took no more."""
        async with self._hands:
            taken = await self._burst(data, stall_s)
            if self._replies:
                answers, self._replies = bytes(self._replies), bytearray()
                self.program.write(answers)
            return taken

    def catch_up(self) -> None:
        """Read what is there now, so that a judgement does not rest on an old screen."""
        if self.open:
            self._readable()

    async def _burst(self, data: bytes, stall_s: float) -> int:
        taken = 0
        while taken < len(data) and self.open:
            size = self.program.write(data[taken:])
            taken += size
            if not size and not await self._writable(stall_s):
                break
        return taken

    async def _writable(self, stall_s: float) -> bool:
        ready = asyncio.Event()
        self._loop.add_writer(self.program.fd, ready.set)
        try:
            async with asyncio.timeout(stall_s):
                await ready.wait()
        except TimeoutError:
            return False
        finally:
            self._loop.remove_writer(self.program.fd)
        return True

    def _readable(self) -> None:
        bites = []
        gone = False
        for _ in range(BITES_MAX):
            data = self.program.read()
            if not data:
                gone = data is None
                break
            bites.append(data)
        if bites:
            data = b"".join(bites)
            self.offset += len(data)
            self.screen.feed(data)
            self.heard(data, self.offset)
        if gone:
            self.stop()
            self.closed()

    def _reply(self, data: bytes) -> None:
        if self.human_attached:
            return
        if self._hands.locked():
            if len(self._replies) + len(data) <= REPLIES_BYTES_MAX:
                self._replies += data
        else:
            self.program.write(data)
