"""A place in a journal that goes on: everything after a cursor, then each new record as it comes.

A thread or a task waits for a ring and looks again after a pause all the same, so that it depends
on nobody to wake it: in the process that writes it learns of a record at once, in another one
within `PAUSE_S_MAX`. Nothing is given that is not durable, nothing twice, and what is missing is an
error.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Final

from ackbook.journal.errors import Corrupt, Damage, DamageFound, OutOfReach
from ackbook.journal.format.control import CONTROL_PREFIX, Repaired, read_control
from ackbook.journal.format.record import parse_line
from ackbook.journal.format.values import Record
from ackbook.journal.limits import SECOND_US
from ackbook.journal.next_step import NextStep
from ackbook.journal.reading.own_errors import own_errors
from ackbook.journal.reading.reader import Reader
from ackbook.journal.storage.clock import Clock
from ackbook.journal.storage.notifier import Notifier

PAUSE_S_MIN: Final = 0.002
PAUSE_S_MAX: Final = 0.05
"""Between two looks, which cost some 20 us each; the pause doubles while nothing comes."""


class Follow:
    """Iterate it with `for` or with `async for`. After a `break` the next loop goes on behind the
    record that was given last."""

    __slots__ = (
        "_after",
        "_clock",
        "_durable_seq",
        "_notifier",
        "_pause_s",
        "_quiet_since",
        "_quiet_us_max",
        "_reader",
    )

    def __init__(
        self,
        reader: Reader,
        durable_seq: Callable[[], int],
        notifier: Notifier,
        clock: Clock,
        *,
        after: int,
        quiet_s_max: float | None,
    ) -> None:
        self._reader = reader
        self._durable_seq = durable_seq
        self._notifier = notifier
        self._clock = clock
        self._after = after
        self._quiet_us_max = None if quiet_s_max is None else quiet_s_max * SECOND_US
        self._quiet_since = clock.boot()
        self._pause_s = PAUSE_S_MIN

    def __iter__(self) -> Iterator[Record]:
        while True:
            closed, heard = self._notifier.closed, self._notifier.rings
            for records in self._news():
                for record in records:
                    self._after = record.seq
                    yield record
            pause_s = self._next_pause_s()
            if closed or pause_s is None:
                return
            self._notifier.wait(heard, pause_s)

    async def __aiter__(self) -> AsyncIterator[Record]:
        while True:
            closed, heard = self._notifier.closed, self._notifier.rings
            for records in self._news():
                for record in records:
                    self._after = record.seq
                    yield record
                # A long past is read without waiting: others on the loop get their turn between.
                await asyncio.sleep(0)
            pause_s = self._next_pause_s()
            if closed or pause_s is None:
                return
            await self._notifier.wait_async(heard, pause_s)

    def _news(self) -> Iterator[list[Record]]:
        durable = self._durable_seq()
        if durable <= self._after:
            return
        found = read_records(self._reader, self._after, durable)
        while True:
            with own_errors(self._reader.directory, "it cannot be read now"):
                records = next(found, None)
            if records is None:
                break
            if records:
                yield records
                self._quiet_since = self._clock.boot()
                self._pause_s = PAUSE_S_MIN
        self._after = durable

    def _next_pause_s(self) -> float | None:
        """How long to wait for a ring before the next look; None when it was quiet for long."""
        pause_s = self._pause_s
        self._pause_s = min(2 * pause_s, PAUSE_S_MAX)
        if self._quiet_us_max is None:
            return pause_s
        left_us = self._quiet_since + self._quiet_us_max - self._clock.boot()
        return min(pause_s, left_us / SECOND_US) if left_us > 0 else None


def read_records(reader: Reader, after: int, through: int) -> Iterator[list[Record]]:
    """All records with `after < seq <= through`, a block at a time. Raises `OutOfReach` and
    `Corrupt` where something is missing."""
    expected = after + 1
    for block in reader.blocks(after, through):
        records: list[Record] = []
        for raw in block[:-1].split(b"\n"):
            line = parse_line(raw)
            assert line is not None, "the block was verified"
            if line.seq != expected:
                raise _missing(reader, expected, line.seq - 1)
            expected = line.seq + 1
            if not line.kind.startswith(CONTROL_PREFIX):
                records.append(Record(line.seq, line.at, line.kind, line.data))
            elif isinstance(control := read_control(line), Repaired):
                # A person looked at this loss and agreed to it.
                expected = control.last + 1
        yield records
    if expected <= through:
        raise _missing(reader, expected, through)


def _missing(reader: Reader, first: int, last: int) -> DamageFound:
    if reader.damage:
        return Corrupt(reader.damage[-1])
    oldest = reader.first_seq
    what = f"records {first} to {last} are no longer here"
    proof = f"the oldest record is {oldest}"
    following = NextStep(f"begin with a state that holds them, and read after {oldest - 1}")
    return OutOfReach(Damage("archive", 0, 0, what, proof, following))
