"""Events of the facts about agents: the names and fields that clients know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import orjson

from ackbook.projections.codec import Entry
from ackbook.projections.events.draft import EventDraft
from ackbook.projections.facts import (
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
    QueueFlushed,
)


def _spawned(entry: Entry, fact: AgentSpawned) -> Iterator[EventDraft]:
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


def _ready(entry: Entry, fact: AgentReady) -> Iterator[EventDraft]:
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


def _exited(entry: Entry, fact: AgentExited) -> Iterator[EventDraft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "code": fact.code,
        "signal": fact.signal,
        "reason": fact.reason,
        "generation": str(fact.generation),
    }
    yield "agent_exited", fields


def _restarting(entry: Entry, fact: AgentRestarting) -> Iterator[EventDraft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "code": fact.code,
        "signal": fact.signal,
        "restart_count": fact.restart_count,
        "delay_ms": fact.delay_ms,
    }
    yield "agent_restarting", fields


def _died(entry: Entry, fact: AgentDied) -> Iterator[EventDraft]:
    yield "agent_permanently_dead", {"name": fact.name, "reason": fact.reason}


def _released(entry: Entry, fact: AgentReleased) -> Iterator[EventDraft]:
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


def _mode_changed(entry: Entry, fact: AgentModeChanged) -> Iterator[EventDraft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "previous_mode": fact.previous_mode,
        "mode": fact.mode,
        "revision": str(fact.revision),
    }
    yield "agent_inbound_delivery_mode_changed", fields


def _flushed(entry: Entry, fact: QueueFlushed) -> Iterator[EventDraft]:
    yield (
        "agent_pending_drained",
        {"name": fact.name, "count": fact.count, "reason": fact.reason},
    )


def _subscribed(entry: Entry, fact: AgentSubscribed) -> Iterator[EventDraft]:
    yield "channel_subscribed", {"name": fact.name, "channels": list(fact.channels)}


def _unsubscribed(entry: Entry, fact: AgentUnsubscribed) -> Iterator[EventDraft]:
    yield "channel_unsubscribed", {"name": fact.name, "channels": list(fact.channels)}


def _idle(entry: Entry, fact: AgentIdle) -> Iterator[EventDraft]:
    fields: dict[str, object] = {
        "name": fact.name,
        "idle_secs": fact.idle_secs,
        "since": fact.since // 1_000,
        "generation": str(fact.generation),
    }
    yield "agent_idle", fields


def _result(entry: Entry, fact: AgentResult) -> Iterator[EventDraft]:
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
RULES: dict[type, Callable[[Entry, Any], Iterator[EventDraft]]] = {
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
