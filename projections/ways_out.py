"""Ways out: each way in which a delivery leaves its queue or terminal for good, in one table.

| fact | state in a world | outcome of the past | was it typed? |
|---|---|---|---|
| `delivery.acked` by echo | `acked` | `verified` | yes |
| `delivery.acked` by a timeout | `acked` | `unverified` | yes |
| `delivery.dead_lettered` | `dead_letter` | the same | never, or nobody can say |
| `agent.released` | `released` | the same | no |
| a departure: `delivery.evicted`, `.expired`, `.cancelled` | see `departure_of` | the same | no |

Of a delivery that has ended, a world also knows that its dead letter was `dropped`, or that it was
`redelivered`. What never came in was `refused`, and is no delivery.

A new way to be dropped is a shape among the departures of `facts`, a word and a row here, its
sentence in `why`, and the rule that decides it. Each `match` over the unions of `facts` is
exhaustive, so that a checker of types asks for what is missing; all else follows from these.
"""

from __future__ import annotations

from typing import Literal, TypeAlias, assert_never, get_args

import msgspec

from ackbook.projections.facts import (
    AgentReleased,
    DeliveryAcked,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryEvicted,
    DeliveryExpired,
    Departure,
    DepartureFact,
    SettlingFact,
    Verification,
)

DepartedState: TypeAlias = Literal["evicted", "expired", "cancelled"]
"""Left its queue untyped, by a fact of its own; from the least settled to the most."""

EndedState: TypeAlias = Literal[
    "dead_letter", "dropped", DepartedState, "released", "acked", "redelivered"
]
"""How a world remembers an end, from the least settled to the most."""

Ended: TypeAlias = Literal["verified", "unverified", DepartedState, "released", "dead_letter"]
"""How a delivery ended, in the words of everything that is told of the past: one that was `acked`
was either verified by what was observed, or only its window ran out."""

ENDED_STATES: tuple[EndedState, ...] = get_args(EndedState)

SETTLING: tuple[type[SettlingFact], ...] = get_args(SettlingFact)
"""The facts that settle a delivery."""


class WayOut(msgspec.Struct, frozen=True):
    """A row about a departure. `told` is what an event gives as its reason, for people."""

    state: DepartedState
    told: str


def departure_of(fact: DepartureFact) -> WayOut:
    """The row of this departure."""
    match fact:
        case DeliveryEvicted():
            told = f"pending queue full (max {fact.cap}); evicted oldest message from {fact.sender}"
            return WayOut("evicted", told)
        case DeliveryExpired():
            return WayOut("expired", "ttl: its time to live ran out before it was typed")
        case DeliveryCancelled():
            return WayOut("cancelled", f"cancelled by {fact.by or 'the operator'}")
        case _:
            assert_never(fact)


def outcome_by(fact: SettlingFact) -> Ended:
    """How the deliveries ended that this fact settles."""
    match fact:
        case DeliveryAcked():
            return outcome_of_acked(fact.verification)
        case DeliveryDeadLettered():
            return "dead_letter"
        case AgentReleased():
            return "released"
        case Departure():
            return departure_of(fact).state
        case _:
            assert_never(fact)


def ended_by(fact: object) -> Ended | None:
    """How the deliveries that this fact is about left their queues by it; None when they did
    not."""
    return outcome_by(fact) if isinstance(fact, SETTLING) else None


def reason_by(fact: SettlingFact) -> str | None:
    """The reason that a world and an audit keep of such an end; None for one that is as it should
    be."""
    return "agent_released" if isinstance(fact, AgentReleased) else fact.reason


def outcome_in(state: EndedState, verification: Verification | None) -> Ended | None:
    """The outcome of a delivery that a world remembers so; None where what came after its end has
    taken the place of that."""
    match state:
        case "acked":
            return None if verification is None else outcome_of_acked(verification)
        case "dropped" | "redelivered":
            return None
        case _:
            return state


def outcome_of_acked(verification: Verification) -> Ended:
    """What it means that a delivery was acked."""
    match verification:
        case "echo":
            return "verified"
        case "timeout_fallback":
            return "unverified"
        case _:
            assert_never(verification)


def is_loss(state: str) -> bool:
    """Whether a delivery in this state was lost on its recipient without anybody having asked for
    that. A message that was refused is lost as well."""
    return state == "refused" or (
        state in ENDED_STATES and state not in ("acked", "cancelled", "redelivered")
    )
