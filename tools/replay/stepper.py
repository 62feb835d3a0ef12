"""Going through a journal record by record, in both directions, with the world around each.

Worlds only go forward, so a step back begins again a little earlier: from a world that is kept in
memory for that. Records are read some hundreds at a time, since going back and looking up causes
needs those nearby. This module knows no terminal.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from ackbook.journal import Line
from ackbook.projections.analysis.row_shapes import AgentRow
from ackbook.projections.analysis.rows import agent_rows, counts
from ackbook.projections.analysis.world_diff import (
    FieldChange,
    Moved,
    Standing,
    Things,
    agent_fields,
    broker_fields,
    changes,
    count_changes,
    standing,
)
from ackbook.projections.codec import Content, decode
from ackbook.projections.facts import DeliveryId
from ackbook.projections.subjects import deliveries_of
from ackbook.projections.world.fold import World
from ackbook.projections.world.serialization import dump, load
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.record_filter import RecordFilter
from ackbook.tools.history.worlds import Reached, Worlds

NEAR = 1_000
"""Records between the world in memory and where the next steps are: three milliseconds of fold."""

WINDOW = 400
"""Records that are read at once."""

SEARCH_STEP = 5_000
"""Records that a search looks at before it says where it is: a few hundredths of a second."""


class StepView(msgspec.Struct, frozen=True, kw_only=True):
    """One record and the world behind it. `known`: whether that world can be known at all: behind
    a hole it cannot. `since_us`: the time since the record before, None for the first one."""

    line: Line
    since_us: int | None
    known: bool
    agents: list[AgentRow]
    counts: dict[str, int]
    broker_changes: list[FieldChange]
    agent_changes: list[FieldChange]
    count_changes: list[FieldChange]
    moved: list[Moved]


class Stepper:
    """A place in a journal. `seq` is the record that is looked at, between 1 and `head`."""

    def __init__(self, history: JournalHistory) -> None:
        self.history = history
        self.head = history.head()
        self.seq = 1
        self._nearby = _Nearby(Worlds(history))
        self._lines: dict[int, Line] = {}

    def line(self, seq: int) -> Line | None:
        """This record; None where there is none, or it cannot be read."""
        if seq not in self._lines and 1 <= seq <= self.head:
            first = max(0, seq - WINDOW // 2)
            found = self.history.lines(first, min(self.head, first + WINDOW))
            self._lines = {line.seq: line for line in found}
        return self._lines.get(seq)

    def stand(self, seq: int) -> None:
        """Go to this record, or to the first or last one where it lies beyond."""
        self.seq = min(max(1, seq), self.head)

    def seek(self, wanted: RecordFilter, *, forward: bool) -> bool:
        """Go to the next record that is wanted, or the one before; whether there is one."""
        before = self.seq
        for _ in self.search(wanted, forward=forward):
            pass
        return self.seq != before

    def search(self, wanted: RecordFilter, *, forward: bool) -> Iterator[int]:
        """The same, saying now and then which record is looked at. It moves when it has found one,
        as the last that it does: whoever does not go on until then has not moved."""
        return self._forward(wanted) if forward else self._back(wanted)

    def _forward(self, wanted: RecordFilter) -> Iterator[int]:
        for line in self.history.lines(self.seq, self.head):
            if wanted(line):
                self.seq = line.seq
                return
            if line.seq % SEARCH_STEP == 0:
                yield line.seq

    def _back(self, wanted: RecordFilter) -> Iterator[int]:
        """Lines are only read forward: so in pieces, each twice as long and before the last."""
        through, size = self.seq - 1, WINDOW
        while through > 0:
            first, found = max(0, through - size), 0
            for line in self.history.lines(first, through):
                if wanted(line):
                    found = line.seq
                if line.seq % SEARCH_STEP == 0:
                    yield line.seq
            if found:
                self.seq = found
                return
            through, size = first, size * 2

    def view(self) -> StepView | None:
        """What is to be seen here; None where the record cannot be read."""
        line, before = self.line(self.seq), self.line(self.seq - 1)
        if line is None:
            return None
        fact = decode(line.raw).fact
        was = _look(self._nearby.at(self.seq - 1), fact)
        world = self._nearby.at(self.seq)
        now = _look(world, fact)
        return StepView(
            line=line,
            since_us=None if before is None else line.at - before.at,
            known=world.seq == self.seq,
            agents=agent_rows(world, world.at),
            counts=now.counts,
            broker_changes=changes(was.broker, now.broker),
            agent_changes=changes(was.agents, now.agents),
            count_changes=count_changes(was.counts, now.counts),
            moved=[
                Moved(delivery_id, agent, was.standings[delivery_id], now.standings[delivery_id])
                for delivery_id, agent in deliveries_of(fact)
                if was.standings[delivery_id] != now.standings[delivery_id]
            ],
        )


class _Look(NamedTuple):
    """What a record may change, on one side of it."""

    broker: Things
    agents: Things
    counts: dict[str, int]
    standings: dict[DeliveryId, Standing | None]


def _look(world: World, fact: Content) -> _Look:
    standings = {found: standing(world, found) for found, _ in deliveries_of(fact)}
    return _Look(broker_fields(world), agent_fields(world), counts(world), standings)


class _Base(NamedTuple):
    """A world as lines, to begin from again and again."""

    seq: int
    lines: bytes
    keeps: bool
    accepted: bool


class _Nearby:
    """Worlds of records that are not far from each other. The one that is given moves along."""

    def __init__(self, worlds: Worlds) -> None:
        self._worlds = worlds
        self._reached = Reached(World())
        self._base: _Base | None = None

    def at(self, seq: int) -> World:
        """The world after this record, or after the last one before a hole in the way."""
        if not 0 <= seq - self._reached.world.seq <= NEAR:
            self._reached = self._begin(seq)
        self._reached = self._worlds.go_on(self._reached, seq)
        return self._reached.world

    def _begin(self, seq: int) -> Reached:
        """A world not far before this record."""
        base = self._base
        if base is None or not 0 <= seq - base.seq <= NEAR:
            world, keeps, accepted = self._worlds.reach(max(0, seq - NEAR // 2))
            lines = b"".join(line + b"\n" for line in dump(world))
            base = self._base = _Base(world.seq, lines, keeps, accepted)
        return Reached(load([base.lines]), base.keeps, base.accepted)
