"""One delivery from its enqueueing to its end as one row, so that an audit is a question to
a table.

Times are microseconds UTC. The time from being enqueued to its end is divided without a rest among
`waited` (by cause, see `wait_times`), `typing_us` (intended, and not yet written in full) and
`awaiting_us` (written, and looked for on the screen). How a row comes to be is `audit`'s business.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ackbook.projections.facts import AgentName, DeliveryId, EventId, Level, Verification, rank
from ackbook.projections.ways_out import Ended, outcome_in
from ackbook.projections.world.deliveries import Delivery, SettledDelivery

RecordedOutcome: TypeAlias = Literal[Ended, "open", "unknown"]
"""How a delivery left its queue. The first two are both `acked`: with proof, and without. What is
seen later raises the level of an unverified one, and it stays unverified: nobody knew in time. Of
an `unknown` one no record that can be read says whether it has left."""

PROVEN: tuple[Level, ...] = ("seen", "submitted", "consumed", "answered")
"""The levels that somebody or something has to show."""


class DeliveryRecord(msgspec.Struct, kw_only=True):
    """One delivery. `None` is never, or not known; `whole` is false where some of its time lies
    before the entries or in a hole of theirs, so that its counts and waits are those of the rest.

    `typed`: the first attempt that was not undone. `ended`: it left its queue for good. `reached`:
    when it had come at least so far. `restarts`: brokers that started while it lived. `attempts`
    counts those that were not undone, `retries` those that typed nothing and were made again.
    `letter_dropped_at`: the dead letter it became had to make room. `commander`: who had it sent.
    Times are microseconds UTC; `waited` is microseconds by cause.
    """

    delivery_id: DeliveryId
    event_id: EventId
    sender: str
    target: str
    agent: AgentName
    thread: str | None = None
    priority: int = 2
    body: str | None = None
    body_bytes: int | None = None
    enqueued_seq: int
    enqueued_at: int
    typed_seq: int | None = None
    typed_at: int | None = None
    written_seq: int | None = None
    written_at: int | None = None
    ended_seq: int | None = None
    ended_at: int | None = None
    outcome: RecordedOutcome = "open"
    reason: str | None = None
    error: str = ""
    level: Level = "recorded"
    verification: Verification | None = None
    reached: dict[Level, int] = {}
    attempts: int = 0
    retries: int = 0
    restarts: int = 0
    waited: dict[str, int] = {}
    typing_us: int = 0
    awaiting_us: int = 0
    redelivered_of: DeliveryId | None = None
    redelivered_as: DeliveryId | None = None
    letter_dropped_at: int | None = None
    commander: str = ""
    whole: bool = True

    def rise(self, level: Level, at: int) -> None:
        """It has come at least so far: the levels below are reached with it."""
        if rank(level) > rank(self.level):
            self.level = level
        for each in PROVEN:
            if rank(each) <= rank(level):
                self.reached.setdefault(each, at)

    def end_unseen(self, settled: SettledDelivery | None) -> None:
        """It ended where the record of that cannot be read; the world may remember how."""
        outcome = None if settled is None else outcome_in(settled.state, settled.verification)
        if settled is None or outcome is None:
            self.outcome = "unknown"
            return
        self.outcome, self.verification = outcome, settled.verification
        self.ended_seq, self.reason, self.level = settled.seq, settled.reason, settled.level


def begin_life(delivery: Delivery, *, bodies: bool = False) -> DeliveryRecord:
    """The row of a delivery that has just joined its queue."""
    message = delivery.message
    body = message.body
    return DeliveryRecord(
        delivery_id=delivery.delivery_id,
        event_id=message.event_id,
        sender=message.sender,
        target=message.target,
        agent=delivery.agent,
        thread=message.thread,
        priority=message.priority,
        body=body if bodies else None,
        body_bytes=None if body is None else len(body.encode()),
        enqueued_seq=delivery.joined,
        enqueued_at=delivery.queued_at,
        commander=message.commander,
    )
