"""Deciding again: whether these rules would have said what a journal says was decided.

A rule reads the world, the time and its command, and nothing else, so each recorded decision can be
put to the rules once more, in the world as it was before. Where they say something else, the rules
have changed since, or the world that they read was not the one that the journal tells.

What is recorded always wins: it is what the world goes on with, so that each decision is judged by
itself and the first divergence does not drag all others after it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal, TypeAlias

import msgspec
from msgspec.structs import replace

from ackbook.broker.core.commands import AnyCommand
from ackbook.broker.core.decide import decide, unfold
from ackbook.broker.core.recorded_command import command_of
from ackbook.journal.format.control import OPENED
from ackbook.projections.codec import Content, Control, Entry, Foreign, kind_of
from ackbook.projections.facts import MessageEnqueued
from ackbook.projections.world.fold import World, fold_all

DivergentPart: TypeAlias = Literal["fact", "cause", "by"]
"""In what two entries at one position can differ: what is said, why, and on which command."""


class Divergence(msgspec.Struct, frozen=True):
    """Where a decision, whose first record is `first`, goes another way: at its record `seq`.

    `recorded` None: the journal says no more of it, and the rules do; `decided` None: the other way
    round.
    """

    first: int
    seq: int
    at: int
    command: AnyCommand
    recorded: Entry | None
    decided: Entry | None

    @property
    def sides(self) -> tuple[DivergentPart, ...]:
        """In what the two differ, where both say something."""
        if self.recorded is None or self.decided is None:
            return ()
        return tuple(_sides(self.recorded, self.decided))


class NotTold(msgspec.Struct, frozen=True):
    """A decision that cannot be decided again, or not to its end. `why`: `origin`: its records do
    not hold what its rule read; `cut`: a crash kept only the first of them."""

    seq: int
    why: Literal["origin", "cut"] = "origin"


RecheckFinding: TypeAlias = Divergence | NotTold | None
"""What came of deciding again; None: the same."""


def check(world: World, entries: Iterable[Entry]) -> Iterator[RecheckFinding]:
    """One finding for each decision among these entries, which follow on the world and have no
    hole. The world is then the one after them."""
    shorter: Divergence | None = None
    for group in decisions(entries):
        if shorter is not None:
            cut = kind_of(group[0]) == OPENED
            yield NotTold(shorter.first, "cut") if cut else shorter
            shorter = None
        if not is_decision(group):
            fold_all(world, group)
            continue
        finding = again(world, group)
        if type(finding) is Divergence and finding.recorded is None:
            shorter = finding
        else:
            yield finding
    if shorter is not None:
        yield NotTold(shorter.first, "cut")


def again(world: World, decision: Sequence[Entry]) -> RecheckFinding:
    """Decide this once more in the world before it. The world is then what the records say,
    whatever the rules say; None: they say the same."""
    first = decision[0]
    assert world.seq == first.seq - 1, "the world is the one before this decision"
    told = command_of(first)
    if told is None or not told.whole:
        fold_all(world, decision)
        return NotTold(first.seq)
    verdict = decide(world, told.command, first.at)
    agreed = 0
    for decided in unfold(world, told.command, verdict, first.at, set()):
        recorded = decision[agreed] if agreed < len(decision) else None
        if recorded is None or any(_sides(recorded, decided)):
            fold_all(world, decision[agreed:])
            return _divergence(decision, agreed, told.command, decided)
        agreed += 1
    if agreed < len(decision):
        fold_all(world, decision[agreed:])
        return _divergence(decision, agreed, told.command, None)
    return None


def decisions(entries: Iterable[Entry]) -> Iterator[list[Entry]]:
    """Entries in the groups in which they were decided. What was not decided by the rules, such as
    the records of the journal about itself, comes alone."""
    group: list[Entry] = []
    for entry in entries:
        if group and not _goes_on(group, entry):
            yield group
            group = []
        group.append(entry)
    if group:
        yield group


def is_decision(group: Sequence[Entry]) -> bool:
    """Whether these entries begin with the command that led to them."""
    return bool(bytes(group[0].by)) and type(group[0].fact) not in _UNDECIDED


_UNDECIDED: tuple[type[Content], ...] = (Control, Foreign)


def _goes_on(group: list[Entry], entry: Entry) -> bool:
    """A further record of a decision has no command of its own; its first cause is the first."""
    first = group[0]
    return (
        entry.cause[:1] == (first.seq,)
        and entry.seq == first.seq + len(group)
        and not bytes(entry.by)
        and is_decision(group)
    )


def _sides(recorded: Entry, decided: Entry) -> Iterator[DivergentPart]:
    if recorded.fact != decided.fact and not _as_redacted(recorded.fact, decided.fact):
        yield "fact"
    if recorded.cause != decided.cause:
        yield "cause"
    if bytes(recorded.by) != bytes(decided.by) and bytes(recorded.by) not in _SHORT:
        yield "by"


def _as_redacted(recorded: Content, decided: Content) -> bool:
    """Whether they say the same but for a hash of a text that was taken out of the records: nobody
    can make it again."""
    if type(recorded) is not MessageEnqueued or type(decided) is not MessageEnqueued:
        return False
    readable = not recorded.content.startswith(_REDACTED)
    return not readable and recorded == replace(decided, content=recorded.content)


_REDACTED = "[redacted "
"""How what a redaction puts in the place of a hash begins."""

_SHORT = (b'{"command":"send"}',)
"""The `by` of versions that kept less, which was enough for this decision."""


def _divergence(
    decision: Sequence[Entry], agreed: int, command: AnyCommand, decided: Entry | None
) -> Divergence:
    first = decision[0]
    recorded = decision[agreed] if agreed < len(decision) else None
    return Divergence(
        first=first.seq,
        seq=first.seq + agreed,
        at=first.at,
        command=command,
        recorded=recorded,
        decided=decided,
    )
