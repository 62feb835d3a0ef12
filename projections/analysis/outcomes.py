"""How a delivery can end, in the one set of words that everything uses that is told of the past.

A delivery that left its queue as `acked` is told as two: verified by what was observed, and
unverified, when only its window ran out.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from ackbook.projections.codec import Content
from ackbook.projections.facts import (
    AgentReleased,
    DeliveryAcked,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryEvicted,
    DeliveryExpired,
    Verification,
)

Ended: TypeAlias = Literal[
    "verified", "unverified", "evicted", "expired", "cancelled", "released", "dead_letter"
]

OF_ACKED: dict[Verification, Ended] = {"echo": "verified", "timeout_fallback": "unverified"}

_OTHERS: dict[type, Ended] = {
    DeliveryEvicted: "evicted",
    DeliveryExpired: "expired",
    DeliveryCancelled: "cancelled",
    DeliveryDeadLettered: "dead_letter",
    AgentReleased: "released",
}


def ended_by(fact: Content) -> Ended | None:
    """How the deliveries that this fact is about left their queues by it; None when they did
    not."""
    if isinstance(fact, DeliveryAcked):
        return OF_ACKED[fact.verification]
    return _OTHERS.get(type(fact))
