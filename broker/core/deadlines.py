"""Deadlines: what happens because time has passed, and for no other reason.

`tick` meets the deadlines of the agenda. What a standing rule says anyway once its time has come
(a retry, the next typing, a gone recipient) is left to it; here stand the deadlines that need a
fact of their own: a window that ran out, a heuristic that is overridden, a message or key that
expired.
"""

from __future__ import annotations

from itertools import islice, takewhile

from ackbook.broker.core.commands import Accepted, DecidedFact, Tick, Verdict
from ackbook.broker.core.limits import TICK_DEADLINES_MAX
from ackbook.broker.core.reporting import window_over
from ackbook.broker.core.standing_rules import fitting
from ackbook.projections.facts import AgentReady, DeliveryExpired, DeliveryId, KeysForgotten
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.fold import World


def tick(world: World, command: Tick, at: int) -> Verdict:
    """Meet what is due at `at`, at most `TICK_DEADLINES_MAX` deadlines at once."""
    facts: list[DecidedFact] = []
    for kind, key in islice(world.agenda.due(at), TICK_DEADLINES_MAX):
        match kind:
            case "ttl":
                facts.append(_expired(world, DeliveryId(key)))
            case "keys":
                facts.append(_forgotten(world, at))
            case "agent":
                facts.extend(_agent(world, world.agents[key], at))
    return Accepted(facts=tuple(facts))


def _expired(world: World, delivery_id: DeliveryId) -> DecidedFact:
    delivery = world.deliveries[delivery_id]
    assert delivery.expires_at is not None
    fact = DeliveryExpired(**delivery.ref_fields(), expires_at=delivery.expires_at)
    return DecidedFact(fact, (delivery.joined,))


def _forgotten(world: World, at: int) -> DecidedFact:
    old = (key for key, _ in takewhile(lambda item: item[1].until <= at, world.keys.items()))
    return DecidedFact(KeysForgotten(keys=fitting(old), reason="window"))


def _agent(world: World, agent: Agent, at: int) -> list[DecidedFact]:
    flowing = agent.flowing
    if flowing is not None:
        over = (
            flowing.state == "awaiting" and not flowing.doubt and flowing.running.window_until <= at
        )
        return [window_over(world, agent, flowing, at)] if over else []
    blocked = agent.blocked_until is not None and agent.blocked_until <= at
    occupied = agent.occupied_until is not None and agent.occupied_until <= at
    if not (agent.state == "blocked" and blocked) and not (agent.state == "ready" and occupied):
        return []
    fact = AgentReady(name=agent.name, generation=agent.generation, how="deadline")
    return [DecidedFact(fact, (agent.state_seq,))]
