"""Views: answers made of the world and of what the rules answered. Values in, values out.

What each answer holds and promises stands with its shape: in `replies` what our own clients read,
in `bodies` and `agent_bodies` what other clients read besides. This module knows no sockets.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Sequence
from typing import Literal

import msgspec

from ackbook.broker.core.commands import ModeAnswer, Redelivery, Sent
from ackbook.broker.wire.agent_bodies import ModeBody, ParkedRow, ScreenBody, SpawnedRow
from ackbook.broker.wire.bodies import (
    DeadLettersBody,
    HealthBody,
    JournalHead,
    RedeliveryBody,
    ReplacedRow,
    StatusBody,
    StatusRow,
    WorkerLetterRow,
)
from ackbook.broker.wire.frames import ScreenShown
from ackbook.broker.wire.replies import Reason, RefusedRow, SendReply, SkippedRow, WaitingReply
from ackbook.projections.analysis import rows
from ackbook.projections.analysis.row_shapes import DeliveryProgress, SendOutcome, WaitingRow
from ackbook.projections.facts import DeliveryId, Level
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.fold import World

WaitOutcome = SendOutcome | Literal["timed_out"]
"""What whoever waits for a message is told of it."""


def health(
    world: World, at: int, version: str, uptime_ms: int, reasons: Sequence[Reason] = ()
) -> HealthBody:
    """Whether the broker serves, what is wrong with it, and how much there is."""
    return HealthBody(
        status="degraded" if reasons else "ok",
        reasons=reasons,
        version=version,
        uptime_ms=uptime_ms,
        agent_count=sum(1 for agent in world.agents.values() if agent.alive),
        pending_delivery_count=len(world.deliveries),
        dead_letter_count=len(world.dead_letters),
        journal=JournalHead(seq=world.seq, durable=world.seq),
    )


def status(world: World, at: int) -> StatusBody:
    """Everything at one moment."""
    pending = rows.waiting_rows(world, at)
    return StatusBody(
        agent_count=len(world.agents),
        agents=spawned_rows(world, at),
        pending_delivery_count=len(pending),
        pending_deliveries=[_status_row(row) for row in pending],
        dead_letter_count=len(world.dead_letters),
        counts=rows.counts(world),
        seq=world.seq,
    )


def spawned_rows(world: World, at: int) -> list[SpawnedRow]:
    """Every agent: our row, and what clients know besides."""
    return [spawned_row(agent, at) for _, agent in sorted(world.agents.items())]


def spawned_row(agent: Agent, at: int) -> SpawnedRow:
    """One agent."""
    spawned = agent.spawned
    row = rows.agent_row(agent, at)
    return SpawnedRow(
        **msgspec.structs.asdict(row),
        revision=agent.revision,
        held_since_seq=None if agent.held is None else agent.held.seq,
        env_names=list(spawned.env_names),
        cli=spawned.cli or spawned.command,
        model=spawned.model,
        session_id=spawned.session_id,
        team=spawned.team,
        parent=spawned.parent,
        worker_pid=row.pid,
        last_activity_ms=row.since_ms,
        last_activity_at=row.since_ms,
        current_state=_current_state(agent),
        pending_messages=row.pending,
    )


def sent(
    answer: Sent, deliveries: Sequence[DeliveryProgress], outcome: WaitOutcome | None
) -> SendReply:
    """The answer to a message, as far as its deliveries have come."""
    return SendReply(
        success=True,
        event_id=answer.event_id,
        targets=[agent for _, agent in answer.deliveries],
        delivered=len(answer.deliveries),
        local=True,
        seq=answer.seq,
        target=answer.target,
        deliveries=deliveries,
        refused=[RefusedRow(agent=each.agent, reason=each.reason) for each in answer.refused],
        repeated=answer.repeated,
        outcome=outcome,
    )


def delivery_rows(world: World, answer: Sent) -> list[DeliveryProgress]:
    """How far each delivery of a message has come; one that the world forgot is long settled."""
    found = []
    for delivery_id, agent in answer.deliveries:
        row = rows.delivery_row(world, delivery_id)
        found.append(just_queued(delivery_id, agent, "settled") if row is None else row)
    return found


def just_queued(delivery_id: DeliveryId, agent: str, state: str = "queued") -> DeliveryProgress:
    """A delivery of which nothing more is known than that it is recorded."""
    return DeliveryProgress(
        delivery_id=delivery_id,
        agent=agent,
        state=state,
        level="recorded",
        verification=None,
        reason=None,
        evidence=None,
        final=state != "queued",
    )


def waited(
    world: World, answer: Sent, need: Level
) -> tuple[WaitOutcome, list[DeliveryProgress]] | None:
    """The outcome of a message, once there is one."""
    deliveries = delivery_rows(world, answer)
    outcome = rows.outcome_of(deliveries, need)
    return None if outcome == "open" else (outcome, deliveries)


def waited_in_vain(
    world: World, answer: Sent, need: Level
) -> tuple[WaitOutcome, list[DeliveryProgress]]:
    """The outcome when the time is over: what is settled by then is as it is."""
    deliveries = delivery_rows(world, answer)
    settled = [
        msgspec.structs.replace(row, final=row.state == "acked" or row.final) for row in deliveries
    ]
    outcome = rows.outcome_of(settled, need)
    return ("timed_out" if outcome == "open" else outcome), deliveries


def waiting(world: World, at: int) -> WaitingReply:
    """Everything that waits, and for what."""
    return WaitingReply(pending=rows.waiting_rows(world, at))


def parked_row(delivery: Delivery, body: str) -> ParkedRow:
    """A waiting delivery with its body."""
    message = delivery.message
    return ParkedRow(
        sender=message.sender,
        body=body,
        target=message.target,
        priority=message.priority,
        mode=message.mode,
        queued_at_ms=delivery.queued_at // 1_000,
        event_id=message.event_id,
        delivery_id=delivery.delivery_id,
        thread_id=message.thread,
    )


def dead_letters(world: World, at: int) -> DeadLettersBody:
    """What was given up and kept aside."""
    letters = [
        WorkerLetterRow(**msgspec.structs.asdict(row), worker_name=row.agent)
        for row in rows.dead_letter_rows(world, at)
    ]
    return DeadLettersBody(count=len(letters), dead_letters=letters)


def mode(answer: ModeAnswer) -> ModeBody:
    """A delivery mode."""
    return ModeBody(
        mode=answer.mode,
        revision=str(answer.revision),
        flushed=answer.flushed,
        matched=answer.matched,
    )


def screen(shown: ScreenShown) -> ScreenBody:
    """What stands on a terminal."""
    plain = shown.format == "plain"
    return ScreenBody(
        format=shown.format,
        rows=shown.rows,
        cols=shown.cols,
        cursor=shown.cursor,
        screen=shown.text if plain else b64encode(shown.text.encode()).decode(),
        offset=shown.offset,
    )


def redelivered(answer: Redelivery) -> RedeliveryBody:
    """What was brought back, and what was not and why."""
    return RedeliveryBody(
        redelivered=[
            ReplacedRow(delivery_id=new, old_delivery_id=old, worker_name=agent, event_id=event)
            for old, new, agent, event in answer.redelivered
        ],
        skipped=[
            SkippedRow(delivery_id=old, worker_name=agent, reason=reason)
            for old, agent, reason in answer.skipped
        ],
    )


def _status_row(row: WaitingRow) -> StatusRow:
    return StatusRow(
        delivery_id=row.delivery_id,
        worker_name=row.agent,
        event_id=row.event_id,
        sender=row.sender,
        to=row.target,
        attempts=row.attempts,
        queued_at_ms=row.queued_at_ms,
        age_ms=row.age_ms,
        last_error=row.reason,
        state=row.state,
    )


def _current_state(agent: Agent) -> Literal["idle", "working"] | None:
    if not agent.alive:
        return None
    return "idle" if agent.state == "ready" and agent.flowing is None else "working"
