"""Attempts: what a holder knows of every try at typing, and its memory of having begun one.

An attempt is named by its delivery and its number, and is begun at most once: a second order for it
gets the known report. So does an order for a later attempt of a delivery whose text has reached the
terminal, which only a broker gives whose journal was put back from a copy. A copy also gives names
again: an order under a known name with another text is another message. Its report is kept until
the broker says that the record is durable. A report of *not begun* is forgotten then, so that the
same attempt may be ordered anew; the others are remembered a while longer, in case an order is
repeated. Evidence that comes later makes such a report one to tell again, also to a broker that
comes later still.

This module is pure; it neither types nor speaks to a broker.
"""

from __future__ import annotations

from collections import OrderedDict
from hashlib import sha256

import msgspec

from ackbook.broker.core.attempt_report import Phase, Report
from ackbook.projections.facts import DeliveryId

AttemptKey = tuple[DeliveryId, int]

TYPED: frozenset[Phase] = frozenset({"typing", "written", "unknown"})
"""Of an attempt of which the program may have read something: no other one of its delivery is
begun."""

OPEN_MAX = 1_024
"""Reports that no broker has settled. One delivery is in flight per agent, so more than a few mean
that nobody records them; beyond this nothing more is begun."""

SETTLED_MAX = 256
"""Settled attempts still remembered."""


def digest_of(event_id: str, body: str) -> bytes:
    """Of the message that is meant, whatever its header and hint are by now."""
    return sha256(f"{event_id}\n{body}".encode("utf-8", "replace")).digest()


class Attempts:
    """The reports of one holder."""

    def __init__(self) -> None:
        self._open: dict[AttemptKey, Report] = {}
        self._settled: OrderedDict[AttemptKey, Report] = OrderedDict()
        self._late: set[AttemptKey] = set()
        self._texts: dict[AttemptKey, bytes] = {}
        self._typed: dict[DeliveryId, AttemptKey] = {}

    @property
    def full(self) -> bool:
        return len(self._open) >= OPEN_MAX

    def known(self, key: AttemptKey) -> Report | None:
        """The report of an attempt that was begun or refused before."""
        return self._open.get(key) or self._settled.get(key)

    def ordered(self, key: AttemptKey, text: bytes) -> Report | None:
        """What is known of an attempt that is ordered now, or of an earlier one that typed the same
        message; None where it may be begun. `text` is a digest of the message."""
        known = self.known(key)
        if known is not None and self._texts.get(key, text) != text:
            self._forget(key)
            known = None
        if known is None and (typed := self._typed.get(key[0])) is not None:
            if self._texts.get(typed) == text and (before := self.known(typed)) is not None:
                known = msgspec.structs.replace(before, attempt=key[1])
                self._open[key] = known
            else:
                del self._typed[key[0]]
        self._texts[key] = text
        return known

    def put(self, report: Report) -> bool:
        """Keep what is known of an attempt now. Whether that is news worth telling."""
        key = (report.delivery_id, report.attempt)
        reports = self._settled if key in self._settled else self._open
        news = reports.get(key) != report
        reports[key] = report
        if report.phase in TYPED:
            self._typed[report.delivery_id] = key
        if news and reports is self._settled:
            self._late.add(key)
        return news

    def settle(self, key: AttemptKey) -> None:
        """The record is durable: no longer tell of this attempt by ourselves."""
        self._late.discard(key)
        report = self._open.pop(key, None)
        if report is None or report.phase == "not_begun":
            return
        self._settled[key] = report
        if len(self._settled) > SETTLED_MAX:
            self._forget(next(iter(self._settled)))

    def unsettled(self) -> tuple[Report, ...]:
        """Every report that a broker still has to record."""
        late = (self._settled[key] for key in sorted(self._late))
        return (*self._open.values(), *late)

    def settled(self) -> tuple[Report, ...]:
        """Every report of which a broker said that its record is durable; the oldest are
        forgotten."""
        return tuple(self._settled.values())

    def began(self) -> tuple[AttemptKey, ...]:
        """The attempts of those reports."""
        return tuple((report.delivery_id, report.attempt) for report in self.unsettled())

    def _forget(self, key: AttemptKey) -> None:
        self._open.pop(key, None)
        self._settled.pop(key, None)
        self._texts.pop(key, None)
        self._late.discard(key)
        if self._typed.get(key[0]) == key:
            del self._typed[key[0]]
