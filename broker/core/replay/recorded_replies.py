"""Recorded replies: how each program answered each attempt to type into it, as its reports tell.

What a program does is a fact of the outside, and no rule can say what it would have done. Who wants
to know what another policy would have led to has to assume something, and what is assumed is here:
an attempt is answered as the same attempt of the same delivery was, after the same delay. Where
there was none, or nothing was typed because something was in the way at that time, it is answered
as that agent usually answers: seen and submitted, after the median of its delays; where it never
did, with the median of all agents; and where nobody ever did, it is written at once and never seen.

Only what left a record is known. Evidence is kept by its name, without its places in the output.
"""

from __future__ import annotations

import msgspec

from ackbook.broker.core.attempt_report import Report, Written
from ackbook.broker.core.commands import ReportAttempt
from ackbook.projections.codec import Entry
from ackbook.projections.facts import AgentName, DeliveryAttempted, DeliveryId, Evidence
from ackbook.projections.world.fold import key_of

_COMMAND = b'{"command":"report_attempt"'
_NOBODY = DeliveryId("")


class Reaction(msgspec.Struct, frozen=True, gc=False):
    """One report, and how long after the intent to type it came."""

    delay_us: int
    report: Report


class RecordedAttempt(msgspec.Struct):
    """When an attempt was intended, into which generation, and how it was answered. `held`: it was
    not, but for what was in the way at that time."""

    at: int
    generation: int
    reactions: list[Reaction] = []
    held: bool = False


class Reactions:
    """Of one journal, or a part of it; `note` takes its entries in order."""

    def __init__(self) -> None:
        self._attempts: dict[tuple[DeliveryId, int], RecordedAttempt] = {}
        self._delays: dict[str, list[int]] = {}
        self._medians: dict[str, int] = {}
        self._known: dict[Report, Report] = {}
        self._reports = msgspec.json.Decoder(ReportAttempt)

    def note(self, entry: Entry) -> None:
        fact = entry.fact
        if type(fact) is DeliveryAttempted:
            attempt = RecordedAttempt(at=entry.at, generation=fact.generation)
            self._attempts[fact.delivery_id, fact.attempt] = attempt
        elif bytes(entry.by).startswith(_COMMAND):
            self._take(self._reports.decode(entry.by), entry.at)

    def of(self, delivery_id: DeliveryId, attempt: int) -> RecordedAttempt | None:
        """What is recorded of this attempt."""
        return self._attempts.get((delivery_id, attempt))

    def usual(self, agent: AgentName) -> tuple[Reaction, ...]:
        """How this agent answers when nothing better is known."""
        delay_us = self._median(key_of(agent), self._delays.get(key_of(agent), []))
        if delay_us is None:
            every = [delay for delays in self._delays.values() for delay in delays]
            delay_us = self._median("", every)
        if delay_us is None:
            return (Reaction(0, _UNSEEN),)
        return (Reaction(delay_us, _SUBMITTED),)

    def _take(self, command: ReportAttempt, at: int) -> None:
        report = command.report
        attempt = self._attempts.get((report.delivery_id, report.attempt))
        if attempt is None:
            return
        attempt.held = report.held is not None
        delay_us = at - attempt.at
        if report.seen is not None and not any(each.report.seen for each in attempt.reactions):
            self._delays.setdefault(key_of(command.agent), []).append(delay_us)
        attempt.reactions.append(Reaction(delay_us, self._stripped(report)))

    def _stripped(self, report: Report) -> Report:
        """The same report of any attempt, and one value for all that say the same."""
        bare = msgspec.structs.replace(
            report,
            delivery_id=_NOBODY,
            attempt=0,
            generation=0,
            written=None if report.written is None else _WRITTEN,
            seen=None if report.seen is None else Evidence(how=report.seen.how),
            submitted=None if report.submitted is None else Evidence(how=report.submitted.how),
        )
        return self._known.setdefault(bare, bare)

    def _median(self, key: str, delays: list[int]) -> int | None:
        """Asked for only when every delay is known."""
        if delays and key not in self._medians:
            self._medians[key] = sorted(delays)[(len(delays) - 1) // 2]
        return self._medians.get(key)


_WRITTEN = Written(bytes_written=0, offset=0)
_UNSEEN = Report(
    delivery_id=_NOBODY,
    attempt=0,
    generation=0,
    phase="written",
    written=_WRITTEN,
    input_empty=True,
)
_SUBMITTED = msgspec.structs.replace(
    _UNSEEN, seen=Evidence(how="assumed"), submitted=Evidence(how="assumed")
)
