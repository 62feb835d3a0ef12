"""A delivery's story: what befell one delivery, record by record, and how that is told.

A `Course` takes the records about its delivery and remembers what the sentence will need: whether
anything was typed, what kept the queue when it left it, which broker it began under. A
`DeliveryExplanation` is the answer: state, reason, sentence, and the same as values for programs.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentReleased,
    DeliveryAcked,
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
    Ref,
    Remark,
)
from ackbook.projections.gaps import Hole, is_placed, refs_of
from ackbook.projections.ways_out import SETTLING
from ackbook.projections.why.gap_sentences import (
    caveat,
    lost,
    remembered,
    standing_beyond,
    whether_more,
)
from ackbook.projections.why.outcome_sentences import (
    EndingContext,
    OutcomeSentence,
    ended,
)
from ackbook.projections.why.partial_state import UNKNOWN, PartialState
from ackbook.projections.why.pending_sentences import standing_of
from ackbook.projections.why.phrases import Typed
from ackbook.projections.why.wait_cause import EntryLookup, Wait, WaitStart, since_of
from ackbook.projections.world.deliveries import SettledDelivery
from ackbook.projections.world.state import World


class Course(msgspec.Struct, kw_only=True):
    """What is remembered of a delivery while its records are read. `joined`: the record that queued
    it; `queued_at`: when, None where that cannot be read. Epochs are those of the brokers that
    queued and settled it; 0 where that is not known. `holes`: what cannot be read of its life,
    `holes_later`: what cannot be read of the time since it ended.

    `placed`: no hole lies behind the last record that said where it is. `settled`: it has ended;
    `memory`: how, where a later world remembers that and the record of it cannot be read.
    """

    delivery_id: DeliveryId
    agent: str
    joined: int
    queued_at: int | None
    begun_epoch: int = 0
    epoch: int = 0
    typed: Typed = "no"
    attempts: int = 0
    failed: Entry | None = None
    endings: list[EndingContext] = []
    holes: list[Hole] = []
    holes_later: list[Hole] = []
    placed: bool = True
    settled: bool = False
    memory: SettledDelivery | None = None

    @property
    def holes_known(self) -> tuple[Hole, ...]:
        """Everything that may be missing from its story."""
        return (*self.holes, *self.holes_later)

    def miss(self, hole: Hole) -> None:
        """Records cannot be read. One that was seen to arrive, or was queued again, stays what it
        is; any other one that has ended may have been queued again there."""
        if self.settled:
            if not any(_is_final(ending.entry.fact) for ending in self.endings):
                self.holes_later.append(hole)
            return
        self.holes.append(hole)
        self.placed, self.typed, self.failed = False, "unknown", None

    def regain(self, world: World) -> None:
        """The world is known again, and says what became of it in the holes."""
        if self.settled or not self.holes:
            return
        delivery = world.deliveries.get(self.delivery_id)
        if delivery is None:
            self.settled, self.memory = True, world.settled.get(self.delivery_id)
            return
        self.agent, self.queued_at = delivery.agent, delivery.queued_at
        self.attempts, self.placed = delivery.attempt, True
        if delivery.waiting:
            self.typed = "no"
        elif delivery.running.written_seq:
            self.typed = "yes"

    def take(self, entry: Entry, wait: Wait | None, sight: World | PartialState) -> None:
        """One more record about it. `wait` is what kept its queue before that decision, `sight`
        what is known of the world before the record."""
        fact = entry.fact
        if self.holes and not self.settled:
            for ref in refs_of(fact):
                if ref.delivery_id == self.delivery_id:
                    self.attempts = max(self.attempts, ref.attempt)
                    self.placed = self.placed or is_placed(ref)
        if isinstance(fact, Ref | AgentReleased):
            self._follow(entry, fact)
        if isinstance(fact, SETTLING):
            self.settled, self.epoch = True, sight.epoch
        elif isinstance(fact, DeliveryDropped) or _is_final(fact):
            self.settled = True  # and the record of its end cannot be read
        if self.settled:
            agent = sight.agent(self.agent) if isinstance(sight, World) else None
            ending = EndingContext(
                entry=entry,
                wait=wait,
                typed=self.typed,
                attempts=self.attempts,
                queued_at=self.queued_at,
                least=None if agent is None else agent.queue.least(),
                sure=isinstance(sight, World),
            )
            self.endings.append(ending)

    def _follow(self, entry: Entry, fact: DeliveryFact | AgentReleased) -> None:
        """Whether it was typed by now."""
        match fact:
            case DeliveryAttempted():
                self.attempts, self.typed = fact.attempt, "unknown"
            case DeliveryWritten() | DeliveryAcked():
                self.typed = "yes"
            case DeliveryRetried():
                self.typed, self.failed = "no", entry
            case DeliveryHeld() | DeliveryResumed():
                self.typed = "no"  # it stands in the queue, and nothing that was typed does
            case DeliveryDeadLettered():
                self.typed = self.typed if fact.reason == "outcome_unknown" else "no"
            case Departure() | AgentReleased():
                self.typed = "no"
            case Remark():
                pass  # it is where it was
            case _:
                assert_never(fact)


class DeliveryExplanation(msgspec.Struct, frozen=True, kw_only=True):
    """One delivery of a story: where it is and why.

    `seq`: the record that settled it; None while it is open. `since`: what keeps its queue, or kept
    it when the delivery left it untyped.
    """

    delivery_id: DeliveryId
    agent: str
    state: str
    reason: str | None
    sentence: str
    seq: int | None
    typed: Typed
    attempts: int
    since: WaitStart | None

    def to_dict(self) -> dict[str, object]:
        """The shape of a delivery in `ackbook why --json`."""
        return {
            "delivery_id": self.delivery_id,
            "agent": self.agent,
            "state": self.state,
            "reason": self.reason,
            "sentence": self.sentence,
            **self.details(),
        }

    def details(self) -> dict[str, object]:
        """What a delivery adds to the story of itself."""
        return {
            "settled_seq": self.seq,
            "typed": self.typed,
            "attempts": self.attempts,
            "wait": None if self.since is None else self.since.to_dict(),
        }


def fate_of(
    course: Course, sight: World | PartialState, wait: Wait | None, record: EntryLookup
) -> DeliveryExplanation:
    """How the delivery stands in what is known of the world. `wait` keeps its agent's queue."""
    since = since_of(wait, record)
    if isinstance(sight, World):
        delivery = sight.deliveries.get(course.delivery_id)
        if delivery is not None:
            agent = sight.agent(delivery.agent)
            assert agent is not None, "a live delivery has a queue"
            told = standing_of(agent, delivery, since, sight.at, course.typed, course.failed)
            return _fate(course, told, None, since, sight.epoch)
    elif course.placed and not course.settled:
        assert since is not None, "what is not known is a wait by that name"
        told = standing_beyond(course.delivery_id, course.agent, since, sight.at)
        return _fate(course, told, None, since, sight.epoch)
    return _ended(course, record)


