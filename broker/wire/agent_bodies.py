"""Bodies about agents and their terminals: our replies, and what clients of others read besides.

As in `bodies`, names and kinds of value are those that such clients know; ours besides are added.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from ackbook.broker.wire.replies import ModeReply, ScreenReply
from ackbook.projections.analysis.row_shapes import AgentRow


class SpawnedRow(
    AgentRow,
    frozen=True,
    kw_only=True,
    rename={"session_id": "sessionId", "worker_pid": "workerPid"},
):
    """An agent, and what clients know of one. `held_since_seq`: the record that says why the head
    of its queue is held."""

    revision: int
    held_since_seq: int | None
    env_names: list[str]
    runtime: Literal["pty"] = "pty"
    runtime_kind: Literal["pty"] = "pty"
    provider: None = None
    cli: str
    model: str | None
    session_id: str | None
    team: str | None
    parent: str | None
    worker_pid: int | None
    last_activity_ms: int
    last_activity_at: int
    context_budget_pct: None = None
    current_state: Literal["idle", "working"] | None
    pending_messages: int


class StartedBody(SpawnedRow, frozen=True, kw_only=True):
    """A program that was started. `warning`: why its first message was refused, where it was.

    Clients expect the generation as text here, and as a number in every other answer.
    """

    generation: str  # type: ignore[assignment]
    success: Literal[True] = True
    warning: str | None


class VanishedBody(msgspec.Struct, frozen=True, kw_only=True):
    """A program that was started and let go, or started anew, before this was answered."""

    state: Literal["gone"] = "gone"
    success: Literal[True] = True
    name: str
    pid: int
    generation: str
    warning: str | None


class ReleaseBody(msgspec.Struct, frozen=True, kw_only=True):
    """An agent was let go; not `released`: there was none of this name."""

    success: Literal[True] = True
    name: str
    released: bool


class ModeBody(ModeReply, frozen=True, kw_only=True):
    """The values in force. `matched`: what was asked for was applied."""

    matched: bool


class ChannelsBody(msgspec.Struct, frozen=True, kw_only=True):
    """All channels that an agent hears now, sorted."""

    name: str
    channels: list[str]


class ParkedRow(
    msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, rename={"sender": "from"}
):
    """A waiting delivery with its body. The thread is absent where there is none."""

    sender: str
    body: str
    target: str
    priority: int
    mode: str
    queued_at_ms: int
    event_id: str
    delivery_id: str
    thread_id: str | None = None


class ParkedBody(msgspec.Struct, frozen=True, kw_only=True):
    """What waits for one agent, in the order in which it will be typed."""

    pending: list[ParkedRow]


class ScreenBody(ScreenReply, frozen=True, kw_only=True):
    """What a terminal shows, and in which form."""

    format: Literal["plain", "ansi"]


class InputBody(msgspec.Struct, frozen=True, kw_only=True):
    """How many bytes a terminal took."""

    name: str
    bytes_written: int


class ResizeBody(msgspec.Struct, frozen=True, kw_only=True):
    """The size that a terminal was told to have."""

    name: str
    rows: int
    cols: int
    applied: Literal[True] = True
    reason: None = None
