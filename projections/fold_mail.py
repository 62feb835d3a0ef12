"""Folds of the facts about messages and deliveries: in, typed, settled, out.

Every way out of a queue passes `_end`, so that counts are conserved by construction.
"""

from __future__ import annotations

from collections.abc import Callable
from sys import intern
from typing import Any, TypeAlias

from projections.agents import Agent, Held
from projections.codec import Entry
from projections.facts import (
    AgentName,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryAttempted,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryEvicted,
    DeliveryExpired,
    DeliveryHeld,
    DeliveryId,
    DeliveryRedelivered,
    DeliveryReportRefused,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    KeysForgotten,
    MessageEnqueued,
    MessageRefused,
    rank,
)
from projections.holes import Live, of_live
from projections.mail import DeadLetter, Delivery, EndedState, KeyAnswer, Message, Settled
from projections.state import REDELIVERED_MAX, World, key_of


def _enqueued(world: World, entry: Entry, fact: MessageEnqueued) -> None:
    message = Message(
        event_id=fact.event_id,
        seq=entry.seq,
        sender=intern(fact.sender),
        target=intern(fact.target),
        body=fact.body,
        thread=fact.thread,
        priority=fact.priority,
        mode=fact.mode,
        need=fact.need,
    )
    world.messages[fact.event_id] = message
    for recipient in fact.deliveries:
        _join(world, entry, message, recipient.agent, recipient.delivery_id, fact.expires_at)
    if not message.open:
        del world.messages[fact.event_id]
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
    delivery = Delivery(
        delivery_id=delivery_id,
        message=message,
        agent=agent.name,
        joined=entry.seq,
        queued_at=entry.at,
        expires_at=expires_at,
    )
    message.open += 1
    world.counts["enqueued"] += 1
    world.deliveries[delivery_id] = delivery
    agent.queue.join(delivery)
    agent.newest = message.event_id
    if expires_at is not None:
        world.deadlines.put(("ttl", delivery_id), expires_at)
    world.schedule(agent)


def _schedule_keys(world: World) -> None:
    oldest = next(iter(world.keys.values()), None)
    world.deadlines.put(("keys", ""), None if oldest is None else oldest.until)


def _keys_forgotten(world: World, entry: Entry, fact: KeysForgotten) -> None:
    for key in fact.keys:
        world.keys.pop(key, None)
    _schedule_keys(world)


def _attempted(world: World, entry: Entry, fact: DeliveryAttempted, live: Live) -> None:
    delivery, agent = live
    agent.queue.leave(delivery)
    delivery.state, delivery.doubt = "typing", False
    delivery.attempt, delivery.attempted_seq = fact.attempt, entry.seq
    delivery.generation, delivery.hint = fact.generation, fact.hint
    delivery.window_ms, delivery.settle_ms = fact.window_ms, fact.settle_ms
    delivery.input_empty = False
    agent.flowing, agent.held = delivery, None
    if fact.hint:
        agent.hint_at, agent.hint_offset = entry.at, agent.last_offset
    if delivery.expires_at is not None:
        world.deadlines.put(("ttl", delivery.delivery_id), None)
    world.schedule(agent)


def _written(world: World, entry: Entry, fact: DeliveryWritten, live: Live) -> None:
    delivery, agent = live
    delivery.state, delivery.doubt = "awaiting", False
    delivery.written_seq, delivery.window_until = entry.seq, fact.window_until
    agent.last_offset = fact.offset
    world.schedule(agent)


def _acked(world: World, entry: Entry, fact: DeliveryAcked, live: Live) -> None:
    delivery, agent = live
    settled = _end(world, entry, delivery, agent, "acked")
    settled.level, settled.verification = fact.level, fact.verification
    settled.reason, settled.evidence = fact.reason, fact.evidence
    agent.throttle, agent.override = fact.throttle, False
    if fact.occupied:
        agent.occupied, agent.occupied_until = fact.delivery_id, fact.hold_until
        agent.occupied_seq = entry.seq
    world.schedule(agent)


def _advanced(world: World, entry: Entry, fact: DeliveryAdvanced) -> None:
    leaves_input = rank(fact.level) >= rank("submitted") or (
        fact.evidence is not None and fact.evidence.how == "input_emptied"
    )
    agent = world.agents.get(key_of(fact.agent))
    delivery = world.deliveries.get(fact.delivery_id)
    if delivery is not None and leaves_input:
        delivery.input_empty = True
    settled = world.settled.get(fact.delivery_id)
    if settled is not None and rank(fact.level) > rank(settled.level):
        settled.level, settled.evidence = fact.level, fact.evidence
    if agent is not None and agent.occupied == fact.delivery_id and leaves_input:
        agent.occupied = agent.occupied_until = None
        world.schedule(agent)


