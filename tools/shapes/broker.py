"""The shapes of data that verbs read from a broker and print with `--json`.

Each is one object with keys that stay: fields are added, never renamed or removed. A key without a
value is null, not absent. Times are microseconds UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

import msgspec


class DeliveryRow(msgspec.Struct, frozen=True, kw_only=True):
    """How far one delivery of a message has come."""

    delivery_id: str
    agent: str
    state: str | None = None
    level: str | None = None
    verification: str | None = None
    reason: str | None = None
    evidence: object = None


class RefusedRow(msgspec.Struct, frozen=True):
    """A recipient whose queue did not take the message, and why."""

    agent: str
    reason: str


class SendReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `send`. `outcome` is there when the broker was asked to wait; `repeated`: an
    earlier answer to the same idempotency key, given again."""

    event_id: str
    seq: int
    deliveries: list[DeliveryRow] = []
    refused: list[RefusedRow] = []
    repeated: bool = False
    outcome: str | None = None


class AgentStarted(msgspec.Struct, frozen=True, kw_only=True):
    """A program that runs under a name, and whether its terminal takes input yet."""

    name: str
    generation: int
    pid: int
    state: str


class EndedRow(msgspec.Struct, frozen=True, kw_only=True):
    """How a program ended."""

    reason: str
    code: int | None
    signal: int | None

    def told(self) -> str:
        """The same, for people."""
        if self.signal is not None:
            return f"signal {self.signal}"
        return self.reason if self.code is None else f"exit code {self.code}"


class AgentMet(AgentStarted, frozen=True, kw_only=True):
    """The same, with how it ended where it already has."""

    exit: EndedRow | None = None


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
    """The same, with what people want to see besides."""

    priority: int
    age_ms: int


class PendingReply(msgspec.Struct, frozen=True):
    """What waits, for people."""

    pending: list[WaitingRow]


class Pending(msgspec.Struct, frozen=True):
    """What waits, in the order in which it will be typed."""

    pending: list[PendingRow]


class AgentRow(msgspec.Struct, frozen=True, kw_only=True):
    """An agent: its state, what waits for it, and the command that started it.

    `oldest_ms`: how long the oldest of what waits has waited. `held`: why the head of its queue is
    not typed now. `since_ms`: when it came into its state, milliseconds UTC. `exit`: how its
    program ended, where it did.
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
    exit: EndedRow | None


class AgentsReply(msgspec.Struct, frozen=True):
    """Who is there."""

    agents: list[AgentRow]


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


class DeadLetters(msgspec.Struct, frozen=True):
    """What was given up, oldest first."""

    dead_letters: list[DeadLetterRow]


class KeptRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was too late to be taken back, and its state."""

    delivery_id: str
    state: str


class Cancellation(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `cancel`."""

    cancelled: list[str] = []
    kept: list[KeptRow] = []


class RedeliveredRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was queued again, under its new id."""

    delivery_id: str
    worker_name: str
    event_id: str


class SkippedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was not queued again, and why."""

    delivery_id: str
    worker_name: str
    reason: str


class RedeliveryReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `redeliver`."""

    redelivered: list[RedeliveredRow] = []
    skipped: list[SkippedRow] = []


class ModeReply(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery mode of an agent after a change; `revision` is a decimal number as text."""

    mode: str
    revision: str
    flushed: int = 0


class FlushedReply(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries a flush let go."""

    flushed: int


class ScreenReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal shows: one right-trimmed line a row; the cursor is [row, column] from 1."""

    rows: int
    cols: int
    cursor: list[int]
    screen: str
    offset: int = 0


class Name(msgspec.Struct, frozen=True):
    """An agent, where only its name is of interest."""

    name: str


class Names(msgspec.Struct, frozen=True):
    """Who is there."""

    agents: list[Name]


class ReasonRow(msgspec.Struct, frozen=True):
    """Something that is not well with the broker, and what to do about it."""

    code: str
    what: str
    next: str


class HealthReply(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may ask a broker. While it starts or ends it gives no reasons."""

    status: str
    version: str = ""
    reasons: list[ReasonRow] = []


class DoneReply(msgspec.Struct, frozen=True):
    """An answer that has nothing to tell."""
