"""A row about an agent says all that waits for it, also what is in its terminal and not settled."""

from __future__ import annotations

from ackbook.projections.analysis.rows import agent_rows, pending_rows, waiting_rows
from ackbook.projections.codec import entry_of
from ackbook.projections.facts import (
    AgentName,
    AgentReady,
    AgentSpawned,
    DeliveryAttempted,
    DeliveryId,
    EventId,
    Fact,
    MessageEnqueued,
    Recipient,
)
from ackbook.projections.world.fold import World, fold_all

BOB = AgentName("bob")
SECOND_US = 1_000_000


def after(*facts: Fact) -> World:
    """The world after these, a second apart, the first at a second after the epoch."""
    world = World()
    timed = enumerate(facts, start=1)
    fold_all(world, [entry_of(seq, seq * SECOND_US, fact, (), b"") for seq, fact in timed])
    return world


def sent(number: int) -> MessageEnqueued:
    to = (Recipient(delivery_id=DeliveryId(f"del_{number:x}_1"), agent=BOB),)
    event_id = EventId(f"evt_{number:x}")
    return MessageEnqueued(event_id=event_id, sender="amy", target=BOB, body="", deliveries=to)


def test_what_is_being_typed_waits_like_what_is_in_the_queue() -> None:
    attempted = DeliveryAttempted(
        delivery_id=DeliveryId("del_3_1"),
        event_id=EventId("evt_3"),
        agent=BOB,
        sender="amy",
        target=BOB,
        attempt=1,
        generation=1,
        window_ms=1_000,
        settle_ms=0,
    )
    world = after(
        AgentSpawned(name=BOB, generation=1, pid=99, command="cat", args=("-u",), cwd="/srv"),
        AgentReady(name=BOB, generation=1, how="quiet"),
        sent(3),
        sent(4),
        attempted,
    )
    [row] = agent_rows(world, at=10 * SECOND_US)
    assert (row.name, row.state, row.pid, row.command) == ("bob", "ready", 99, ["cat", "-u"])
    assert (row.pending, row.since_ms) == (2, 2_000)
    assert [(each.delivery_id, each.state) for each in pending_rows(world)] == [
        ("del_3_1", "typing"),
        ("del_4_1", "queued"),
    ]
    assert [each.age_ms for each in waiting_rows(world, at=10 * SECOND_US)] == [7_000, 6_000]