def _retried(world: World, entry: Entry, fact: DeliveryRetried, live: Live) -> None:
    delivery, agent = live
    _back(world, agent, delivery)
    delivery.failures, delivery.due_at = fact.failures, fact.due_at
    agent.throttle, agent.override = fact.throttle, False
    world.schedule(agent)


def _held(world: World, entry: Entry, fact: DeliveryHeld, live: Live) -> None:
    delivery, agent = live
    if fact.undone:
        _back(world, agent, delivery)
        agent.state, agent.state_seq, agent.state_at = "blocked", entry.seq, entry.at
        agent.blocked, agent.blocked_until = fact.reason, fact.until
        agent.override = False
    agent.held = Held(fact.delivery_id, fact.reason, entry.seq, entry.at)
    world.schedule(agent)


def _resumed(world: World, entry: Entry, fact: DeliveryResumed, live: Live) -> None:
    live[1].held = None


def _back(world: World, agent: Agent, delivery: Delivery) -> None:
    if delivery.state != "queued":
        agent.queue.rejoin(delivery)
    delivery.state, delivery.doubt = "queued", False
    if agent.flowing is delivery:
        agent.flowing = None
    if delivery.expires_at is not None:
        world.deadlines.put(("ttl", delivery.delivery_id), delivery.expires_at)


_Left: TypeAlias = DeliveryEvicted | DeliveryExpired | DeliveryCancelled


def _dropped_from_queue(world: World, entry: Entry, fact: _Left, live: Live) -> None:
    states: dict[type, EndedState] = {
        DeliveryEvicted: "evicted",
        DeliveryExpired: "expired",
        DeliveryCancelled: "cancelled",
    }
    delivery, agent = live
    _end(world, entry, delivery, agent, states[type(fact)]).reason = fact.reason
    world.schedule(agent)


def _dead_lettered(world: World, entry: Entry, fact: DeliveryDeadLettered, live: Live) -> None:
    delivery, agent = live
    delivery.message.open += 1
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
    _end(world, entry, delivery, agent, "dead_letter").reason = fact.reason
    world.schedule(agent)


def _end(
    world: World, entry: Entry, delivery: Delivery, agent: Agent, state: EndedState
) -> Settled:
    if agent.flowing is delivery:
        agent.flowing = None
    else:
        agent.queue.leave(delivery)
    if agent.held is not None and agent.held.delivery_id == delivery.delivery_id:
        agent.held = None
    settled = world.remember(delivery, state, entry.seq)
    world.close(delivery.message)
    return settled


def _dropped(world: World, entry: Entry, fact: DeliveryDropped) -> None:
    """A dead letter is gone; its delivery had ended before, so no count changes."""
    if (letter := world.dead_letters.pop(fact.delivery_id, None)) is not None:
        world.close(letter.message)
    if (settled := world.settled.get(fact.delivery_id)) is not None:
        settled.state, settled.reason, settled.seq = "dropped", fact.reason, entry.seq


def _redelivered(world: World, entry: Entry, fact: DeliveryRedelivered) -> None:
    letter = world.dead_letters.pop(fact.delivery_id, None)
    message = world.messages.get(fact.event_id)
    if message is None:
        message = world.messages[fact.event_id] = Message(
            event_id=fact.event_id,
            seq=int(fact.event_id.removeprefix("evt_"), 16),
            sender=fact.sender,
            target=fact.target,
            body=None,
            thread=fact.thread,
            priority=fact.priority,
            mode=fact.mode,
            need=fact.need,
        )
    _join(world, entry, message, fact.agent, fact.new_delivery_id)
    if not message.open:
        del world.messages[fact.event_id]
    if letter is not None:
        world.close(letter.message)
    if (settled := world.settled.get(fact.delivery_id)) is not None:
        settled.new_delivery_id = fact.new_delivery_id
    world.redelivered[fact.delivery_id] = fact.new_delivery_id
    if len(world.redelivered) > REDELIVERED_MAX:
        world.redelivered.popitem(last=False)


def _nothing(world: World, entry: Entry, fact: object) -> None:
    """Told to whoever asks why; it changes nothing."""


FOLDS: dict[type, Callable[[World, Entry, Any], None]] = {
    MessageEnqueued: _enqueued,
    MessageRefused: _nothing,
    KeysForgotten: _keys_forgotten,
    DeliveryAttempted: of_live(_attempted),
    DeliveryWritten: of_live(_written),
    DeliveryAcked: of_live(_acked),
    DeliveryAdvanced: _advanced,
    DeliveryRetried: of_live(_retried),
    DeliveryHeld: of_live(_held),
    DeliveryResumed: of_live(_resumed),
    DeliveryEvicted: of_live(_dropped_from_queue),
    DeliveryExpired: of_live(_dropped_from_queue),
    DeliveryCancelled: of_live(_dropped_from_queue),
    DeliveryDropped: _dropped,
    DeliveryDeadLettered: of_live(_dead_lettered),
    DeliveryRedelivered: _redelivered,
    DeliveryReportRefused: _nothing,
}
