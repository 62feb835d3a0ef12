"""Fates: what befell one delivery, record by record, and how that is told.

A `Course` takes the records about its delivery and remembers what the sentence will need: whether
anything was typed, what kept the queue when it left it, which broker it began under. A `Fate` is
the answer: state, reason, sentence, and the same as values for programs.
"""

from __future__ import annotations

import msgspec

from projections.codec import Entry
from projections.facts import (
    DeliveryAttempted,
    DeliveryDeadLettered,
    DeliveryHeld,
    DeliveryId,
    DeliveryRetried,
    DeliveryWritten,
)
from projections.sentences import LEAVING, SETTLING, Ended, Ending, ended
from projections.state import World
from projections.story_waits import Record, Since, Wait, since_of
from projections.waiting import standing_of
from projections.wording import Typed


class Course(msgspec.Struct, kw_only=True):
    """What is remembered of a delivery while its records are read. `begun`: the record that queued
    it. Epochs are those of the brokers that queued and settled it; 0 where that is not known."""

    delivery_id: DeliveryId
    agent: str
    begun: Entry
    begun_epoch: int
    epoch: int = 0
    typed: Typed = "no"
    attempts: int = 0
    failed: Entry | None = None
    endings: list[Ending] = []
    settled: bool = False

    def take(self, entry: Entry, wait: Wait | None, world: World) -> None:
        """One more record about it. `wait` is what kept its queue before that decision, `world` the
        one before the record."""
        fact = entry.fact
        match fact:
            case DeliveryAttempted():
                self.attempts, self.typed = fact.attempt, "unknown"
            case DeliveryWritten():
                self.typed = "yes"
            case DeliveryRetried():
                self.typed, self.failed = "no", entry
            case DeliveryHeld() if fact.undone:
                self.typed = "no"
            case DeliveryDeadLettered() if fact.reason == "retries_exhausted":
                self.typed = "no"
            case _:
                pass
        if isinstance(fact, SETTLING):
            self.settled, self.epoch = True, world.epoch
        if self.settled:
            agent = world.agent(self.agent)
            ending = Ending(
                entry=entry,
                wait=wait,
                typed=self.typed,
                attempts=self.attempts,
                queued_at=self.begun.at,
                least=None if agent is None else agent.queue.least(),
            )
            self.endings.append(ending)


class Fate(msgspec.Struct, frozen=True, kw_only=True):
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
    since: Since | None

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


def fate_of(course: Course, world: World, wait: Wait | None, record: Record) -> Fate:
    """How the delivery stands in this world. `wait` keeps its agent's queue there."""
    delivery = world.deliveries.get(course.delivery_id)
    if delivery is not None:
        agent = world.agent(delivery.agent)
        assert agent is not None, "a live delivery has a queue"
        since = since_of(wait, record)
        told = standing_of(agent, delivery, since, world.at, course.typed, course.failed)
        return _fate(course, told, None, since, world.epoch)
    said = [(ending, ended(course.delivery_id, ending, record)) for ending in course.endings]
    told, seq = _lost(course), None
    for ending, what in said:
        if what is not None:
            told = what if seq is None else told.then(what)
            seq = ending.entry.seq if what.state is not None else seq
    return _fate(course, told, seq, _since_left(course, record), course.epoch)


def _since_left(course: Course, record: Record) -> Since | None:
    """What kept the queue when the delivery left it; nothing, where it left the terminal."""
    first = course.endings[0] if course.endings else None
    return since_of(first.wait, record) if first and isinstance(first.entry.fact, LEAVING) else None


def _lost(course: Course) -> Ended:
    sentence = (
        f"{course.delivery_id} was queued for {course.agent} at seq {course.begun.seq}; what became"
        " of it is not in what is left of the journal."
    )
    return Ended(state="unknown", reason=None, sentence=sentence)


def _fate(course: Course, told: Ended, seq: int | None, since: Since | None, epoch: int) -> Fate:
    assert told.state is not None, "what ended has a state"
    restarts = epoch - course.begun_epoch if course.begun_epoch else 0
    parts = [told.sentence, _restarted(restarts), told.step or ""]
    return Fate(
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
