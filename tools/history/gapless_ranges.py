"""A journal in stretches without a hole, each with the world before it: what decides again walks.

A world is known where everything before it is: from the first record on, or from a snapshot. Where
the beginning was let go, or records are lost, the next stretch begins at the oldest snapshot behind
that. What no stretch holds is said in `skipped`, with the reason. Nothing is changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from ackbook.broker.history.world_loading import LOADABLE, SNAPSHOTS_MAX
from ackbook.journal import SnapshotUnusable, newest_snapshots
from ackbook.journal.format.control import REPAIRED
from ackbook.projections.codec import Control, Entry, kind_of
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import UnreadableWorld, load
from ackbook.tools.history.journal import JournalHistory


class Skipped(msgspec.Struct, frozen=True):
    """Records in no stretch, and why."""

    first: int
    last: int
    why: str


def known_from(history: JournalHistory) -> int | None:
    """The first record at which a world is known; None where there is none. Raises `Failure` as
    `JournalHistory` does."""
    if history.oldest() <= 1 and history.line(1) is not None:
        return 1
    world = Stretches(history).begin_behind(0)
    return None if world is None else world.seq


class Stretches:
    """The stretches of one journal, in order. Whoever takes one folds all of it into its world
    before the next is asked for."""

    def __init__(self, history: JournalHistory) -> None:
        self.head = history.head()
        self.skipped: list[Skipped] = []
        self.reached = 0
        """The last record of the stretches so far."""
        self._history = history

    def __iter__(self) -> Iterator[tuple[World, Iterator[Entry]]]:
        whole = self._history.oldest() <= 1
        why = "" if whole else "they are no longer kept"
        world = World() if whole else self.begin_behind(0)
        done = 0
        while world is not None:
            if world.seq > done:
                self.skipped.append(Skipped(done + 1, world.seq, why))
            if world.seq >= self.head:
                return
            yield world, _whole(self._history.entries(world.seq, self.head), world.seq)
            done = self.reached = world.seq
            if done >= self.head:
                return
            why = f"what came before is not known: record {done + 1} is missing"
            world = self.begin_behind(done)
        if done < self.head:
            self.skipped.append(Skipped(done + 1, self.head, why))

    def begin_behind(self, seq: int) -> World | None:
        """The world of the oldest snapshot behind this record."""
        directory = self._history.directory
        found = newest_snapshots(
            directory, LOADABLE, head=self.head, count_max=SNAPSHOTS_MAX
        ).usable
        for snapshot in reversed(found):
            if snapshot.seq > seq:
                try:
                    return load(snapshot.blocks(), snapshot.fold_version)
                except (SnapshotUnusable, UnreadableWorld):
                    continue
        return None


def _whole(entries: Iterable[Entry], after: int) -> Iterator[Entry]:
    """Entries up to the first hole, or to where somebody accepted one."""
    for expected, entry in enumerate(entries, after + 1):
        lost = type(entry.fact) is Control and kind_of(entry) == REPAIRED
        if lost or entry.seq != expected:
            return
        yield entry
