"""How each delivery fared, in few words, so that two histories of it can be compared.

A fate begins when a message is taken, refused or redelivered, and ends when the delivery has left
its queue for good. Two histories speak of the same delivery when they speak of the same command,
the same agent and, for a redelivery, the same original: that is its `DeliveryKey`, since ids are
positions and differ between histories. Only what goes on, and what differed, is remembered.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Literal, TypeAlias

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import DeliveryAcked, DeliveryAttempted, DeliveryId, SettlingFact
from ackbook.projections.subjects import deliveries_of
from ackbook.projections.ways_out import SETTLING, Ended, outcome_by, reason_by

DeliveryKey: TypeAlias = tuple[int, str, str]
"""The first record of the decision that took the command, the agent, and for a redelivery the id of
the original; as the recorded history has them."""

ComparedOutcome: TypeAlias = Literal[Ended, "refused", "open", "absent"]
"""`open`: not settled at the end. `absent`: there never was such a delivery."""


class ComparedDelivery(msgspec.Struct):
    """Of one delivery. `at` is when it ended, `attempts` how often it was about to be typed."""

    key: DeliveryKey
    agent: str
    delivery_id: DeliveryId | None = None
    outcome: ComparedOutcome = "open"
    reason: str = ""
    at: int = 0
    attempts: int = 0


class Difference(msgspec.Struct, frozen=True):
    """A delivery that fared otherwise."""

    recorded: ComparedDelivery
    other: ComparedDelivery

    @property
    def moved_us(self) -> int | None:
        """How much later the other one settled; None where they ended in another way."""
        same = (self.recorded.outcome, self.recorded.reason) == (
            self.other.outcome,
            self.other.reason,
        )
        return self.other.at - self.recorded.at if same else None


class ComparedHistory:
    """One of the two histories: fates that go on, and those that wait for the other side."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.open: dict[DeliveryId, ComparedDelivery] = {}
        self.ended: dict[DeliveryKey, ComparedDelivery] = {}

    def begin(self, fate: ComparedDelivery) -> None:
        if fate.outcome == "open" and fate.delivery_id is not None:
            self.open[fate.delivery_id] = fate
        else:
            self._end(fate)

    def note(self, entry: Entry) -> Iterator[DeliveryKey]:
        """The keys of what this entry ended."""
        fact = entry.fact
        if isinstance(fact, DeliveryAttempted):
            if (fate := self.open.get(fact.delivery_id)) is not None:
                fate.attempts += 1
        elif isinstance(fact, SETTLING):
            for delivery_id, _ in deliveries_of(fact):
                if (fate := self.open.pop(delivery_id, None)) is not None:
                    fate.outcome, fate.reason, fate.at = (
                        outcome_by(fact),
                        _reason_of(fact),
                        entry.at,
                    )
                    self._end(fate)
                    yield fate.key

    def _end(self, fate: ComparedDelivery) -> None:
        self.ended[fate.key] = fate
        if fate.outcome != "absent":
            self.counts[fate.outcome] += 1


class Comparison:
    """Two histories of the same commands. A settling that moved by less than `moved_us_min` is
    called the same."""

    def __init__(self, moved_us_min: int) -> None:
        self.recorded = ComparedHistory()
        self.other = ComparedHistory()
        self.differences: list[Difference] = []
        self._moved_us_min = moved_us_min

    def begin(
        self, recorded: Iterable[ComparedDelivery], other: Iterable[ComparedDelivery]
    ) -> None:
        """What one command led to; what is on one side only is absent on the other."""
        here = {fate.key: fate for fate in recorded}
        there = {fate.key: fate for fate in other}
        for key in dict.fromkeys((*here, *there)):
            known = here.get(key) or there[key]
            none = ComparedDelivery(key=key, agent=known.agent, outcome="absent")
            self.recorded.begin(here.get(key, none))
            self.other.begin(there.get(key, none))
            self._compare(key)

    def note(self, recorded: Iterable[Entry], other: Iterable[Entry]) -> None:
        """What was said on both sides, in any order."""
        for side, entries in ((self.recorded, recorded), (self.other, other)):
            for entry in entries:
                for key in side.note(entry):
                    self._compare(key)

    def finish(self) -> None:
        """Nothing more is said: what goes on stays open."""
        for side in (self.recorded, self.other):
            for fate in side.open.values():
                side.ended[fate.key] = fate
                side.counts["open"] += 1
            side.open.clear()
        for key in list(self.recorded.ended):
            self._compare(key)
        self.differences.sort(key=lambda found: found.recorded.key)

    def _compare(self, key: DeliveryKey) -> None:
        if key not in self.recorded.ended or key not in self.other.ended:
            return
        found = Difference(self.recorded.ended.pop(key), self.other.ended.pop(key))
        delivered = found.recorded.outcome in ("verified", "unverified")
        moved_us = found.moved_us
        if moved_us is None or (delivered and abs(moved_us) >= self._moved_us_min):
            self.differences.append(found)


def _reason_of(fact: SettlingFact) -> str:
    """Why it ended so, as far as the fact says more than how."""
    return "" if isinstance(fact, DeliveryAcked) else reason_by(fact) or ""
