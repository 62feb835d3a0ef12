"""Rules about reports: what a holder says of an attempt becomes what is known of a delivery.

Reports are cumulative and may be repeated, so a rule compares the report with the world and says
only what is new. A report about another attempt or generation than the world's changes nothing and
is recorded as refused, where it claims anything.

| the delivery is | the report says                | fact                                     |
|-----------------|--------------------------------|------------------------------------------|
| typing          | not begun, held by something   | `delivery.held`, undone                  |
| typing          | not begun, not written, cleared| `delivery.retried`, or a dead letter     |
| typing          | written                        | `delivery.written`                       |
| typing          | unknown                        | dead letter `outcome_unknown`            |
| awaiting        | seen or submitted              | `delivery.acked` by echo                 |
| awaiting        | only that the input is empty   | `delivery.advanced`, same level          |
| settled         | more than is known             | `delivery.advanced`                      |
"""

from __future__ import annotations

from ackbook.broker.core import throttle
from ackbook.broker.core.attempt_report import Report
from ackbook.broker.core.commands import Accepted, DecidedFact, Refused, ReportAttempt, Verdict
from ackbook.broker.core.limits import ERROR_BYTES_MAX
from ackbook.projections.facts import (
    AgentName,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryDeadLettered,
    DeliveryHeld,
    DeliveryReportRefused,
    DeliveryRetried,
    DeliveryWritten,
    EventId,
    Evidence,
    HeldReason,
    Level,
    Verification,
    rank,
)
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery, SettledDelivery
from ackbook.projections.world.fold import World

GUESSES: frozenset[HeldReason] = frozenset(
    {"busy", "not_ready", "input_not_empty", "canonical_limit"}
)
"""Reasons that a deadline may override; all others are vetoes. The first three are guesses about a
screen; a line that is too short may be another one by then, and no holder tells when it is."""

INPUT_EMPTIED = Evidence(how="input_emptied")


def report_attempt(world: World, command: ReportAttempt, at: int) -> Verdict:
    """Compare a report with the world and say what is new."""
    report = command.report
    agent = world.agent(command.agent)
    delivery = world.deliveries.get(report.delivery_id)
    if agent is not None and delivery is not None and agent.flowing is delivery:
        if (delivery.attempt, delivery.generation) != (report.attempt, report.generation):
            return _refuse(world, command, "stale_attempt")
        if delivery.state == "typing":
            return Accepted(facts=tuple(_typing(world, agent, delivery, report, at)))
        return Accepted(facts=tuple(_awaiting(world, agent, delivery, report, at)))
    settled = world.settled.get(report.delivery_id)
    if settled is not None:
        if (settled.attempt, settled.generation) != (report.attempt, report.generation):
            return _refuse(world, command, "stale_attempt")
        return Accepted(facts=tuple(_late(agent, settled, report)))
    return _refuse(world, command, "stale_attempt" if delivery is not None else "unknown")


def window_over(world: World, agent: Agent, delivery: Delivery, at: int) -> DecidedFact:
    """The verification window ended without evidence: settled, honestly unconfirmed."""
    seconds = delivery.running.intent.window_ms / 1_000
    reason = f"echo not detected within {seconds:g}s window"
    occupied = not delivery.running.input_empty
    fact = _acked(world, agent, delivery, "written", "timeout_fallback", None, occupied, at, reason)
    return DecidedFact(fact, (delivery.running.seq, delivery.running.written_seq))


def not_begun(agent: Agent, delivery: Delivery, at: int, error: str) -> DecidedFact:
    """An attempt that its holder never heard of: no failure, and it may be typed at once."""
    fact = DeliveryRetried(
        **delivery.ref_fields(),
        generation=delivery.generation,
        failures=delivery.failures,
        due_at=at,
        error=error,
        throttle=agent.throttle,
    )
    return DecidedFact(fact, (delivery.running.seq,))


def _typing(
    world: World, agent: Agent, delivery: Delivery, report: Report, at: int
) -> list[DecidedFact]:
    cause = (delivery.running.seq,)
    match report.phase:
        case "typing":
            return []
        case "not_begun" if report.held is not None:
            until = at + world.policy.input_hold_ms * 1_000 if report.held in GUESSES else None
            held = DeliveryHeld(
                **delivery.ref_fields(), reason=report.held, undone=True, until=until
            )
            return [DecidedFact(held, cause)]
        case "not_begun" | "not_written" | "cleared":
            return [_failed(world, agent, delivery, report, at)]
        case "unknown":
            dead = DeliveryDeadLettered(
                **delivery.ref_fields(),
                reason="outcome_unknown",
                queued_at=delivery.queued_at,
                error=report.error[:ERROR_BYTES_MAX]
                or "the holder cannot say what the program read",
            )
            return [DecidedFact(dead, cause)]
        case "written":
            return _written(world, agent, delivery, report, at)


