"""Histories with a run of records taken out, for tests of what is told beyond a hole.

The run begins and ends wherever a decision may have begun or ended. Behind it now and then a world
is remembered, as by a snapshot: then always at the end of a decision.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

from ackbook.projections.codec import Entry
from ackbook.projections.world.fold import World, fold_all
from tests.support.simulated import Simulated

LENGTHS = (1, 2, 5, 12, 30, 80, 150)
ENDS_MAX = 20
"""Decisions behind the hole at whose end a world may be remembered."""

INSIDE_SHARE = 0.4
"""Of the holes, so many end inside a decision: what it began with is not known."""


class Holed:
    """One history, of which the records `first` to `last` cannot be read; never the last of all.
    `known_at`: where a world is remembered."""

    def __init__(self, broker: Simulated, chance: Random) -> None:
        self._entries = entries = broker.entries
        inside = [each.seq - 1 for each in entries[2:] if each.cause and not bytes(each.by)]
        length = chance.choice(LENGTHS)
        if inside and chance.random() < INSIDE_SHARE:
            self.last = chance.choice(inside)
            self.first = max(1, self.last - length + 1)
        else:
            self.first = chance.randrange(1, len(entries) - 1)
            self.last = min(self.first + length - 1, len(entries) - 1)
        ends = [each.seq - 1 for each in entries if bytes(each.by) and each.seq > self.last]
        self.known_at = chance.choice([None, None, *ends[:ENDS_MAX]])
        self._left = {e.seq: e for e in entries if not self.holds(e.seq)}

    def __str__(self) -> str:
        return f"without {self.first} to {self.last}, remembered at {self.known_at}"

    def holds(self, seq: int) -> bool:
        """Whether this record is in the hole."""
        return self.first <= seq <= self.last

    @property
    def left(self) -> Iterator[Entry]:
        """What can be read."""
        return iter(self._left.values())

    def fetch(self, seqs: Iterable[int]) -> dict[int, Entry]:
        """Of these records, those that can be read."""
        return {seq: self._left[seq] for seq in seqs if seq in self._left}

    def remembered(self, seq: int) -> World | None:
        """The world after this record, where it is remembered."""
        if seq != self.known_at:
            return None
        world = World()
        fold_all(world, self._entries[:seq])
        return world
