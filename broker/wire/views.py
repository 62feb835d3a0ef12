"""Views: what answers look like. Values in, JSON-ready dictionaries out; no sockets.

Names and shapes are those that existing clients read; ours besides are added, never substituted.
An absent value is null, except where a client tells absent from null.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Literal

import msgspec

from ackbook.broker.core.commands import ModeAnswer, Redelivery, Sent
from ackbook.broker.wire.frames import ScreenShown
from ackbook.projections.analysis import rows
from ackbook.projections.analysis.rows import Row
from ackbook.projections.facts import DeliveryId, Level
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.fold import World

PROTOCOL_VERSION = 2
"""Of the local API, as its clients count."""


class Reason(msgspec.Struct, frozen=True):
    """Why the broker is degraded, and the next step where there is one for a person to take."""

    code: Literal[
        "journal_full",
        "history_damaged",
        "snapshot_failed",
        "compaction_failed",
        "version_changed",
    ]
    what: str
    next: str


def health(
    world: World, at: int, version: str, uptime_ms: int, reasons: Sequence[Reason] = ()
) -> Row:
    """Whether the broker serves, what is wrong with it, and how much there is."""
    return {
        "status": "degraded" if reasons else "ok",
        "reasons": [{"code": one.code, "what": one.what, "next": one.next} for one in reasons],
        "service": "ackbook",
        "version": version,
        "uptimeMs": uptime_ms,
        "agentCount": sum(1 for agent in world.agents.values() if agent.alive),
        "pendingDeliveryCount": len(world.deliveries),
        "deadLetterCount": len(world.dead_letters),
        "journal": {"seq": world.seq, "durable": world.seq},
    }


def status(world: World, at: int) -> Row:
    """Everything at one moment."""
    pending = rows.pending_rows(world, at)
    return {
        "agent_count": len(world.agents),
        "agents": spawned_rows(world, at),
        "pending_delivery_count": len(pending),
        "pending_deliveries": [_status_row(row) for row in pending],
        "dead_letter_count": len(world.dead_letters),
        "auth": {"authenticated": True, "workspace_count": 0, "workspaces": []},
        "counts": rows.counts(world),
        "seq": world.seq,
    }


def spawned_rows(world: World, at: int) -> list[Row]:
    """Every agent: what clients know, and our row besides."""
    return [spawned_row(agent, at) for _, agent in sorted(world.agents.items())]


def spawned_row(agent: Agent, at: int) -> Row:
    """One agent."""
    spawned = agent.spawned
    row = rows.agent_row(agent, at)
    active_ms = agent.state_at // 1_000
    return {
        **row,
        "runtime": "pty",
        "runtime_kind": "pty",
        "provider": None,
        "cli": spawned.cli or spawned.command,
        "model": spawned.model,
        "sessionId": spawned.session_id,
        "team": spawned.team,
        "parent": spawned.parent,
        "workerPid": row["pid"],
        "last_activity_ms": active_ms,
        "last_activity_at": active_ms,
        "context_budget_pct": None,
        "current_state": _current_state(agent),
        "pending_messages": row["pending"],
    }


def sent(answer: Sent, rows: Sequence[Row], outcome: str | None) -> Row:
    """The answer to a message, as far as its deliveries have come."""
    reply: Row = {
        "success": True,
        "event_id": answer.event_id,
        "targets": [agent for _, agent in answer.deliveries],
        "delivered": len(answer.deliveries),
        "local": True,
        "seq": answer.seq,
        "target": answer.target,
        "deliveries": list(rows),
        "refused": [{"agent": each.agent, "reason": each.reason} for each in answer.refused],
        "repeated": answer.repeated,
    }
    if outcome is not None:
        reply["outcome"] = outcome
    return reply


def delivery_rows(world: World, answer: Sent) -> list[Row]:
    """How far each delivery of a message has come; one that the world forgot is long settled."""
    found = []
    for delivery_id, agent in answer.deliveries:
        row = rows.delivery_row(world, delivery_id)
        found.append(just_queued(delivery_id, agent, "settled") if row is None else row)
    return found


def just_queued(delivery_id: DeliveryId, agent: str, state: str = "queued") -> Row:
    """A delivery of which nothing more is known than that it is recorded."""
    return {
        "delivery_id": delivery_id,
        "agent": agent,
        "state": state,
        "level": "recorded",
        "verification": None,
        "reason": None,
        "evidence": None,
        "final": state != "queued",
    }


def waited(world: World, answer: Sent, need: Level) -> tuple[str, list[Row]] | None:
    """The outcome of a message, once there is one."""
    deliveries = delivery_rows(world, answer)
    outcome = rows.outcome_of(deliveries, need)
    return None if outcome == "open" else (outcome, deliveries)


def waited_in_vain(world: World, answer: Sent, need: Level) -> tuple[str, list[Row]]:
    """The outcome when the time is over: what is settled by then is as it is."""
    deliveries = delivery_rows(world, answer)
    settled = [row | {"final": row["state"] == "acked" or row["final"]} for row in deliveries]
    outcome = rows.outcome_of(settled, need)
    return ("timed_out" if outcome == "open" else outcome), deliveries


def parked_row(delivery: Delivery, body: str) -> Row:
    """A waiting delivery with its body. The thread is absent, not null, where there is none."""
    message = delivery.message
    row: Row = {
        "from": message.sender,
        "body": body,
        "target": message.target,
        "priority": message.priority,
        "mode": message.mode,
        "queued_at_ms": delivery.queued_at // 1_000,
        "event_id": message.event_id,
        "delivery_id": delivery.delivery_id,
    }
    if message.thread is not None:
        row["thread_id"] = message.thread
    return row


def mode(answer: ModeAnswer) -> Row:
    """A delivery mode. The revision is a decimal string."""
    return {
        "mode": answer.mode,
        "flushed": answer.flushed,
        "matched": answer.matched,
        "revision": str(answer.revision),
    }


def screen(shown: ScreenShown) -> Row:
    """What stands on a terminal; `ansi` as base64, since it is bytes to a terminal."""
    plain = shown.format == "plain"
    return {
        "format": shown.format,
        "rows": shown.rows,
        "cols": shown.cols,
        "cursor": list(shown.cursor),
        "screen": shown.text if plain else b64encode(shown.text.encode()).decode(),
        "offset": shown.offset,
    }


def redelivered(answer: Redelivery) -> Row:
    """What was brought back, and what was not and why."""
    return {
        "redelivered": [
            {"delivery_id": new, "old_delivery_id": old, "worker_name": agent, "event_id": event}
            for old, new, agent, event in answer.redelivered
        ],
        "skipped": [
            {"delivery_id": old, "worker_name": agent, "reason": reason}
            for old, agent, reason in answer.skipped
        ],
    }


def replay_gap(
    since: int, oldest: int, current: int, dropped: int, reason: str | None = None
) -> Row:
    """A cursor that cannot be continued from."""
    gap: Row = {
        "kind": "replay_gap",
        "requestedSinceSeq": since,
        "oldestAvailable": oldest,
        "seq": current,
        "droppedCount": dropped,
    }
    if reason is not None:
        gap["reason"] = reason
    return gap


def _status_row(row: Row) -> Row:
    return {
        "delivery_id": row["delivery_id"],
        "worker_name": row["agent"],
        "event_id": row["event_id"],
        "from": row["from"],
        "to": row["target"],
        "attempts": row["attempts"],
        "queued_at_ms": row["queued_at_ms"],
        "age_ms": row["age_ms"],
        "last_error": row["reason"],
        "state": row["state"],
    }


def _current_state(agent: Agent) -> str | None:
    if not agent.alive:
        return None
    return "idle" if agent.state == "ready" and agent.flowing is None else "working"