def _written(
    world: World, agent: Agent, delivery: Delivery, report: Report, at: int
) -> list[DecidedFact]:
    assert report.written is not None
    written = report.written
    fact = DeliveryWritten(
        **delivery.ref_fields(),
        generation=delivery.generation,
        bytes_written=written.bytes_written,
        offset=written.offset,
        window_until=at + delivery.running.intent.window_ms * 1_000,
        form=written.form,
        enter=written.enter,
        salt=written.salt,
        salted_body=written.salted_body,
        salted_typed=written.salted_typed,
    )
    return [
        DecidedFact(fact, (delivery.running.seq,)),
        *_awaiting(world, agent, delivery, report, at),
    ]


def _awaiting(
    world: World, agent: Agent, delivery: Delivery, report: Report, at: int
) -> list[DecidedFact]:
    if report.phase != "written":
        return []
    level, evidence = _level(report)
    cause = (delivery.running.seq, *filter(None, (delivery.running.written_seq,)))
    if level is not None:
        free = report.input_empty or delivery.running.input_empty or level == "submitted"
        fact = _acked(world, agent, delivery, level, "echo", evidence, not free, at)
        return [DecidedFact(fact, cause)]
    if report.input_empty and not delivery.running.input_empty:
        return [DecidedFact(_advanced(delivery, "written", INPUT_EMPTIED), cause)]
    return []


def _late(agent: Agent | None, settled: SettledDelivery, report: Report) -> list[DecidedFact]:
    """Evidence after the settling raises the level, and may free the terminal."""
    if settled.state != "acked" or report.phase != "written":
        return []
    level, evidence = _level(report)
    if level is not None and rank(level) > rank(settled.level):
        return [DecidedFact(_advanced(settled, level, evidence), (settled.seq,))]
    occupies = agent is not None and agent.occupied == settled.delivery_id
    if occupies and report.input_empty:
        fact = _advanced(settled, settled.level, INPUT_EMPTIED)
        return [DecidedFact(fact, (settled.seq,))]
    return []


def _failed(world: World, agent: Agent, delivery: Delivery, report: Report, at: int) -> DecidedFact:
    """Provably nothing typed: once more later, until the failures are used up."""
    failures = delivery.failures + 1
    error = report.error[:ERROR_BYTES_MAX] or report.phase.replace("_", " ")
    if failures >= world.policy.failures_max:
        dead = DeliveryDeadLettered(
            **delivery.ref_fields(),
            reason="retries_exhausted",
            queued_at=delivery.queued_at,
            error=f"{failures} failed attempts in a row; the last: {error}",
        )
        return DecidedFact(dead, (delivery.running.seq,))
    delay_ms = throttle.retry_delay_ms(failures, world.policy)
    fact = DeliveryRetried(
        **delivery.ref_fields(),
        generation=delivery.generation,
        failures=failures,
        due_at=at + delay_ms * 1_000,
        error=error,
        throttle=throttle.after(agent.throttle, "failed", at, world.policy),
    )
    return DecidedFact(fact, (delivery.running.seq,))


def _level(report: Report) -> tuple[Level | None, Evidence | None]:
    """The highest level that the evidence carries: submitted rests on seen."""
    if report.seen is None:
        return None, None
    if report.submitted is not None:
        return "submitted", report.submitted
    return "seen", report.seen


def _acked(
    world: World,
    agent: Agent,
    delivery: Delivery,
    level: Level,
    verification: Verification,
    evidence: Evidence | None,
    occupied: bool,
    at: int,
    reason: str | None = None,
) -> DeliveryAcked:
    outcome: throttle.TypingOutcome = "success" if verification == "echo" else "unverified"
    return DeliveryAcked(
        **delivery.ref_fields(),
        generation=delivery.generation,
        level=level,
        verification=verification,
        throttle=throttle.after(agent.throttle, outcome, at, world.policy),
        reason=reason,
        evidence=evidence,
        occupied=occupied,
        hold_until=at + world.policy.input_hold_ms * 1_000 if occupied else None,
    )


def _advanced(
    delivery: Delivery | SettledDelivery, level: Level, evidence: Evidence | None
) -> DeliveryAdvanced:
    return DeliveryAdvanced(
        **delivery.ref_fields(), generation=delivery.generation, level=level, evidence=evidence
    )


def _refuse(world: World, command: ReportAttempt, reason: str) -> Verdict:
    """Recorded where the report claims anything; what never began claims nothing."""
    report = command.report
    if report.phase == "not_begun":
        return Accepted()
    known = world.deliveries.get(report.delivery_id) or world.settled.get(report.delivery_id)
    fact = DeliveryReportRefused(
        delivery_id=report.delivery_id,
        event_id=EventId("") if known is None else known.ref_fields()["event_id"],
        agent=AgentName(command.agent),
        sender="" if known is None else known.ref_fields()["sender"],
        target="" if known is None else known.ref_fields()["target"],
        attempt=report.attempt,
        generation=report.generation,
        report=report.phase,
        reason=reason,
    )
    message = f"a report of attempt {report.attempt} of {report.delivery_id}: {reason}"
    return Refused(reason="stale", message=message, facts=(DecidedFact(fact),))
