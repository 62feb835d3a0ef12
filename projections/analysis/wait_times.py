"""Waits: how long each delivery waited and for what, so that "why so late" has numbers.

At each moment the head of an agent's queue waits for one cause, and everything else in the queue
waits behind it. So it is enough to watch heads: what a delivery waited and was not at the head for,
it waited behind others. Every microsecond between joining a queue and leaving it is charged once.

| cause | the delivery was at the head of its queue and |
|---|---|
| a reason of `delivery.held` | this held it |
| `retry` | a failed attempt was not due to be tried again, or its pace kept it |
| `pace` | the throttle kept it, or the broker had not come to it yet |

| cause | the delivery, wherever it stood |
|---|---|
| `behind` | waited for what was before it in the queue, or in flight |
| `no_broker` | waited since a broker said that it stops |

What passes between the last record of a broker that was killed and the next start is charged to
whatever was the cause before: no record says when that broker ended.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentModeChanged,
    AgentName,
    BrokerStarted,
    BrokerStopped,
    DeliveryId,
    HeldReason,
)
from ackbook.projections.subjects import agents_of
from ackbook.projections.world.agents import Held
from ackbook.projections.world.state import World, key_of

RETRY, PACE, BEHIND, NO_BROKER = "retry", "pace", "behind", "no_broker"
CAUSES: tuple[str, ...] = (*get_args(HeldReason), RETRY, PACE, BEHIND, NO_BROKER)
"""The closed list, in the order of columns."""


class Hold(msgspec.Struct, kw_only=True):
    """A time in which one reason kept an agent's queue, whoever was at its head.

    `until_at`: when it ended, with the record `until_seq`; where `over` is false it lasted as far
    as the entries go. `since_seq` is the record that said so first. `by`: who set it, where a
    record says so.
    """

    agent: AgentName
    reason: HeldReason
    since_seq: int
    since_at: int
    until_at: int | None = None
    until_seq: int | None = None
    over: bool = False
    by: str = ""


class _Head(msgspec.Struct):
    """What the queue of one agent waits for: who is at its head, the cause, and since when."""

    delivery_id: DeliveryId | None = None
    cause: str = BEHIND
    at: int = 0
    hold: Hold | None = None


class _Stay(msgspec.Struct):
    """One delivery in a queue: since when, and what it was charged for while at the head."""

    since: int
    stopped_us: int
    charged: dict[str, int]


class Waits:
    """Follows the queues of a world that somebody else folds: `look` after each entry.

    `join` and `leave` are called for a delivery between the fold of the entry that moved it and
    the `look` at that entry. It begins with the world as it is given.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._heads: dict[str, _Head] = {}
        self._stays: dict[DeliveryId, _Stay] = {}
        self._modes_by: dict[str, str] = {}
        self._stopped_at = world.at if world.at and not world.running else None
        self._stopped_us = 0
        for key, agent in world.agents.items():
            for delivery in agent.queue:
                self.join(delivery.delivery_id, world.at)
            list(self._look_at(key, world.at))

    def join(self, delivery_id: DeliveryId, at: int) -> None:
        """It waits in a queue from now on."""
        self._stays[delivery_id] = _Stay(at, self._stopped(at), {})

    def leave(self, delivery_id: DeliveryId, agent: str, at: int) -> dict[str, int]:
        """It waits no more, or nobody looks further: what for, in microseconds, since it joined."""
        head = self._heads.get(key_of(agent))
        if head is not None and head.delivery_id == delivery_id:
            self._charge(head, at)
            head.delivery_id = None
        stay = self._stays.pop(delivery_id)
        stopped = self._stopped(at) - stay.stopped_us
        behind = at - stay.since - stopped - sum(stay.charged.values())
        assert behind >= 0, (delivery_id, stay, behind)
        charged = stay.charged | {NO_BROKER: stopped, BEHIND: behind}
        return {cause: us for cause, us in charged.items() if us}

    def look(self, entry: Entry) -> Iterator[Hold]:
        """See what has changed for the queues that this entry touched; the holds that ended."""
        fact = entry.fact
        match fact:
            case BrokerStarted() | BrokerStopped():
                for head in self._heads.values():
                    self._charge(head, entry.at)
                self._stopped_us = self._stopped(entry.at)
                self._stopped_at = entry.at if isinstance(fact, BrokerStopped) else None
                keys = [*self._world.agents]
            case _:
                keys = [key_of(name) for name in agents_of(fact) or ()]
                if isinstance(fact, AgentModeChanged):
                    self._modes_by[key_of(fact.name)] = fact.by
        for key in keys:
            yield from self._look_at(key, entry.at)

    def lasting(self) -> Iterator[Hold]:
        """The holds that nobody has been told of yet, because they last or have just ended."""
        for head in self._heads.values():
            if head.hold is not None:
                head.hold.over = head.hold.until_at is not None
                if not head.hold.over:
                    head.hold.until_at, head.hold.until_seq = self._world.at, self._world.seq
                yield head.hold

    def _look_at(self, key: str, at: int) -> Iterator[Hold]:
        agent = self._world.agents.get(key)
        head = self._heads.setdefault(key, _Head())
        delivery = None if agent is None or agent.flowing is not None else agent.head()
        held = None
        if agent is not None and delivery is not None and agent.held is not None:
            held = agent.held if agent.held.delivery_id == delivery.delivery_id else None
        delivery_id, cause = None, BEHIND
        if delivery is not None:
            delivery_id = delivery.delivery_id
            cause = held.reason if held is not None else RETRY if delivery.failures else PACE
        if (delivery_id, cause) != (head.delivery_id, head.cause):
            self._charge(head, at)
            head.delivery_id, head.cause = delivery_id, cause
        if (ended := self._end_hold(head, held, at)) is not None:
            yield ended
        if agent is not None and held is not None and head.hold is None:
            by = self._modes_by.get(key, "") if held.reason == "manual_flush" else ""
            head.hold = Hold(
                agent=agent.name, reason=held.reason, since_seq=held.seq, since_at=held.at, by=by
            )
        if agent is None:
            if head.hold is not None:
                head.hold.over = True
                yield head.hold
            del self._heads[key]
            self._modes_by.pop(key, None)

    def _end_hold(self, head: _Head, held: Held | None, at: int) -> Hold | None:
        """The hold that is over. When the head of a queue goes, its hold is taken up by the next
        one within the same decision, so an end is only told when time has passed."""
        hold = head.hold
        if hold is None:
            return None
        if held is not None and held.reason == hold.reason and hold.until_at in (None, at):
            hold.until_at = hold.until_seq = None
            return None
        if hold.until_at is None:
            hold.until_at, hold.until_seq = at, self._world.seq
        if held is None and hold.until_at == at:
            return None
        head.hold, hold.over = None, True
        return hold

    def _charge(self, head: _Head, at: int) -> None:
        """The head has waited for its cause until now. Without a broker nothing else counts."""
        stay = None if head.delivery_id is None else self._stays.get(head.delivery_id)
        if stay is not None and self._stopped_at is None:
            us = at - max(head.at, stay.since)
            stay.charged[head.cause] = stay.charged.get(head.cause, 0) + us
        head.at = at

    def _stopped(self, at: int) -> int:
        """How long there was no broker, up to now."""
        since = self._stopped_at
        return self._stopped_us + (0 if since is None else at - since)
