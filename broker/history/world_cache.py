"""Worlds that were folded once: the one place where they are kept, for every question of the past.

A kept world is named by the journal and by all that it was folded from: each earlier file with its
size and its time of change, and the checksum of its own line, which covers its file up to there. A
history that was rewritten, cut or damaged since thus has other names, and finds nothing. So with
the cache, without it, or with a bad one, the answers are the same.

What is kept is the whole world, so that `why` and `replay` help each other. Whoever folds says when
a world is one of an unbroken history; what was folded from the journal's own snapshot is not kept,
since it would outlive its witness.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from hashlib import sha256
from itertools import pairwise
from pathlib import Path

from ackbook.broker.history.cache import Cache, cache_directory
from ackbook.journal import Line, OsFiles
from ackbook.journal.format.layout import list_directory
from ackbook.journal.format.record import parse_line
from ackbook.journal.reading.sources import sources_of
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import FOLD_VERSION, UnreadableWorld, dump, load

INTERVAL = 50_000
"""Records between kept worlds: 0.15 s of folding, about four times what loading one takes."""

_NAME = re.compile(r"(\d{20})-([0-9a-f]{8})-([0-9a-f]{32})")
"""The position, the checksum of its line, and the foundation."""


def worlds_of(journal: str) -> Cache:
    """Where this user's programs keep the worlds of a journal, which every copy of it shares."""
    return Cache(cache_directory(), f"worlds/{journal}")


class WorldCache:
    """The kept worlds of one journal. `line` gives the verified line of a record, or None where
    there is none; `cache` None keeps and finds nothing."""

    def __init__(
        self,
        directory: Path,
        line: Callable[[int], Line | None],
        cache: Cache | None,
        interval: int = INTERVAL,
    ) -> None:
        self._directory = directory
        self._line = line
        self._cache = cache
        self._interval = interval

    def newest(self, seq: int) -> World | None:
        """The latest kept world of this history, as it is now, at or before this record. It belongs
        to whoever asked."""
        if self._cache is None:
            return None
        for name in reversed(self._cache.names()):
            named = _NAME.fullmatch(name)
            if named is None or int(named[1]) > seq or named[3] != self._foundation(int(named[1])):
                continue
            line = self._line(int(named[1]))
            content = self._cache.get(name) if line and line.crc == named[2] else None
            if content is not None:
                with suppress(UnreadableWorld):
                    return load([content])
        return None

    def keep_if_due(self, world: World, block: bytes, kept: int) -> int:
        """Keep this world, which the last line of `block` led to, where loading it would be quicker
        than folding up to it from the one at `kept`; the position of the last kept one."""
        step = max(self._interval, len(world.deliveries))
        if world.seq // step <= kept // step:
            return kept
        line = parse_line(block[block.rfind(b"\n", 0, -1) + 1 : -1])
        assert line is not None, "the block was verified"
        foundation = self._foundation(line.seq)
        if self._cache is not None and foundation is not None:
            content = b"".join(entity + b"\n" for entity in dump(world))
            self._cache.put(f"{line.seq:020d}-{line.crc}-{foundation}", content)
        return world.seq

    def _foundation(self, seq: int) -> str | None:
        """What the files before the one that holds this record are: their names, sizes and times
        of change, as a digest; None where one of them is just being replaced."""
        told = [f"fold {FOLD_VERSION}"]
        sources = sources_of(list_directory(OsFiles(), self._directory))
        for source, following in pairwise(sources):
            if following.base > seq:
                break
            try:
                status = (self._directory / source.name).stat()
            except FileNotFoundError:
                return None
            told.append(f"{source.name} {status.st_size} {status.st_mtime_ns}")
        return sha256("\n".join(told).encode()).hexdigest()[:32]
