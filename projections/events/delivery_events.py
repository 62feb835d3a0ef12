"""Events of the facts about messages and deliveries: the names and fields that clients know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, get_args

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.events.draft import EventDraft
from ackbook.projections.facts import (
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryHeld,
    DeliveryRedelivered,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    DepartureFact,
    Evidence,
    MessageEnqueued,
    MessageRefused,
    Ref,
)
from ackbook.projections.ways_out import departure_of


def _ids(fact: Ref) -> dict[str, object]:
    return {
        "name": fact.agent,
        "delivery_id": fact.delivery_id,
        "event_id": fact.event_id,
    }


def _route(fact: Ref) -> dict[str, object]:
    return {**_ids(fact), "from": fact.sender, "to": fact.target}


def _ms(entry: Entry) -> int:
    return entry.at // 1_000


def _evidence(evidence: Evidence | None) -> object:
    return None if evidence is None else msgspec.to_builtins(evidence)


def _enqueued(entry: Entry, fact: MessageEnqueued) -> Iterator[EventDraft]:
    inbound: dict[str, object] = {
        "event_id": fact.event_id,
        "from": fact.sender,
        "target": fact.target,
        "body": fact.body,
        "thread_id": fact.thread,
        "mode": fact.mode,
        "priority": fact.priority,
    }
    yield "relay_inbound", inbound
    for recipient in fact.deliveries:
        queued: dict[str, object] = {
            "name": recipient.agent,
            "delivery_id": recipient.delivery_id,
            "event_id": fact.event_id,
            "timestamp": _ms(entry),
        }
        if recipient.parked:
            queued |= {
                "from": fact.sender,
                "target": fact.target,
                "reason": "inbound_delivery_manual_flush",
            }
        yield "delivery_queued", queued


def _refused(entry: Entry, fact: MessageRefused) -> Iterator[EventDraft]:
    yield (
        "message_refused",
        {
            "event_id": fact.event_id,
            "from": fact.sender,
            "target": fact.target,
            "reason": fact.reason,
            "message": fact.detail,
        },
    )


def _written(entry: Entry, fact: DeliveryWritten) -> Iterator[EventDraft]:
    yield "delivery_injected", {**_ids(fact), "timestamp": _ms(entry)}


def _acked(entry: Entry, fact: DeliveryAcked) -> Iterator[EventDraft]:
    yield "delivery_ack", {**_ids(fact), "timestamp": _ms(entry)}
    yield "message_delivery_confirmed", {**_route(fact), "verification": fact.verification}
    verified: dict[str, object] = {**_ids(fact), "verification": fact.verification}
    if fact.reason is not None:
        verified["reason"] = fact.reason
    yield (
        "delivery_verified",
        {**verified, "level": fact.level, "evidence": _evidence(fact.evidence)},
    )


def _advanced(entry: Entry, fact: DeliveryAdvanced) -> Iterator[EventDraft]:
    yield (
        "delivery_advanced",
        {**_ids(fact), "level": fact.level, "evidence": _evidence(fact.evidence)},
    )


def _retried(entry: Entry, fact: DeliveryRetried) -> Iterator[EventDraft]:
    yield (
        "delivery_retry",
        {
            **_ids(fact),
            "attempts": fact.attempt,
            "reason": fact.error,
            "due_at_ms": fact.due_at // 1_000,
        },
    )


def _held(entry: Entry, fact: DeliveryHeld) -> Iterator[EventDraft]:
    until = None if fact.until is None else fact.until // 1_000
    yield "delivery_held", {**_ids(fact), "reason": fact.reason, "until_ms": until}


def _resumed(entry: Entry, fact: DeliveryResumed) -> Iterator[EventDraft]:
    yield "delivery_resumed", {**_ids(fact), "reason": fact.reason}


def _dropped(fact: Ref, reason: str) -> EventDraft:
    one: dict[str, object] = {
        "name": fact.agent,
        "count": 1,
        "reason": reason,
        "delivery_id": fact.delivery_id,
        "event_id": fact.event_id,
        "from": fact.sender,
        "delivery_ids": [fact.delivery_id],
        "event_ids": [fact.event_id],
    }
    return "delivery_dropped", one


def _departed(entry: Entry, fact: DepartureFact) -> Iterator[EventDraft]:
    yield _dropped(fact, departure_of(fact).told)


def _letter_dropped(entry: Entry, fact: DeliveryDropped) -> Iterator[EventDraft]:
    yield _dropped(fact, f"dead letters full (max {fact.cap}); dropped the oldest")


def _dead_lettered(entry: Entry, fact: DeliveryDeadLettered) -> Iterator[EventDraft]:
    failed: dict[str, object] = {
        **_route(fact),
        "attempts": fact.attempt,
        "lastError": fact.error or fact.reason,
    }
    yield "message_delivery_failed", failed
    yield "delivery_failed", {**_ids(fact), "reason": fact.reason}
    yield "dead_letter_added", {**_route(fact), "attempts": fact.attempt, "reason": fact.reason}


def _redelivered(entry: Entry, fact: DeliveryRedelivered) -> Iterator[EventDraft]:
    yield "dead_letter_redelivered", {**_ids(fact), "new_delivery_id": fact.new_delivery_id}
    queued: dict[str, object] = {
        "name": fact.agent,
        "delivery_id": fact.new_delivery_id,
        "event_id": fact.event_id,
        "timestamp": _ms(entry),
    }
    yield "delivery_queued", queued


# The second parameter of each rule is the type that is its key, which no annotation can say.
RULES: dict[type, Callable[[Entry, Any], Iterator[EventDraft]]] = {
    MessageEnqueued: _enqueued,
    MessageRefused: _refused,
    DeliveryWritten: _written,
    DeliveryAcked: _acked,
    DeliveryAdvanced: _advanced,
    DeliveryRetried: _retried,
    DeliveryHeld: _held,
    DeliveryResumed: _resumed,
    **dict.fromkeys(get_args(DepartureFact), _departed),
    DeliveryDropped: _letter_dropped,
    DeliveryDeadLettered: _dead_lettered,
    DeliveryRedelivered: _redelivered,
}
