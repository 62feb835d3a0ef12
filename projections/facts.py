"""The facts: everything that can have happened, as typed frozen values.

A fact is what one line of the journal says in `kind` and `data`. This module fixes the shape of
every fact that ackbook writes. A shape never changes: fields may be added with a default, none is
renamed, re-typed or removed, since golden journals of every released version must open for ever.

Three rules hold for all of them. Each fact can be understood alone (`derive` sees one entry, and so
does `grep`), therefore every `delivery.*` fact carries the whole `Ref` of its delivery and every
`agent.*` fact the name and the generation. A number that a rule chose (a deadline, a delay, a cap)
stands in the fact that the rule produced. A body stands in one place only: `MessageEnqueued.body`.

`commander` says who wished for it (see `commander`), of what somebody outside wished for. Times are
microseconds UTC, durations say their unit in their name. This module knows nothing of how
facts are written (`codec`), folded (`world.fold`) or shown (`events.derive`).
"""

from __future__ import annotations

from typing import ClassVar, Literal, NewType, TypeAlias, get_args

import msgspec

EventId = NewType("EventId", str)
DeliveryId = NewType("DeliveryId", str)
AgentName = NewType("AgentName", str)

Level = Literal["recorded", "written", "seen", "submitted", "consumed", "answered"]
"""How far a delivery has provably come, lowest first."""

Verification = Literal["echo", "timeout_fallback"]
Mode = Literal["wait", "steer"]
DeliveryMode = Literal["auto_inject", "manual_flush"]

HeldReason = Literal[
    "not_ready",
    "dialog",
    "human_typing",
    "manual_flush",
    "busy",
    "input_not_empty",
    "echo_off",
    "foreground_changed",
    "canonical_limit",
    "agent_gone",
]
"""Why the delivery at the head of a queue is not typed now. Waiting is never a failed attempt."""

DroppedReason = Literal["queue_full", "ttl", "cancelled", "agent_released", "dead_letters_full"]
DeadReason = Literal["retries_exhausted", "recipient_gone", "outcome_unknown"]
RefusedReason = Literal[
    "queue_full",
    "unknown_agent",
    "too_large",
    "empty",
    "idempotency_conflict",
    "journal_full",
    "invalid",
]

LEVELS: tuple[Level, ...] = get_args(Level)


def rank(level: Level) -> int:
    """The place of a level on the ladder, from 0 (recorded) to 5 (answered)."""
    return LEVELS.index(level)


