"""Answers to `why` from a journal on disk, quickly where the cache can help.

It reads like any reader: no lock, nothing changed but the user's cache, nothing shown that is not
durable. With an index it opens the segments that mention what is asked for; without (the beginning
was let go of, or something is damaged) it reads everything, and what cannot be read is named by the
reader and by the story. Of what can be read both tell the same.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

import msgspec

from ackbook.broker.history.cache import Cache, cache_directory
from ackbook.broker.history.index_terms import agent_word, key_word
from ackbook.broker.history.segment_index import IndexProgress, SegmentIndex
from ackbook.broker.history.world_cache import INTERVAL, WorldCache, worlds_of
from ackbook.broker.history.world_loading import SnapshotWorlds, begin_audit
from ackbook.journal import Line, Reader
from ackbook.projections.codec import Entry, decode_block
from ackbook.projections.facts import (
    DeliveryId,
    DeliveryRedelivered,
    EventId,
    MessageEnqueued,
    MessageRefused,
)
from ackbook.projections.gaps import Hole, holes_told
from ackbook.projections.ids import position_of
from ackbook.projections.names import canonical, match_key
from ackbook.projections.why.builder import Teller, why
from ackbook.projections.why.story import Story
from ackbook.projections.world.fold import fold
from ackbook.projections.world.state import World


class KeyUse(msgspec.Struct, frozen=True):
    """A message that was sent with an idempotency key. `taken`: it was not refused."""

    sender: str
    event_id: EventId
    seq: int
    taken: bool


def _silent(seq: int) -> None:
    """Nobody wants to know how far it is."""


class Caches(NamedTuple):
    """Where what was worked out of one journal is kept, which every copy of it shares."""

    segments: Cache
    worlds: Cache


def caches_of(reader: Reader) -> Caches | None:
    """The caches of this user's programs; None for a journal whose id nothing says."""
    journal = reader.journal_id
    if journal is None:
        return None
    return Caches(Cache(cache_directory(), f"segments/{journal}"), worlds_of(journal))


