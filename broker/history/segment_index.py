"""Segment index: what makes a question about a long journal quick, kept in the user's cache.

A sealed segment never changes, so it is indexed once: of each is kept which words lead to it (ids
that began earlier and are mentioned in it, idempotency keys, agents that were sent something). So a
story opens the few segments that mention it, each with a world that is right (`world_cache` has one
near it), and the tail, which is always read.

A cache is worth time, never truth. An indexed segment names its own first line and that of the
next one, which holds the hash of everything before; they must link up, and the last link is
compared with the journal. Whatever does not fit is made again from the journal. Only a journal that
reads whole from its first record on is indexed: of any other the plain way is as true as can be.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterator
from hashlib import sha256
from itertools import pairwise

import msgspec

from ackbook.broker.history.cache import Cache
from ackbook.broker.history.index_terms import Words, code_of
from ackbook.broker.history.world_cache import WorldCache
from ackbook.journal import Reader
from ackbook.projections.codec import Entry, decode_block
from ackbook.projections.world.fold import fold_all
from ackbook.projections.world.serialization import FOLD_VERSION
from ackbook.projections.world.state import World

VERSION = f"3.{FOLD_VERSION}"
"""Rises with every change of what the index holds or of how its records are read."""

IndexProgress = Callable[[int], None]
"""Told the seq up to which the journal was read, now and then."""


class IndexedSegment(msgspec.Struct, frozen=True, kw_only=True):
    """One sealed segment: the records with `base <= seq < end`. `start` and `following` are digests
    of its first line and of the next one's; `words` is sorted."""

    version: str
    base: int
    end: int
    start: str
    following: str
    words: bytes

    def mentions(self, word: int) -> bool:
        """Whether this word leads here. It may be said in vain, which only costs time."""
        words = memoryview(self.words).cast("I")
        at = bisect_left(words, word)
        return at < len(words) and words[at] == word


class SegmentIndex:
    """The sealed segments of one journal, indexed."""

    def __init__(self, reader: Reader, cache: Cache, worlds: WorldCache, head: int) -> None:
        self._reader = reader
        self._cache = cache
        self._worlds = worlds
        self._bases = tuple(base for base in reader.bases if base <= head)
        self._indexed: list[IndexedSegment] = []

    @property
    def tail(self) -> int:
        """The last record of the last sealed segment; what comes after it is in none."""
        return self._indexed[-1].end - 1 if self._indexed else 0

    def prepare(self, progress: IndexProgress) -> bool:
        """Load what is kept and make what is missing. False where this journal has no index;
        then nothing else may be asked."""
        if self._bases[:1] != (1,):
            return False
        self._indexed = self._linked()
        return self._make_missing(progress) and self.is_whole

    @property
    def is_whole(self) -> bool:
        """Whether everything could be read that was asked for so far."""
        return not self._reader.damage and not self._reader.gaps

    def that_mention(self, word: str, first: int = 0) -> list[IndexedSegment]:
        """The segments that hold the record `first`, or that this word leads to, in order."""
        code = code_of(word)
        return [
            each for each in self._indexed if each.base <= first < each.end or each.mentions(code)
        ]

    def world_before(self, seq: int) -> World:
        """The world before the first record of a segment or of the tail; where something before it
        cannot be read, that of an earlier record."""
        world = self._worlds.newest(seq - 1) or World()
        for entries in _entries(self._reader, world.seq, seq - 1):
            if not self.is_whole:
                break
            fold_all(world, entries)
        return world

    def _linked(self) -> list[IndexedSegment]:
        """The kept segments from the first one on, as far as they link up with the journal."""
        linked: list[IndexedSegment] = []
        for base, end in pairwise(self._bases):
            segment = self._kept(base)
            if segment is None or segment.end != end:
                break
            if linked and linked[-1].following != segment.start:
                break
            linked.append(segment)
        fits = linked and self._digest(linked[-1].end) == linked[-1].following
        return linked if fits else []

    def _make_missing(self, progress: IndexProgress) -> bool:
        missing = [(base, end) for base, end in pairwise(self._bases) if base > self.tail]
        if not missing:
            return True
        world = self.world_before(missing[0][0])
        kept = world.seq
        for base, end in missing:
            words = Words()
            for block in self._reader.blocks(base - 1, end - 1):
                if not self.is_whole:
                    return False  # and no world of it is kept: it would be one with a hole
                entries = decode_block(block)
                words.take(entries)
                fold_all(world, entries)
                kept = self._worlds.keep_if_due(world, block, kept)
            start, following = self._digest(base), self._digest(end)
            if world.seq != end - 1 or not self.is_whole or start is None or following is None:
                return False
            segment = IndexedSegment(
                version=VERSION,
                base=base,
                end=end,
                start=start,
                following=following,
                words=words.before(base),
            )
            self._cache.put(_name(base), msgspec.msgpack.encode(segment))
            self._indexed.append(segment)
            progress(world.seq)
        return True

    def _kept(self, base: int) -> IndexedSegment | None:
        content = self._cache.get(_name(base))
        if content is None:
            return None
        try:
            segment = msgspec.msgpack.decode(content, type=IndexedSegment)
        except msgspec.DecodeError:
            return None
        return segment if (segment.version, segment.base) == (VERSION, base) else None

    def _digest(self, base: int) -> str | None:
        """That of the first line of a segment; None where it cannot be read."""
        for block in self._reader.blocks(base - 1, base):
            return sha256(block).hexdigest()
        return None


def _name(seq: int) -> str:
    return f"{seq:020d}"


def _entries(reader: Reader, after: int, through: int) -> Iterator[list[Entry]]:
    return map(decode_block, reader.blocks(after, through))