def _ended(course: Course, record: EntryLookup) -> DeliveryExplanation:
    """How it ended, by the records of that, or by a world that remembers it."""
    told = lost(course.delivery_id, course.agent, course.joined, course.holes)
    seq = None
    if course.memory is not None:
        told = remembered(course.delivery_id, course.memory)
        seq = course.memory.seq if course.memory.new_delivery_id is None else None
    begun = course.endings[0].entry.fact if course.endings else None
    known = course.memory is not None or not isinstance(begun, SETTLING)
    for ending in course.endings:
        what = ended(course.delivery_id, ending, record)
        if what is not None:
            told, known = told.then(what) if known else what, True
            seq = ending.entry.seq if what.state is not None else seq
    left = _since_left(course, record)
    return _fate(course, told, seq, left, course.epoch)


def _is_final(fact: object) -> bool:
    """Whether nothing more can become of a delivery than this."""
    seen = isinstance(fact, DeliveryAcked) and fact.verification == "echo"
    return seen or isinstance(fact, DeliveryRedelivered)


def _since_left(course: Course, record: EntryLookup) -> WaitStart | None:
    """What kept the queue when the delivery left it; nothing, where it left the terminal."""
    first = course.endings[0] if course.endings else None
    if first is None or not isinstance(first.entry.fact, SETTLING):
        return since_of(UNKNOWN, record)
    queued = isinstance(first.entry.fact, Departure | AgentReleased)
    return since_of(first.wait, record) if queued else None


def _fate(
    course: Course, told: OutcomeSentence, seq: int | None, since: WaitStart | None, epoch: int
) -> DeliveryExplanation:
    assert told.state is not None, "what ended has a state"
    restarts = epoch - course.begun_epoch if course.begun_epoch else 0
    holes = "" if told.state == "unknown" else caveat(course.joined, course.holes)
    later = whether_more(course.holes_later)
    parts = [told.sentence, holes, later, _restarted(restarts), told.step or ""]
    return DeliveryExplanation(
        delivery_id=course.delivery_id,
        agent=course.agent,
        state=told.state,
        reason=told.reason,
        sentence=" ".join(filter(None, parts)),
        seq=seq,
        typed=course.typed,
        attempts=course.attempts,
        since=since,
    )


def _restarted(times: int) -> str:
    if times <= 0:
        return ""
    how_often = "" if times == 1 else f" {times} times"
    return f"Meanwhile the broker was started again{how_often}."
