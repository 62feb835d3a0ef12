"""Deadlines are worked out when a rule asks for one, and are those of what is there then."""

from __future__ import annotations

from ackbook.projections.codec import entry_of
from ackbook.projections.facts import AgentBlocked, AgentName, AgentReleased, AgentSpawned, Fact
from ackbook.projections.world.fold import World, fold, fold_all, next_deadline

BOB = AgentName("bob")
UNTIL = 1_000_000
STORY: tuple[Fact, ...] = (
    AgentSpawned(name=BOB, generation=1, pid=2, command="cat", args=(), cwd="/"),
    AgentBlocked(name=BOB, generation=1, reason="busy", until=UNTIL),
    AgentReleased(name=BOB, generation=1),
)
ENTRIES = [entry_of(seq, 1_000 * seq, fact, (), b"") for seq, fact in enumerate(STORY, start=1)]


def test_a_released_agent_has_no_deadline_whether_or_not_one_was_asked_for() -> None:
    asked, unasked = World(), World()
    fold_all(asked, ENTRIES[:-1])
    assert next_deadline(asked) == UNTIL
    fold(asked, ENTRIES[-1])
    fold_all(unasked, ENTRIES)
    assert next_deadline(asked) is None
    assert next_deadline(unasked) is None
