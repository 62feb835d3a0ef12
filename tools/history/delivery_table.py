"""The table of deliveries: what each column is called, what is in it, and which rows are wanted.

One flat row for each delivery, the same in every format, so that a spreadsheet, `sqlite3` and a
program ask the same questions. A time has two columns: `..._at` is ISO text in UTC, `..._us`
microseconds UTC. Spans are milliseconds, as numbers with a fraction. This module knows neither
files nor formats.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from ackbook.broker.history.world_loading import SnapshotWorlds, begin_audit
from ackbook.journal import SnapshotFile
from ackbook.projections.analysis.audit import audit
from ackbook.projections.analysis.delivery_record import PROVEN, DeliveryRecord
from ackbook.projections.analysis.wait_times import CAUSES, Hold
from ackbook.projections.facts import Level
from ackbook.projections.names import match_key
from ackbook.projections.world.fold import World
from ackbook.tools.cli.output import poor, say
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import Bound

Cell = str | int | float | None
TableRow = dict[str, Cell]


@dataclass(frozen=True, slots=True)
class DeliveryFilter:
    """Which deliveries: enqueued at `since` or later and before `until`, for these agents, with
    these outcomes. Nothing given asks for nothing in particular."""

    since: Bound | None = None
    until: Bound | None = None
    agents: frozenset[str] = frozenset()
    outcomes: frozenset[str] = frozenset()

    def wants(self, life: DeliveryRecord) -> bool:
        """Whether this row belongs to the answer."""
        seq, at = life.enqueued_seq, life.enqueued_at
        if self.since is not None and self.since.is_after(seq, at):
            return False
        if self.until is not None and not self.until.is_after(seq, at):
            return False
        return self.wants_agent(life.agent) and (not self.outcomes or life.outcome in self.outcomes)

    def wants_hold(self, hold: Hold) -> bool:
        """Whether some of this hold lies between the bounds, and it concerns an agent of them."""
        if self.until is not None and not self.until.is_after(hold.since_seq, hold.since_at):
            return False
        ended = (hold.until_seq or 0, hold.until_at or 0)
        if hold.over and self.since is not None and self.since.is_after(*ended):
            return False
        return self.wants_agent(hold.agent)

    def wants_agent(self, name: str) -> bool:
        """Whether what concerns this agent belongs to the answer. Names compare without case."""
        return not self.agents or match_key(name) in self.agents


def read_audit(
    history: JournalHistory, wanted: DeliveryFilter, *, bodies: bool = False
) -> Iterator[DeliveryRecord | Hold]:
    """The lives and holds that are wanted.

    Reading begins at the newest snapshot that lies before everything wanted: a delivery that was
    enqueued earlier is not asked for, and a hold begins in no world in which one lasts. Raises
    `Failure` as `JournalHistory` does.
    """
    world = _world_before(history, wanted.since)
    known = SnapshotWorlds(history.directory, history.head())
    entries = history.entries(world.seq)
    for found in audit(entries, world, bodies=bodies, remembered=known.at):
        match found:
            case DeliveryRecord():
                if wanted.wants(found):
                    yield found
            case Hold():
                if wanted.wants_hold(found):
                    yield found


def lives_of(found: Iterable[DeliveryRecord | Hold]) -> Iterator[DeliveryRecord]:
    """The lives alone."""
    return (each for each in found if isinstance(each, DeliveryRecord))


def row_of(life: DeliveryRecord) -> TableRow:
    """The cells of one delivery, by the names of `COLUMNS`."""
    return {name: column(life) for name, column in COLUMNS.items()}


def first_kept(history: JournalHistory) -> int:
    """The first record of which anything is left, whatever is missing behind it; 0 for none. Raises
    `Failure` as `JournalHistory` does."""
    with history.reading() as reader:
        return min(reader.bases, default=0)


def missing_of(history: JournalHistory) -> list[tuple[int, int]]:
    """The records that a reading that has ended could not give, as pairs of first and last. Raises
    `Failure` as `JournalHistory` does."""
    first = first_kept(history)
    with history.reading() as reader:
        gaps = {(gap.first, gap.last) for gap in reader.gaps}
    return sorted(gaps | {(1, first - 1)} if first > 1 else gaps)


def _world_before(history: JournalHistory, since: Bound | None) -> World:
    def is_before(snapshot: SnapshotFile) -> bool:
        return since is not None and since.is_after(snapshot.seq, snapshot.position.at)

    oldest = first_kept(history)
    world = begin_audit(history.directory, oldest, is_before)
    agents = world.agents.values()
    if any(agent.held is not None or agent.mode != "auto_inject" for agent in agents):
        # When a hold began, and who set it, is only known from what came before.
        world = begin_audit(history.directory, oldest, lambda _: False)
    if oldest > 1 and (since is None or since.is_after(world.seq, world.at)):
        bundle = history.place.bundle
        before = f"what had ended up to record {world.seq}, and what it had waited"
        say(f"{poor('missing:')} {before}" if bundle is None else f"{bundle}, without {before}")
    return world


def _ms(us: int) -> float:
    return us / 1_000


def iso(at: int) -> str:
    """A time in microseconds UTC as text that sorts."""
    return datetime.fromtimestamp(at / 1e6, UTC).isoformat(timespec="microseconds")


def _span(begins: int | None, ends: int | None) -> float | None:
    return None if begins is None or ends is None else _ms(ends - begins)


def _text(time: Callable[[DeliveryRecord], int | None]) -> Callable[[DeliveryRecord], Cell]:
    def column(life: DeliveryRecord) -> Cell:
        at = time(life)
        return None if at is None else iso(at)

    return column


def _waited(cause: str) -> Callable[[DeliveryRecord], Cell]:
    return lambda life: _ms(life.waited.get(cause, 0))


def _reached(level: Level) -> Callable[[DeliveryRecord], int | None]:
    return lambda life: life.reached.get(level)


_TIMES: dict[str, Callable[[DeliveryRecord], int | None]] = {
    "enqueued": lambda life: life.enqueued_at,
    "typed": lambda life: life.typed_at,
    "written": lambda life: life.written_at,
    **{level: _reached(level) for level in PROVEN},
    "ended": lambda life: life.ended_at,
    "letter_dropped": lambda life: life.letter_dropped_at,
}

COLUMNS: dict[str, Callable[[DeliveryRecord], Cell]] = {
    "delivery_id": lambda life: life.delivery_id,
    "event_id": lambda life: life.event_id,
    "sender": lambda life: life.sender,
    "commander": lambda life: life.commander or None,
    "target": lambda life: life.target,
    "agent": lambda life: life.agent,
    "thread": lambda life: life.thread,
    "priority": lambda life: life.priority,
    "body_bytes": lambda life: life.body_bytes,
    "outcome": lambda life: life.outcome,
    "reason": lambda life: life.reason,
    "error": lambda life: life.error or None,
    "level": lambda life: life.level,
    "verification": lambda life: life.verification,
    "attempts": lambda life: life.attempts,
    "retries": lambda life: life.retries,
    "restarts": lambda life: life.restarts,
    "redelivered_of": lambda life: life.redelivered_of,
    "redelivered_as": lambda life: life.redelivered_as,
    "enqueued_seq": lambda life: life.enqueued_seq,
    "typed_seq": lambda life: life.typed_seq,
    "written_seq": lambda life: life.written_seq,
    "ended_seq": lambda life: life.ended_seq,
    **{f"{name}_at": _text(time) for name, time in _TIMES.items()},
    **{f"{name}_us": time for name, time in _TIMES.items()},
    "to_typed_ms": lambda life: _span(life.enqueued_at, life.typed_at),
    "to_seen_ms": lambda life: _span(life.enqueued_at, life.reached.get("seen")),
    "to_ended_ms": lambda life: _span(life.enqueued_at, life.ended_at),
    "typing_ms": lambda life: _ms(life.typing_us),
    "awaiting_ms": lambda life: _ms(life.awaiting_us),
    "waited_ms": lambda life: _ms(sum(life.waited.values())),
    **{f"waited_{cause}_ms": _waited(cause) for cause in CAUSES},
    "whole": lambda life: int(life.whole),
}
"""Every column, in order. `body` is added where bodies are asked for."""
