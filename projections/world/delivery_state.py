"""How an unsettled delivery stands, in one word, and what it waits for."""

from __future__ import annotations

from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery


def state_of(agent: Agent | None, delivery: Delivery) -> str:
    """`queued`, `held` (the head of a queue that waits for something), `typing`, `awaiting`."""
    if delivery.doubt:
        return "in_doubt"
    held = None if agent is None else agent.held
    is_held = held is not None and held.delivery_id == delivery.delivery_id
    return "held" if is_held else delivery.state


def reason_of(agent: Agent | None, delivery: Delivery) -> str | None:
    """What it waits for; `behind` what is typed or typed sooner."""
    if delivery.doubt:
        return "in_doubt"
    if agent is None or delivery.state != "queued":
        return None
    if agent.held is not None and agent.held.delivery_id == delivery.delivery_id:
        return agent.held.reason
    if agent.flowing is not None or agent.head() is not delivery:
        return "behind"
    return "retry" if delivery.failures else None
