"""Waits: what kept an agent's queue at a moment, in the words of the journal itself.

A queue is kept by whatever is in the agent's terminal, or by what its head was said to wait for, or
by a retry or a pace whose time has not come. The world says which; the record that it points to,
and the cause that this record names, say since when and who made it so. No rule is asked again, so
that a later change of the rules tells no other story of the past.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, TypeAlias

import msgspec

from ackbook.projections.codec import Entry
from ackbook.projections.facts import AgentModeChanged, DeliveryHeld, DeliveryId, HeldReason
from ackbook.projections.world.agents import Agent
from ackbook.projections.world.deliveries import Delivery

EntryLookup: TypeAlias = Callable[[int], Entry | None]
"""The entry at a seq; None where the journal no longer has it."""

WaitKind: TypeAlias = Literal["held", "typing", "awaiting", "in_doubt", "retry", "pace", "unknown"]


class Wait(msgspec.Struct, frozen=True, kw_only=True):
    """What keeps a queue. `delivery_id`: its head, or what is in the terminal. `seq`: the record
    that says so, 0 where a number of an earlier one does; `until`: that number, as a time. Of an
    `unknown` one nothing is said."""

    kind: WaitKind
    delivery_id: DeliveryId
    seq: int = 0
    reason: HeldReason | None = None
    until: int | None = None


class WaitStart(msgspec.Struct, frozen=True, kw_only=True):
    """A wait with the record that began it: a hold, a dialog, the end of a program."""

    wait: Wait
    entry: Entry | None

    @property
    def seq(self) -> int | None:
        return None if self.entry is None else self.entry.seq

    @property
    def by(self) -> str:
        """Who asked for it, where a record says that; else nothing."""
        fact = None if self.entry is None else self.entry.fact
        return fact.by if isinstance(fact, AgentModeChanged) else ""

    def to_dict(self) -> dict[str, object]:
        """The shape of `wait` in `ackbook why --json`."""
        return {
            "kind": self.wait.kind,
            "delivery_id": self.wait.delivery_id,
            "reason": self.wait.reason,
            "seq": self.seq,
            "by": self.by or None,
        }


def wait_of(agent: Agent, at: int) -> Wait | None:
    """What keeps this agent's queue at the time `at`; None where nothing does."""
    flowing, held, head = agent.flowing, agent.held, agent.head()
    if flowing is not None:
        return _in_terminal(flowing)
    if held is not None:
        return Wait(kind="held", delivery_id=held.delivery_id, seq=held.seq, reason=held.reason)
    if head is None:
        return None
    if head.failures and head.due_at >= at:
        return Wait(kind="retry", delivery_id=head.delivery_id, until=head.due_at)
    if agent.state == "ready" and agent.throttle.next_at >= at:
        return Wait(kind="pace", delivery_id=head.delivery_id, until=agent.throttle.next_at)
    return None


def since_of(wait: Wait | None, record: EntryLookup) -> WaitStart | None:
    """A wait, and the record that began it."""
    if wait is None:
        return None
    said = record(wait.seq) if wait.seq else None
    return WaitStart(wait=wait, entry=said and _beginning(said, record))


def _beginning(said: Entry, record: EntryLookup) -> Entry | None:
    """The last cause that a `delivery.held` names, unless a holder said it of an attempt that it
    did not begin; every other record began the wait itself."""
    fact = said.fact
    if isinstance(fact, DeliveryHeld) and not fact.undone and said.cause:
        return record(said.cause[-1])
    return said


def _in_terminal(flowing: Delivery) -> Wait:
    if flowing.doubt:
        return Wait(kind="in_doubt", delivery_id=flowing.delivery_id, seq=flowing.running.seq)
    if flowing.state == "typing":
        return Wait(kind="typing", delivery_id=flowing.delivery_id, seq=flowing.running.seq)
    return Wait(
        kind="awaiting",
        delivery_id=flowing.delivery_id,
        seq=flowing.running.written_seq,
        until=flowing.running.window_until,
    )