class StoryQuery:
    """What can be asked of one journal as it is up to the record `head`, or to its end. Without a
    `caches` every question reads all of it. `progress` is told how far the first one is. Nothing is
    told of records before `first`, in whose place others may stand. `interval`: records between
    the worlds that are kept."""

    def __init__(
        self,
        reader: Reader,
        directory: Path,
        *,
        caches: Caches | None,
        head: int | None = None,
        first: int = 1,
        progress: IndexProgress = _silent,
        interval: int = INTERVAL,
    ) -> None:
        self._first = first
        self._reader = reader
        self._directory = directory
        self._head = reader.head() if head is None else head
        self._indexed: SegmentIndex | None = None
        if caches is not None and self._head:
            worlds = WorldCache(directory, self._line, caches.worlds, interval)
            index = SegmentIndex(reader, caches.segments, worlds, self._head)
            self._indexed = index if index.prepare(progress) else None

    def story(self, wanted: str) -> Story | None:
        """The story of a message or delivery; None where no record names it."""
        first = position_of(wanted)
        if first is None or first > self._head:
            return None
        if self._indexed is not None:
            told = self._by_index(self._indexed, wanted, first)
            if self._indexed.is_whole:
                return told
        return self._by_all(wanted)

    def uses_of(self, key: str, sender: str | None = None) -> list[KeyUse]:
        """Every message that was sent with this key, oldest first."""
        found: list[KeyUse] = []
        for entry in self._mentioning(key_word(key), msgspec.json.encode(key)):
            fact = entry.fact
            if isinstance(fact, MessageEnqueued | MessageRefused) and fact.key == key:
                taken = isinstance(fact, MessageEnqueued)
                found.append(KeyUse(fact.sender, fact.event_id, entry.seq, taken))
        wanted = None if sender is None else canonical(sender)
        return [use for use in found if wanted in (None, canonical(use.sender))]

    def last_deliveries(self, agent: str, count: int) -> list[DeliveryId]:
        """The last deliveries that were queued for an agent, the newest last."""
        key, found = match_key(agent), list[DeliveryId]()
        for after, through in reversed(self._spans(agent_word(agent))):
            queued = [
                each for entry in self._entries(after, through) for each in _queued(entry, key)
            ]
            found = queued + found
            if len(found) >= count:
                break
        if len(found) < count and self._indexed is None:
            found = [each for each in self._remembered(key) if each not in found] + found
        return found[-count:]

    @property
    def missing(self) -> str:
        """What could not be read for the last answer, in one clause; empty where nothing was."""
        return holes_told([Hole(gap.first, gap.last) for gap in self._reader.gaps])

    def fetch(self, seqs: Iterable[int]) -> dict[int, Entry]:
        """The entries at these seqs, file by file; those that are there."""
        found: dict[int, Entry] = {}
        bases = self._reader.bases
        wanted = sorted({seq for seq in seqs if seq >= self._first})
        for _, group in groupby(wanted, key=lambda seq: bisect_right(bases, seq)):
            together = set(group)
            for entry in self._entries(min(together) - 1, max(together)):
                if entry.seq in together:
                    found[entry.seq] = entry
        return found

    def _remembered(self, key: str) -> list[DeliveryId]:
        """The deliveries for an agent that the oldest known world remembers, the newest last: the
        records that queued them may be gone."""
        if self._reader.first_seq <= 1:
            return []
        world = begin_audit(self._directory, self._reader.first_seq, lambda _: False)
        known = {each.delivery_id: each.agent for each in world.settled.values()}
        known |= {each.delivery_id: each.agent for each in world.deliveries.values()}
        found = [each for each, agent in known.items() if match_key(agent) == key]
        return sorted(found, key=lambda each: position_of(each) or 0)

    def _by_index(self, index: SegmentIndex, wanted: str, first: int) -> Story | None:
        teller, world = Teller(wanted), World()
        spans = [(each.base - 1, each.end - 1) for each in index.that_mention(wanted, first)]
        for after, through in spans:
            world = world if world.seq == after else index.world_before(after + 1)
            self._hear(teller, world, through)
        tail = index.tail
        if teller.is_open or first > tail or self._is_in(wanted.encode(), tail):
            world = world if world.seq == tail else index.world_before(tail + 1)
            self._hear(teller, world, self._head)
        return teller.tell(world, self.fetch)

    def _by_all(self, wanted: str) -> Story | None:
        """Read everything there is, past what cannot be read."""
        known = SnapshotWorlds(self._directory, self._head)
        return why(self._entries(0, self._head), wanted, self.fetch, remembered=known.at)

    def _hear(self, teller: Teller, world: World, through: int) -> None:
        for entry in self._entries(world.seq, through):
            teller.hear(world, entry)
            fold(world, entry)

    def _mentioning(self, word: str, written: bytes) -> Iterator[Entry]:
        """The entries in whose block something is written, where this word leads."""
        for after, through in self._spans(word):
            for block in self._reader.blocks(after, through):
                if written in block:
                    yield from decode_block(block)

    def _spans(self, word: str) -> list[tuple[int, int]]:
        """Where to look for a word: after which record and through which, in order."""
        if self._indexed is None:
            return [(0, self._head)]
        spans = [(each.base - 1, each.end - 1) for each in self._indexed.that_mention(word)]
        return [*spans, (self._indexed.tail, self._head)]

    def _line(self, seq: int) -> Line | None:
        return next(self._reader.lines(seq - 1, seq), None)

    def _is_in(self, written: bytes, after: int) -> bool:
        return any(written in block for block in self._reader.blocks(after, self._head))

    def _entries(self, after: int, through: int) -> Iterator[Entry]:
        for block in self._reader.blocks(after, through):
            yield from decode_block(block)


def _queued(entry: Entry, agent: str) -> list[DeliveryId]:
    """The deliveries for this agent that an entry queues."""
    match entry.fact:
        case MessageEnqueued() as fact:
            return [each.delivery_id for each in fact.deliveries if match_key(each.agent) == agent]
        case DeliveryRedelivered() as fact if match_key(fact.agent) == agent:
            return [fact.new_delivery_id]
        case _:
            return []
