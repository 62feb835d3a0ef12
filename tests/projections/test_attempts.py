"""What is known of an attempt, from its intent on; the facts alone decide it."""

from __future__ import annotations

from ackbook.projections.codec import entry_of
from ackbook.projections.facts import (
    AgentName,
    AgentReleased,
    AgentSpawned,
    BrokerStarted,
    DeliveryAttempted,
    DeliveryId,
    DeliveryRetried,
    DeliveryWritten,
    EventId,
    Fact,
    MessageEnqueued,
    Recipient,
    Ref,
    Throttle,
)
from ackbook.projections.world.deliveries import RefFields
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.serialization import dump, load

BOB = AgentName("bob")
SPAWNED = AgentSpawned(name=BOB, generation=1, pid=2, command="cat", args=(), cwd="/")
STARTED = BrokerStarted(epoch=2, pid=3, version="0")
PACE = Throttle(delay_ms=0, failures=0, successes=0, next_at=0)


def ref(number: int, attempt: int = 1) -> RefFields:
    return {
        "delivery_id": DeliveryId(f"del_{number}_1"),
        "event_id": EventId(f"evt_{number}"),
        "agent": BOB,
        "sender": "human",
        "target": "bob",
        "attempt": attempt,
    }


def enqueued(number: int) -> MessageEnqueued:
    one = Ref(**ref(number))
    to = (Recipient(delivery_id=one.delivery_id, agent=BOB),)
    return MessageEnqueued(
        event_id=one.event_id, sender="human", target="bob", body="b", deliveries=to
    )


def attempted(number: int) -> DeliveryAttempted:
    return DeliveryAttempted(**ref(number), generation=1, window_ms=5, settle_ms=2)


def folded(*facts: Fact) -> World:
    world = World()
    fold_all(world, [entry_of(seq, seq, fact, (), b"") for seq, fact in enumerate(facts, start=1)])
    return world


def test_an_attempt_is_in_doubt_from_a_start_until_a_fact_says_what_became_of_it() -> None:
    begun = (SPAWNED, enqueued(1), attempted(1), STARTED)
    delivery = folded(*begun).deliveries[DeliveryId("del_1_1")]
    assert (delivery.state, delivery.doubt, delivery.running.seq) == ("typing", True, 3)
    written = DeliveryWritten(**ref(1), generation=1, bytes_written=1, offset=0, window_until=77)
    delivery = folded(*begun, written).deliveries[DeliveryId("del_1_1")]
    assert (delivery.state, delivery.doubt) == ("awaiting", False)
    assert (delivery.running.written_seq, delivery.running.window_until) == (5, 77)
    retried = DeliveryRetried(
        **ref(1), generation=1, failures=1, due_at=9, error="none", throttle=PACE
    )
    delivery = folded(*begun, retried).deliveries[DeliveryId("del_1_1")]
    assert (delivery.state, delivery.doubt, delivery.generation) == ("queued", False, 1)


def test_a_delivery_whose_end_is_lost_outlives_its_agent_and_a_snapshot() -> None:
    lost = folded(SPAWNED, enqueued(1), attempted(1), enqueued(2), attempted(2))
    fold_all(lost, [entry_of(9, 9, AgentReleased(name=BOB, generation=1), (), b"")])
    assert [delivery.delivery_id for delivery in lost.deliveries.values()] == ["del_1_1"]
    lines = list(dump(lost))
    assert list(dump(load([b"".join(line + b"\n" for line in lines)]))) == lines
