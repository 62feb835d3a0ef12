"""Bodies: what clients of others read in the answers of a broker, besides what ours read.

Names and kinds of value are those that such clients know, some of which mean nothing here and are
fixed; ours besides are added, never substituted. A body that has a reply as its base is that reply
and more. A key without a value is null, unless a client tells absent from null.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.broker.wire.agent_bodies import SpawnedRow
from ackbook.broker.wire.replies import (
    CancelReply,
    DeadLettersReply,
    HealthReply,
    RedeliveredRow,
    RedeliveryReply,
)
from ackbook.journal import CompactionReport
from ackbook.projections.analysis.row_shapes import DeadLetterRow

PROTOCOL_VERSION = 2
"""Of the local API, as its clients count."""

# --- the broker


class JournalHead(msgspec.Struct, frozen=True, kw_only=True):
    """The last record, and the last one that is durable."""

    seq: int
    durable: int


class HealthBody(HealthReply, frozen=True, kw_only=True, rename="camel"):
    """How the broker stands, and how much there is."""

    uptime_ms: int
    agent_count: int
    pending_delivery_count: int
    dead_letter_count: int
    journal: JournalHead


class SessionBody(msgspec.Struct, frozen=True, kw_only=True):
    """Which broker this is. `lineage`: the tag of its journal's history, absent from one that was
    never put back from a copy."""

    broker_version: str
    protocol_version: int = PROTOCOL_VERSION
    workspace_key: None = None
    default_workspace_id: None = None
    mode: Literal["persist"] = "persist"
    uptime_secs: int
    directory: str
    lineage: str | msgspec.UnsetType = msgspec.UNSET


class RenewalBody(msgspec.Struct, frozen=True, kw_only=True):
    """A lease is not needed: a broker stays until it is told to end."""

    renewed: Literal[True] = True
    expires_in_secs: None = None
    persist: Literal[True] = True


class ConfigBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Workspaces are not offered; clients ask all the same."""

    workspace_key: None = None
    default_workspace_id: None = None
    memberships: tuple[()] = ()


class ShutdownBody(msgspec.Struct, frozen=True, kw_only=True):
    """A graceful end has begun."""

    status: Literal["shutting_down"] = "shutting_down"


class CompactionBody(msgspec.Struct, frozen=True, kw_only=True):
    """A compaction: `done` of `total` segments; once it is `over` its report, or why it failed."""

    run: int
    over: bool
    done: int
    total: int
    failed: str | None
    report: CompactionReport | None


# --- everything at one moment


class StatusRow(msgspec.Struct, frozen=True, kw_only=True, rename={"sender": "from"}):
    """A delivery that waits. `last_error`: what it waits for."""

    delivery_id: str
    worker_name: str
    event_id: str
    sender: str
    to: str
    attempts: int
    queued_at_ms: int
    age_ms: int
    last_error: str | None
    state: str


class AuthStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Workspaces are not offered; who asks has shown the key."""

    authenticated: Literal[True] = True
    workspace_count: Literal[0] = 0
    workspaces: tuple[()] = ()


class StatusBody(msgspec.Struct, frozen=True, kw_only=True):
    """Agents, what waits for them, and how many deliveries there ever were."""

    agent_count: int
    agents: list[SpawnedRow]
    pending_delivery_count: int
    pending_deliveries: list[StatusRow]
    dead_letter_count: int
    auth: AuthStatus = AuthStatus()
    counts: dict[str, int]
    seq: int


# --- messages


class CancelBody(CancelReply, frozen=True, kw_only=True):
    """What was taken back and what was not."""

    success: Literal[True] = True


class WorkerLetterRow(DeadLetterRow, frozen=True, kw_only=True):
    """A dead letter; `worker_name` is its agent."""

    worker_name: str


class DeadLettersBody(DeadLettersReply, frozen=True, kw_only=True):
    """The dead letters and their number."""

    count: int


class ReplacedRow(RedeliveredRow, frozen=True, kw_only=True):
    """A delivery that was queued again, with the id that it had."""

    old_delivery_id: str


class RedeliveryBody(RedeliveryReply, frozen=True, kw_only=True):
    """What was brought back, and what was not and why."""

    success: Literal[True] = True


# --- what happened


class FeedHistory(msgspec.Struct, frozen=True, tag_field="kind", tag="history"):
    """The first message to whoever connects, where the journal was put back from a copy: the tag of
    the history that cursors are of from here on."""

    lineage: str


class ReplayGap(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    omit_defaults=True,
    tag_field="kind",
    tag="replay_gap",
    rename={
        "requested_since_seq": "requestedSinceSeq",
        "oldest_available": "oldestAvailable",
        "dropped_count": "droppedCount",
    },
):
    """A cursor that cannot be continued from. `reason` is absent where there is nothing to say."""

    requested_since_seq: int
    oldest_available: int
    seq: int
    dropped_count: int
    reason: str | None = None


class EventsBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Events after a cursor. `gap`: there were older ones, which are no longer here. Where there is
    `more`, `currentSeq` is the cursor of the last one given; else that of the journal's end."""

    events: list[dict[str, object]]
    gap: bool
    oldest_available: int
    dropped_count: int
    current_seq: int
    more: bool
