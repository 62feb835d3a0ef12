"""Messages, their deliveries, the queues they wait in, and what is left when they end.

A queue keeps deliveries first in, first out within a priority. It holds only what waits: a delivery
that is being typed has left it, and comes back to the front of its lane when the attempt provably
typed nothing. Nothing here decides; `fold` folds, the rules of `ackbook.broker.core` decide.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import Literal, TypedDict

import msgspec

from ackbook.projections.facts import (
    AgentName,
    DeadReason,
    DeliveryAttempted,
    DeliveryId,
    EventId,
    Evidence,
    Level,
    Mode,
    RefusedRecipient,
    Verification,
)
from ackbook.projections.ways_out import EndedState

PRIORITIES = 5
"""Priorities are 0 (most urgent) to 4."""

LiveState = Literal["queued", "typing", "awaiting"]


class RefFields(TypedDict):
    """The fields of `facts.Ref`."""

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    sender: str
    target: str
    attempt: int


class Message(msgspec.Struct, gc=False):
    """What was sent. `seq` is the record that holds the body; `body` None: only there."""

    event_id: EventId
    seq: int
    sender: str
    target: str
    body: str | None
    thread: str | None
    priority: int
    mode: Mode
    need: Level
    commander: str = ""


class Attempt(msgspec.Struct, gc=False):
    """One attempt at typing, as `intent` says, since the record `seq`.

    `doubt`: it was intended before this broker started, and its holder has not yet said what became
    of it. `written_seq`: the record of the last byte written, 0 before; from then on evidence is
    awaited until `window_until`. `input_empty`: the input line no longer shows the text.
    """

    intent: DeliveryAttempted
    seq: int
    doubt: bool = False
    written_seq: int = 0
    window_until: int = 0
    input_empty: bool = False


class Delivery(msgspec.Struct, gc=False):
    """One message for one agent, not yet settled.

    `joined` is the record that queued it. `waiting`: it stands in the queue; the queue says so.
    `due_at` is the time before which it is not retried. `expires_at`: its time to live ends; a
    redelivered one has none. `attempt` counts the attempts, and `latest` is the last of them: it
    runs, or it has failed.
    """

    delivery_id: DeliveryId
    message: Message
    agent: AgentName
    joined: int
    queued_at: int
    expires_at: int | None = None
    waiting: bool = False
    failures: int = 0
    due_at: int = 0
    attempt: int = 0
    latest: Attempt | None = None

    @property
    def state(self) -> LiveState:
        """Where it stands; it is typed from the intent on, and awaited from the last byte on."""
        if self.waiting:
            return "queued"
        return "awaiting" if self.running.written_seq else "typing"

    @property
    def running(self) -> Attempt:
        """The attempt at a delivery that does not wait."""
        assert self.latest is not None
        return self.latest

    @property
    def doubt(self) -> bool:
        """Whether nobody here knows what became of its attempt."""
        return self.latest is not None and self.latest.doubt

    @property
    def generation(self) -> int:
        """The program that its latest attempt was for, 0 before the first."""
        return 0 if self.latest is None else self.latest.intent.generation

    def ref_fields(self, attempt: int | None = None) -> RefFields:
        """What every fact about this delivery carries; `attempt` where it is another one's."""
        return _ref_fields(self, self.message, self.attempt if attempt is None else attempt)


class SettledDelivery(msgspec.Struct, gc=False):
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
        return _ref_fields(self, self, self.attempt)


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
        return _ref_fields(self, self.message, self.attempt)


def _ref_fields(
    one: Delivery | SettledDelivery | DeadLetter, sent: Message | SettledDelivery, attempt: int
) -> RefFields:
    return {
        "delivery_id": one.delivery_id,
        "event_id": sent.event_id,
        "agent": one.agent,
        "sender": sent.sender,
        "target": sent.target,
        "attempt": attempt,
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

    A delivery that leaves from the middle only says so itself; its place is cleared when it reaches
    an end, when more than half of a lane is such places, or before it comes back.
    """

    __slots__ = ("_lanes", "_length")

    def __init__(self) -> None:
        self._lanes: tuple[deque[Delivery], ...] = tuple(deque() for _ in range(PRIORITIES))
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[Delivery]:
        """Everything that waits, most urgent first, then oldest first."""
        for lane in self._lanes:
            yield from (d for d in lane if d.waiting)

    def join(self, delivery: Delivery) -> None:
        """Wait at the back of the lane."""
        delivery.waiting = True
        self._length += 1
        self._lanes[delivery.message.priority].append(delivery)

    def rejoin(self, delivery: Delivery) -> None:
        """Wait at the front of the lane again, after an attempt that typed nothing."""
        lane = self._lanes[delivery.message.priority]
        if sum(map(len, self._lanes)) > self._length:
            _clear_places(lane)  # one of them may be its own
        delivery.waiting = True
        self._length += 1
        lane.appendleft(delivery)

    def leave(self, delivery: Delivery) -> None:
        """Wait no longer; nothing for one that does not wait."""
        if not delivery.waiting:
            return
        delivery.waiting = False
        self._length -= 1
        lane = self._lanes[delivery.message.priority]
        if lane[0] is delivery:
            while lane and not lane[0].waiting:
                lane.popleft()
        elif lane[-1] is delivery:
            while not lane[-1].waiting:
                lane.pop()
        elif len(lane) > 2 * self._length + 32:
            _clear_places(lane)

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

    def check(self) -> None:
        """Assert that the lanes are in order and agree with what is said to wait."""
        assert len(list(self)) == self._length
        for priority, lane in enumerate(self._lanes):
            assert all(d.message.priority == priority for d in lane)
            assert not lane or (lane[0].waiting and lane[-1].waiting)
            order = [d.joined for d in lane]
            assert order == sorted(order)


def _clear_places(lane: deque[Delivery]) -> None:
    waiting = [delivery for delivery in lane if delivery.waiting]
    lane.clear()
    lane.extend(waiting)
