"""Commands: all that can be put to the rules, and what the rules answer.

A command is imperative and may be refused. It carries everything that a rule reads beyond the world
and the time, so that a recorded decision can be decided again. This module knows shapes only: the
rules are in `decide`, the world in `ackbook.projections.world.fold`.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import msgspec

from ackbook.broker.core.attempt_report import Report
from ackbook.projections.facts import (
    AgentName,
    DeliveryId,
    DeliveryMode,
    EventId,
    Fact,
    HeldReason,
    Level,
    Mode,
    Policy,
    Program,
    RefusedReason,
    RefusedRecipient,
)


class Command(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all commands. `commander`: who wished for it, as `projections.commander` says."""

    commander: str = ""


# --- the broker itself


class StartBroker(Command, frozen=True, tag_field="command", tag="start"):
    """A broker begins to serve this journal. `named`: the keys of `policy` that its caller named;
    all others are as the journal has them. None: all of them, as 0.1.0 set them at each start.
    `lineage`, `because` and `forked_after` as in `broker.started`."""

    epoch: int
    pid: int
    version: str
    instance: str
    lineage: str = ""
    because: str = ""
    forked_after: int = 0
    policy: Policy = Policy()
    named: tuple[str, ...] | None = None


class StopBroker(Command, frozen=True, tag_field="command", tag="stop"):
    """The last command of a graceful end."""

    reason: str
    agents_kept: bool = False


class NoteClock(Command, frozen=True, tag_field="command", tag="note_clock"):
    """The wall clock says `wall_at`; recorded when it is far from the journal's time."""

    wall_at: int


class NoteUpkeep(Command, frozen=True, tag_field="command", tag="note_upkeep"):
    """A snapshot, a compaction or a check of older history failed; why, for operators."""

    what: Literal["snapshot", "compaction", "check"]
    error: str


class Tick(Command, frozen=True, tag_field="command", tag="tick"):
    """Look at the deadlines; at most `limits.TICK_DEADLINES_MAX` are met in one tick."""


# --- agents


class Spawn(Command, frozen=True, tag_field="command", tag="spawn"):
    """A holder runs this program; write it down."""

    program: Program


class Adopt(Command, frozen=True, tag_field="command", tag="adopt"):
    """A living holder answered this broker. `began`: every attempt that it has a report of.

    The reports themselves follow as `ReportAttempt`, with no other command in between.
    """

    name: AgentName
    generation: int
    pid: int
    began: tuple[tuple[DeliveryId, int], ...] = ()


class ReportCondition(Command, frozen=True, tag_field="command", tag="report_condition"):
    """Whether the terminal takes input. Fields as in the frame `condition`."""

    name: AgentName
    generation: int
    state: Literal["starting", "ready", "blocked"]
    how: str = ""
    reason: HeldReason | None = None
    heuristic: bool = False


class ReportEnded(Command, frozen=True, tag_field="command", tag="report_ended"):
    """The program is gone. `reason` as in `agent.exited`.

    `began`: every attempt that its holder has a report of, and it begins no other; None: nobody
    can say.
    """

    name: AgentName
    generation: int
    reason: str
    code: int | None = None
    signal: int | None = None
    uptime_ms: int = 0
    began: tuple[tuple[DeliveryId, int], ...] | None = None


class ReportIdle(Command, frozen=True, tag_field="command", tag="report_idle"):
    """No output for `idle_s` seconds."""

    name: AgentName
    generation: int
    idle_s: int


class Release(Command, frozen=True, tag_field="command", tag="release"):
    """Let the agent go and drop what waits for it."""

    name: AgentName
    reason: str = ""


class SetMode(Command, frozen=True, tag_field="command", tag="set_mode"):
    """Type as messages come, or hold them. An expectation that is not met changes nothing."""

    name: AgentName
    mode: DeliveryMode
    expected_mode: DeliveryMode | None = None
    expected_revision: int | None = None
    by: str = ""


class Flush(Command, frozen=True, tag_field="command", tag="flush"):
    """Type what is queued now, and not what comes later. The mode stays."""

    name: AgentName


class Subscribe(Command, frozen=True, tag_field="command", tag="subscribe"):
    """Add channels, written without `#`."""

    name: AgentName
    channels: tuple[str, ...]


