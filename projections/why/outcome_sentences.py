"""Sentences of outcomes: one for each way in which a delivery can end, in words that a person uses.

A sentence names the rule that acted with its numbers, the other message, who kept the queue and
since when, and whether the text was ever typed. It says nothing that a record does not say, and
never quotes a body. Those of what still waits are in `pending_sentences`; which records belong to a
story is `builder`'s business.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentExited,
    AgentReleased,
    BrokerStarted,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryEvicted,
    DeliveryExpired,
    DeliveryId,
    DeliveryRedelivered,
    Departure,
    DepartureFact,
    Evidence,
    MessageEnqueued,
    Ref,
    rank,
)
from ackbook.projections.ways_out import departure_of
from ackbook.projections.why.phrases import PAST, Typed, clause, ended_how, never_typed, span
from ackbook.projections.why.wait_cause import EntryLookup, Wait, since_of
from ackbook.projections.world.deliveries import Delivery


class EndingContext(msgspec.Struct, frozen=True, kw_only=True):
    """A record that ended a delivery, or told more after its end, and how things stood then.

    `wait`: what kept the queue when the decision of this record began. `queued_at`: when the
    delivery had joined it; None where that is not known. `least`: the oldest of the least urgent in
    the queue before the record; `sure`: the world before the record is known.
    """

    entry: Entry
    wait: Wait | None
    typed: Typed
    attempts: int
    queued_at: int | None
    least: Delivery | None = None
    sure: bool = True


class OutcomeSentence(msgspec.Struct, frozen=True, kw_only=True):
    """What a record did to a delivery: its state and reason (None: unchanged), and the words.

    `step`: what a person may do next; None: what an earlier record said of that still holds.
    """

    state: str | None
    reason: str | None
    sentence: str
    step: str | None = ""

    def then(self, later: OutcomeSentence) -> OutcomeSentence:
        """The same end, with what came after it."""
        return OutcomeSentence(
            state=later.state or self.state,
            reason=later.reason if later.state else self.reason,
            sentence=f"{self.sentence} {later.sentence}",
            step=self.step if later.step is None else later.step,
        )


def ended(
    delivery_id: DeliveryId, ending: EndingContext, record: EntryLookup
) -> OutcomeSentence | None:
    """What this record says of the delivery; None where it ended nothing and adds nothing."""
    fact, seq = ending.entry.fact, ending.entry.seq
    match fact:
        case DeliveryAcked():
            return _acked(fact, seq)
        case DeliveryAdvanced():
            return _advanced(fact, seq)
        case Departure():
            state, rule = departure_of(fact).state, _rule_of(fact, ending, record)
            return _left(delivery_id, state, fact.reason, rule, fact.agent, ending, record)
        case AgentReleased():
            why = f" ({fact.reason})" if fact.reason else ""
            rule = (
                f"was dropped at seq {seq}: {fact.name} was released{why} with"
                f" {len(fact.dropped)} waiting"
            )
            left = _left(delivery_id, "released", "agent_released", rule, fact.name, ending, record)
            step = f"Spawn {fact.name} again, then: ackbook redeliver {delivery_id}."
            return msgspec.structs.replace(left, step=step)
        case DeliveryDeadLettered():
            return _dead(delivery_id, fact, ending, record)
        case DeliveryDropped():
            sentence = (
                f"At seq {seq} it was dropped to make room: of dead letters no more than"
                f" {fact.cap} are kept."
            )
            return OutcomeSentence(
                state="dropped", reason=fact.reason, sentence=sentence, step=None
            )
        case DeliveryRedelivered() if fact.delivery_id == delivery_id:
            sentence = f"At seq {seq} it was queued again as {fact.new_delivery_id}."
            step = f"Next: ackbook why {fact.new_delivery_id}."
            return OutcomeSentence(state="redelivered", reason=None, sentence=sentence, step=step)
        case _:
            return None


def _rule_of(fact: DepartureFact, ending: EndingContext, record: EntryLookup) -> str:
    """The rule that acted, with its numbers, behind the id of the delivery."""
    seq, since = ending.entry.seq, ending.queued_at
    match fact:
        case DeliveryEvicted():
            full = _overfull(ending.entry, fact, record)
            return f"was evicted at seq {seq}: {full}, and {_chosen(fact, ending)}"
        case DeliveryExpired():
            lived = "" if since is None else f" ({span(fact.expires_at - since)})"
            return (
                f"expired at seq {seq}: its time to live{lived} ran out before it could be"
                f" typed for {fact.agent}"
            )
        case DeliveryCancelled():
            waited = "waited" if since is None else f"waited {span(ending.entry.at - since)}"
            return (
                f"was cancelled at seq {seq} by {fact.by or 'the operator'} after it had {waited}"
                f" for {fact.agent}"
            )
        case _:
            assert_never(fact)


def _left(
    delivery_id: DeliveryId,
    state: str,
    reason: str,
    rule: str,
    name: str,
    ending: EndingContext,
    record: EntryLookup,
) -> OutcomeSentence:
    """It left the queue untyped: the rule, what kept the queue, whether it was ever typed."""
    since = since_of(ending.wait, record)
    kept = f" {clause(since, name, ending.entry.at, PAST)};" if since else ""
    if ending.wait and ending.wait.kind != "held" and ending.wait.delivery_id == delivery_id:
        kept = ""  # nothing but its own attempt was in its way
    typed = never_typed(ending.typed, ending.attempts)
    return OutcomeSentence(
        state=state,
        reason=reason,
        sentence=f"{delivery_id} {rule};{kept} it was {typed}.",
        step=_redeliver(delivery_id),
    )


def _overfull(entry: Entry, fact: DeliveryEvicted, record: EntryLookup) -> str:
    """What brought the queue over its cap: the record that the decision began with."""
    begun = entry.cause[0] if entry.cause else 0
    first = record(begun)
    match None if first is None else first.fact:
        case MessageEnqueued():
            came = "it" if fact.by == fact.event_id else fact.by
            return f"{fact.agent}'s queue (cap {fact.cap}) was full when {came} came"
        case BrokerStarted():
            return (
                f"{fact.agent}'s queue was longer than the cap ({fact.cap}) with which a broker"
                f" started at seq {begun}"
            )
        case Ref() as back:
            own = back.delivery_id == fact.delivery_id
            again = "it" if own else back.delivery_id
            return (
                f"{fact.agent}'s queue (cap {fact.cap}) was full when {again} came back at seq"
                f" {begun}, not typed"
            )
        case _:
            return f"{fact.agent}'s queue was longer than its cap ({fact.cap})"


def _chosen(fact: DeliveryEvicted, ending: EndingContext) -> str:
    """Why this one: that is a rule, and told only where the records bear it out."""
    least = ending.least
    if not ending.sure:
        return f"it had to go (priority {fact.priority})"
    if least is None or least.delivery_id == fact.delivery_id:
        return f"it was the oldest of the least urgent (priority {fact.priority})"
    return (
        f"it had to go (priority {fact.priority}), though by the records the oldest of the least"
        f" urgent was {least.delivery_id} (priority {least.message.priority})"
    )


def _dead(
    delivery_id: DeliveryId, fact: DeliveryDeadLettered, ending: EndingContext, record: EntryLookup
) -> OutcomeSentence:
    seq = ending.entry.seq
    why = {
        "retries_exhausted": _retries_exhausted,
        "recipient_gone": _recipient_gone,
        "outcome_unknown": _outcome_unknown,
    }[fact.reason](fact, ending, record)
    return OutcomeSentence(
        state="dead_letter",
        reason=fact.reason,
        sentence=f"{delivery_id} became a dead letter at seq {seq}: {why}.",
        step=_redeliver(delivery_id),
    )


def _retries_exhausted(
    fact: DeliveryDeadLettered, ending: EndingContext, record: EntryLookup
) -> str:
    return f"{fact.error}; it was {never_typed('no', fact.attempt)}"


def _recipient_gone(fact: DeliveryDeadLettered, ending: EndingContext, record: EntryLookup) -> str:
    typed = never_typed(ending.typed, ending.attempts)
    gone = record(ending.entry.cause[-1]) if ending.entry.cause else None
    if gone is None or not isinstance(gone.fact, AgentExited):
        return f"{fact.agent}'s program had ended, and no other came in time; it was {typed}"
    held = "" if gone.fact.hold_ms is None else f" within {span(gone.fact.hold_ms * 1_000)}"
    return (
        f"{fact.agent}'s program had ended ({ended_how(gone.fact)}) at seq {gone.seq},"
        f" {span(ending.entry.at - gone.at)} before, and no other came under this name{held} of"
        f" the broker's running time; it was {typed}"
    )


def _outcome_unknown(fact: DeliveryDeadLettered, ending: EndingContext, record: EntryLookup) -> str:
    begun = f"attempt {fact.attempt}"
    typed = {
        "yes": f"{begun} was typed, and whether it was read nobody can say",
        "unknown": f"{begun} was under way, and how much of it was typed nobody can say",
        "no": "whether it was typed nobody can say",
    }[ending.typed]
    return f"{fact.error}; {typed}"


def _acked(fact: DeliveryAcked, seq: int) -> OutcomeSentence:
    where = f"in {fact.agent}'s terminal at seq {seq}"
    if fact.verification == "echo":
        sentence = (
            f"{fact.delivery_id} arrived: attempt {fact.attempt} was {fact.level}"
            f" {where}{_how(fact.evidence)}."
        )
        return OutcomeSentence(state="acked", reason=fact.reason, sentence=sentence)
    sentence = (
        f"{fact.delivery_id} is unconfirmed: attempt {fact.attempt} was typed to"
        f" {fact.agent}'s terminal, but at seq {seq} its window was over and its text had not"
        f" been seen ({fact.reason}). It is never typed again by itself."
    )
    step = f"Look with: ackbook screen {fact.agent}. {_redeliver(fact.delivery_id)}"
    return OutcomeSentence(state="acked", reason=fact.reason, sentence=sentence, step=step)


def _advanced(fact: DeliveryAdvanced, seq: int) -> OutcomeSentence:
    if rank(fact.level) < rank("seen"):
        sentence = f"At seq {seq} the input line no longer showed it{_how(fact.evidence)}."
        return OutcomeSentence(state=None, reason=None, sentence=sentence, step=None)
    by = f", said by {fact.by}" if fact.by else ""
    sentence = f"Later, at seq {seq}, it was {fact.level}{_how(fact.evidence)}{by}."
    return OutcomeSentence(state=None, reason=None, sentence=sentence)


def _how(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    how = evidence.how.replace("_", " ")
    if evidence.offset_from >= 0:
        return f" ({how}, output bytes {evidence.offset_from} to {evidence.offset_to})"
    if evidence.row_first >= 0:
        return f" ({how}, screen rows {evidence.row_first} to {evidence.row_last})"
    return f" ({how})"


def _redeliver(delivery_id: DeliveryId) -> str:
    return f"To send it again: ackbook redeliver {delivery_id}."
