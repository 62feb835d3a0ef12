"""Decide: the one choke point at which commands become facts.

`decide` answers a command from the world, the command and the time, and from nothing else.
`carry_out` folds what was decided and asks the standing rules of the agents that it touched, until
they have nothing more to say: those are all the records of one decision. The first carries `by`,
each further one names the first as its first cause.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from typing import Any

import msgspec

from ackbook.broker.core import (
    cancel_redeliver,
    lifecycle,
    reporting,
    sending,
    standing_rules,
    steering,
)
from ackbook.broker.core.commands import (
    Adopt,
    AnyCommand,
    Cancel,
    DecidedFact,
    Flush,
    NoteClock,
    NoteUpkeep,
    Redeliver,
    Release,
    ReportAttempt,
    ReportCondition,
    ReportEnded,
    ReportIdle,
    Send,
    SetMode,
    Spawn,
    StartBroker,
    StopBroker,
    Subscribe,
    Tick,
    Unsubscribe,
    Verdict,
)
from ackbook.broker.core.deadlines import tick
from ackbook.broker.core.limits import (
    RECORD_BYTES_MAX,
    REDELIVER_MAX,
    STANDING_FACTS_MAX,
    TICK_DEADLINES_MAX,
)
from ackbook.broker.core.recorded_command import describe
from ackbook.projections.codec import Entry, entry_of
from ackbook.projections.facts import BrokerStarted, Fact, PolicyChanged, Ref
from ackbook.projections.subjects import agents_of
from ackbook.projections.world.fold import World, fold, key_of

_RULES: dict[type, Callable[[World, Any, int], Verdict]] = {
    Send: sending.send,
    ReportAttempt: reporting.report_attempt,
    ReportCondition: lifecycle.report_condition,
    Tick: tick,
    Cancel: cancel_redeliver.cancel,
    Redeliver: cancel_redeliver.redeliver,
    Flush: steering.flush,
    SetMode: steering.set_mode,
    Spawn: lifecycle.spawn,
    Adopt: lifecycle.adopt,
    ReportEnded: lifecycle.report_ended,
    ReportIdle: lifecycle.report_idle,
    Release: lifecycle.release,
    Subscribe: steering.subscribe,
    Unsubscribe: steering.unsubscribe,
    NoteClock: lifecycle.note_clock,
    NoteUpkeep: lifecycle.note_upkeep,
    StartBroker: lifecycle.start_broker,
    StopBroker: lifecycle.stop_broker,
}


class Decision(msgspec.Struct, frozen=True, gc=False):
    """A verdict and every entry of the decision, already folded. `touched`: keys of agents."""

    verdict: Verdict
    entries: tuple[Entry, ...]
    touched: frozenset[str]


def decide(world: World, command: AnyCommand, at: int) -> Verdict:
    """What the rules say to this command at the time `at` (microseconds UTC). Changes nothing."""
    return _RULES[type(command)](world, command, at)


def carry_out(world: World, command: AnyCommand, at: int) -> Decision:
    """Decide, fold, and let the standing rules follow. The entries begin at `world.seq + 1`."""
    verdict = decide(world, command, at)
    touched: set[str] = set()
    entries = tuple(unfold(world, command, verdict, at, touched))
    return Decision(verdict, entries, frozenset(touched))


def unfold(
    world: World, command: AnyCommand, verdict: Verdict, at: int, touched: set[str]
) -> Iterator[Entry]:
    """The entries of a decision, one at a time. Each is folded, and the agents that it touches are
    added to `touched`, when the next is asked for: until then it can still be passed over."""
    first = world.seq + 1
    for said in chain(verdict.facts, _what_follows(world, command, verdict, touched, at)):
        seq = world.seq + 1
        if seq == first:
            by, cause = describe(command, verdict), said.cause
        else:
            by, cause = b"", _led_by(first, said.cause)
        entry = entry_of(seq, at, said.fact, cause, by)
        yield entry
        fold(world, entry)
        touched.update(_touches(world, said.fact))


def _what_follows(
    world: World, command: AnyCommand, verdict: Verdict, touched: set[str], at: int
) -> Iterator[DecidedFact]:
    """What the standing rules say, one at a time: each is folded before the next is asked for. It
    begins when the facts of the verdict are folded, and asks the agents that those touched. From a
    command that changed nothing nothing follows; only for a tick it is enough that time has
    passed."""
    if not verdict.facts and type(command) is not Tick:
        return
    if type(command) is Tick:
        due = islice(world.agenda.due(at), TICK_DEADLINES_MAX)
        touched.update([key for kind, key in due if kind == "agent"])
    for key in sorted(touched):
        for _ in range(STANDING_FACTS_MAX):
            agent = world.agents.get(key)
            owed = None if agent is None else standing_rules.owed_fact(world, agent, at)
            if owed is None:
                break
            yield owed
    for _ in range(STANDING_FACTS_MAX):
        owed = standing_rules.overflow(world)
        if owed is None:
            break
        yield owed


def _led_by(first: int, cause: tuple[int, ...]) -> tuple[int, ...]:
    """The causes of a further record of a decision: the first record before all others."""
    return (first, *(seq for seq in cause if seq != first))


def _touches(world: World, fact: Fact) -> Iterable[str]:
    """The keys of the agents whose standing rules this fact may wake."""
    names = agents_of(fact)
    if names is None:
        return tuple(world.agents) if isinstance(fact, BrokerStarted | PolicyChanged) else ()
    return map(key_of, names)


def room_needed(world: World, command: AnyCommand) -> tuple[int, bool]:
    """An upper bound of the bytes of all records of this decision, and whether it is essential.

    Essential decisions (reports, ends, evictions) may use the journal's reserve; a new message may
    not.
    """
    match command:
        case Send():
            # JSON makes of a character six bytes at most; data is written as it came.
            quoted = 6 * (len(command.body) + 1_280) + len(bytes(command.data))
            count = 1
            if command.target.startswith("#"):
                count = sum(1 for _ in world.recipients(command.target[1:]))
            return quoted + (1 + 3 * count) * RECORD_BYTES_MAX, False
        case Redeliver():
            count = min(len(command.ids) or len(world.dead_letters), REDELIVER_MAX)
            return (1 + 3 * count) * RECORD_BYTES_MAX, False
        case Tick():
            return (4 + 3 * TICK_DEADLINES_MAX) * RECORD_BYTES_MAX, True
        case StartBroker():
            return (8 + STANDING_FACTS_MAX * len(world.agents)) * RECORD_BYTES_MAX, True
        case Release():
            # As near as can be: what asks for more than the reserve holds up all that comes after.
            agent = world.agent(command.name)
            queue = () if agent is None else agent.queue
            dropped = sum(len(_encoder.encode(Ref(**each.ref_fields()))) + 1 for each in queue)
            return 10 * RECORD_BYTES_MAX + dropped, True
        case Cancel():
            named = sum(
                1
                for each in world.deliveries.values()
                if command.id in (each.delivery_id, each.message.event_id)
            )
            return (8 + named) * RECORD_BYTES_MAX, True
        case Spawn():
            return len(_encoder.encode(command)) + 8 * RECORD_BYTES_MAX, False
        case Adopt() | ReportEnded():
            return len(_encoder.encode(command)) + 8 * RECORD_BYTES_MAX, True
        case _:
            return 8 * RECORD_BYTES_MAX, True


_encoder = msgspec.json.Encoder()
