"""Partial state: what keeps a queue, as far as records behind a hole say so themselves.

A fold over a hole makes up a world: what ended in it seems to go on. So behind one no world is
known, and only what a record says is: what is typed into a terminal, and what the head of a queue
waits for. Each lasts until a record ends it, and no such record can be missed before the next hole.
What no record behind the hole has said yet is `unknown`, and is never guessed.
"""

from __future__ import annotations

from typing import assert_never

import msgspec

from ackbook.projections.codec import Control, Entry
from ackbook.projections.facts import (
    AgentAdopted,
    AgentReleased,
    BrokerStarted,
    DeliveryAcked,
    DeliveryAttempted,
    DeliveryDeadLettered,
    DeliveryFact,
    DeliveryHeld,
    DeliveryId,
    DeliveryResumed,
    DeliveryRetried,
    DeliveryWritten,
    Departure,
    Ref,
    Remark,
)
from ackbook.projections.why.wait_cause import Wait
from ackbook.projections.world.agents import Held
from ackbook.projections.world.state import key_of

UNKNOWN = Wait(kind="unknown", delivery_id=DeliveryId(""))
"""What keeps a queue of which no record says it."""


class _InTerminal(msgspec.Struct):
    """What is in a terminal. `attempted` and `written`: the records that say so; 0 for none."""

    delivery_id: DeliveryId
    generation: int
    attempted: int = 0
    written: int = 0
    until: int = 0
    doubt: bool = False


class PartialState:
    """What has been said since a hole. `at`: the time of the last record; `epoch`: that of the
    broker, 0 while no record has named it."""

    def __init__(self) -> None:
        self.at = 0
        self.epoch = 0
        self._terminals: dict[str, _InTerminal] = {}
        self._held: dict[str, Held] = {}

    def wait(self, agent: str) -> Wait:
        """What keeps the queue of this agent."""
        inside, held = self._terminals.get(key_of(agent)), self._held.get(key_of(agent))
        if inside is None:
            if held is None:
                return UNKNOWN
            return Wait(kind="held", delivery_id=held.delivery_id, seq=held.seq, reason=held.reason)
        if inside.doubt:
            return Wait(kind="in_doubt", delivery_id=inside.delivery_id, seq=inside.attempted)
        if not inside.written:
            return Wait(kind="typing", delivery_id=inside.delivery_id, seq=inside.attempted)
        return Wait(
            kind="awaiting",
            delivery_id=inside.delivery_id,
            seq=inside.written,
            until=inside.until,
        )

    def hear(self, entry: Entry) -> None:
        """Take in the next record."""
        fact = entry.fact
        if type(fact) is not Control:
            self.at = entry.at
        match fact:
            case BrokerStarted():
                self.epoch = fact.epoch
                for each in self._terminals.values():
                    each.doubt = True
            case AgentAdopted():
                inside = self._terminals.get(key_of(fact.name))
                if inside is not None and inside.generation == fact.generation:
                    inside.doubt = inside.doubt and not inside.written
            case AgentReleased():
                self._terminals.pop(key_of(fact.name), None)
                self._held.pop(key_of(fact.name), None)
            case Ref():
                self._hear_of(key_of(fact.agent), entry, fact)
            case _:
                pass

    def _hear_of(self, key: str, entry: Entry, fact: DeliveryFact) -> None:
        match fact:
            case DeliveryAttempted():
                self._terminals[key] = _InTerminal(fact.delivery_id, fact.generation, entry.seq)
            case DeliveryWritten():
                inside = self._terminals.get(key)
                if inside is None or inside.delivery_id != fact.delivery_id:
                    inside = self._terminals[key] = _InTerminal(fact.delivery_id, fact.generation)
                inside.written, inside.until, inside.doubt = entry.seq, fact.window_until, False
            case DeliveryHeld():
                self._left(key, fact.delivery_id)
                self._held[key] = Held(fact.delivery_id, fact.reason, entry.seq, entry.at)
            case DeliveryResumed():
                self._held.pop(key, None)
            case DeliveryAcked() | DeliveryRetried() | DeliveryDeadLettered() | Departure():
                self._left(key, fact.delivery_id)
            case Remark():
                pass
            case _:
                assert_never(fact)

    def _left(self, key: str, delivery_id: DeliveryId) -> None:
        """It is no longer what keeps the queue."""
        inside, held = self._terminals.get(key), self._held.get(key)
        if inside is not None and inside.delivery_id == delivery_id:
            del self._terminals[key]
        if held is not None and held.delivery_id == delivery_id:
            del self._held[key]
