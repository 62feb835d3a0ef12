"""Group commit for many producers: each waits for its own records, all share one sync.

Whatever is asked for while a sync runs becomes the next batch, so the number of syncs falls as
the load grows. A record that is refused harms only its own producer. Records of one call stand
together and in order; calls are served in the order in which they came.

For those who embed the journal; a broker that decides before it appends has a loop of its own.
"""

import asyncio
from collections.abc import Sequence

from ackbook.journal.errors import JournalError, RecordRefused
from ackbook.journal.format.record import Draft
from ackbook.journal.writing.log import Log

_REQUESTS_MAX = 4096
"""In one batch: beyond this a longer batch gains nothing and the first producer waits longer."""


_Request = tuple[Sequence[Draft], "asyncio.Future[int]"]
"""Records of one caller, and who waits for the seq of the first. There is one for every append,
and a plain tuple is made in a third of the time of anything with names."""


class Appender:
    """Use it from one loop; nobody else may stage into its log meanwhile."""

    __slots__ = ("_busy", "_closing", "_idle", "_log", "_loop", "_waiting")

    def __init__(self, log: Log) -> None:
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._waiting: list[_Request] = []
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
        self._waiting.append((drafts, first))
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
        if not self._waiting:
            self._rest()
            return
        log, seq = self._log, self._log.next_seq
        requests, self._waiting = self._waiting, []
        if len(requests) > _REQUESTS_MAX:
            self._waiting = requests[_REQUESTS_MAX:]
            del requests[_REQUESTS_MAX:]
        staged = requests if self._stage_all(requests) else self._stage_each(requests)
        try:
            done = log.begin_commit(idle=True)
        except JournalError as error:
            _refuse(staged, error)
            self._go_on()
            return
        if done is None:
            self._finish(staged, seq)
        else:
            done.add_done_callback(lambda over: self._learn(staged, seq, over.exception()))

    def _stage_all(self, requests: list[_Request]) -> bool:
        """All of them at once; False, with nothing staged, when that is not to be had."""
        log = self._log
        try:
            return log.offer([draft for drafts, _ in requests for draft in drafts], log.now())
        except JournalError:
            return False

    def _stage_each(self, requests: list[_Request]) -> list[_Request]:
        """One after the other, so that whoever is refused harms nobody else."""
        staged: list[_Request] = []
        log = self._log
        for count, (drafts, first) in enumerate(requests):
            try:
                if log.offer(drafts, log.now()):
                    staged.append((drafts, first))
                elif staged:
                    self._waiting = requests[count:] + self._waiting
                    break
                else:
                    raise log.too_large(drafts)
            except JournalError as error:
                _refuse([(drafts, first)], error)
        return staged

    def _finish(self, staged: list[_Request], seq: int) -> None:
        """Tell each where its records stand: they are in the journal in this order."""
        for drafts, first in staged:
            if not first.done():
                first.set_result(seq)
            seq += len(drafts)
        self._go_on()

    def _learn(self, staged: list[_Request], seq: int, error: BaseException | None) -> None:
        if error is None:
            self._finish(staged, seq)
        else:
            _refuse(staged, error)
            self._go_on()

    def _go_on(self) -> None:
        """Flush again when those who were just told have had their turn. What they ask for then is
        the next batch, and the loop does not come round once more for it."""
        asyncio.get_running_loop().call_soon(self._flush)

    def _rest(self) -> None:
        self._busy = False
        if self._idle is not None:
            if not self._idle.done():
                self._idle.set_result(None)
            self._idle = None


def _refuse(requests: Sequence[_Request], error: BaseException) -> None:
    for _, first in requests:
        if not first.done():
            first.set_exception(error)
