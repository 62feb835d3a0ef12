"""Any moment of a journal's past, quickly: worlds are kept on the way and begun from again.

The world at a position is the fold of every record up to it, whatever it was begun from: nothing,
a snapshot that the journal itself has, or a world that an earlier fold left in the user's cache. A
fold never goes over a hole, unless the journal says that somebody accepted the loss.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from ackbook.broker.exit_codes import ExitCode
from ackbook.broker.history.cache import Cache
from ackbook.broker.history.world_cache import INTERVAL, WorldCache, worlds_of
from ackbook.broker.history.world_loading import begin_world
from ackbook.journal import OsFiles, SnapshotFile
from ackbook.journal.format.control import REPAIRED
from ackbook.journal.format.layout import list_directory
from ackbook.projections.codec import Entry, kind_of
from ackbook.projections.world.fold import World, fold, fold_all
from ackbook.projections.world.serialization import FOLD_VERSION
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.output import poor, say
from ackbook.tools.history.gapless_ranges import known_from
from ackbook.tools.history.journal import JournalHistory


class Reached(NamedTuple):
    """A world, and how it goes on. `keeps`: worlds that follow may be kept; `accepted`: it is
    that of a repair, so there may be a hole behind it that somebody saw, and went on."""

    world: World
    keeps: bool = True
    accepted: bool = False


class Worlds:
    """The worlds of one journal. Each that is given belongs to whoever asked. All of it reads, and
    raises `Failure` as `JournalHistory` does."""

    def __init__(
        self, history: JournalHistory, *, cache: Cache | None = None, interval: int = INTERVAL
    ) -> None:
        self._history = history
        journal = history.journal_id()
        if cache is None and journal is not None:
            cache = worlds_of(journal)
        self._kept = WorldCache(history.directory, history.line, cache, interval)

    def at(self, seq: int) -> World:
        """The world after this record; after the last one before a hole, where there is a hole."""
        return self.reach(seq).world

    def reach(self, seq: int) -> Reached:
        """The same, and how it goes on."""
        return self.go_on(self._begin(seq), seq)

    def go_on(self, reached: Reached, through: int) -> Reached:
        """Fold on from there up to this record or a hole; the world that was reached moves along.
        Now and then one is kept."""
        world, keeps, accepted = reached
        kept = world.seq
        for block in self._history.blocks(world.seq, through):
            if not _fold_block(world, block.entries, accepted):
                return Reached(world, keeps)
            accepted = kind_of(block.entries[-1]) == REPAIRED
            if keeps:
                kept = self._kept.keep_if_due(world, block.raw, kept)
        return Reached(world, keeps, accepted)

    def since(self, seq: int) -> Iterator[tuple[Entry, World]]:
        """Every entry after this record, each with the world that it led to, up to the end or to
        a hole. It is one world that goes on: it has to be looked at before the next is taken."""
        world, _, accepted = self.reach(seq)
        if world.seq < seq:
            return
        for entry in self._history.entries(seq):
            if entry.seq != world.seq + 1 and not accepted:
                return
            fold(world, entry)
            yield entry, world
            accepted = kind_of(entry) == REPAIRED

    def _begin(self, seq: int) -> Reached:
        """The latest beginning at or before this record."""
        kept = self._kept.newest(seq)
        listing = list_directory(OsFiles(), self._history.directory)
        own = max((at for at in listing.snapshots if at <= seq), default=0)
        if own > (kept.seq if kept else 0):
            world, snapshot = begin_world(self._history.directory, seq)
            if snapshot is not None and self._is_believed(snapshot):
                return self._reached(world, keeps=False)
        return Reached(World()) if kept is None else self._reached(kept, keeps=True)

    def _is_believed(self, snapshot: SnapshotFile) -> bool:
        """One of an earlier version of the fold counts only where no records tell the same."""
        return snapshot.fold_version == FOLD_VERSION or self._history.oldest() > 1

    def _reached(self, world: World, *, keeps: bool) -> Reached:
        line = self._history.line(world.seq)
        return Reached(world, keeps, accepted=line is not None and line.kind == REPAIRED)


def world_at(history: JournalHistory, seq: int) -> World:
    """The world after this record. Where a hole is in the way, that is said."""
    return _named_where_short(Worlds(history).at(seq), seq)


def known_world(history: JournalHistory, seq: int) -> World:
    """The same. Raises `Failure` where nothing is known of that moment: an empty world would be an
    answer, and a wrong one."""
    world = Worlds(history).at(seq)
    if world.seq < seq and not world.seq:
        raise nothing_known(history, f"the world at record {seq} is not known")
    return _named_where_short(world, seq)


def _named_where_short(world: World, seq: int) -> World:
    if world.seq < seq:
        say(f"{poor('missing:')} the world can be shown up to record {world.seq} only")
    return world


def nothing_known(history: JournalHistory, what: str) -> Failure:
    """What to say of a moment before all that is known: why, and where knowledge begins."""
    oldest, known = history.oldest(), known_from(history)
    why = f": records before {oldest} are no longer kept" if oldest > 1 else ""
    if known is None:
        step = "look into a backup, or bring back its archives"
        return Failure(ExitCode.NOT_FOUND, f"{what}{why}; no snapshot here tells a later one", step)
    return Failure(
        ExitCode.NOT_FOUND,
        f"{what}{why}; the first world that is known is that at record {known}",
        f"ackbook replay --to {known} {history.place.flag()}",
    )


def _fold_block(world: World, entries: list[Entry], accepted: bool) -> bool:
    """Fold these entries, up to the first hole that nobody accepted; whether there was none."""
    if entries[-1].seq == world.seq + len(entries):
        fold_all(world, entries)
        return True
    for entry in entries:
        if entry.seq != world.seq + 1 and not accepted:
            return False
        fold(world, entry)
        accepted = kind_of(entry) == REPAIRED
    return True
