"""Mail: messages, their deliveries, the queues they wait in, and what is left when they end.

A queue keeps deliveries first in, first out within a priority. It holds only what waits: a delivery
that is being typed has left it, and comes back to the front of its lane when the attempt provably
typed nothing. Nothing here decides; `world` folds, the rules of `broker.core` decide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal, TypedDict

import msgspec

from projections.facts import (
    AgentName,
    DeadReason,
    DeliveryId,
    EventId,
    Evidence,
    Level,
    Mode,
    Ref,
    RefusedRecipient,
    Verification,
)

PRIORITIES = 5
"""Priorities are 0 (most urgent) to 4."""

LiveState = Literal["queued", "typing", "awaiting"]
EndedState = Literal[
    "acked", "evicted", "expired", "cancelled", "released", "dead_letter", "dropped", "redelivered"
]


class RefFields(TypedDict):
    """The fields of `facts.Ref`."""

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    sender: str
    target: str
    attempt: int


class Message(msgspec.Struct, kw_only=True, gc=False):
    """What was sent. `seq` is the record that holds the body; `body` None: only there.

    `open` counts the deliveries and dead letters that still refer to it.
    """

    event_id: EventId
    seq: int
    sender: str
    target: str
    body: str | None
    thread: str | None
    priority: int
    mode: Mode
    need: Level
    open: int = 0


class Delivery(msgspec.Struct, kw_only=True, gc=False):
    """One message for one agent, not yet settled.

    `joined` is the record that queued it. `doubt`: an attempt was intended before this broker
    started, and its holder has not yet said what became of it. `due_at` is the time before which
    it is not retried. `expires_at`: its time to live ends; a redelivered one has none.
    `input_empty`: the input line no longer shows it.
    """

    delivery_id: DeliveryId
    message: Message
    agent: AgentName
    joined: int
    queued_at: int
    expires_at: int | None = None
    state: LiveState = "queued"
    doubt: bool = False
    attempt: int = 0
    attempted_seq: int = 0
    generation: int = 0
    failures: int = 0
    due_at: int = 0
    hint: bool = False
    window_ms: int = 0
    settle_ms: int = 0
    written_seq: int = 0
    window_until: int = 0
    input_empty: bool = False

    def ref(self, attempt: int | None = None) -> Ref:
        """What every fact about this delivery carries."""
        return Ref(**self.ref_fields(attempt))

    def ref_fields(self, attempt: int | None = None) -> RefFields:
        """The same, to build such a fact from."""
        return {
            "delivery_id": self.delivery_id,
            "event_id": self.message.event_id,
            "agent": self.agent,
            "sender": self.message.sender,
            "target": self.message.target,
            "attempt": self.attempt if attempt is None else attempt,
        }


class Settled(msgspec.Struct, kw_only=True, gc=False):
    """A delivery that ended not long ago."""

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    sender: str
    target: str
    attempt: int
    generation: int
    state: EndedState
    seq: int
    level: Level = "recorded"
    verification: Verification | None = None
    reason: str | None = None
    evidence: Evidence | None = None
    new_delivery_id: DeliveryId | None = None

    def ref_fields(self) -> RefFields:
        """What every fact about this delivery carries."""
        return {
            "delivery_id": self.delivery_id,
            "event_id": self.event_id,
            "agent": self.agent,
            "sender": self.sender,
            "target": self.target,
            "attempt": self.attempt,
        }


class DeadLetter(msgspec.Struct, kw_only=True, gc=False):
    """A delivery that was given up and kept aside."""

    delivery_id: DeliveryId
    message: Message
    agent: AgentName
    attempt: int
    reason: DeadReason
    error: str
    queued_at: int
    failed_at: int
    seq: int

    def ref_fields(self) -> RefFields:
        """What every fact about this delivery carries."""
        return {
            "delivery_id": self.delivery_id,
            "event_id": self.message.event_id,
            "agent": self.agent,
            "sender": self.message.sender,
            "target": self.message.target,
            "attempt": self.attempt,
        }


class KeyAnswer(msgspec.Struct, kw_only=True, gc=False):
    """What the first message with an idempotency key was answered."""

    event_id: EventId
    seq: int
    target: str
    content: str
    until: int
    deliveries: tuple[tuple[DeliveryId, AgentName], ...]
    refused: tuple[RefusedRecipient, ...] = ()


class Queue:
    """What waits for one agent: five lanes, each first in, first out.

    A delivery that leaves from the middle is only forgotten; its place is cleared when it reaches
    the front or when more than half of a lane is such places.
    """

    def __init__(self) -> None:
        self._lanes: tuple[deque[Delivery], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._waiting: dict[DeliveryId, Delivery] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    def __iter__(self) -> Iterator[Delivery]:
        """Everything that waits, most urgent first, then oldest first."""
        for lane in self._lanes:
            yield from (d for d in lane if self._waits(d))

    def __contains__(self, delivery_id: DeliveryId) -> bool:
        return delivery_id in self._waiting

    def join(self, delivery: Delivery) -> None:
        """Wait at the back of the lane."""
        self._waiting[delivery.delivery_id] = delivery
        self._lanes[delivery.message.priority].append(delivery)

    def rejoin(self, delivery: Delivery) -> None:
        """Wait at the front of the lane again, after an attempt that typed nothing."""
        self._waiting[delivery.delivery_id] = delivery
        self._lanes[delivery.message.priority].appendleft(delivery)

    def leave(self, delivery: Delivery) -> None:
        """Wait no longer; nothing for one that does not wait."""
        if self._waiting.pop(delivery.delivery_id, None) is None:
            return
        lane = self._lanes[delivery.message.priority]
        if lane and lane[0] is delivery:
            lane.popleft()
            while lane and not self._waits(lane[0]):
                lane.popleft()
        elif len(lane) > 2 * len(self._waiting) + 32:
            kept = [d for d in lane if self._waits(d)]
            lane.clear()
            lane.extend(kept)

    def head(self, joined_max: int | None = None) -> Delivery | None:
        """What comes next; with `joined_max`, among what had joined by that record."""
        for lane in self._lanes:
            if lane and (joined_max is None or lane[0].joined <= joined_max):
                return lane[0]
        return None

    def least(self) -> Delivery | None:
        """The oldest of the least urgent."""
        for lane in reversed(self._lanes):
            if lane:
                return lane[0]
        return None

    def oldest_at(self) -> int | None:
        """When the longest waiting was queued, in microseconds UTC."""
        return min((lane[0].queued_at for lane in self._lanes if lane), default=None)

    def count_joined(self, joined_max: int) -> int:
        """How many had joined by that record."""
        return sum(1 for d in self._waiting.values() if d.joined <= joined_max)

    def check(self) -> None:
        """Assert that the lanes are in order and agree with what is said to wait."""
        assert {d.delivery_id for d in self} == set(self._waiting)
        for priority, lane in enumerate(self._lanes):
            assert all(d.message.priority == priority for d in lane)
            assert not lane or self._waits(lane[0])
            order = [d.joined for d in lane]
            assert order == sorted(order)

    def _waits(self, delivery: Delivery) -> bool:
        return self._waiting.get(delivery.delivery_id) is delivery
