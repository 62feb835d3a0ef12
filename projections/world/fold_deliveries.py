"""Folds of the facts about messages and deliveries: in, typed, settled, out.

Every way out of the world passes `_leave` and `World.remember`, so that counts are conserved by
construction.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any, get_args

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentName,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryAttempted,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryHeld,
    DeliveryId,
    DeliveryRedelivered,
    DeliveryReportRefused,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    DepartureFact,
    KeysForgotten,
    MessageEnqueued,
    MessageRefused,
    rank,
)
from ackbook.projections.ids import position_in
from ackbook.projections.ways_out import departure_of
from ackbook.projections.world.agents import Agent, Held
from ackbook.projections.world.deliveries import (
    Attempt,
    DeadLetter,
    Delivery,
    KeyAnswer,
    Message,
)
from ackbook.projections.world.state import REDELIVERED_MAX, World, key_of


def _enqueued(world: World, entry: Entry, fact: MessageEnqueued) -> None:
    message = message_of(entry, fact)
    for recipient in fact.deliveries:
        _join(world, entry, message, recipient.agent, recipient.delivery_id, fact.expires_at)
    if fact.key is not None and fact.key_until is not None:
        world.keys.pop((fact.sender, fact.key), None)  # a new use comes last in the order of age
        world.keys[(fact.sender, fact.key)] = KeyAnswer(
            event_id=fact.event_id,
            seq=entry.seq,
            target=fact.target,
            content=fact.content,
            until=fact.key_until,
            deliveries=tuple((r.delivery_id, r.agent) for r in fact.deliveries),
            refused=fact.refused,
        )
        _schedule_keys(world)


def message_of(entry: Entry, fact: MessageEnqueued) -> Message:
    """The message that this entry took."""
    return Message(
        fact.event_id,
        entry.seq,
        intern(fact.sender),
        intern(fact.target),
        fact.body,
        fact.thread,
        fact.priority,
        fact.mode,
        fact.need,
        intern(fact.commander),
    )


def _join(
    world: World,
    entry: Entry,
    message: Message,
    name: AgentName,
    delivery_id: DeliveryId,
    expires_at: int | None = None,
) -> None:
    if (agent := world.agents.get(key_of(name))) is None:
        return
    delivery = Delivery(delivery_id, message, agent.name, entry.seq, entry.at, expires_at)
    world.deliveries[delivery_id] = delivery
    world.counts["enqueued"] += 1
    agent.queue.join(delivery)
    agent.newest = message.event_id
    if expires_at is not None:
        world.deadlines.put(("ttl", delivery_id), expires_at)
    world.moved[agent.name] = agent


def _schedule_keys(world: World) -> None:
    oldest = next(iter(world.keys.values()), None)
    world.deadlines.put(("keys", ""), None if oldest is None else oldest.until)


def _keys_forgotten(world: World, entry: Entry, fact: KeysForgotten) -> None:
    for key in fact.keys:
        world.keys.pop(key, None)
    _schedule_keys(world)


def _attempted(
    world: World, entry: Entry, fact: DeliveryAttempted, delivery: Delivery, agent: Agent
) -> None:
    agent.queue.leave(delivery)
    delivery.attempt, delivery.latest = fact.attempt, Attempt(fact, entry.seq)
    agent.flowing, agent.held = delivery, None
    if fact.hint:
        agent.hint_at, agent.hint_offset = entry.at, agent.last_offset
    if delivery.expires_at is not None:
        world.deadlines.put(("ttl", delivery.delivery_id), None)


def _written(
    world: World, entry: Entry, fact: DeliveryWritten, delivery: Delivery, agent: Agent
) -> None:
    agent.last_offset = fact.offset
    if (attempt := delivery.latest) is not None:
        attempt.written_seq, attempt.window_until = entry.seq, fact.window_until
        attempt.doubt = False


def _acked(
    world: World, entry: Entry, fact: DeliveryAcked, delivery: Delivery, agent: Agent
) -> None:
    _leave(delivery, agent)
    world.remember(
        delivery, "acked", entry.seq, fact.reason, fact.level, fact.verification, fact.evidence
    )
    agent.throttle, agent.override = fact.throttle, False
    if fact.occupied:
        agent.occupied, agent.occupied_until = fact.delivery_id, fact.hold_until
        agent.occupied_seq = entry.seq


def _advanced(world: World, entry: Entry, fact: DeliveryAdvanced) -> None:
    leaves_input = rank(fact.level) >= rank("submitted") or (
        fact.evidence is not None and fact.evidence.how == "input_emptied"
    )
    agent = world.agents.get(key_of(fact.agent))
    delivery = world.deliveries.get(fact.delivery_id)
    if delivery is not None and delivery.latest is not None and leaves_input:
        delivery.latest.input_empty = True
    settled = world.settled.get(fact.delivery_id)
    if settled is not None and rank(fact.level) > rank(settled.level):
        settled.level, settled.evidence = fact.level, fact.evidence
    if agent is not None and agent.occupied == fact.delivery_id and leaves_input:
        agent.occupied = agent.occupied_until = None
        world.moved[agent.name] = agent


def _retried(
    world: World, entry: Entry, fact: DeliveryRetried, delivery: Delivery, agent: Agent
) -> None:
    _back(world, agent, delivery)
    delivery.failures, delivery.due_at = fact.failures, fact.due_at
    agent.throttle, agent.override = fact.throttle, False


def _held(world: World, entry: Entry, fact: DeliveryHeld, delivery: Delivery, agent: Agent) -> None:
    if fact.undone:
        _back(world, agent, delivery)
        agent.state, agent.state_seq, agent.state_at = "blocked", entry.seq, entry.at
        agent.blocked, agent.blocked_until = fact.reason, fact.until
        agent.override = False
    agent.held = Held(fact.delivery_id, fact.reason, entry.seq, entry.at)


def _resumed(
    world: World, entry: Entry, fact: DeliveryResumed, delivery: Delivery, agent: Agent
) -> None:
    agent.held = None


def _back(world: World, agent: Agent, delivery: Delivery) -> None:
    if not delivery.waiting:
        agent.queue.rejoin(delivery)
    if delivery.latest is not None:
        delivery.latest.doubt = False
    if agent.flowing is delivery:
        agent.flowing = None
    if delivery.expires_at is not None:
        world.deadlines.put(("ttl", delivery.delivery_id), delivery.expires_at)


def _departed(
    world: World, entry: Entry, fact: DepartureFact, delivery: Delivery, agent: Agent
) -> None:
    _leave(delivery, agent)
    world.remember(delivery, departure_of(fact).state, entry.seq, fact.reason)


def _dead_lettered(
    world: World, entry: Entry, fact: DeliveryDeadLettered, delivery: Delivery, agent: Agent
) -> None:
    world.dead_letters[fact.delivery_id] = DeadLetter(
        delivery_id=fact.delivery_id,
        message=delivery.message,
        agent=delivery.agent,
        attempt=fact.attempt,
        reason=fact.reason,
        error=fact.error,
        queued_at=fact.queued_at,
        failed_at=entry.at,
        seq=entry.seq,
    )
    _leave(delivery, agent)
    world.remember(delivery, "dead_letter", entry.seq, fact.reason)


def _leave(delivery: Delivery, agent: Agent) -> None:
    if agent.flowing is delivery:
        agent.flowing = None
    else:
        agent.queue.leave(delivery)
    if agent.held is not None and agent.held.delivery_id == delivery.delivery_id:
        agent.held = None


def _dropped(world: World, entry: Entry, fact: DeliveryDropped) -> None:
    """A dead letter is gone; its delivery had ended before, so no count changes."""
    world.dead_letters.pop(fact.delivery_id, None)
    if (settled := world.settled.get(fact.delivery_id)) is not None:
        settled.state, settled.reason, settled.seq = "dropped", fact.reason, entry.seq


def _redelivered(world: World, entry: Entry, fact: DeliveryRedelivered) -> None:
    letter = world.dead_letters.pop(fact.delivery_id, None)
    message = message_again(fact) if letter is None else letter.message
    _join(world, entry, message, fact.agent, fact.new_delivery_id)
    if (settled := world.settled.get(fact.delivery_id)) is not None:
        settled.new_delivery_id = fact.new_delivery_id
    world.redelivered[fact.delivery_id] = fact.new_delivery_id
    if len(world.redelivered) > REDELIVERED_MAX:
        world.redelivered.popitem(last=False)


def message_again(fact: DeliveryRedelivered) -> Message:
    """The message of a delivery that is queued again, without its body."""
    return Message(
        event_id=fact.event_id,
        seq=position_in(fact.event_id),
        sender=fact.sender,
        target=fact.target,
        body=None,
        thread=fact.thread,
        priority=fact.priority,
        mode=fact.mode,
        need=fact.need,
        commander=fact.commander,
    )


def _nothing(world: World, entry: Entry, fact: object) -> None:
    """Told to whoever asks why; it changes nothing."""


FOLDS: dict[type, Callable[[World, Entry, Any], None]] = {
    MessageEnqueued: _enqueued,
    MessageRefused: _nothing,
    KeysForgotten: _keys_forgotten,
    DeliveryAdvanced: _advanced,
    DeliveryDropped: _dropped,
    DeliveryRedelivered: _redelivered,
    DeliveryReportRefused: _nothing,
}

LIVE_FOLDS: dict[type, Callable[[World, Entry, Any, Delivery, Agent], None]] = {
    DeliveryAttempted: _attempted,
    DeliveryWritten: _written,
    DeliveryAcked: _acked,
    DeliveryRetried: _retried,
    DeliveryHeld: _held,
    DeliveryResumed: _resumed,
    **dict.fromkeys(get_args(DepartureFact), _departed),
    DeliveryDeadLettered: _dead_lettered,
}
"""Of the facts about a delivery that is not yet settled; its agent's deadline may have moved."""
