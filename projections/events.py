"""Events: what outsiders may see of an entry. Derived, never stored.

`derive` sees one entry and nothing else, so every event can be made again from the journal, at any
time and place. Names and fields are those that clients of this kind of broker know; ours besides
are `seq`, `record`, and what proof we have. Event i (from 0) of record s has the cursor
`seq = s * 1024 + i`: strictly increasing, not dense, the same after every restart.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import orjson

from projections.codec import Entry
from projections.facts import (
    AgentDied,
    AgentExited,
    AgentIdle,
    AgentModeChanged,
    AgentReady,
    AgentReleased,
    AgentRestarting,
    AgentResult,
    AgentSpawned,
    AgentSubscribed,
    AgentUnsubscribed,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryEvicted,
    DeliveryExpired,
    DeliveryHeld,
    DeliveryRedelivered,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    Evidence,
    MessageEnqueued,
    MessageRefused,
    QueueFlushed,
    Ref,
)

EVENTS_PER_RECORD = 1024
"""So many cursors each record has; a message to 1,000 recipients needs 1,001."""

Draft = tuple[str, dict[str, object]]


class Event(msgspec.Struct, frozen=True):
    """One event. `seq` is its cursor, `record` the journal's seq, `fields` are flat JSON."""

    kind: str
    seq: int
    record: int
    fields: dict[str, object]


def derive(entry: Entry) -> tuple[Event, ...]:
    """The events of one entry, in the order in which clients expect them."""
    rule = _RULES.get(type(entry.fact))
    if rule is None:
        return ()
    first = entry.seq * EVENTS_PER_RECORD
    return tuple(
        Event(kind, first + i, entry.seq, fields)
        for i, (kind, fields) in enumerate(rule(entry, entry.fact))
    )


def to_json(event: Event) -> bytes:
    """A flat object: kind, seq, record and the fields."""
    return orjson.dumps(
        {"kind": event.kind, "seq": event.seq, "record": event.record, **event.fields}
    )


def cursor_of(record: int) -> int:
    """The cursor behind everything that this record derives."""
    return record * EVENTS_PER_RECORD + EVENTS_PER_RECORD - 1


def record_of(cursor: int) -> int:
    """The record that a cursor points into."""
    return cursor // EVENTS_PER_RECORD


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


def _enqueued(entry: Entry, fact: MessageEnqueued) -> Iterator[Draft]:
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


def _refused(entry: Entry, fact: MessageRefused) -> Iterator[Draft]:
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


def _written(entry: Entry, fact: DeliveryWritten) -> Iterator[Draft]:
    yield "delivery_injected", {**_ids(fact), "timestamp": _ms(entry)}


def _acked(entry: Entry, fact: DeliveryAcked) -> Iterator[Draft]:
    yield "delivery_ack", {**_ids(fact), "timestamp": _ms(entry)}
    yield "message_delivery_confirmed", {**_route(fact), "verification": fact.verification}
    verified: dict[str, object] = {**_ids(fact), "verification": fact.verification}
    if fact.reason is not None:
        verified["reason"] = fact.reason
    yield (
        "delivery_verified",
        {**verified, "level": fact.level, "evidence": _evidence(fact.evidence)},
    )


def _advanced(entry: Entry, fact: DeliveryAdvanced) -> Iterator[Draft]:
    yield (
        "delivery_advanced",
        {**_ids(fact), "level": fact.level, "evidence": _evidence(fact.evidence)},
    )


def _retried(entry: Entry, fact: DeliveryRetried) -> Iterator[Draft]:
    yield (
        "delivery_retry",
        {
            **_ids(fact),
            "attempts": fact.attempt,
            "reason": fact.error,
            "due_at_ms": fact.due_at // 1_000,
        },
    )


def _held(entry: Entry, fact: DeliveryHeld) -> Iterator[Draft]:
    until = None if fact.until is None else fact.until // 1_000
    yield "delivery_held", {**_ids(fact), "reason": fact.reason, "until_ms": until}


def _resumed(entry: Entry, fact: DeliveryResumed) -> Iterator[Draft]:
    yield "delivery_resumed", {**_ids(fact), "reason": fact.reason}


def _dropped(fact: Ref, reason: str) -> Draft:
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


def _evicted(entry: Entry, fact: DeliveryEvicted) -> Iterator[Draft]:
    reason = f"pending queue full (max {fact.cap}); evicted oldest message from {fact.sender}"
    yield _dropped(fact, reason)


def _expired(entry: Entry, fact: DeliveryExpired) -> Iterator[Draft]:
    yield _dropped(fact, "ttl: its time to live ran out before it was typed")


def _cancelled(entry: Entry, fact: DeliveryCancelled) -> Iterator[Draft]:
    yield _dropped(fact, f"cancelled by {fact.by or 'the operator'}")


def _letter_dropped(entry: Entry, fact: DeliveryDropped) -> Iterator[Draft]:
    yield _dropped(fact, f"dead letters full (max {fact.cap}); dropped the oldest")


