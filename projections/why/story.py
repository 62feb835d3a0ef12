"""Stories: the answer to `why`, put together from what befell each delivery and the records of it.

A message is where its least settled delivery is. A row of a story is a record without its body; the
causes about agents and brokers are rows as well, since they have no stories of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from ackbook.projections.codec import Entry, kind_of
from ackbook.projections.facts import MessageEnqueued, MessageRefused
from ackbook.projections.gaps import Hole
from ackbook.projections.ids import is_event_id
from ackbook.projections.ways_out import ENDED_STATES
from ackbook.projections.why.delivery_story import DeliveryExplanation

OTHERS_TOLD = ("agent.", "broker.")
"""Kinds that are rows of a story although they are not about its deliveries."""

SETTLED_ORDER = (
    "unknown",
    "queued",
    "held",
    "in_doubt",
    "typing",
    "awaiting",
    *ENDED_STATES,
)
"""States from the least settled to the most."""

_BODILESS = frozenset({"body", "data", "deliveries"})


class Story(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `why`. `timeline`: rows of seq, at (microseconds UTC), kind and the fields.
    `missing`: the records of its time that cannot be read; without any, the story is whole."""

    id: str
    state: str
    reason: str | None
    sentence: str
    timeline: list[dict[str, object]]
    deliveries: list[DeliveryExplanation]
    missing: list[Hole] = []

    @property
    def is_message(self) -> bool:
        return is_event_id(self.id)

    def to_dict(self) -> dict[str, object]:
        """The shape of `ackbook why --json`."""
        told: dict[str, object] = {
            "id": self.id,
            "state": self.state,
            "reason": self.reason,
            "sentence": self.sentence,
            "timeline": self.timeline,
            "whole": not self.missing,
            "missing": [(hole.first, hole.last) for hole in self.missing],
        }
        if self.is_message:
            return told | {"deliveries": [fate.to_dict() for fate in self.deliveries]}
        [fate] = self.deliveries
        return told | {"agent": fate.agent, **fate.details()}


def story_of(
    wanted: str,
    own: Sequence[Entry],
    fates: list[DeliveryExplanation],
    known: Mapping[int, Entry],
    missing: list[Hole],
) -> Story:
    """The story of a message or a delivery that was taken. `own`: its records, in order; `known`:
    these and what they name."""
    least = min(fates, key=lambda fate: SETTLED_ORDER.index(fate.state))
    begun = {fate.since.seq for fate in fates if fate.since is not None}
    return Story(
        id=wanted,
        state=least.state,
        reason=least.reason,
        sentence=_sentence(wanted, own, fates, least),
        timeline=_rows(own, known, begun),
        deliveries=fates,
        missing=missing,
    )


def story_of_refused(
    own: Sequence[Entry], fact: MessageRefused, known: Mapping[int, Entry]
) -> Story:
    """The story of a message that was refused at the door."""
    sentence = (
        f"{fact.event_id} from {fact.sender} was refused at seq {own[0].seq}: {fact.detail}."
        " Nothing of it waits anywhere, and it was never typed."
    )
    return Story(
        id=fact.event_id,
        state="refused",
        reason=fact.reason,
        sentence=sentence,
        timeline=_rows(own, known, set()),
        deliveries=[],
    )


def _sentence(
    wanted: str, own: Sequence[Entry], fates: list[DeliveryExplanation], least: DeliveryExplanation
) -> str:
    """Of one delivery its own; of several how they stand, and that of the least settled."""
    told = least.sentence
    if len(fates) > 1:
        arrived = sum(1 for fate in fates if fate.state == "acked" and fate.reason is None)
        told = f"{arrived or 'none'} of them arrived. The least settled: {told}"
        if arrived == len(fates):
            told = "all of them arrived."
        known = "" if own and isinstance(own[0].fact, MessageEnqueued) else " that are known"
        told = f"{wanted} has {len(fates)} deliveries{known}, {told}"
    first = own[0].fact if own else None
    refused = first.refused if isinstance(first, MessageEnqueued) else ()
    if not refused or not is_event_id(wanted):
        return told
    names = ", ".join(f"{each.agent} ({each.reason})" for each in refused)
    return f"{told} Of its recipients, the queue of {names} did not take it."


def _rows(
    own: Sequence[Entry], known: Mapping[int, Entry], begun: set[int | None]
) -> list[dict[str, object]]:
    """The records of a story, with those among their causes that have no story of their own."""
    causes = {seq for entry in own for seq in entry.cause if seq in known}
    others = {seq for seq in causes if kind_of(known[seq]).startswith(OTHERS_TOLD)}
    shown = {entry.seq for entry in own} | others | {seq for seq in begun if seq in known}
    return [_row(known[seq]) for seq in sorted(filter(None, shown))]


def _row(entry: Entry) -> dict[str, object]:
    fields = msgspec.json.decode(msgspec.json.encode(entry.fact))
    shown = {key: value for key, value in fields.items() if key not in _BODILESS}
    fact = entry.fact
    if isinstance(fact, MessageEnqueued):
        shown["body_bytes"] = len(fact.body.encode())
        shown["deliveries"] = [recipient.delivery_id for recipient in fact.deliveries]
    place = {"seq": entry.seq, "at": entry.at, "kind": kind_of(entry), "cause": list(entry.cause)}
    return place | shown
