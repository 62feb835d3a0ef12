"""The shapes of rows: an agent, what waits, what was given up, and how far a delivery came.

Each is defined here and nowhere else: `rows` makes it of a world, a broker answers with it over
HTTP, a client reads it back, and `--json` prints it. Its fields are the keys of that JSON: they are
added, never renamed or removed, and a key without a value is null. A row that has a row as its base
is a wider one: the base is what `--json` prints, the rest is there for whoever else asks.

Times are milliseconds UTC in keys that end in `_ms`. Nothing here quotes a body. A word that later
versions may add to is text here, so that an older client can still read it. This module knows no
world: a client imports it, and a verb lives for a tenth of a second.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.projections.facts import Evidence, Level, Verification

SendOutcome = Literal["confirmed", "unconfirmed", "failed", "open"]
"""What became of a message; `open`: not all of it is known yet."""


class ExitRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended: by itself with a code, or by a signal."""

    reason: str
    code: int | None
    signal: int | None

    def told(self) -> str:
        """The same, for people."""
        if self.signal is not None:
            return f"signal {self.signal}"
        return self.reason if self.code is None else f"exit code {self.code}"


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: its state, what waits for it, and the command that started it.

    `oldest_ms`: how long the oldest of what waits has waited. `held`: why the head of its queue is
    not typed now. `since_ms`: when it came into its state. `exit`: how its program ended, where it
    did. `commander`: who had it started, null where that is not known. States: `unknown`,
    `starting`, `ready`, `blocked` (by `blocked`), `gone`, `restarting`; a broker that runs also
    says `elsewhere`: the program lives, and obeys the broker of another copy of this directory.
    """

    name: str
    generation: int
    pid: int | None
    state: str
    blocked: str | None
    mode: str
    channels: list[str]
    pending: int
    oldest_ms: int | None
    held: str | None
    since_ms: int
    command: list[str]
    cwd: str
    restart_count: int
    exit: ExitRow | None
    commander: str | None = None


class PendingRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A delivery that is not settled yet. `attempts` that were begun; `reason`: what it waits for.

    States: `queued`, `held`, `typing`, `awaiting`, `in_doubt`.
    """

    delivery_id: str
    event_id: str
    agent: str
    sender: str
    state: str
    attempts: int
    reason: str | None


class WaitingRow(PendingRow, frozen=True, kw_only=True):
    """The same, with what was asked for and how long it waits. `failures`: attempts that failed."""

    target: str
    failures: int
    priority: int
    mode: str
    queued_at_ms: int
    age_ms: int


class DeadLetterRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A delivery that was given up; `error` says what failed last, `age_ms` how long ago."""

    delivery_id: str
    event_id: str
    agent: str
    sender: str
    to: str
    attempts: int
    reason: str
    error: str
    queued_at_ms: int
    failed_at_ms: int
    age_ms: int


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far one delivery of a message has come. `verification` and `evidence`: what was seen of
    it, once it was typed; `reason`: what it waits for, or why it ended.

    States: those of `PendingRow`, `acked`, `evicted`, `expired`, `cancelled`, `released`,
    `dead_letter`, `dropped`, `redelivered`; `settled` where only the journal still knows which.
    """

    delivery_id: str
    agent: str
    state: str
    level: Level
    verification: Verification | None
    reason: str | None
    evidence: Evidence | None


class DeliveryProgress(DeliveryRow, frozen=True, kw_only=True):
    """The same; `final`: no later evidence is waited for."""

    final: bool
