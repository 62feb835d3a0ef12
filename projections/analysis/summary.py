"""Summary: what an audit comes to in a few numbers, in memory that does not grow with the history.

Quantiles are kept to three digits: a span is counted under itself, rounded up to them, so that a
few thousand counters hold any number of spans. The longest is kept exactly. The holds are
the longest ones only.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from collections.abc import Iterable

import msgspec

from ackbook.projections.analysis.delivery_record import PROVEN, DeliveryRecord
from ackbook.projections.analysis.wait_times import Hold

HOLDS_MAX = 10
"""Holds that a summary tells: the longest ones."""

QUANTILES = (0.5, 0.9, 0.99)
"""As shares of all: the middle one, and two that show the slow ones."""

_DIGITS = 1_000


class Spread(msgspec.Struct):
    """Spans of time in microseconds: how many, how long the longest, and their quantiles."""

    count: int = 0
    longest: int = 0
    spans: Counter[int] = Counter()

    @classmethod
    def empty(cls) -> Spread:
        return cls(spans=Counter())

    def add(self, us: int) -> None:
        """Count one span of so many microseconds, to three digits."""
        self.count += 1
        self.longest = max(self.longest, us)
        unit = 1
        while us // unit >= _DIGITS:
            unit *= 10
        self.spans[-(-us // unit) * unit] += 1

    def quantile(self, share: float) -> int | None:
        """A span that this share of all does not exceed, to three digits; None without any."""
        left = share * self.count
        for us in sorted(self.spans):
            left -= self.spans[us]
            if left <= 0:
                return min(us, self.longest)
        return None


class Digest(msgspec.Struct, kw_only=True):
    """`outcomes` by agent, outcome and reason. `since_enqueued` and `since_typed` by level; to be
    `typed` is a level of the first. `waited` by cause, over all deliveries, in microseconds.
    `holds`: the longest, longest first. `commanders`: deliveries by who had them sent; empty where
    no record says so."""

    deliveries: int = 0
    first_at: int | None = None
    last_at: int | None = None
    outcomes: Counter[tuple[str, str, str | None]]
    since_enqueued: dict[str, Spread]
    since_typed: dict[str, Spread]
    waited: Counter[str]
    holds: list[Hold]
    commanders: Counter[str]

    def total(self, outcome: str) -> int:
        """How many deliveries of all agents came to this."""
        return sum(count for (_, each, _), count in self.outcomes.items() if each == outcome)

    @property
    def unverified_share(self) -> float | None:
        """Of what was written in full: the part that nothing was seen of; None without any."""
        written = self.total("verified") + self.total("unverified")
        return self.total("unverified") / written if written else None


def digest(found: Iterable[DeliveryRecord | Hold]) -> Digest:
    """The digest of an audit."""
    made = Digest(
        outcomes=Counter(),
        since_enqueued={name: Spread.empty() for name in ("typed", *PROVEN)},
        since_typed={name: Spread.empty() for name in PROVEN},
        waited=Counter(),
        holds=[],
        commanders=Counter(),
    )
    for each in found:
        match each:
            case DeliveryRecord():
                _count(made, each)
            case Hold():
                insort(made.holds, each, key=_shortness)
                del made.holds[HOLDS_MAX:]
    return made


def length(hold: Hold) -> int:
    """How long it lasted, in microseconds."""
    return 0 if hold.until_at is None else hold.until_at - hold.since_at


def _shortness(hold: Hold) -> int:
    return -length(hold)


def _count(made: Digest, life: DeliveryRecord) -> None:
    made.deliveries += 1
    made.commanders[life.commander] += 1
    made.outcomes[life.agent, life.outcome, life.reason] += 1
    at = life.enqueued_at
    made.first_at = at if made.first_at is None else min(made.first_at, at)
    made.last_at = at if made.last_at is None else max(made.last_at, at)
    made.waited.update(life.waited)
    if life.typed_at is not None:
        made.since_enqueued["typed"].add(life.typed_at - at)
    for level, reached_at in life.reached.items():
        made.since_enqueued[level].add(reached_at - at)
        if life.typed_at is not None:
            made.since_typed[level].add(reached_at - life.typed_at)
