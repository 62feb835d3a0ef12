"""Replies: what a broker answers and our own clients read, most of which `--json` prints as it is.

Each is one object whose fields are the keys of its JSON: they are added, never renamed or removed.
A key without a value is null, not absent, unless its struct says otherwise. What other clients read
besides is added in `bodies`: a reply's rows may come with more keys than are declared here, and
whoever reads them leaves those out. Times are microseconds UTC, `seq` is a position in the journal.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from ackbook.projections.analysis.row_shapes import (
    AgentRow,
    DeadLetterRow,
    DeliveryRow,
    PendingRow,
    WaitingRow,
)

# --- the broker


class Reason(msgspec.Struct, frozen=True):
    """Why the broker is degraded, and the next step where there is one for a person to take.

    Codes: `journal_full`, `history_damaged`, `snapshot_failed`, `compaction_failed`,
    `version_changed`.
    """

    code: str
    what: str
    next: str


class HealthReply(msgspec.Struct, frozen=True, kw_only=True):
    """What anybody may ask a broker: `ok`, `degraded` (see `reasons`), `starting` or
    `shutting down`. While it starts or ends it gives neither reasons nor a version."""

    status: str
    reasons: Sequence[Reason] = ()
    service: str = "ackbook"
    version: str = ""


# --- messages


class RefusedRow(msgspec.Struct, frozen=True, kw_only=True):
    """A recipient whose queue did not take the message, and why."""

    agent: str
    reason: str


class CallerReply(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks, as a record would say it; `agent` is its name where it is one. `knows_token`:
    whether the token that was asked about by its hash is an agent's here."""

    commander: str
    agent: str | None
    knows_token: bool


class SendReply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The answer to `send`: a `DeliveryProgress` for each recipient that took it. `outcome` is
    absent unless the broker was asked to wait; `repeated`: an earlier answer to the same
    idempotency key, given again."""

    success: bool
    event_id: str
    targets: list[str]
    delivered: int
    local: bool
    seq: int
    target: str
    deliveries: Sequence[DeliveryRow]
    refused: list[RefusedRow]
    repeated: bool
    outcome: str | None = None


class PendingReply(msgspec.Struct, frozen=True, kw_only=True):
    """What waits, in the order in which it will be typed."""

    pending: Sequence[PendingRow]


class WaitingReply(msgspec.Struct, frozen=True, kw_only=True):
    """The same, with all that is known of each."""

    pending: Sequence[WaitingRow]


class KeptRow(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery that was too late to be taken back, and its state."""

    delivery_id: str
    state: str


class CancelReply(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to `cancel`: the deliveries that were taken back, and what could not be."""

    cancelled: list[str]
    kept: list[KeptRow]


class DeadLettersReply(msgspec.Struct, frozen=True, kw_only=True):
    """What was given up, oldest first."""

    dead_letters: Sequence[DeadLetterRow]


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

    redelivered: Sequence[RedeliveredRow]
    skipped: list[SkippedRow]


# --- agents


class AgentsReply(msgspec.Struct, frozen=True, kw_only=True):
    """Who is there, by name."""

    agents: Sequence[AgentRow]


class ModeReply(msgspec.Struct, frozen=True, kw_only=True):
    """The delivery mode of an agent; `revision` is a decimal number as text, `flushed` how many
    deliveries the change let go."""

    mode: str
    revision: str
    flushed: int


class FlushReply(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries a flush let go."""

    flushed: int


class ScreenReply(msgspec.Struct, frozen=True, kw_only=True):
    """What a terminal shows: one right-trimmed line a row; the cursor is [row, column] from 1.

    Of a repaint (`ansi`) `screen` is base64, since that is bytes to a terminal. `offset`: how many
    bytes of output it shows.
    """

    rows: int
    cols: int
    cursor: Sequence[int]
    screen: str
    offset: int
