"""Sentences: one for each way in which a delivery can end or wait, in words that a person uses.

A sentence names the rule that acted with its numbers, and the next step in the same breath. Facts
in, text out; which facts belong to a story is `timeline`'s business.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from projections.agents import Agent
from projections.codec import Entry
from projections.facts import (
    AgentReleased,
    DeadReason,
    DeliveryAcked,
    DeliveryAdvanced,
    DeliveryCancelled,
    DeliveryDeadLettered,
    DeliveryDropped,
    DeliveryEvicted,
    DeliveryExpired,
    DeliveryId,
    DeliveryRedelivered,
    Evidence,
    HeldReason,
)
from projections.mail import Delivery
from projections.reports import reason_of, state_of


class Holding(msgspec.Struct, frozen=True):
    """What a queue waits for: its head, the reason, since which record and time, and by whom."""

    delivery_id: DeliveryId
    reason: HeldReason
    seq: int
    at: int
    by: str


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How a delivery ended, or what was learnt after it had (`state` None: that is unchanged)."""

    state: str | None
    reason: str | None
    sentence: str

    def then(self, later: Ended) -> Ended:
        """The same end, with what came after it."""
        return Ended(
            state=later.state or self.state,
            reason=later.reason or self.reason,
            sentence=f"{self.sentence} {later.sentence}",
        )


HELD: dict[HeldReason, str] = {
    "not_ready": "its program is not ready yet",
    "dialog": "a dialog is open in its terminal, and typing would answer it",
    "human_typing": "a human is typing there",
    "manual_flush": "it is on hold (manual_flush)",
    "busy": "its program is busy",
    "input_not_empty": "its input line is not empty",
    "echo_off": "its terminal shows no typing (a password prompt)",
    "foreground_changed": "another program has come to the front of its terminal",
    "canonical_limit": "the text is longer than its terminal takes on one line",
    "agent_gone": "its program has ended",
}

NEXT_HELD: dict[HeldReason, str] = {
    "not_ready": "ackbook screen {agent}",
    "dialog": "ackbook attach {agent}, and answer the dialog",
    "human_typing": "finish or clear the line in the terminal of {agent}",
    "manual_flush": "ackbook flush {agent}, or ackbook auto {agent}",
    "busy": "ackbook screen {agent}",
    "input_not_empty": "ackbook attach {agent}, and clear the line",
    "echo_off": "ackbook attach {agent}",
    "foreground_changed": "ackbook attach {agent}",
    "canonical_limit": "send a shorter text, or the path of a file",
    "agent_gone": "ackbook restart {agent}, or ackbook release {agent}",
}

DEAD: dict[DeadReason, str] = {
    "retries_exhausted": "every attempt to type it failed",
    "recipient_gone": "its program had ended, and nothing came back under this name in time",
    "outcome_unknown": "it may or may not have been read: nobody can say",
}


def sentence_of(delivery_id: DeliveryId, entry: Entry, holding: Holding | None) -> Ended | None:
    """What this entry did to the delivery, if it ended it or says more about its end."""
    fact, seq = entry.fact, entry.seq
    redeliver = f"To send it again: ackbook redeliver {delivery_id}."
    match fact:
        case DeliveryAcked():
            return _acked(fact, seq, redeliver)
        case DeliveryAdvanced():
            sentence = f"At seq {seq} it was {fact.level}{_how(fact.evidence)}."
            return Ended(state=None, reason=None, sentence=sentence)
        case DeliveryEvicted():
            sentence = (
                f"{delivery_id} was evicted at seq {seq}: {fact.agent}'s queue (cap {fact.cap}) was"
                f" full when {fact.by} came, and it was the oldest of the least urgent"
                f" (priority {fact.priority});{_held(fact.agent, holding, entry.at)}"
                f" it was {_typed(fact.attempt)}. {redeliver}"
            )
            return Ended(state="evicted", reason=fact.reason, sentence=sentence)
        case DeliveryExpired():
            sentence = (
                f"{delivery_id} expired at seq {seq}: its time to live ran out before {fact.agent}"
                f" could take it;{_held(fact.agent, holding, entry.at)} it was"
                f" {_typed(fact.attempt)}. {redeliver}"
            )
            return Ended(state="expired", reason=fact.reason, sentence=sentence)
        case DeliveryCancelled():
            who = fact.by or "the operator"
            sentence = (
                f"{delivery_id} was cancelled at seq {seq} by {who} before it was typed for"
                f" {fact.agent}. {redeliver}"
            )
            return Ended(state="cancelled", reason=fact.reason, sentence=sentence)
        case AgentReleased():
            sentence = (
                f"{delivery_id} was dropped at seq {seq}: {fact.name} was released"
                f"{f' ({fact.reason})' if fact.reason else ''} with {len(fact.dropped)} waiting; it"
                f" was never typed. Spawn {fact.name} again, then: ackbook redeliver {delivery_id}."
            )
            return Ended(state="released", reason="agent_released", sentence=sentence)
        case DeliveryDeadLettered():
            error = f" ({fact.error})" if fact.error else ""
            sentence = (
                f"{delivery_id} became a dead letter at seq {seq} after {_times(fact.attempt)}:"
                f" {DEAD[fact.reason]}{error}. {redeliver}"
            )
            return Ended(state="dead_letter", reason=fact.reason, sentence=sentence)
        case DeliveryDropped():
            sentence = f"At seq {seq} it was dropped: more than {fact.cap} dead letters were kept."
            return Ended(state="dropped", reason=fact.reason, sentence=sentence)
        case DeliveryRedelivered():
            if fact.delivery_id != delivery_id:
                return None
            sentence = f"At seq {seq} it was queued again as {fact.new_delivery_id}."
            return Ended(state="redelivered", reason=None, sentence=sentence)
        case _:
            return None


