"""Agents: the world's view of the programs in terminals.

An agent is a name; each program that runs under it is a generation. What waits for the name
outlives the program. This module knows the state, not how it changes (`fold`) nor what follows
from it (the rules of `ackbook.broker.core`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.projections.facts import (
    AgentExited,
    AgentName,
    AgentSpawned,
    DeliveryId,
    DeliveryMode,
    EventId,
    HeldReason,
    Throttle,
)
from ackbook.projections.world.deliveries import Delivery, Queue

AgentState = Literal["unknown", "starting", "ready", "blocked", "gone", "restarting"]
"""`unknown`: an earlier broker knew it; its holder has not yet answered this one."""

FRESH = Throttle(delay_ms=0, failures=0, successes=0, next_at=0)
"""The throttle before the first typing: no delay; the rules never go below their minimum."""


class Held(msgspec.Struct, frozen=True, gc=False):
    """What the head of a queue was last said to wait for, and the record that said so."""

    delivery_id: DeliveryId
    reason: HeldReason
    seq: int
    at: int


class Agent(msgspec.Struct, kw_only=True):
    """One name. Times are microseconds UTC; `None` is never or for ever, as the line says.

    `flowing`: the delivery that is being typed or awaits its evidence. `occupied`: the settled
    delivery whose text still stands in the input line, at most until `occupied_until`.
    `flushed`: in manual mode, what joined up to this record may be typed. `hold_until`: when a gone
    agent's messages become dead letters; None: they wait for ever. `hint_offset` and `last_offset`:
    bytes of its output when a message last came with a hint how to answer, and at the last message.
    """

    name: AgentName
    spawned: AgentSpawned
    generation: int
    pid: int
    spawned_seq: int
    spawned_at: int
    state: AgentState = "starting"
    state_seq: int = 0
    state_at: int = 0
    blocked: HeldReason | None = None
    blocked_until: int | None = None
    override: bool = False
    was_ready: bool = False
    channels: set[str]
    mode: DeliveryMode = "auto_inject"
    revision: int = 0
    mode_seq: int = 0
    flushed: int = 0
    queue: Queue
    newest: EventId = EventId("")
    flowing: Delivery | None = None
    occupied: DeliveryId | None = None
    occupied_until: int | None = None
    occupied_seq: int = 0
    throttle: Throttle = FRESH
    held: Held | None = None
    hint_at: int = 0
    hint_offset: int = 0
    last_offset: int = 0
    exited: AgentExited | None = None
    hold_until: int | None = None
    restart_count: int = 0
    restart_at: int | None = None
    crashes: int = 0
    dead: bool = False

    @property
    def alive(self) -> bool:
        """Whether a program may be running under this name."""
        return self.state not in ("gone", "restarting")

    def head(self) -> Delivery | None:
        """What would be typed next, were nothing in the way: what was flushed, before the rest."""
        if self.mode == "auto_inject":
            return self.queue.head()
        return self.queue.head(self.flushed) or self.queue.head()

    def parked(self, delivery: Delivery) -> bool:
        """Whether this delivery waits for a flush."""
        return self.mode == "manual_flush" and delivery.joined > self.flushed
