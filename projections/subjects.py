"""What a fact is about: which agents, which deliveries, which ids it names.

Whoever follows a part of the past asks here, so that a new kind of fact has its answer in one
place.
"""

from __future__ import annotations

from collections.abc import Iterator

from ackbook.projections.codec import Content
from ackbook.projections.facts import (
    AgentName,
    AgentReleased,
    DeliveryId,
    DeliveryRedelivered,
    MessageEnqueued,
    MessageRefused,
    Ref,
)


def agents_of(fact: Content) -> tuple[AgentName, ...] | None:
    """The agents that a fact is about; it changes no others. None where it names none, and may be
    about all of them."""
    match fact:
        case Ref():
            return (fact.agent,)
        case MessageEnqueued():
            return tuple([recipient.agent for recipient in fact.deliveries])
        case MessageRefused():
            return ()
        case _:
            name: AgentName | None = getattr(fact, "name", None)
            return None if name is None else (name,)


def deliveries_of(fact: Content) -> tuple[tuple[DeliveryId, AgentName], ...]:
    """The deliveries that a fact is about, each with its agent."""
    match fact:
        case MessageEnqueued():
            return tuple([(each.delivery_id, each.agent) for each in fact.deliveries])
        case AgentReleased():
            return tuple([(ref.delivery_id, ref.agent) for ref in fact.dropped])
        case DeliveryRedelivered():
            return (fact.delivery_id, fact.agent), (fact.new_delivery_id, fact.agent)
        case Ref():
            return ((fact.delivery_id, fact.agent),)
        case _:
            return ()


def ids_of(fact: Content) -> Iterator[str]:
    """The ids of the messages and deliveries that a fact is about."""
    match fact:
        case MessageEnqueued() | MessageRefused() | Ref():
            yield fact.event_id
        case AgentReleased():
            yield from (ref.event_id for ref in fact.dropped)
        case _:
            pass
    yield from (delivery_id for delivery_id, _ in deliveries_of(fact))
