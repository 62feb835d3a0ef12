"""Attempts: what a holder knows of every try at typing, and its memory of having begun one.

An attempt is named by its delivery and its number, and is begun at most once: a second order for it
gets the known report. Its report is kept until the broker says that the record is durable. A
report of *not begun* is forgotten then, so that the same attempt may be ordered anew; the others
are remembered a while longer, in case an order is repeated. Evidence that comes later makes such a
report one to tell again, also to a broker that comes later still.

This module is pure; it neither types nor speaks to a broker.
"""

from __future__ import annotations

from collections import OrderedDict

from ackbook.broker.core.attempt_report import Report
from ackbook.projections.facts import DeliveryId

AttemptKey = tuple[DeliveryId, int]

OPEN_MAX = 1_024
"""Reports that no broker has settled. One delivery is in flight per agent, so more than a few mean
that nobody records them; beyond this nothing more is begun."""

SETTLED_MAX = 256
"""Settled attempts still remembered."""


class Attempts:
    """The reports of one holder."""

    def __init__(self) -> None:
        self._open: dict[AttemptKey, Report] = {}
        self._settled: OrderedDict[AttemptKey, Report] = OrderedDict()
        self._late: set[AttemptKey] = set()

    @property
    def full(self) -> bool:
        return len(self._open) >= OPEN_MAX

    def known(self, key: AttemptKey) -> Report | None:
        """The report of an attempt that was ordered before."""
        return self._open.get(key) or self._settled.get(key)

    def put(self, report: Report) -> bool:
        """Keep what is known of an attempt now. Whether that is news worth telling."""
        key = (report.delivery_id, report.attempt)
        reports = self._settled if key in self._settled else self._open
        news = reports.get(key) != report
        reports[key] = report
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
            self._late.discard(self._settled.popitem(last=False)[0])

    def unsettled(self) -> tuple[Report, ...]:
        """Every report that a broker still has to record."""
        late = (self._settled[key] for key in sorted(self._late))
        return (*self._open.values(), *late)

    def began(self) -> tuple[AttemptKey, ...]:
        """The attempts of those reports."""
        return tuple((report.delivery_id, report.attempt) for report in self.unsettled())
