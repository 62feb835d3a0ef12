"""Group commit for many producers: each waits for its own records, all share one sync.

Whatever is asked for while a sync runs becomes the next batch, so the number of syncs falls as
the load grows. A record that is refused harms only its own producer. Records of one call stand
together and in order; calls are served in the order in which they came.

For those who embed the journal; a broker that decides before it appends has a loop of its own.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from typing import NamedTuple

from journal.errors import JournalError, RecordRefused
from journal.log import Log
from journal.record import Draft, measure_draft

_RECORDS_MAX = 4096
"""In one batch: beyond this a longer batch gains nothing and the first producer waits longer."""


class _Wish(NamedTuple):
    drafts: Sequence[Draft]
    size: int
    first: "asyncio.Future[int]"


class Appender:
    """Use it from one loop; nobody else may stage into its log meanwhile."""

    __slots__ = ("_busy", "_closing", "_idle", "_log", "_waiting")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._waiting: deque[_Wish] = deque()
        self._busy = False
        """A flush is scheduled or a batch is on its way to the disk."""
        self._idle: asyncio.Future[None] | None = None
        self._closing = False

    async def append(self, drafts: Sequence[Draft]) -> int:
        """The seq of the first record, when all of them are durable.

        Raises `RecordRefused` or `JournalFull` for these records alone, `DiskFailed` for
        everything that was on its way. A caller that is cancelled does not learn its seq; its
        records may be durable all the same.
        """
        assert not self._closing, "the appender is open"
        if not drafts:
            raise RecordRefused("out_of_turn", "no record was given")
        loop = asyncio.get_running_loop()
        first: asyncio.Future[int] = loop.create_future()
        size = sum(map(measure_draft, drafts))
        self._waiting.append(_Wish(drafts, size, first))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._flush)
        return await first

    async def aclose(self) -> None:
        """Wait until everything that was asked for is durable. The log stays open."""
        self._closing = True
        if self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _flush(self) -> None:
        staged = self._stage_waiting()
        try:
            done = self._log.begin_commit(idle=True)
        except JournalError as error:
            self._finish(staged, error)
            return
        if done is None:
            self._finish(staged, None)
        else:
            done.add_done_callback(lambda future: self._finish(staged, future.exception()))

    def _stage_waiting(self) -> list[tuple[int, _Wish]]:
        staged: list[tuple[int, _Wish]] = []
        log, waiting = self._log, self._waiting
        while waiting and log.staged < _RECORDS_MAX:
            wish = waiting[0]
            seq = log.next_seq
            try:
                if not log.secure(wish.size):
                    break
                log.stage(wish.drafts, log.now(), expect=seq)
                staged.append((seq, wish))
            except JournalError as error:
                _refuse(wish, error)
            waiting.popleft()
        return staged

    def _finish(self, staged: list[tuple[int, _Wish]], error: BaseException | None) -> None:
        for seq, wish in staged:
            if error is not None:
                _refuse(wish, error)
            elif not wish.first.done():
                wish.first.set_result(seq)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._flush)
            return
        self._busy = False
        if self._idle is not None:
            self._idle.set_result(None)
            self._idle = None


def _refuse(wish: _Wish, error: BaseException) -> None:
    if not wish.first.done():
        wish.first.set_exception(error)