class Value(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """Base of all values here: frozen, without cycles, defaults left out of the line."""


class Ref(Value, frozen=True, rename={"sender": "from"}):
    """What every `delivery.*` fact carries: which delivery, of what, for whom, which try.

    `attempt` is 0 until the first attempt has begun.
    """

    delivery_id: DeliveryId
    event_id: EventId
    agent: AgentName
    sender: str
    target: str
    attempt: int


class Policy(Value, frozen=True):
    """The numbers in force. A default is for ever; another number is a `policy.changed`.

    `queue_length_max`: deliveries that wait for one agent; at the cap `queue_policy` says who goes,
    the oldest of the least urgent or the newcomer. `failures_max`: failed attempts in a row before
    a delivery is given up; the first is tried again after `retry_delay_ms`, each later one after
    twice the time, at most `retry_delay_ms_max`.

    `window_ms`: how long evidence is awaited after the last byte was written. `settle_ms`: how long
    the text may take to stand in the input before Enter. `input_hold_ms`: how long a guess, or a
    text that still stands in the input, holds what comes next. `throttle_ms_min` and
    `throttle_ms_max`: the least and longest pause between two typings into one agent.

    `dead_letters_max`: kept aside, the oldest go first. `hold_ms`: how long the messages of a gone
    agent wait for the next of its name. `key_window_ms` and `keys_max`: how long, and how many,
    idempotency keys are remembered. `body_bytes_max`: of UTF-8, so that an escaped body fits a
    line. `recipients_max`: of one message. `agents_may`: what agents
    may do that is not for agents (`broker.wire.identity`).
    """

    queue_length_max: int = 256
    queue_policy: Literal["evict_oldest", "reject_newest"] = "evict_oldest"
    failures_max: int = 10
    retry_delay_ms: int = 1_000
    retry_delay_ms_max: int = 60_000
    window_ms: int = 5_000
    settle_ms: int = 2_000
    input_hold_ms: int = 60_000
    throttle_ms_min: int = 100
    throttle_ms_max: int = 5_000
    dead_letters_max: int = 500
    hold_ms: int = 30 * 60 * 1_000
    key_window_ms: int = 24 * 60 * 60 * 1_000
    keys_max: int = 100_000
    body_bytes_max: int = 512 * 1024
    recipients_max: int = 1_000
    agents_may: tuple[str, ...] = ()


class RestartPolicy(Value, frozen=True):
    """Whether and how often a program that ended is started again: at most `max_restarts` times,
    `cooldown_ms` after its end, and not after `max_consecutive_failures` crashes in a row."""

    enabled: bool = False
    max_restarts: int = 5
    cooldown_ms: int = 2_000
    max_consecutive_failures: int = 3


class Throttle(Value, frozen=True):
    """The pace of typing into one agent, after the outcome that this fact records.

    `next_at` is the earliest time of the next typing. `failures` are those since the last success,
    `successes` those in a row.
    """

    delay_ms: int
    failures: int
    successes: int
    next_at: int


class Evidence(Value, frozen=True):
    """What was observed, by position and length only; never the text itself.

    `how` names the observation: `echo_line` (the text stands in the output stream), `grid_rows` (it
    stands on the screen), `paste_placeholder`; for `submitted`: `input_emptied`,
    `output_followed`. Offsets are bytes of the agent's output stream since its start,
    rows are those of the screen, from 0; -1 is not known.
    """

    how: str
    offset_from: int = -1
    offset_to: int = -1
    row_first: int = -1
    row_last: int = -1
    matched: str = ""
    note: str = ""


# --- the broker


class BrokerStarted(Value, frozen=True):
    """A broker serves this journal. Every attempt without an outcome is now in doubt.

    `lineage`: holders know of another history that went on from the same record: the journal was
    put back from a copy, and from here on ids end in this tag. It is empty where the journal's own
    files showed that, and the `journal.opened` before this has the tag. `because` says what showed
    it, either way. `forked_after`: with a lineage, the last record that both histories may have.
    """

    KIND: ClassVar[str] = "broker.started"

    epoch: int
    pid: int
    version: str
    instance: str = ""
    lineage: str = ""
    because: str = ""
    forked_after: int = 0


class BrokerStopped(Value, frozen=True):
    """A graceful end. Nothing pending was dropped. `agents_kept`: holders were left running."""

    KIND: ClassVar[str] = "broker.stopped"

    reason: str
    agents_kept: bool = False
    commander: str = ""


class PolicyChanged(Value, frozen=True):
    """The numbers in force from here on."""

    KIND: ClassVar[str] = "policy.changed"

    policy: Policy


class ClockDiverged(Value, frozen=True):
    """The wall clock is more than a second away from the journal's time."""

    KIND: ClassVar[str] = "clock.diverged"

    wall_at: int
    ahead_us: int


class UpkeepFailed(Value, frozen=True):
    """A snapshot or a compaction did not come to its end, and the journal itself is unharmed; or a
    check found older history damaged, and the state is unharmed."""

    KIND: ClassVar[str] = "upkeep.failed"

    what: Literal["snapshot", "compaction", "check"]
    error: str


# --- agents


class Program(Value, frozen=True):
    """What runs in a terminal, under which name. Environment values are never recorded, and of its
    token a hash.

    Until it runs, `generation` and `pid` are 0 and `holder` is empty.
    """

    name: AgentName
    generation: int
    pid: int
    command: str
    args: tuple[str, ...]
    cwd: str
    env_names: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    holder: str = ""
    runtime: str = "pty"
    cli: str = ""
    model: str | None = None
    session_id: str | None = None
    team: str | None = None
    parent: str | None = None
    source: str = "human"
    profile: str = "generic"
    rows: int = 24
    cols: int = 80
    restart: RestartPolicy = RestartPolicy()
    restart_count: int = 0
    commander: str = ""
    token_sha256: str = ""


class AgentSpawned(Program, frozen=True):
    """A program runs in a terminal under this name."""

    KIND: ClassVar[str] = "agent.spawned"


class AgentReady(Value, frozen=True):
    """The terminal takes input. `how`: `prompt` `quiet` `deadline` `input_empty` `unblocked`."""

    KIND: ClassVar[str] = "agent.ready"

    name: AgentName
    generation: int
    how: str
    first: bool = False
    pid: int = 0
    runtime: str = "pty"
    cli: str = ""
    model: str | None = None
    session_id: str | None = None


class AgentBlocked(Value, frozen=True):
    """Nothing may be typed now. `until`: a heuristic ends then; None: a veto, while it lasts."""

    KIND: ClassVar[str] = "agent.blocked"

    name: AgentName
    generation: int
    reason: HeldReason
    until: int | None = None


class AgentAdopted(Value, frozen=True):
    """A broker that started anew found this agent's holder alive."""

    KIND: ClassVar[str] = "agent.adopted"

    name: AgentName
    generation: int
    pid: int


class AgentExited(Value, frozen=True):
    """The program ended, or nothing is left that could speak for it.

    `reason`: `exited`, `signalled`, `terminal_closed`, `holder_lost`, `ended_with_broker`,
    `broker_stopped`, `restarted`. `hold_ms` is how long, in broker running time, its messages wait
    for the next spawn of the name; None is for ever.
    """

    KIND: ClassVar[str] = "agent.exited"

    name: AgentName
    generation: int
    reason: str
    code: int | None = None
    signal: int | None = None
    hold_ms: int | None = None
    uptime_ms: int = 0


class AgentRestarting(Value, frozen=True):
    """The program will be started again at `due_at`."""

    KIND: ClassVar[str] = "agent.restarting"

    name: AgentName
    generation: int
    code: int | None
    signal: int | None
    restart_count: int
    delay_ms: int
    due_at: int


class AgentDied(Value, frozen=True):
    """The program is not started again: its restarts are used up."""

    KIND: ClassVar[str] = "agent.died"

    name: AgentName
    generation: int
    reason: str


class AgentReleased(Value, frozen=True):
    """The agent is let go, and with it everything that waited for it, in this one record."""

    KIND: ClassVar[str] = "agent.released"

    name: AgentName
    generation: int
    reason: str = ""
    dropped: tuple[Ref, ...] = ()
    commander: str = ""


class AgentModeChanged(Value, frozen=True):
    """Whether messages are typed as they come or wait for a flush. `revision` rises by one."""

    KIND: ClassVar[str] = "agent.mode_changed"

    name: AgentName
    generation: int
    previous_mode: DeliveryMode
    mode: DeliveryMode
    revision: int
    by: str = ""
    commander: str = ""


class AgentSubscribed(Value, frozen=True):
    """`channels` were added; `all` is the set afterwards."""

    KIND: ClassVar[str] = "agent.subscribed"

    name: AgentName
    generation: int
    channels: tuple[str, ...]
    all: tuple[str, ...]
    commander: str = ""


class AgentUnsubscribed(Value, frozen=True):
    """`channels` were taken away; `all` is the set afterwards."""

    KIND: ClassVar[str] = "agent.unsubscribed"

    name: AgentName
    generation: int
    channels: tuple[str, ...]
    all: tuple[str, ...]
    commander: str = ""


class AgentIdle(Value, frozen=True):
    """No output for `idle_secs` (seconds), since the time `since`."""

    KIND: ClassVar[str] = "agent.idle"

    name: AgentName
    generation: int
    idle_secs: int
    since: int


class AgentResult(Value, frozen=True):
    """The agent handed over a result of its work."""

    KIND: ClassVar[str] = "agent.result"

    name: AgentName
    generation: int
    result_id: str
    data: msgspec.Raw
    final: bool = True
    metadata: msgspec.Raw = msgspec.Raw(b"null")


# --- messages and deliveries


class Recipient(Value, frozen=True):
    """One delivery of a new message. `parked`: the agent's mode made it wait for a flush."""

    delivery_id: DeliveryId
    agent: AgentName
    parked: bool = False


class RefusedRecipient(Value, frozen=True):
    """A recipient whose queue did not take the message."""

    agent: AgentName
    reason: RefusedReason


class MessageEnqueued(Value, frozen=True, rename={"sender": "from"}):
    """One message and all its deliveries: all or nothing. The only fact that holds a body.

    `content` is a SHA-256 over everything that makes the message the same message; a repeated
    idempotency key must come with the same one.
    """

    KIND: ClassVar[str] = "message.enqueued"

    event_id: EventId
    sender: str
    target: str
    body: str
    deliveries: tuple[Recipient, ...]
    refused: tuple[RefusedRecipient, ...] = ()
    thread: str | None = None
    priority: int = 2
    mode: Mode = "wait"
    need: Level = "seen"
    expires_at: int | None = None
    key: str | None = None
    key_until: int | None = None
    content: str = ""
    data: msgspec.Raw = msgspec.Raw(b"null")
    commander: str = ""


class MessageRefused(Value, frozen=True, rename={"sender": "from"}):
    """A message that was not taken, and why. Nothing of it waits anywhere."""

    KIND: ClassVar[str] = "message.refused"

    event_id: EventId
    sender: str
    target: str
    reason: RefusedReason
    detail: str = ""
    body_bytes: int = 0
    priority: int = 2
    key: str | None = None
    refused: tuple[RefusedRecipient, ...] = ()
    commander: str = ""


class KeysForgotten(Value, frozen=True):
    """Idempotency keys, as (sender, key), oldest first, that are no longer remembered."""

    KIND: ClassVar[str] = "keys.forgotten"

    keys: tuple[tuple[str, str], ...]
    reason: Literal["window", "too_many"]


class Remark(Ref, frozen=True):
    """What the facts have in common that move no open delivery.

    Later evidence, what becomes of one that has ended, a report that is not believed. Each is a
    member of `RemarkFact`.
    """


class Departure(Ref, frozen=True):
    """What the facts have in common that take a delivery out of its queue, untyped and for good.

    Each is a member of `DepartureFact`, and has a field `reason`. What a delivery is called that
    left so is said in `ways_out`.
    """


class DeliveryAttempted(Ref, frozen=True):
    """The intent to type, durable before the first byte is written.

    `hint`: the text ends with how to reply. The windows are those in force for this attempt.
    """

    KIND: ClassVar[str] = "delivery.attempted"

    generation: int
    window_ms: int
    settle_ms: int
    hint: bool = False


class DeliveryWritten(Ref, frozen=True):
    """The terminal took every byte, Enter included.

    `offset` is where the output stream stood, in bytes, before the first one was written, and
    `window_until` until when evidence is awaited. `salted` hashes are SHA-256 of
    salt and text. `form`: `plain`, `paste` (bracketed), `folded` (to one line), `spooled` (a file
    was named instead). `enter`: `settled` (the screen showed the text) or `deadline`.
    """

    KIND: ClassVar[str] = "delivery.written"

    generation: int
    bytes_written: int
    offset: int
    window_until: int
    form: str = "plain"
    enter: str = "settled"
    salt: str = ""
    salted_body: str = ""
    salted_typed: str = ""


class DeliveryAcked(Ref, frozen=True):
    """Settled: verified by `echo`, or honestly unconfirmed by `timeout_fallback`.

    `occupied`: the next delivery waits until this text has left the input line, at most until
    `hold_until`.
    """

    KIND: ClassVar[str] = "delivery.acked"

    generation: int
    level: Level
    verification: Verification
    throttle: Throttle
    reason: str | None = None
    evidence: Evidence | None = None
    occupied: bool = False
    hold_until: int | None = None


class DeliveryAdvanced(Remark, frozen=True):
    """Later evidence raised the level. `by`: who said so, for `consumed` and `answered`."""

    KIND: ClassVar[str] = "delivery.advanced"

    generation: int
    level: Level
    evidence: Evidence | None = None
    by: str = ""


class DeliveryRetried(Ref, frozen=True):
    """An attempt that provably typed nothing; it waits for `due_at` and keeps its place.

    `failures` counts consecutive failed attempts. `error` says what failed.
    """

    KIND: ClassVar[str] = "delivery.retried"

    generation: int
    failures: int
    due_at: int
    error: str
    throttle: Throttle


class DeliveryHeld(Ref, frozen=True):
    """The head of its agent's queue waits, for `reason`, since here.

    `undone`: the attempt was intended and provably not begun; it counts as none. `until`: the
    deadline of a heuristic; None for a veto or a condition that ends by itself.
    """

    KIND: ClassVar[str] = "delivery.held"

    reason: HeldReason
    undone: bool = False
    until: int | None = None


class DeliveryResumed(Ref, frozen=True):
    """What held the head of the queue (`reason`) holds it no more."""

    KIND: ClassVar[str] = "delivery.resumed"

    reason: HeldReason


class DeliveryEvicted(Departure, frozen=True):
    """Pushed out of a full queue: the oldest of the least urgent, by the newcomer `by`. `cap`:
    deliveries that the queue holds."""

    KIND: ClassVar[str] = "delivery.evicted"

    priority: int
    cap: int
    by: EventId
    reason: DroppedReason = "queue_full"


class DeliveryExpired(Departure, frozen=True):
    """Its time to live ran out before it was typed."""

    KIND: ClassVar[str] = "delivery.expired"

    expires_at: int
    reason: DroppedReason = "ttl"


class DeliveryCancelled(Departure, frozen=True):
    """Taken back before it was typed."""

    KIND: ClassVar[str] = "delivery.cancelled"

    by: str = ""
    reason: DroppedReason = "cancelled"
    commander: str = ""


class DeliveryDropped(Remark, frozen=True):
    """A dead letter that had to make room for newer ones: `cap` are kept."""

    KIND: ClassVar[str] = "delivery.dropped"

    reason: DroppedReason
    cap: int


class DeliveryDeadLettered(Ref, frozen=True):
    """Given up, kept aside: one `redeliver` brings it back."""

    KIND: ClassVar[str] = "delivery.dead_lettered"

    reason: DeadReason
    queued_at: int
    error: str = ""


class DeliveryRedelivered(Remark, frozen=True):
    """The message of this ended delivery was queued again, at the back, as `new_delivery_id`."""

    KIND: ClassVar[str] = "delivery.redelivered"

    new_delivery_id: DeliveryId
    priority: int = 2
    mode: Mode = "wait"
    need: Level = "seen"
    thread: str | None = None
    commander: str = ""


class DeliveryReportRefused(Remark, frozen=True):
    """A report that the world contradicts: `stale_attempt`, `dead_generation`, `unknown`."""

    KIND: ClassVar[str] = "delivery.report_refused"

    generation: int
    report: str
    reason: str


class QueueFlushed(Value, frozen=True):
    """What was queued for the agent up to the record `through` may be typed; `count` deliveries."""

    KIND: ClassVar[str] = "queue.flushed"

    name: AgentName
    generation: int
    through: int
    count: int
    reason: Literal["explicit_flush", "delivery_mode_transition"] = "explicit_flush"
    commander: str = ""


AgentFact: TypeAlias = (
    AgentSpawned
    | AgentReady
    | AgentBlocked
    | AgentAdopted
    | AgentExited
    | AgentRestarting
    | AgentDied
    | AgentReleased
    | AgentModeChanged
    | AgentSubscribed
    | AgentUnsubscribed
    | AgentIdle
    | AgentResult
    | QueueFlushed
)

PlacingFact: TypeAlias = (
    DeliveryAttempted | DeliveryWritten | DeliveryRetried | DeliveryHeld | DeliveryResumed
)
"""Says where a delivery is that is not settled: in a terminal, or in a queue."""

DepartureFact: TypeAlias = DeliveryEvicted | DeliveryExpired | DeliveryCancelled
"""Takes a delivery out of its queue, untyped and for good."""

SettlingFact: TypeAlias = DepartureFact | AgentReleased | DeliveryAcked | DeliveryDeadLettered
"""Settles deliveries: it was the last that kept a queue or a terminal for them."""

RemarkFact: TypeAlias = (
    DeliveryAdvanced | DeliveryDropped | DeliveryRedelivered | DeliveryReportRefused
)
"""Moves no open delivery."""

DeliveryFact: TypeAlias = (
    PlacingFact | DeliveryAcked | DeliveryDeadLettered | DepartureFact | RemarkFact
)
"""About one delivery."""

BrokerFact: TypeAlias = BrokerStarted | BrokerStopped | PolicyChanged | ClockDiverged | UpkeepFailed

MessageFact: TypeAlias = MessageEnqueued | MessageRefused | KeysForgotten

Fact: TypeAlias = BrokerFact | AgentFact | MessageFact | DeliveryFact

FACTS: tuple[type[Fact], ...] = (
    *get_args(BrokerFact),
    *get_args(AgentFact),
    *get_args(MessageFact),
    *get_args(DeliveryFact),
)

KINDS: frozenset[str] = frozenset(fact.KIND for fact in FACTS)
"""Every kind that this version writes and reads; the journal refuses others, except `x.*`."""
