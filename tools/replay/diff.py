"""`ackbook replay diff`: what differs between two moments, or between two journals.

A moment is a position, a time, `end`, or a journal, with `@` and a moment of it where that is not
its end. As with diff, the exit code is 0 where nothing differs and 1 where something does.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

import click
from rich.text import Text

from ackbook.broker.exit_codes import ExitCode
from ackbook.projections.analysis.world_diff import (
    Differences,
    FieldChange,
    Moved,
    Standing,
    differences,
)
from ackbook.projections.world.fold import World
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import bold, console, dim, emit, good, plain, poor, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.tables import cell, table_of
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import END, Moment, at_seq, moment_of
from ackbook.tools.history.options import past_of, past_option
from ackbook.tools.history.worlds import known_world
from ackbook.tools.shapes.replay import DifferenceReply, MomentRow

DELIVERIES_SHOWN_MAX = 40
"""Deliveries that people get to see; programs get all of them."""

MOMENTS_AS_ARGUMENTS = {"ignore_unknown_options": True, "help_option_names": ["--help"]}
"""-5m and -1h are moments, and no options."""


class DiffSide(NamedTuple):
    """One of the two that are compared. `moment`: that of its world, which is before the one that
    was asked for where a hole is in the way."""

    history: JournalHistory
    moment: Moment
    world: World
    asked_seq: int

    def row(self) -> MomentRow:
        journal = self.history.journal_id()
        return MomentRow(
            str(self.history.place.named), journal, self.world.seq, self.moment.at, self.asked_seq
        )

    def told(self) -> str:
        short = self.moment.seq < self.asked_seq
        lost = f" ({self.asked_seq} was asked for, and what follows is lost)" if short else ""
        return f"{self.moment.told()}{lost}, {self.history.place.named}"


@click.command(context_settings=MOMENTS_AS_ARGUMENTS)
@click.argument("first", metavar="A")
@click.argument("second", metavar="[B]", default=END)
@json_option
@past_option
@click.pass_context
def diff(context: click.Context, first: str, second: str, as_json: bool, place: Place) -> ExitCode:
    """What differs between the moments A and B, by default the end.

    A moment is a position (4977), a time (2026-01-31T18:32:05, 18:32), so long before the last
    record (end-5m) or before now (12h), 'end', or another journal or bundle: DIR, DIR@MOMENT where
    not its end is meant.
    """
    a, b = _side(context, first, place), _side(context, second, place)
    found = differences(a.world, b.world)
    if as_json:
        emit(_reply(a, b, found))
    else:
        _show(a, b, found)
    return ExitCode.NO if found else ExitCode.DONE


def _reply(a: DiffSide, b: DiffSide, found: Differences) -> DifferenceReply:
    return DifferenceReply(
        same=not found,
        a=a.row(),
        b=b.row(),
        broker=found.broker,
        agents=found.agents,
        counts=found.counts,
        deliveries=found.deliveries,
    )


def _side(context: click.Context, text: str, place: Place) -> DiffSide:
    """Whatever is there as a path means its journal; all else is a moment of the one at hand."""
    path, _, moment_text = text.rpartition("@")
    if os.path.exists(os.path.expanduser(text)):  # Path asks the same, and fails on a long text.
        path, moment_text = text, END
    if path:
        place = past_of(context, Path(path))
    history = JournalHistory(place)
    asked = moment_of(history, moment_text)
    world = known_world(history, asked.seq)
    reached = asked if world.seq == asked.seq else at_seq(history, world.seq)
    return DiffSide(history, reached, world, asked.seq)


def _show(a: DiffSide, b: DiffSide, found: Differences) -> None:
    tell(f"{bold('A')}  {dim(plain(a.told()))}")
    tell(f"{bold('B')}  {dim(plain(b.told()))}")
    ids = a.history.journal_id(), b.history.journal_id()
    if ids[0] != ids[1]:
        say(f"{poor('note:')} these are two journals; the same id in both is not the same message")
    if not found:
        tell(good("nothing differs"))
        return
    changes = [*found.broker, *found.agents]
    if changes:
        tell()
        table = table_of("", "field", "A", "B")
        for change in changes:
            table.add_row(cell(change.of, "bold"), cell(change.field), *_sides(change.a, change.b))
        console().print(table)
    if found.counts:
        tell()
        _show_counts(found.counts)
    if found.deliveries:
        tell()
        _show_deliveries(found.deliveries)


def _show_counts(changes: list[FieldChange]) -> None:
    table = table_of("deliveries", "A", "B", "")
    for change in changes:
        more = int(change.b or 0) - int(change.a or 0)
        table.add_row(cell(change.field), *_sides(change.a, change.b), cell(f"{more:+}", "dim"))
    console().print(table)


def _show_deliveries(moved: list[Moved]) -> None:
    table = table_of("delivery", "agent", "A", "B")
    for one in moved[:DELIVERIES_SHOWN_MAX]:
        sides = _sides(_told(one.a), _told(one.b))
        table.add_row(cell(one.delivery_id, "bold"), cell(one.agent), *sides)
    console().print(table)
    more = len(moved) - DELIVERIES_SHOWN_MAX
    if more > 0:
        tell(dim(f"and {more} more deliveries; --json has all of them"))


def _sides(a: object, b: object) -> tuple[Text, Text]:
    return cell("-" if a is None else str(a), "dim"), cell("-" if b is None else str(b))


def _told(standing: Standing | None) -> str | None:
    """A state in words: `held: manual_flush`, `acked: submitted, echo`, `queued, 2 attempts`."""
    if standing is None:
        return None
    proof = ", ".join(filter(None, (standing.level, standing.verification)))
    why = standing.reason or proof
    tries = f", {standing.attempts} attempts" if standing.attempts > 1 else ""
    return f"{standing.state}: {why}{tries}" if why else f"{standing.state}{tries}"