class Unsubscribe(Command, frozen=True, tag_field="command", tag="unsubscribe"):
    """Take channels away."""

    name: AgentName
    channels: tuple[str, ...]


# --- messages


class Send(Command, frozen=True, tag_field="command", tag="send", rename={"sender": "from"}):
    """A message for a name, `@name` or `#channel`. `priority` None: 2, in a channel 3."""

    sender: str
    target: str
    body: str
    thread: str | None = None
    priority: int | None = None
    mode: Mode = "wait"
    need: Level = "seen"
    ttl_ms: int | None = None
    key: str | None = None
    data: msgspec.Raw = msgspec.Raw(b"null")


class Cancel(Command, frozen=True, tag_field="command", tag="cancel"):
    """Take back what was not typed yet: one delivery, or all of a message."""

    id: str
    by: str = ""


class Original(Command, frozen=True, rename={"sender": "from"}):
    """A delivery that ended and is no longer in the world, as the journal tells it."""

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    sender: str
    target: str
    attempt: int
    priority: int
    mode: Mode
    need: Level
    thread: str | None = None
    seen: bool = False
    redelivered_as: DeliveryId | None = None


class Redeliver(Command, frozen=True, tag_field="command", tag="redeliver"):
    """Queue these ended deliveries again; empty `ids`: every dead letter.

    `originals`: what the journal tells of those that are not among the dead letters.
    """

    ids: tuple[DeliveryId, ...] = ()
    originals: tuple[Original, ...] = ()


class ReportAttempt(Command, frozen=True, tag_field="command", tag="report_attempt"):
    """What the holder of `agent` knows of one attempt."""

    agent: AgentName
    report: Report


AnyCommand: TypeAlias = (
    StartBroker
    | StopBroker
    | NoteClock
    | NoteUpkeep
    | Tick
    | Spawn
    | Adopt
    | ReportCondition
    | ReportEnded
    | ReportIdle
    | Release
    | SetMode
    | Flush
    | Subscribe
    | Unsubscribe
    | Send
    | Cancel
    | Redeliver
    | ReportAttempt
)

# --- answers

RefusalReason = Literal[
    "agent_exists",
    "agent_not_found",
    "delivery_not_found",
    "not_cancellable",
    "stale",
    "version_changed",
    "elsewhere",
    "no_resources",
    "invalid",
]
"""Reasons of refusal besides those of a message at the door, which are `RefusedReason`."""


class Sent(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `Send`. `seq` is the record; `repeated`: an earlier answer, given again."""

    event_id: EventId
    seq: int
    target: str
    deliveries: tuple[tuple[DeliveryId, AgentName], ...]
    refused: tuple[RefusedRecipient, ...] = ()
    repeated: bool = False


class ModeAnswer(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `SetMode`: the values in force afterwards. `matched`: it was applied."""

    mode: DeliveryMode
    revision: int
    matched: bool
    flushed: int = 0


class Redelivery(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `Redeliver`: (old, new, agent, message) and (old, agent, reason)."""

    redelivered: tuple[tuple[DeliveryId, DeliveryId, AgentName, EventId], ...] = ()
    skipped: tuple[tuple[DeliveryId, AgentName, str], ...] = ()


class Cancelled(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `Cancel`: what was taken back, and what was too late (with its state)."""

    cancelled: tuple[DeliveryId, ...] = ()
    kept: tuple[tuple[DeliveryId, str], ...] = ()


class Flushed(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `Flush`."""

    count: int


class Channels(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to `Subscribe` and `Unsubscribe`: the whole set afterwards, sorted."""

    channels: tuple[str, ...]


class Done(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The answer to commands that have nothing to tell."""


Answer: TypeAlias = Sent | ModeAnswer | Redelivery | Cancelled | Flushed | Channels | Done


class DecidedFact(msgspec.Struct, frozen=True, gc=False):
    """A fact that a rule decided, and the earlier records that led to it."""

    fact: Fact
    cause: tuple[int, ...] = ()


class Accepted(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Yes: these facts, in this order, and this answer once they are durable."""

    facts: tuple[DecidedFact, ...] = ()
    answer: Answer = Done()


class Refused(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """No, and why. `facts` tell the refusal where the journal keeps it."""

    reason: RefusedReason | RefusalReason
    message: str
    facts: tuple[DecidedFact, ...] = ()


Verdict: TypeAlias = Accepted | Refused
