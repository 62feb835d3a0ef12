"""`ackbook replay`: the world as it was at any moment, and ways to go through the past.

Everything is folded from the journal alone. Without a further word the world at one moment is
shown; the words are commands of their own: two moments compared (`diff`), the first moment at which
something held (`bisect`).
"""

from __future__ import annotations

import click
from click.core import ParameterSource

from ackbook.broker.exit_codes import ExitCode
from ackbook.projections.analysis.rows import (
    agent_rows,
    counts,
    dead_letter_rows,
    pending_rows,
    waiting_rows,
)
from ackbook.projections.world.fold import World
from ackbook.tools.cli.failures import Failure
from ackbook.tools.cli.options import json_option
from ackbook.tools.cli.output import bold, dim, emit, full_time, plain, poor, say, tell
from ackbook.tools.cli.place import Place
from ackbook.tools.cli.tables import show_agents, show_dead_letters, show_pending
from ackbook.tools.history.journal import JournalHistory
from ackbook.tools.history.moment_syntax import FORMS_TOLD, Moment, at_seq, at_time
from ackbook.tools.history.options import past_option
from ackbook.tools.history.record_filter import RecordFilter
from ackbook.tools.history.worlds import known_world
from ackbook.tools.replay.bisect import bisect
from ackbook.tools.replay.diff import diff
from ackbook.tools.replay.recheck import check as check_decisions
from ackbook.tools.replay.what_if import what_if


@click.group(invoke_without_command=True)
@click.option(
    "--to", "through", type=click.IntRange(min=0), metavar="SEQ", help="The last record to fold."
)
@click.option(
    "--at",
    "time",
    metavar="TIME",
    help=f"The last record at or before it: {FORMS_TOLD}.",
)
@click.option("--step", "stepping", is_flag=True, help="Go through the records, one by one.")
@click.option("--agent", metavar="NAME", help="With --step: n and p go by what names it.")
@click.option("--id", "identity", metavar="ID", help="With --step: the same, a message's.")
@click.option("--check", is_flag=True, help="Decide everything again, and show what differs.")
@click.option(
    "--set", "settings", multiple=True, metavar="KEY=VALUE", help="With --diff: another policy."
)
@click.option(
    "--diff", "compare", is_flag=True, help="What that would have changed, delivery by delivery."
)
@click.option("--all", "show_all", is_flag=True, help="Every one that differs, not the first.")
@json_option
@past_option
@click.pass_context
def replay(
    context: click.Context,
    through: int | None,
    time: str | None,
    stepping: bool,
    agent: str | None,
    identity: str | None,
    check: bool,
    settings: tuple[str, ...],
    compare: bool,
    show_all: bool,
    as_json: bool,
    place: Place,
) -> int | None:
    """Show the world as it was at a moment, by default the end. Needs no broker.

    Ages are counted to that moment, not to now.

    With --check every recorded decision is put to the rules of this version once more; the exit
    code is 1 when one of them is made otherwise.

    With --set every recorded command is put to the rules under another policy, and the deliveries
    that would have fared otherwise are shown. The keys are those of `policy` in a record
    policy.changed; a wrong one is answered with all of them.
    """
    if context.invoked_subcommand is not None:
        _refuse_options_before(context, context.invoked_subcommand)
        context.find_root().obj = place.named
        return None
    moments = through is not None or time is not None
    questions = (check, bool(settings or compare), stepping or moments)
    if sum(questions) > 1:
        raise Failure(
            ExitCode.USAGE,
            "--to or --at, --step, --check and --set are several questions; ask one at a time",
            "ackbook replay --help says what each of them shows",
        )
    if check:
        return check_decisions(place, show_all, as_json)
    if settings or compare:
        return what_if(place, settings, show_all, as_json)
    if through is not None and time is not None:
        raise click.UsageError("--to and --at name two moments; compare them with: replay diff")
    if not stepping and (agent is not None or identity is not None):
        raise click.UsageError("--agent and --id go with --step")
    if stepping and as_json:
        raise click.UsageError("--step is for people; programs read: ackbook cat, replay --to")
    history = JournalHistory(place)
    moment = _moment(history, through, time)
    if stepping:
        from ackbook.tools.replay.step import step

        step(history, moment, RecordFilter(agent=agent, identity=identity))
        return None
    asked_seq = history.head() if moment is None else moment.seq
    world = known_world(history, asked_seq)
    emit(_row(world, asked_seq)) if as_json else _show(world, asked_seq)
    return None


replay.add_command(diff)
replay.add_command(bisect)


def _refuse_options_before(context: click.Context, word: str) -> None:
    """An option that stands before the word is one of `replay`, and would be passed over."""
    for parameter in context.command.params:
        name = parameter.name
        if name is None or name == "place":
            continue
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            raise click.UsageError(
                f"{parameter.opts[0]} stands before {word}; what that takes comes behind it"
            )


def _moment(history: JournalHistory, through: int | None, time: str | None) -> Moment | None:
    """The record that is meant; None where none was named. For a time it is said which one."""
    if through is not None:
        return at_seq(history, through)
    if time is None:
        return None
    moment = at_time(history, time)
    say(dim(f"{plain(time)} is {moment.told()}"))
    return moment


def _row(world: World, asked_seq: int) -> dict[str, object]:
    return {
        "seq": world.seq,
        "asked_seq": asked_seq,
        "at": world.at,
        "pending": pending_rows(world),
        "agents": agent_rows(world, world.at),
        "dead_letters": dead_letter_rows(world, world.at),
        "counts": counts(world),
    }


def _show(world: World, asked_seq: int) -> None:
    when = full_time(world.at) if world.at else "before anything happened"
    tell(f"{bold(f'seq {world.seq}')}  {dim(when)}")
    if world.seq < asked_seq:
        lost = f"what follows on record {world.seq} cannot be read; {asked_seq} was asked for"
        tell(f"{poor('unknown')}  {lost}")
    totals = "  ".join(f"{dim(name)} {number}" for name, number in counts(world).items())
    tell(totals)
    tell()
    show_agents(agent_rows(world, world.at))
    tell()
    show_pending(waiting_rows(world, world.at))
    tell()
    show_dead_letters(dead_letter_rows(world, world.at))