def _dead_lettered(entry: Entry, fact: DeliveryDeadLettered) -> Iterator[Draft]:
    failed: dict[str, object] = {
        **_route(fact),
        "attempts": fact.attempt,
        "lastError": fact.error or fact.reason,
    }
    yield "message_delivery_failed", failed
    yield "delivery_failed", {**_ids(fact), "reason": fact.reason}
    yield "dead_letter_added", {**_route(fact), "attempts": fact.attempt, "reason": fact.reason}


def _redelivered(entry: Entry, fact: DeliveryRedelivered) -> Iterator[Draft]:
    yield "dead_letter_redelivered", {**_ids(fact), "new_delivery_id": fact.new_delivery_id}
    queued: dict[str, object] = {
        "name": fact.agent,
        "delivery_id": fact.new_delivery_id,
        "event_id": fact.event_id,
        "timestamp": _ms(entry),
    }
    yield "delivery_queued", queued


def _spawned(entry: Entry, fact: AgentSpawned) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "runtime": fact.runtime,
        "cli": fact.cli,
        "model": fact.model,
        "sessionId": fact.session_id,
        "pid": fact.pid,
        "source": fact.source,
        "generation": str(fact.generation),
    }
    yield "agent_spawned", fields
    if fact.source == "restart":
        yield "agent_restarted", {"name": fact.name, "restart_count": fact.restart_count}


def _ready(entry: Entry, fact: AgentReady) -> Iterator[Draft]:
    if fact.first:
        fields: dict[str, object] = {
            "name": fact.name,
            "runtime": fact.runtime,
            "cli": fact.cli,
            "model": fact.model,
            "sessionId": fact.session_id,
            "pid": fact.pid,
            "generation": str(fact.generation),
        }
        yield "worker_ready", fields


def _exited(entry: Entry, fact: AgentExited) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "code": fact.code,
        "signal": fact.signal,
        "reason": fact.reason,
        "generation": str(fact.generation),
    }
    yield "agent_exited", fields


def _restarting(entry: Entry, fact: AgentRestarting) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "code": fact.code,
        "signal": fact.signal,
        "restart_count": fact.restart_count,
        "delay_ms": fact.delay_ms,
    }
    yield "agent_restarting", fields


def _died(entry: Entry, fact: AgentDied) -> Iterator[Draft]:
    yield "agent_permanently_dead", {"name": fact.name, "reason": fact.reason}


def _released(entry: Entry, fact: AgentReleased) -> Iterator[Draft]:
    if fact.dropped:
        fields: dict[str, object] = {
            "name": fact.name,
            "count": len(fact.dropped),
            "reason": "agent_released",
            "delivery_ids": [ref.delivery_id for ref in fact.dropped],
            "event_ids": [ref.event_id for ref in fact.dropped],
        }
        yield "delivery_dropped", fields
    yield "agent_released", {"name": fact.name}


def _mode_changed(entry: Entry, fact: AgentModeChanged) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "previous_mode": fact.previous_mode,
        "mode": fact.mode,
        "revision": str(fact.revision),
    }
    yield "agent_inbound_delivery_mode_changed", fields


def _flushed(entry: Entry, fact: QueueFlushed) -> Iterator[Draft]:
    yield (
        "agent_pending_drained",
        {"name": fact.name, "count": fact.count, "reason": fact.reason},
    )


def _subscribed(entry: Entry, fact: AgentSubscribed) -> Iterator[Draft]:
    yield "channel_subscribed", {"name": fact.name, "channels": list(fact.channels)}


def _unsubscribed(entry: Entry, fact: AgentUnsubscribed) -> Iterator[Draft]:
    yield "channel_unsubscribed", {"name": fact.name, "channels": list(fact.channels)}


def _idle(entry: Entry, fact: AgentIdle) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "idle_secs": fact.idle_secs,
        "since": fact.since // 1_000,
        "generation": str(fact.generation),
    }
    yield "agent_idle", fields


def _result(entry: Entry, fact: AgentResult) -> Iterator[Draft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "result_id": fact.result_id,
        "data": orjson.loads(bytes(fact.data)),
        "final": fact.final,
        "metadata": orjson.loads(bytes(fact.metadata)),
        "generation": str(fact.generation),
    }
    yield "agent_result", fields


# The second parameter of each rule is the type that is its key, which no annotation can say.
_RULES: dict[type, Callable[[Entry, Any], Iterator[Draft]]] = {
    MessageEnqueued: _enqueued,
    MessageRefused: _refused,
    DeliveryWritten: _written,
    DeliveryAcked: _acked,
    DeliveryAdvanced: _advanced,
    DeliveryRetried: _retried,
    DeliveryHeld: _held,
    DeliveryResumed: _resumed,
    DeliveryEvicted: _evicted,
    DeliveryExpired: _expired,
    DeliveryCancelled: _cancelled,
    DeliveryDropped: _letter_dropped,
    DeliveryDeadLettered: _dead_lettered,
    DeliveryRedelivered: _redelivered,
    AgentSpawned: _spawned,
    AgentReady: _ready,
    AgentExited: _exited,
    AgentRestarting: _restarting,
    AgentDied: _died,
    AgentReleased: _released,
    AgentModeChanged: _mode_changed,
    QueueFlushed: _flushed,
    AgentSubscribed: _subscribed,
    AgentUnsubscribed: _unsubscribed,
    AgentIdle: _idle,
    AgentResult: _result,
}
