"""Rows: the world as lists that leave it, for answers over HTTP and on paper alike.

What a row holds and promises stands in `row_shapes`; here it is made of the world. Ages are
counted to a moment that is given. Nothing here quotes a body.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from ackbook.projections.analysis.row_shapes import (
    AgentRow,
    DeadLetterRow,
    DeliveryProgress,
    ExitRow,
    PendingRow,
    SendOutcome,
    WaitingRow,
)
from ackbook.projections.facts import LEVELS, DeliveryId, Level, rank
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import DeadLetter, Delivery, SettledDelivery
from ackbook.projections.world.delivery_state import reason_of, state_of
from ackbook.projections.world.state import World

_MAY_SUCCEED = ("queued", "held", "typing", "awaiting", "in_doubt", "acked")


def agent_rows(world: World, at: int) -> list[AgentRow]:
    """Every agent, by name, as it stands at this moment."""
    return [agent_row(agent, at) for _, agent in sorted(world.agents.items())]


def agent_row(agent: Agent, at: int) -> AgentRow:
    """One agent."""
    oldest = agent.queue.oldest_at()
    exited = agent.exited
    return AgentRow(
        name=agent.name,
        generation=agent.generation,
        pid=agent.pid if agent.alive else None,
        state=agent.state,
        blocked=agent.blocked,
        mode=agent.mode,
        channels=sorted(agent.channels),
        pending=len(agent.queue) + (agent.flowing is not None),
        oldest_ms=None if oldest is None else (at - oldest) // 1_000,
        held=None if agent.held is None else agent.held.reason,
        since_ms=agent.state_at // 1_000,
        command=[agent.spawned.command, *agent.spawned.args],
        cwd=agent.spawned.cwd,
        restart_count=agent.restart_count,
        exit=None
        if exited is None
        else ExitRow(reason=exited.reason, code=exited.code, signal=exited.signal),
        commander=agent.spawned.commander or None,
    )


def pending_rows(world: World) -> list[PendingRow]:
    """Everything that is not settled, agent by agent, in the order in which it will be typed."""
    return [_pending_row(agent, delivery) for agent, delivery in _in_order(world)]


def waiting_rows(world: World, at: int) -> list[WaitingRow]:
    """The same, with what was asked for and how old it is."""
    return [_waiting_row(agent, delivery, at) for agent, delivery in _in_order(world)]


def dead_letter_rows(world: World, at: int) -> list[DeadLetterRow]:
    """The dead letters, oldest first."""
    return [_dead_letter_row(letter, at) for letter in world.dead_letters.values()]


def counts(world: World) -> dict[str, int]:
    """Deliveries ever enqueued, how many live, and how the others ended."""
    return {
        "enqueued": world.counts["enqueued"],
        "live": len(world.deliveries),
        **{name: n for name, n in sorted(world.counts.items()) if name != "enqueued"},
    }


def delivery_row(world: World, delivery_id: DeliveryId) -> DeliveryProgress | None:
    """A delivery that lives or ended not long ago; None where the world no longer knows it."""
    delivery = world.deliveries.get(delivery_id)
    if delivery is not None:
        agent = world.agent(delivery.agent)
        return DeliveryProgress(
            delivery_id=delivery_id,
            agent=delivery.agent,
            state=state_of(agent, delivery),
            level="written" if delivery.state == "awaiting" else "recorded",
            verification=None,
            reason=reason_of(agent, delivery),
            evidence=None,
            final=False,
        )
    settled = world.settled.get(delivery_id)
    return None if settled is None else _settled_row(world, settled)


def outcome_of(rows: list[DeliveryProgress], need: Level) -> SendOutcome:
    """Of a message with these deliveries: confirmed, unconfirmed, failed, or still open.

    Confirmed: all reached the level. Failed: one ended without being typed or with its outcome
    unknown. Unconfirmed: all are final, one below the level.
    """
    if any(row.state not in _MAY_SUCCEED for row in rows):
        return "failed"
    enough = LEVELS[rank(need) :]
    reached = [row.level in enough for row in rows]
    if all(reached):
        return "confirmed"
    if all(ok or row.final for ok, row in zip(reached, rows, strict=True)):
        return "unconfirmed"
    return "open"


def _in_order(world: World) -> Iterator[tuple[Agent, Delivery]]:
    for _, agent in sorted(world.agents.items()):
        if agent.flowing is not None:
            yield agent, agent.flowing
        for delivery in agent.queue:
            yield agent, delivery


def _pending_row(agent: Agent, delivery: Delivery) -> PendingRow:
    return PendingRow(
        delivery_id=delivery.delivery_id,
        event_id=delivery.message.event_id,
        agent=delivery.agent,
        sender=delivery.message.sender,
        state=state_of(agent, delivery),
        attempts=delivery.attempt,
        reason=reason_of(agent, delivery),
    )


def _waiting_row(agent: Agent, delivery: Delivery, at: int) -> WaitingRow:
    return WaitingRow(
        **msgspec.structs.asdict(_pending_row(agent, delivery)),
        target=delivery.message.target,
        failures=delivery.failures,
        priority=delivery.message.priority,
        mode=delivery.message.mode,
        queued_at_ms=delivery.queued_at // 1_000,
        age_ms=(at - delivery.queued_at) // 1_000,
    )


def _dead_letter_row(letter: DeadLetter, at: int) -> DeadLetterRow:
    return DeadLetterRow(
        delivery_id=letter.delivery_id,
        event_id=letter.message.event_id,
        agent=letter.agent,
        sender=letter.message.sender,
        to=letter.message.target,
        attempts=letter.attempt,
        reason=letter.reason,
        error=letter.error,
        queued_at_ms=letter.queued_at // 1_000,
        failed_at_ms=letter.failed_at // 1_000,
        age_ms=(at - letter.failed_at) // 1_000,
    )


def _settled_row(world: World, settled: SettledDelivery) -> DeliveryProgress:
    agent = world.agent(settled.agent)
    return DeliveryProgress(
        delivery_id=settled.delivery_id,
        agent=settled.agent,
        state=settled.state,
        level=settled.level,
        verification=settled.verification,
        reason=settled.reason,
        evidence=settled.evidence,
        final=agent is None or agent.occupied != settled.delivery_id,
    )
