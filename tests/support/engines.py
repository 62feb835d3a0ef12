"""Engines for tests: a real log in a directory, a world, and a disk that can be made to wait."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import threading
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from pathlib import Path

from ackbook.broker.core.commands import ReportCondition, Send, Spawn, StartBroker
from ackbook.broker.runtime.engine.engine import Engine
from ackbook.broker.runtime.engine.inbox import EntryWatcher
from ackbook.journal import Limits, Log, OsFiles, open_log
from ackbook.journal.storage.commit_thread import INLINE_US_MAX
from ackbook.journal.storage.files import Handle
from ackbook.projections.codec import Entry, kind_of
from ackbook.projections.facts import KINDS, AgentName
from ackbook.projections.world.fold import World
from tests.support.orders import program

DEADLINE_S = 150.0

SYNC_S = 2 * INLINE_US_MAX / 1e6


class GatedDisk(OsFiles):
    """The real disk, whose syncs wait while the gate is closed, and fail once it is `dying`; it
    does not grow while it is `full`. It is too slow for a loop to wait for it."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.gate.set()
        self.dying = False
        self.full = False
        self.waiting = threading.Event()

    def sync(self, handle: Handle) -> None:
        if not self.gate.is_set():
            self.waiting.set()
            assert self.gate.wait(DEADLINE_S)
        time.sleep(SYNC_S)
        if self.dying:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        super().sync(handle)

    def write(self, handle: Handle, offset: int, data: bytes) -> int:
        if self.full and offset + len(data) > os.fstat(handle).st_size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return super().write(handle, offset, data)


class Seen:
    """A watcher that keeps what it was told."""

    def __init__(self) -> None:
        self.batches: list[list[Entry]] = []
        self._news = asyncio.Event()

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        assert not entries or entries[-1].seq <= world.seq
        self.batches.append(list(entries))
        self._news.set()

    async def wait_for(self, kind: str) -> None:
        """Until a record of this kind is durable."""
        async with asyncio.timeout(DEADLINE_S):
            while kind not in self.kinds:
                self._news.clear()
                await self._news.wait()

    @property
    def kinds(self) -> list[str]:
        return [kind_of(entry) for batch in self.batches for entry in batch]


class Bench:
    """An engine at work, and everything around it that a test may look at."""

    def __init__(
        self, directory: Path, limits: Limits | None, watchers: Sequence[EntryWatcher]
    ) -> None:
        self.disk = GatedDisk()
        self.directory = directory / "journal"
        self.log: Log = open_log(
            self.directory, kinds=KINDS, trusted=True, files=self.disk, limits=limits
        )
        self.world = World()
        self.world.seq, self.world.at = self.log.head.seq, self.log.head.at
        self.seen = Seen()
        self.engine = Engine(self.log, self.world, (self.seen, *watchers))

    async def start(self) -> None:
        start = StartBroker(epoch=self.log.epoch, pid=1, version="t", instance="t")
        await self.engine.carry(start)

    async def agent(self, name: str = "cat", *, ready: bool = True) -> None:
        """An agent that no holder holds; nothing is typed, since nobody carries out effects."""
        await self.engine.carry(Spawn(program=program(name)))
        if ready:
            await self.engine.carry(condition(name))


@contextlib.asynccontextmanager
async def working(
    directory: Path, limits: Limits | None = None, watchers: Sequence[EntryWatcher] = ()
) -> AsyncIterator[Bench]:
    """A bench whose engine runs for the length of the block."""
    bench = Bench(directory, limits, watchers)
    running = asyncio.create_task(bench.engine.run())
    try:
        await bench.start()
        yield bench
    finally:
        bench.disk.gate.set()
        bench.engine.stop()
        with contextlib.suppress(Exception):
            await running
        bench.log.close()


def condition(name: str) -> ReportCondition:
    return ReportCondition(name=AgentName(name), generation=1, state="ready", how="prompt")


def send(body: str, to: str = "cat") -> Send:
    return Send(sender="t", target=to, body=body)


def play(story: Coroutine[object, object, None]) -> None:
    """Run a story on a loop of its own; one that hangs has failed."""
    asyncio.run(asyncio.wait_for(story, DEADLINE_S))
