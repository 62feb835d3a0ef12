"""Effects: what the world owes to the outside. `plan` names them; the runtime does them.

Effects come from the world and not from a command, so that a world rebuilt after a crash owes the
same. The runtime subtracts what it has already begun: each effect is its own key for that.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

from ackbook.projections.facts import AgentName, AgentSpawned, DeliveryId, EventId, Mode


class Effect(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Base of all effects: hashable, equal when they owe the same."""


class Type(Effect, frozen=True):
    """Type this delivery; its intent is durable. `body` None: read it back from `body_seq`.

    `override`: the deadline of a heuristic hold has passed.
    """

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    generation: int
    attempt: int
    header: str
    body: str | None
    body_seq: int
    hint: str
    mode: Mode
    window_ms: int
    settle_ms: int
    override: bool = False


class Ask(Effect, frozen=True):
    """Ask the holder of this agent what became of an attempt that is in doubt. Never type it."""

    delivery_id: DeliveryId
    agent: AgentName
    generation: int
    attempt: int


class Find(Effect, frozen=True):
    """Find the holder of an agent of an earlier broker: adopt it, or report its end."""

    agent: AgentName
    generation: int


class Start(Effect, frozen=True):
    """Start this program again, as `generation`, not before `due_at` (microseconds UTC)."""

    agent: AgentName
    generation: int
    due_at: int
    spawned: AgentSpawned
    restart_count: int


class End(Effect, frozen=True):
    """End the holder of a generation that was let go."""

    agent: AgentName
    generation: int


AnyEffect: TypeAlias = Type | Ask | Find | Start | End
