"""`ackbook replay bisect`: the first record at which something held, and who decided it.

Every record in the range is folded and asked, none is skipped: what comes and goes is found as
surely as what comes and stays. It is also said until when it held, since the end of the journal may
no longer show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import get_args

import click
import msgspec

from ackbook.broker.exit_codes import ExitCode
from ackbook.journal import Line
from ackbook.projections.analysis.conditions import Condition, SearchedOutcome, first_held
from ackbook.projections.codec import Entry
from ackbook.projections.facts import HeldReason
from ackbook.projections.world.agents import AgentState
from ackbook.projections.world.fold import World
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import bold, dim, duration, emit, exact_time, hanging, poor, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.history.gapless_ranges import Stretches
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import END, moment_of
from ackbook.tools.history.options import past_option
from ackbook.tools.history.record_filter import command_told, decision_of, fields_of, subject_of
from ackbook.tools.history.worlds import Worlds, nothing_known
from ackbook.tools.shapes.replay import BisectReply, FoundRecord

COUNT = click.IntRange(min=0)


@click.command()
@click.option("--agent", metavar="NAME", help="It has to hold for this agent; else for any.")
@click.option("--pending-over", type=COUNT, metavar="N", help="More than N deliveries wait.")
@click.option("--state", type=click.Choice(get_args(AgentState)), help="The agent is in it.")
@click.option("--held", type=click.Choice(get_args(HeldReason)), help="Its queue waits for it.")
@click.option("--oldest-over", type=COUNT, metavar="S", help="One waits longer than S seconds.")
@click.option("--throttle-over", type=COUNT, metavar="MS", help="Typing is slowed down to that.")
@click.option("--dead-letters-over", type=COUNT, metavar="N", help="More than N were given up.")
@click.option(
    "--outcome", type=click.Choice(get_args(SearchedOutcome)), help="A delivery ended so."
)
@click.option("--from", "since", default="0", metavar="MOMENT", help="Only what came after it.")
@click.option("--to", "through", default=END, metavar="MOMENT", help="Only what came up to it.")
@json_option
@past_option
def bisect(since: str, through: str, as_json: bool, place: Place, **asked: object) -> ExitCode:
    """The first record at which something held. Several conditions hold when all do.

    A MOMENT is a position, a time (2026-01-31T18:32:05, 18:32), so long before the last record
    (-5m) or before now (12h), or 'end'. The exit code is 0 where it held somewhere, 1 where it held
    nowhere, 3 where no world in the range is known.
    """
    condition = _condition(asked)
    if not condition.asks():
        raise click.UsageError("say what has to hold, such as --pending-over 100")
    history = JournalHistory(place)
    first, last = moment_of(history, since), moment_of(history, through)
    begun = _known_from(history, first.seq, last.seq)
    walk = _Walk(history, begun, last.seq)
    found = first_held(walk, condition, after=begun)
    reply = BisectReply(
        first=_record(history, found.first) if found else None,
        until=_record(history, found.until) if found and found.until else None,
        before=found is not None and found.before,
        searched=(begun + 1, walk.reached),
    )
    if as_json:
        emit(reply)
    else:
        if begun > first.seq:
            why = "no longer kept" if begun <= history.oldest() else "the world there is not known"
            tell(f"{poor('not searched')}  records {first.seq + 1} to {begun}: {why}")
        if walk.reached < last.seq and reply.until is None:
            tell(f"{poor('not searched')}  what follows on record {walk.reached}, which is lost")
        _show(reply, earlier=begun == first.seq)
    return ExitCode.DONE if found else ExitCode.NO


def _condition(asked: dict[str, object]) -> Condition:
    oldest_s = asked.pop("oldest_over")
    oldest_us = oldest_s * 1_000_000 if isinstance(oldest_s, int) else None
    throttle_ms = asked.pop("throttle_over")
    told = {**asked, "oldest_over_us": oldest_us, "throttle_over_ms": throttle_ms}
    return msgspec.convert(told, Condition)


def _known_from(history: JournalHistory, since: int, through: int) -> int:
    """The first record at or behind `since` at which the world is known, before all that is
    searched. Raises `Failure` where none is known up to `through`."""
    if (since or history.oldest() <= 1) and Worlds(history).at(since).seq == since:
        return since
    world = Stretches(history).begin_behind(since)
    if world is None or world.seq > through:
        raise nothing_known(history, f"no world from record {since} to {through} is known")
    return world.seq


class _Walk:
    """Every record of a range, each with the world that it led to, up to a hole; before them the
    one at which the range begins, which says what held already. `reached`: how far it came."""

    def __init__(self, history: JournalHistory, after: int, through: int) -> None:
        self.reached = after
        self._history = history
        self._through = through

    def __iter__(self) -> Iterator[tuple[Entry, World]]:
        worlds, after = Worlds(self._history), self.reached
        for entry in self._history.entries(after - 1, after) if after else ():
            yield entry, worlds.at(after)
        for entry, world in worlds.since(after):
            if entry.seq > self._through:
                return
            self.reached = entry.seq
            yield entry, world


def _record(history: JournalHistory, entry: Entry) -> FoundRecord:
    line = history.line(entry.seq)
    assert line is not None, "its entry was just read"
    decided = decision_of(line, history.line)
    by = None if decided is None else decided.by
    return FoundRecord(
        seq=line.seq,
        at=line.at,
        kind=line.kind,
        cause=list(line.cause),
        decided_at=None if decided is None else decided.seq,
        by=None if by is None else msgspec.Raw(by),
        data=msgspec.Raw(line.data),
        next=_next_step(history, line),
    )


def _next_step(history: JournalHistory, line: Line) -> str:
    """The command that tells more of this record."""
    subject = subject_of(line)
    if subject is not None:
        return f"ackbook why {subject} {history.place.flag()}"
    return f"ackbook replay --to {line.seq} {history.place.flag()}"


def _show(reply: BisectReply, *, earlier: bool) -> None:
    """The record, its decision, until when, and the next step. `earlier`: it can be searched."""
    first, until = reply.first, reply.until
    begun, ended = reply.searched
    if first is None:
        tell(f"it held after none of the records {begun} to {ended}")
        return
    if reply.before:
        step = "; earlier: --from 0" if earlier else ""
        tell(f"it held already before record {begun}, where the search began{step}")
    tell(f"it held first after {bold(f'record {first.seq}')}, {exact_time(first.at)}")
    if until is None:
        tell(f"and from then on, up to record {ended}")
    else:
        lasted = duration(until.at - first.at)
        tell(f"and no more after record {until.seq} ({until.kind}), {lasted} later")
    tell()
    tell(f"  {bold(first.kind)}")
    for field, told in fields_of(bytes(first.data)):
        tell(hanging(f"    {dim(f'{field:<14}')} ", told))
    if first.by is not None:
        tell(
            hanging(
                f"  {dim('decided at')} {first.decided_at} {dim('by')} ", command_told(first.by)
            )
        )
    tell()
    tell(f"next: {first.next}")
