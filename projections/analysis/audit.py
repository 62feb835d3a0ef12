"""Audit: follows every delivery through a journal and gives the row of its life once complete.

It also gives each hold that kept a queue; at the end come those that are still open. Memory is
bounded by what waits and by what ended not long ago: later evidence raises the level of a settled
delivery, and a dead letter may be queued again, so a life that has ended is kept for `kept_max`
others, and a dead letter for as long as it is one. What is learnt even later is not in the row.

Behind a hole no world is known until something remembers one: how deliveries end is still learnt
from the records of that, what they waited for is not. One of which nothing more is heard is neither
open nor ended, it is `unknown`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import assert_never

from ackbook.projections.analysis.delivery_record import DeliveryRecord, begin_life
from ackbook.projections.analysis.wait_times import Hold, Waits
from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentReleased,
    BrokerStarted,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryAttempted,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryFact,
    DeliveryHeld,
    DeliveryId,
    DeliveryRedelivered,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    Departure,
    MessageEnqueued,
    PlacingFact,
    Ref,
    Remark,
    SettlingFact,
)
from ackbook.projections.gaps import Remembered, is_placed, nothing_remembered
from ackbook.projections.ways_out import outcome_by, reason_by
from ackbook.projections.world.deliveries import Delivery
from ackbook.projections.world.fold import fold
from ackbook.projections.world.fold_deliveries import message_again, message_of
from ackbook.projections.world.state import SETTLED_MAX, World


def lives(
    entries: Iterable[Entry], world: World | None = None, *, bodies: bool = False
) -> Iterator[DeliveryRecord]:
    """The lives alone; see `audit`."""
    return (
        found for found in audit(entries, world, bodies=bodies) if isinstance(found, DeliveryRecord)
    )


def audit(
    entries: Iterable[Entry],
    world: World | None = None,
    *,
    bodies: bool = False,
    kept_max: int = SETTLED_MAX,
    remembered: Remembered = nothing_remembered,
) -> Iterator[DeliveryRecord | Hold]:
    """Every delivery of these entries once, and every hold. They go on where `world` ends (an empty
    one, unless given), which is folded along and belongs to the audit from now on."""
    world = World() if world is None else world
    auditor, seq = _Auditor(world, bodies, kept_max), world.seq
    for entry in entries:
        if entry.seq != seq + 1:
            yield from auditor.lose()
            auditor.regain(remembered(entry.seq - 1))
        yield from auditor.hear(entry)
        seq = entry.seq
        if not auditor.knows:
            auditor.regain(remembered(seq))
    yield from auditor.close()


class _Auditor:
    """Keeps the lives that may still change. `_flight` says since when what is in flight is,
    `_lost` of which nothing was heard since a hole. `knows`: the world is known."""

    def __init__(self, world: World, bodies: bool, kept_max: int) -> None:
        self.knows = True
        self._world = world
        self._at = world.at
        self._kept_max = kept_max
        self._bodies = bodies
        self._waits = Waits(world)
        self._lost: set[DeliveryId] = set()
        self._open: dict[DeliveryId, DeliveryRecord] = {}
        self._flight: dict[DeliveryId, int] = {}
        self._ended: OrderedDict[DeliveryId, DeliveryRecord] = OrderedDict()
        self._letters: dict[DeliveryId, DeliveryRecord] = {}
        for delivery in world.deliveries.values():
            self._take_over(delivery)

    def lose(self) -> Iterator[Hold]:
        """Records are missing: from here on the world is not known. The holds that lasted go as
        far as they were seen."""
        if self.knows:
            for life in self._open.values():
                self._spend(life, self._at)
            yield from self._waits.lasting()
        self.knows = False
        self._world, self._flight = World(), {}
        for life in (*self._open.values(), *self._letters.values()):
            life.whole = False
        self._lost.update(self._open)

    def regain(self, world: World | None) -> None:
        """The world is known again: what it does not hold has ended, and it may remember how."""
        if world is None:
            return
        self.knows, self._world, self._waits, self._flight = True, world, Waits(world), {}
        self._at = world.at
        for life in [*self._open.values()]:
            if life.delivery_id not in world.deliveries:
                life.end_unseen(world.settled.get(life.delivery_id))
                self._ended[life.delivery_id] = self._open.pop(life.delivery_id)
        self._lost.clear()
        for delivery in world.deliveries.values():
            self._take_over(delivery)

    def hear(self, entry: Entry) -> Iterator[DeliveryRecord | Hold]:
        self._at = entry.at
        if self.knows:
            fold(self._world, entry)
        match entry.fact:
            case MessageEnqueued() as fact:
                message = message_of(entry, fact)
                for each in fact.deliveries:
                    new = Delivery(each.delivery_id, message, each.agent, entry.seq, entry.at)
                    self._begin(new)
            case DeliveryRedelivered() as fact:
                self._redelivered(entry, fact)
            case AgentReleased() as fact:
                for ref in fact.dropped:
                    if (life := self._open.get(ref.delivery_id)) is not None:
                        self._move(life, entry, fact)
            case BrokerStarted():
                for life in self._open.values():
                    life.restarts += 1
            case Ref() as fact:
                self._change(entry, fact)
            case _:
                pass
        if self.knows:
            yield from self._waits.look(entry)
        yield from self._complete()

    def close(self) -> Iterator[DeliveryRecord | Hold]:
        """Everything that is left: what ended, then what did not."""
        yield from self._letters.values()
        yield from self._ended.values()
        for life in self._open.values():
            self._spend(life, self._world.at)
            delivery = self._world.deliveries.get(life.delivery_id)
            attempt = None if delivery is None else delivery.latest
            if attempt is not None and attempt.written_seq:
                life.level = "written"
            if life.delivery_id in self._lost:
                life.outcome = "unknown"
            yield life
        if self.knows:
            yield from self._waits.lasting()

    def _complete(self) -> Iterator[DeliveryRecord]:
        """Lives of which nothing more is expected."""
        while len(self._ended) > self._kept_max:
            delivery_id, life = self._ended.popitem(last=False)
            if delivery_id in self._world.dead_letters:
                self._letters[delivery_id] = life
            else:
                yield life
        if len(self._letters) > len(self._world.dead_letters):
            for delivery_id in [*self._letters]:
                if delivery_id not in self._world.dead_letters:
                    yield self._letters.pop(delivery_id)

    def _begin(self, delivery: Delivery) -> DeliveryRecord | None:
        """A delivery joins its queue; none where a known world knows no such agent."""
        if self.knows:
            joined = self._world.deliveries.get(delivery.delivery_id)
            if joined is None:
                return None
            self._waits.join(delivery.delivery_id, delivery.queued_at)
            delivery = joined
        life = self._open[delivery.delivery_id] = begin_life(delivery, bodies=self._bodies)
        life.whole = self.knows
        return life

    def _take_over(self, delivery: Delivery) -> None:
        """One that lives already; the waits of those in queues have begun with the world."""
        known = self._open.get(delivery.delivery_id)
        if known is None:
            known = self._open[delivery.delivery_id] = begin_life(delivery, bodies=self._bodies)
        known.whole, known.attempts = False, delivery.attempt
        if delivery.state != "queued":
            self._flight[delivery.delivery_id] = self._world.at

    def _redelivered(self, entry: Entry, fact: DeliveryRedelivered) -> None:
        new = self._world.deliveries.get(fact.new_delivery_id)
        message = message_again(fact) if new is None else new.message
        life = self._begin(Delivery(fact.new_delivery_id, message, fact.agent, entry.seq, entry.at))
        if life is not None:
            life.redelivered_of = fact.delivery_id
        former = self._known(fact.delivery_id)
        if former is not None:
            former.redelivered_as = fact.new_delivery_id

    def _known(self, delivery_id: DeliveryId) -> DeliveryRecord | None:
        places = (self._open, self._ended, self._letters)
        return next((p[delivery_id] for p in places if delivery_id in p), None)

    def _change(self, entry: Entry, fact: DeliveryFact) -> None:
        """A fact about one delivery. What is not known, or has ended, cannot change its queue."""
        if is_placed(fact):
            self._lost.discard(fact.delivery_id)
        if isinstance(fact, Remark):
            self._add(entry, fact)
        elif (life := self._open.get(fact.delivery_id)) is not None:
            self._move(life, entry, fact)

    def _add(self, entry: Entry, fact: Remark) -> None:
        known = self._known(fact.delivery_id)
        if known is not None and isinstance(fact, DeliveryAdvanced):
            known.rise(fact.level, entry.at)
        elif known is not None and isinstance(fact, DeliveryDropped):
            known.letter_dropped_at = entry.at

    def _move(self, life: DeliveryRecord, entry: Entry, fact: PlacingFact | SettlingFact) -> None:
        match fact:
            case DeliveryAttempted():
                self._spend(life, entry.at)
                self._flight[life.delivery_id] = entry.at
                life.attempts += 1
                if life.typed_seq is None:
                    life.typed_seq, life.typed_at = entry.seq, entry.at
            case DeliveryWritten():
                self._spend(life, entry.at)
                self._flight[life.delivery_id] = entry.at
                life.written_seq, life.written_at = entry.seq, entry.at
            case DeliveryRetried():
                life.retries += 1
                self._back(life, entry)
            case DeliveryHeld():
                if fact.undone:
                    life.attempts -= 1
                    if not life.attempts:
                        life.typed_seq = life.typed_at = None
                    self._back(life, entry)
            case DeliveryAcked():
                self._end(life, entry, fact)
                life.verification = fact.verification
                life.rise(fact.level, entry.at)
            case DeliveryDeadLettered():
                self._end(life, entry, fact)
                life.error = fact.error
            case Departure() | AgentReleased():
                self._end(life, entry, fact)
            case DeliveryResumed():
                pass
            case _:
                assert_never(fact)

    def _back(self, life: DeliveryRecord, entry: Entry) -> None:
        """An attempt typed nothing, and the delivery is in its queue again."""
        self._spend(life, entry.at)
        life.written_seq = life.written_at = None
        if self.knows:
            self._waits.join(life.delivery_id, entry.at)

    def _end(self, life: DeliveryRecord, entry: Entry, fact: SettlingFact) -> None:
        del self._open[life.delivery_id]
        self._spend(life, entry.at)
        life.ended_seq, life.ended_at = entry.seq, entry.at
        life.outcome, life.reason = outcome_by(fact), reason_by(fact)
        if life.written_seq is not None:
            life.level = "written"
        self._ended[life.delivery_id] = life

    def _spend(self, life: DeliveryRecord, at: int) -> None:
        """Charge the time since the last change of state: to a wait, or to being in flight."""
        if not self.knows:
            return
        since = self._flight.pop(life.delivery_id, None)
        if since is None:
            for cause, us in self._waits.leave(life.delivery_id, life.agent, at).items():
                life.waited[cause] = life.waited.get(cause, 0) + us
        elif life.written_seq is None:
            life.typing_us += at - since
        else:
            life.awaiting_us += at - since
