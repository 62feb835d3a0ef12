"""Group commit for many producers: each waits for its own records, all share one sync.

Whatever is asked for while a sync runs becomes the next batch, so the number of syncs falls as
the load grows. A record that is refused harms only its own producer. Records of one call stand
together and in order; calls are served in the order in which they came.

For those who embed the journal; a broker that decides before it appends has a loop of its own.
"""

import asyncio
from collections.abc import Sequence
from itertools import accumulate, chain

from msgspec import Struct

from journal.errors import JournalError, RecordRefused
from journal.log import Log
from journal.record import Draft, measure_draft

_WISHES_MAX = 4096
"""In one batch: beyond this a longer batch gains nothing and the first producer waits longer."""


class _Wish(Struct, gc=False):
    """Records of one caller, and who waits for them. `seq` is known once they are staged."""

    drafts: Sequence[Draft]
    size: int
    first: "asyncio.Future[int]"
    seq: int = 0


class Appender:
    """Use it from one loop; nobody else may stage into its log meanwhile."""

    __slots__ = ("_busy", "_closing", "_idle", "_log", "_loop", "_waiting")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Wish] = []
        self._busy = False
        """A flush is scheduled or a batch is on its way to the disk."""
        self._idle: asyncio.Future[None] | None = None
        self._closing = False

    def append(self, drafts: Sequence[Draft]) -> "asyncio.Future[int]":
        """The seq of the first record, to be awaited: it is there when all are durable.

        Raises `RecordRefused` or `JournalFull` for these records alone, `DiskFailed` for
        everything that was on its way. A caller that is cancelled does not learn its seq; its
        records may be durable all the same.
        """
        assert not self._closing, "the appender is open"
        if not drafts:
            raise RecordRefused("out_of_turn", "no record was given")
        loop = self._loop or self._settle_on_loop()
        first: asyncio.Future[int] = loop.create_future()
        size = measure_draft(drafts[0]) if len(drafts) == 1 else sum(map(measure_draft, drafts))
        self._waiting.append(_Wish(drafts, size, first))
        if not self._busy:
            self._busy = True
            loop.call_soon(self._flush)
        return first

    async def aclose(self) -> None:
        """Wait until everything that was asked for is durable. The log stays open."""
        self._closing = True
        if self._busy:
            self._idle = asyncio.get_running_loop().create_future()
            await self._idle

    def _settle_on_loop(self) -> asyncio.AbstractEventLoop:
        self._loop = asyncio.get_running_loop()
        return self._loop

    def _flush(self) -> None:
        wishes = self._take()
        staged = wishes if self._stage(wishes) else self._stage_each(wishes)
        try:
            done = self._log.begin_commit(idle=True)
        except JournalError as error:
            self._finish(staged, error)
            return
        if done is None:
            self._finish(staged, None)
        else:
            done.add_done_callback(lambda future: self._finish(staged, future.exception()))

    def _take(self) -> list[_Wish]:
        """As many of the first wishes as make one batch, at least one."""
        waiting, size_max = self._waiting, self._log.batch_bytes_max
        sizes = accumulate([wish.size for wish in waiting[:_WISHES_MAX]])
        count = max(1, sum([size <= size_max for size in sizes]))
        self._waiting = waiting[count:]
        return waiting[:count]

    def _stage(self, wishes: list[_Wish]) -> bool:
        """All of them at once; False, with nothing staged, when that is not to be had."""
        log = self._log
        drafts = list(chain.from_iterable([wish.drafts for wish in wishes]))
        try:
            if not log.secure(sum([wish.size for wish in wishes])):
                return False
            seq = log.next_seq
            log.stage(drafts, log.now(), expect=seq)
        except JournalError:
            return False
        for wish in wishes:
            wish.seq = seq
            seq += len(wish.drafts)
        return True

    def _stage_each(self, wishes: list[_Wish]) -> list[_Wish]:
        """One after the other, so that whoever is refused harms nobody else."""
        staged: list[_Wish] = []
        log = self._log
        for count, wish in enumerate(wishes):
            wish.seq = log.next_seq
            try:
                if not log.secure(wish.size):
                    self._waiting = wishes[count:] + self._waiting
                    break
                log.stage(wish.drafts, log.now(), expect=wish.seq)
                staged.append(wish)
            except JournalError as error:
                _refuse(wish, error)
        return staged

    def _finish(self, staged: list[_Wish], error: BaseException | None) -> None:
        for wish in staged:
            if error is not None:
                _refuse(wish, error)
            elif not wish.first.done():
                wish.first.set_result(wish.seq)
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
