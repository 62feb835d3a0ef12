"""Id mapping: which delivery of one history is which of another, made of the same commands.

Ids are positions. As long as two histories agree position for position an id means the same in
both; where they have come apart it has to be translated. Only ids that differ are remembered. An id
of something that the other history does not have becomes one that nothing there has.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TypeVar

import msgspec

from ackbook.broker.core.commands import (
    Adopt,
    AnyCommand,
    Cancel,
    Original,
    Redeliver,
    ReportAttempt,
    ReportEnded,
)
from ackbook.projections.analysis.outcome_diff import ComparedDelivery
from ackbook.projections.codec import Entry
from ackbook.projections.facts import (
    AgentName,
    DeliveryId,
    DeliveryRedelivered,
    EventId,
    MessageEnqueued,
    MessageRefused,
)
from ackbook.projections.world.fold import World, key_of

Id = TypeVar("Id", DeliveryId, EventId, str)
Began = tuple[tuple[DeliveryId, int], ...]


class Begun(msgspec.Struct, frozen=True):
    """What a command led to for one recipient; `delivery_id` None: it was refused, for `reason`.

    `original` is the delivery that was redelivered, in the words of this history.
    """

    agent: AgentName
    event_id: EventId
    delivery_id: DeliveryId | None
    at: int
    reason: str = ""
    original: str = ""

    def fate(self, seq: int, original: str) -> ComparedDelivery:
        """Its beginning, under a key that both histories understand."""
        return ComparedDelivery(
            key=(seq, key_of(self.agent), original),
            agent=self.agent,
            delivery_id=self.delivery_id,
            outcome="open" if self.delivery_id else "refused",
            reason=self.reason,
            at=self.at,
        )


def begun(entries: Iterable[Entry]) -> list[Begun]:
    """Every recipient that these records of one decision name for the first time."""
    found: list[Begun] = []
    for entry in entries:
        fact, at = entry.fact, entry.at
        match fact:
            case MessageEnqueued():
                event_id = fact.event_id
                found += [Begun(r.agent, event_id, r.delivery_id, at) for r in fact.deliveries]
                found += [Begun(r.agent, event_id, None, at, r.reason) for r in fact.refused]
            case MessageRefused():
                names = [r.agent for r in fact.refused] or [AgentName(fact.target.lstrip("@"))]
                found += [Begun(name, fact.event_id, None, at, fact.reason) for name in names]
            case DeliveryRedelivered():
                new, old = fact.new_delivery_id, fact.delivery_id
                found.append(Begun(fact.agent, fact.event_id, new, at, original=old))
    return found


class IdMapping:
    """Translates between the recorded history, here, and the other one, there."""

    def __init__(self) -> None:
        self._there: dict[str, str] = {}
        self._here: dict[str, str] = {}
        self._apart: set[tuple[str, int]] = set()

    def there(self, name: Id) -> Id:
        """The id there of what is called so here."""
        return self._there.get(name, name)  # type: ignore[return-value]

    def here(self, name: Id) -> Id:
        """The id here of what is called so there."""
        return self._here.get(name, name)  # type: ignore[return-value]

    def set_apart(self, delivery_id: DeliveryId, attempt: int) -> None:
        """This attempt, as it is called here, was made there at another moment."""
        self._apart.add((delivery_id, attempt))

    def is_apart(self, delivery_id: DeliveryId, attempt: int) -> bool:
        """Whether it was."""
        return (delivery_id, attempt) in self._apart

    def pair(self, recorded: Sequence[Begun], other: Sequence[Begun]) -> None:
        """What the same command led to on both sides."""
        twins = {(key_of(each.agent), self.here(each.original)): each for each in other}
        events: dict[EventId, EventId | None] = {}
        for each in recorded:
            whose = key_of(each.agent), each.original
            twin = twins.get(whose)
            if twin is not None or each.event_id not in events:
                events[each.event_id] = None if twin is None else twin.event_id
            if each.delivery_id is not None:
                self._set(each.delivery_id, None if twin is None else twin.delivery_id)
                twins.pop(whose, None)
        for event_id, twin_id in events.items():
            self._set(event_id, twin_id)
        for twin in twins.values():
            if twin.delivery_id is not None:
                self._here[twin.delivery_id] = f"{twin.delivery_id} there"

    def _set(self, here: str, there: str | None) -> None:
        if there is None:
            self._there[here] = f"{here} here"
        elif here != there:
            self._there[here], self._here[there] = there, here

    def translate(self, here: World, there: World, command: AnyCommand) -> AnyCommand:
        """The same command in the words of the other history. The worlds are those before it."""
        match command:
            case ReportAttempt():
                report = command.report
                named = self.there(report.delivery_id)
                report = msgspec.structs.replace(report, delivery_id=named)
                return msgspec.structs.replace(command, report=report)
            case Cancel():
                return msgspec.structs.replace(command, id=self.there(command.id))
            case Redeliver():
                return Redeliver(
                    ids=tuple(map(self.there, command.ids)),
                    originals=tuple(map(self._original, command.originals)),
                )
            case Adopt():
                return msgspec.structs.replace(
                    command, began=self._began(here, there, command.name, command.began)
                )
            case ReportEnded() if command.began is not None:
                return msgspec.structs.replace(
                    command, began=self._began(here, there, command.name, command.began)
                )
            case _:
                return command

    def _original(self, told: Original) -> Original:
        again = told.redelivered_as
        return msgspec.structs.replace(
            told,
            delivery_id=self.there(told.delivery_id),
            event_id=self.there(told.event_id),
            redelivered_as=None if again is None else self.there(again),
        )

    def _began(self, here: World, there: World, name: str, began: Began) -> Began:
        """What a holder would have said: of an attempt that is not in flight here, that it was
        begun."""
        told = [(self.there(delivery_id), attempt) for delivery_id, attempt in began]
        recorded, other = here.agent(name), there.agent(name)
        if other is None or other.flowing is None:
            return tuple(told)
        flowing = other.flowing
        twin = None if recorded is None else recorded.flowing
        same = twin is not None and (
            (self.there(twin.delivery_id), twin.attempt) == (flowing.delivery_id, flowing.attempt)
        )
        return tuple(told) if same else (*told, (flowing.delivery_id, flowing.attempt))
