"""Plan: everything that the world owes to the outside, now.

The same world gives the same answer, so what a crash interrupted is owed again by the world that
the journal rebuilds. An attempt in doubt is asked about and never typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ackbook.broker.core.effects import AnyEffect, Ask, End, Find, Start, Type
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery, Message
from ackbook.projections.world.fold import World


def plan(world: World) -> Iterator[AnyEffect]:
    """Everything owed now, agent by agent."""
    yield from plan_for(world, sorted(world.agents))
    for name, generation in world.leaving:
        yield End(agent=name, generation=generation)


def plan_for(world: World, keys: Iterable[str]) -> Iterator[AnyEffect]:
    """What is owed for these agents, by their keys; `plan` has also the ends of released ones."""
    for key in keys:
        agent = world.agents.get(key)
        if agent is not None:
            yield from _owed(agent)


def _owed(agent: Agent) -> Iterator[AnyEffect]:
    if agent.state == "unknown":
        yield Find(agent=agent.name, generation=agent.generation)
    if agent.state == "restarting":
        assert agent.restart_at is not None
        yield Start(
            agent=agent.name,
            generation=agent.generation + 1,
            due_at=agent.restart_at,
            spawned=agent.spawned,
            restart_count=agent.restart_count,
        )
    delivery = agent.flowing
    if delivery is None or not agent.alive:
        return
    if delivery.doubt:
        yield Ask(
            delivery_id=delivery.delivery_id,
            agent=agent.name,
            generation=delivery.generation,
            attempt=delivery.attempt,
        )
    elif delivery.state == "typing":
        yield _type(agent, delivery)


def _type(agent: Agent, delivery: Delivery) -> Type:
    message = delivery.message
    return Type(
        delivery_id=delivery.delivery_id,
        event_id=message.event_id,
        agent=agent.name,
        generation=delivery.generation,
        attempt=delivery.attempt,
        header=header(message),
        body=message.body,
        body_seq=message.seq,
        hint=reply_hint(message) if delivery.running.intent.hint else "",
        mode=message.mode,
        window_ms=delivery.running.intent.window_ms,
        settle_ms=delivery.running.intent.settle_ms,
        override=agent.override,
    )


def header(message: Message) -> str:
    """What stands before a body: who sent it, where, and the token that is looked for."""
    where = f" in {message.target}" if message.target.startswith("#") else ""
    return f"Relay message from {message.sender}{where} [{message.event_id}]: "


def reply_hint(message: Message) -> str:
    """How to answer, for a reader who has never seen such a message."""
    to = message.target if message.target.startswith("#") else message.sender
    return f'(reply with: ackbook send {to} "...")'
