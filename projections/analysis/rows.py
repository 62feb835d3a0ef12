"""Rows: the world as plain rows with stable keys, for answers over HTTP and on paper alike.

Rows are dictionaries because they leave as JSON at once. Times are milliseconds UTC in keys that
end in `_ms`, seconds nowhere. Nothing here quotes a body.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec

from ackbook.projections.facts import LEVELS, DeliveryId, Level, rank
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import DeadLetter, Delivery, SettledDelivery
from ackbook.projections.world.delivery_state import reason_of, state_of
from ackbook.projections.world.state import World

Row = dict[str, object]
SendOutcome = Literal["confirmed", "unconfirmed", "failed", "open"]

_MAY_SUCCEED = ("queued", "held", "typing", "awaiting", "in_doubt", "acked")


def agent_rows(world: World, at: int) -> list[Row]:
    """Every agent, by name: how it stands, what waits, since when, and what holds it."""
    return [agent_row(agent, at) for _, agent in sorted(world.agents.items())]


def agent_row(agent: Agent, at: int) -> Row:
    """One agent. `held`: what the head of its queue waits for; `oldest_ms`: how long it waits."""
    oldest = agent.queue.oldest_at()
    exited = agent.exited
    return {
        "name": agent.name,
        "generation": agent.generation,
        "pid": agent.pid if agent.alive else None,
        "state": agent.state,
        "blocked": agent.blocked,
        "mode": agent.mode,
        "revision": agent.revision,
        "channels": sorted(agent.channels),
        "pending": len(agent.queue) + (agent.flowing is not None),
        "oldest_ms": None if oldest is None else (at - oldest) // 1_000,
        "held": None if agent.held is None else agent.held.reason,
        "held_since_seq": None if agent.held is None else agent.held.seq,
        "command": [agent.spawned.command, *agent.spawned.args],
        "cwd": agent.spawned.cwd,
        "env_names": list(agent.spawned.env_names),
        "restart_count": agent.restart_count,
        "exit": None
        if exited is None
        else {"reason": exited.reason, "code": exited.code, "signal": exited.signal},
        "since_ms": agent.state_at // 1_000,
    }


def pending_rows(world: World, at: int, name: str | None = None) -> list[Row]:
    """Everything that is not settled, agent by agent, in the order in which it will be typed."""
    agents = [agent for _, agent in sorted(world.agents.items())]
    if name is not None:
        only = world.agent(name)
        agents = [] if only is None else [only]
    return [_pending_row(agent, d, at) for agent in agents for d in _in_order(agent)]


def dead_letter_rows(world: World, at: int) -> list[Row]:
    """The dead letters, oldest first."""
    return [_dead_letter_row(letter, at) for letter in world.dead_letters.values()]


def counts(world: World) -> dict[str, int]:
    """Deliveries ever enqueued, how many live, and how the others ended."""
    return {
        "enqueued": world.counts["enqueued"],
        "live": len(world.deliveries),
        **{name: n for name, n in sorted(world.counts.items()) if name != "enqueued"},
    }


def delivery_row(world: World, delivery_id: DeliveryId) -> Row | None:
    """A delivery that lives or ended not long ago; None where the world no longer knows it.

    `final`: no later evidence is waited for.
    """
    delivery = world.deliveries.get(delivery_id)
    if delivery is not None:
        agent = world.agent(delivery.agent)
        return {
            "delivery_id": delivery_id,
            "agent": delivery.agent,
            "state": state_of(agent, delivery),
            "level": "written" if delivery.state == "awaiting" else "recorded",
            "verification": None,
            "reason": reason_of(agent, delivery),
            "evidence": None,
            "final": False,
        }
    settled = world.settled.get(delivery_id)
    return None if settled is None else _settled_row(world, settled)


def outcome_of(rows: list[Row], need: Level) -> SendOutcome:
    """Of a message with these deliveries: confirmed, unconfirmed, failed, or still open.

    Confirmed: all reached the level. Failed: one ended without being typed or with its outcome
    unknown. Unconfirmed: all are final, one below the level.
    """
    if any(row["state"] not in _MAY_SUCCEED for row in rows):
        return "failed"
    enough = LEVELS[rank(need) :]
    reached = [row["level"] in enough for row in rows]
    if all(reached):
        return "confirmed"
    if all(ok or row["final"] for ok, row in zip(reached, rows, strict=True)):
        return "unconfirmed"
    return "open"


def _in_order(agent: Agent) -> Iterator[Delivery]:
    if agent.flowing is not None:
        yield agent.flowing
    yield from agent.queue


def _pending_row(agent: Agent, delivery: Delivery, at: int) -> Row:
    return {
        "delivery_id": delivery.delivery_id,
        "event_id": delivery.message.event_id,
        "agent": delivery.agent,
        "from": delivery.message.sender,
        "target": delivery.message.target,
        "state": state_of(agent, delivery),
        "attempts": delivery.attempt,
        "failures": delivery.failures,
        "reason": reason_of(agent, delivery),
        "priority": delivery.message.priority,
        "mode": delivery.message.mode,
        "queued_at_ms": delivery.queued_at // 1_000,
        "age_ms": (at - delivery.queued_at) // 1_000,
    }


def _dead_letter_row(letter: DeadLetter, at: int) -> Row:
    return {
        "delivery_id": letter.delivery_id,
        "worker_name": letter.agent,
        "agent": letter.agent,
        "event_id": letter.message.event_id,
        "from": letter.message.sender,
        "to": letter.message.target,
        "attempts": letter.attempt,
        "reason": letter.reason,
        "error": letter.error,
        "queued_at_ms": letter.queued_at // 1_000,
        "failed_at_ms": letter.failed_at // 1_000,
        "age_ms": (at - letter.failed_at) // 1_000,
    }


def _settled_row(world: World, settled: SettledDelivery) -> Row:
    agent = world.agent(settled.agent)
    return {
        "delivery_id": settled.delivery_id,
        "agent": settled.agent,
        "state": settled.state,
        "level": settled.level,
        "verification": settled.verification,
        "reason": settled.reason,
        "evidence": None if settled.evidence is None else msgspec.to_builtins(settled.evidence),
        "final": agent is None or agent.occupied != settled.delivery_id,
    }