def live_sentence(
    agent: Agent, delivery: Delivery, at: int, holding: Holding | None
) -> tuple[str, str | None, str]:
    """State, reason and sentence of a delivery that is not settled."""
    state, reason = state_of(agent, delivery), reason_of(agent, delivery)
    return state, reason, f"{delivery.delivery_id} {_waits(agent, delivery, at, holding)}"


def _waits(agent: Agent, delivery: Delivery, at: int, holding: Holding | None) -> str:
    name = agent.name
    if delivery.doubt:
        return (
            f"is in doubt: attempt {delivery.attempt} was intended at seq {delivery.running.seq},"
            f" and the broker that knows what became of it ended; the next one asks {name}'s"
            " holder. Start it with: ackbook up."
        )
    match delivery.state:
        case "typing":
            return f"is being typed for {name} since seq {delivery.running.seq}."
        case "awaiting":
            return (
                f"was typed for {name} at seq {delivery.running.written_seq}; its text is being"
                " looked for on the screen."
            )
        case "queued":
            return _queued(agent, delivery, at, holding)
        case _:
            assert_never(delivery.state)


def _queued(agent: Agent, delivery: Delivery, at: int, holding: Holding | None) -> str:
    name = agent.name
    if agent.flowing is not None:
        return f"waits behind {agent.flowing.delivery_id}, which is being typed for {name}."
    if holding is not None:
        step = NEXT_HELD[holding.reason].format(agent=name)
        head = ""
        if holding.delivery_id != delivery.delivery_id:
            head = f" behind {holding.delivery_id}"
        return f"waits{head} for {name}:{_held(name, holding, at)} Next: {step}."
    if delivery.failures and delivery.due_at > at:
        seconds = (delivery.due_at - at) / 1_000_000
        return (
            f"waits to be tried again after {_times(delivery.attempt)} for {name}, in"
            f" {seconds:.1f} s."
        )
    head_delivery = agent.head()
    if head_delivery is not None and head_delivery is not delivery:
        return f"waits behind {head_delivery.delivery_id} for {name}."
    return f"is next to be typed for {name}."


def _acked(fact: DeliveryAcked, seq: int, redeliver: str) -> Ended:
    if fact.verification == "echo":
        sentence = (
            f"{fact.delivery_id} arrived: attempt {fact.attempt} was {fact.level} in"
            f" {fact.agent}'s terminal at seq {seq}{_how(fact.evidence)}."
        )
    else:
        sentence = (
            f"{fact.delivery_id} is unconfirmed: attempt {fact.attempt} was written to"
            f" {fact.agent}'s terminal, but at seq {seq} its window was over and its text had not"
            f" been seen ({fact.reason}). It is never typed again by itself. {redeliver}"
        )
    return Ended(state="acked", reason=fact.reason, sentence=sentence)


def _how(evidence: Evidence | None) -> str:
    if evidence is None:
        return ""
    how = evidence.how.replace("_", " ")
    if evidence.offset_from >= 0:
        return f" ({how}, output bytes {evidence.offset_from} to {evidence.offset_to})"
    if evidence.row_first >= 0:
        return f" ({how}, screen rows {evidence.row_first} to {evidence.row_last})"
    return f" ({how})"


def _held(name: str, holding: Holding | None, at: int) -> str:
    if holding is None:
        return ""
    by = f", set by {holding.by}" if holding.by else ""
    return (
        f" {name} took nothing since seq {holding.seq}{by}, {_ago(at - holding.at)} before:"
        f" {HELD[holding.reason]};"
    )


def _ago(us: int) -> str:
    seconds = us // 1_000_000
    if seconds < 120:
        return f"{seconds} s"
    return f"{seconds // 60} minutes" if seconds < 7_200 else f"{seconds // 3_600} hours"


def _typed(attempts: int) -> str:
    return "never typed" if attempts == 0 else f"not typed, after {_times(attempts)}"


def _times(attempts: int) -> str:
    return {0: "no attempt", 1: "one attempt"}.get(attempts, f"{attempts} attempts")
