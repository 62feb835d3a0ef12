"""A journal for the tasks of one loop: all who append at the same time share one sync.

It is what `async with open_journal(...)` gives. Appends are gathered by `group_commit`, which waits
for a quick disk on the loop and for a slow one on a thread. Whatever else writes takes a turn: new
appends wait until the batch under way is durable and the turn is over. A turn that was begun is
done to its end, whoever is cancelled.
"""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import TypeVar

from ackbook.journal.embedded.history import OwnHistory
from ackbook.journal.embedded.housekeeping import WITNESS_S, Housekeeping
from ackbook.journal.errors import DiskFailed, NotOpen
from ackbook.journal.format.record import Draft
from ackbook.journal.format.values import Data, draft_of, drafts_of, encode
from ackbook.journal.maintenance.compaction import CompactionReport
from ackbook.journal.maintenance.retention import FOREVER, Retention
from ackbook.journal.reading.own_errors import own_errors
from ackbook.journal.storage.clock import Clock
from ackbook.journal.storage.notifier import Notifier
from ackbook.journal.writing.group_commit import Appender
from ackbook.journal.writing.log import Log

_Result = TypeVar("_Result")


class AsyncJournal(OwnHistory):
    """Use it from the loop that it was made on. `read` and `state` block while they read."""

    def __init__(self, log: Log, *, state_version: int, clock: Clock, notifier: Notifier) -> None:
        super().__init__(log, state_version=state_version, clock=clock, notifier=notifier)
        self._loop = asyncio.get_running_loop()
        self._appender = Appender(log)
        self._turns = asyncio.Lock()
        self._free = asyncio.Event()
        """Nobody has a turn."""
        self._free.set()
        self._closing: asyncio.Task[None] | None = None
        self._witness: asyncio.TimerHandle | None = None

    async def append(self, kind: str, data: Data) -> int:
        """Append one record and give its position; when this returns, it is durable.

        Raises what `Journal.append` raises, and for this record alone, but for `DiskFailed`. Who
        is cancelled does not learn the position; the record may be durable all the same.
        """
        return await self._append([draft_of(kind, data)])

    async def append_all(self, records: Iterable[tuple[str, Data]]) -> range:
        """Append several that stand together, and give their positions; see
        `Journal.append_all`. Raises what `append` raises."""
        drafts = drafts_of(records)
        if not drafts:
            return range(0)
        first = await self._append(drafts)
        return range(first, first + len(drafts))

    async def snapshot(self, state: object, *, through: int) -> None:
        """See `Journal.snapshot`. The state is encoded at once and written on a thread. Raises
        `RecordRefused`, `AttemptFailed`, `JournalFull`, `SnapshotUnusable` and `NotOpen`."""
        with own_errors(self.directory, "no snapshot was made"):
            await asyncio.to_thread(self._keeping().snapshot, encode(state), through)

    async def compact(self, keep: Retention = FOREVER) -> CompactionReport:
        """See `Journal.compact`. It packs on a thread. Raises `AttemptFailed`, `JournalFull` and
        `NotOpen`."""
        with own_errors(self.directory, "it was not compacted"):
            return await asyncio.to_thread(self._keeping().compact, keep)

    async def close(self) -> None:
        """Wait for what was asked for, and end cleanly. Again is nothing. Raises `DiskFailed` as
        `Journal.close` does."""
        if self._closing is None:
            self._closing = self._loop.create_task(self._close())
        await asyncio.shield(self._closing)

    async def _append(self, drafts: list[Draft]) -> int:
        while not self._free.is_set():
            await self._free.wait()
        if self._closing is not None:
            raise self._not_open()
        first = await self._appender.append(drafts)
        self._notifier.ring()
        if self._witness is None:
            self._witness = self._loop.call_later(WITNESS_S, self._sync_head)
        return first

    def _keeping(self) -> Housekeeping:
        # Not kept: with the last reference to this, its directory is let go of.
        return Housekeeping(self.directory, self._state_version, self._files, self._take_turn)

    def _take_turn(self, act: Callable[[Log], _Result]) -> _Result:
        """From a thread: run it on the loop."""
        return asyncio.run_coroutine_threadsafe(self._run_between(act), self._loop).result()

    async def _run_between(self, act: Callable[[Log], _Result]) -> _Result:
        async with self._turns:
            if self._closing is not None:
                raise self._not_open()
            self._free.clear()
            try:
                await self._appender.aclose()
                return act(self._log)
            finally:
                self._appender = Appender(self._log)
                self._free.set()

    async def _close(self) -> None:
        async with self._turns:
            try:
                await self._appender.aclose()
            finally:
                if self._witness is not None:
                    self._witness.cancel()
                self._log.close()
                self._notifier.close()

    def _sync_head(self) -> None:
        self._witness = None
        # A log that failed here says so to whoever uses it next.
        with contextlib.suppress(DiskFailed):
            self._log.sync_head()

    def _not_open(self) -> NotOpen:
        return NotOpen(f"{self.directory} is closed", "open it again")
