"""The feed: durable entries as events for every subscriber, each at a pace of its own.

Promises: a subscriber that names a cursor gets every event after it, in order, once, whether it
is on disk or happens now; one that falls behind is served from the journal until it has caught up,
and is never dropped; what is held in memory for each is bounded. Ephemeral messages (terminal
output) ride along while there is room, and are left out when there is none.

The step from disk to live needs no lock: everything happens on one loop, and a subscriber turns
live in the same moment in which it finds nothing left to read up to the published head.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path

from ackbook.broker.history.journal_entries import entries
from ackbook.projections.codec import Entry
from ackbook.projections.events.derive import EVENTS_PER_RECORD, cursor_of, derive, to_json
from ackbook.projections.world.fold import World

WAITING_MAX = 1_024
"""Messages that may wait for one live subscriber before it is served from the journal."""

WAITING_BYTES_MAX = 4 * 1024 * 1024
"""The same in bytes: a thousand bodies of half a megabyte are not held in memory."""

SLICE_RECORDS_MAX = 256
"""Records read from the journal in one go, so that one who catches up delays nobody (1 ms)."""


class Feed:
    """Where events are published. A watcher of the engine; `head` is the last durable record."""

    def __init__(self, journal: Path, head: int) -> None:
        self.journal = journal
        self.head = head
        self.closed = False
        self._subscriptions: set[Subscription] = set()

    def committed(self, world: World, entries: Sequence[Entry], touched: frozenset[str]) -> None:
        """Hand the events of durable entries to whoever is live."""
        self.head = world.seq
        live = [each for each in self._subscriptions if each.live]
        for each in self._subscriptions:
            each.rouse()
        if not live:
            return
        events = [event for entry in entries for event in derive(entry)]
        messages = [(event.seq, to_json(event)) for event in events]
        for each in live:
            each.push(messages)

    def broadcast(self, message: bytes) -> None:
        """Hand an ephemeral message to those who asked for such and are not behind."""
        for each in self._subscriptions:
            if each.ephemeral and each.live:
                each.push_ephemeral(message)

    def has_ephemeral(self) -> bool:
        """Whether anybody wants terminal output."""
        return any(each.ephemeral for each in self._subscriptions)

    def subscribe(self, since: int, *, ephemeral: bool = False) -> Subscription:
        """Everything after the cursor `since`, then what happens, until it or the feed closes.

        A cursor ahead of the journal is taken as the head: say so before (`ahead`).
        """
        subscription = Subscription(self, min(since, cursor_of(self.head)), ephemeral)
        self._subscriptions.add(subscription)
        return subscription

    def ahead(self, cursor: int) -> bool:
        """Whether this cursor lies beyond everything that ever happened here."""
        return cursor > cursor_of(self.head)

    def forget(self, subscription: Subscription) -> None:
        """The subscriber went away."""
        self._subscriptions.discard(subscription)

    def close(self) -> None:
        """Let every subscriber read what is there, and then end."""
        self.closed = True
        for each in self._subscriptions:
            each.rouse()


class Subscription:
    """One subscriber's place in the feed. Read it from one task only."""

    def __init__(self, feed: Feed, since: int, ephemeral: bool) -> None:
        self.live = False
        self.ephemeral = ephemeral
        self._feed = feed
        self.position = since
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._waiting_bytes = 0
        self._lines: Iterator[Entry] | None = None
        self._through = 0
        self._wake: asyncio.Future[None] | None = None

    async def read(self) -> list[tuple[int, bytes]]:
        """The next messages, at least one, as (cursor, JSON); an ephemeral one has the cursor 0.
        Empty: the feed has closed and nothing is left."""
        while True:
            if self._waiting:
                return self._take()
            if not self.live:
                messages = self._catch_up()
                if messages:
                    return messages
                await asyncio.sleep(0)
            elif self._feed.closed:
                return []
            else:
                await self._sleep()

    @property
    def waiting(self) -> int:
        """Messages held in memory for this subscriber."""
        return len(self._waiting)

    @property
    def waiting_bytes(self) -> int:
        """The same in bytes."""
        return self._waiting_bytes

    def push(self, messages: list[tuple[int, bytes]]) -> None:
        """Events for a live subscriber. When they are too many, it reads them from the journal."""
        size = sum(len(message) for _, message in messages)
        count = len(self._waiting) + len(messages)
        if count > WAITING_MAX or self._waiting_bytes + size > WAITING_BYTES_MAX:
            self._waiting.clear()
            self._waiting_bytes = 0
            self.live = False
            return
        self._waiting.extend(messages)
        self._waiting_bytes += size
        self.rouse()

    def push_ephemeral(self, message: bytes) -> None:
        """Something that may be left out: it takes at most half of the room."""
        few = len(self._waiting) < WAITING_MAX // 2
        if few and self._waiting_bytes + len(message) < WAITING_BYTES_MAX // 2:
            self._waiting.append((0, message))
            self._waiting_bytes += len(message)
            self.rouse()

    def rouse(self) -> None:
        """Look again."""
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    def close(self) -> None:
        """Leave the feed."""
        self._lines = None
        self._feed.forget(self)

    def _take(self) -> list[tuple[int, bytes]]:
        messages = list(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self.position = max(self.position, *(cursor for cursor, _ in messages))
        return messages

    def _catch_up(self) -> list[tuple[int, bytes]]:
        """The events of the next few records on disk; none left: live from this moment on."""
        if self._lines is None:
            if self.position >= cursor_of(self._feed.head):
                self.live = True
                return []
            self._through = self._feed.head
            self._lines = entries(self._feed.journal, self._first_record() - 1, self._through)
        messages: list[tuple[int, bytes]] = []
        for read, entry in enumerate(self._lines, start=1):
            events = [event for event in derive(entry) if event.seq > self.position]
            messages += [(event.seq, to_json(event)) for event in events]
            self.position = cursor_of(entry.seq)
            if read == SLICE_RECORDS_MAX:
                return messages
        self._lines = None
        self.position = max(self.position, cursor_of(self._through))
        return messages

    def _first_record(self) -> int:
        """The record of the next event; one whose events were only partly handed out again."""
        record, i = divmod(self.position, EVENTS_PER_RECORD)
        return record + 1 if i == EVENTS_PER_RECORD - 1 else max(1, record)

    async def _sleep(self) -> None:
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = None
