"""A queue is first in, first out within a priority; what is remembered of the past has a bound."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ackbook.projections.codec import entry_of
from ackbook.projections.facts import (
    AgentName,
    AgentSpawned,
    DeliveryCancelled,
    DeliveryId,
    EventId,
    Fact,
    MessageEnqueued,
    Recipient,
)
from ackbook.projections.world.deliveries import PRIORITIES, Delivery, Message, Queue
from ackbook.projections.world.fold import World, fold_all
from ackbook.projections.world.state import SETTLED_MAX

BOB = AgentName("bob")


def delivery(number: int, priority: int) -> Delivery:
    event_id = EventId(f"evt_{number:x}")
    message = Message(event_id, number, "human", BOB, "body", None, priority, "wait", "seen")
    return Delivery(DeliveryId(f"del_{number:x}_1"), message, BOB, number, number)


@given(
    st.lists(st.tuples(st.sampled_from(["join", "leave", "try"]), st.integers(0, 200)), max_size=99)
)
def test_a_queue_gives_what_waits_most_urgent_and_oldest_first(
    steps: list[tuple[str, int]],
) -> None:
    queue, model = Queue(), list[Delivery]()
    for number, (step, choice) in enumerate(steps, start=1):
        if step == "join":
            model.append(delivery(number, choice % PRIORITIES))
            queue.join(model[-1])
        elif model:
            chosen = model[choice % len(model)]
            queue.leave(chosen)
            queue.leave(chosen)
            if step == "leave":
                model.remove(chosen)
            elif chosen is next(d for d in model if d.message.priority == chosen.message.priority):
                queue.rejoin(chosen)
            else:
                model.remove(chosen)
        queue.check()
        model.sort(key=lambda d: (d.message.priority, d.joined))
        assert [d.joined for d in queue] == [d.joined for d in model]
        assert len(queue) == len(model)
        assert queue.head() is (model[0] if model else None)


def test_what_left_from_the_middle_stands_once_when_it_comes_back() -> None:
    queue = Queue()
    first, second, third = (delivery(number, 2) for number in (1, 2, 3))
    for each in (first, second, third):
        queue.join(each)
    queue.leave(second)
    queue.rejoin(second)
    assert list(queue) == [second, first, third]
    assert len(queue) == 3


def test_of_the_settled_only_the_last_are_remembered() -> None:
    facts: list[Fact] = [
        AgentSpawned(name=BOB, generation=1, pid=2, command="cat", args=(), cwd="/")
    ]
    for number in range(SETTLED_MAX + 500):
        one, other = EventId(f"evt_{number:x}"), DeliveryId(f"del_{number:x}_1")
        to = (Recipient(delivery_id=other, agent=BOB),)
        facts.append(
            MessageEnqueued(event_id=one, sender="human", target=BOB, body="", deliveries=to)
        )
        facts.append(
            DeliveryCancelled(
                delivery_id=other, event_id=one, agent=BOB, sender="human", target=BOB, attempt=0
            )
        )
    world = World()
    fold_all(world, [entry_of(seq, seq, fact, (), b"") for seq, fact in enumerate(facts, start=1)])
    world.check()
    remembered = list(world.settled)
    assert SETTLED_MAX * 9 // 10 <= len(remembered) <= SETTLED_MAX
    newest = SETTLED_MAX + 500 - len(remembered)
    assert remembered == [f"del_{number:x}_1" for number in range(newest, SETTLED_MAX + 500)]
